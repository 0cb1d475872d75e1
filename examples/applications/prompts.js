// A cache of active versions: resolves once for each unit, and again after a notification, or after checkMs at the latest.
const { Client, Pool } = require('pg');
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms).unref(); });

class Prompts {
  constructor(connectionString, { checkMs = 5000, most = 10000 } = {}) {
    this.settings = { connectionString, connectionTimeoutMillis: 2000, query_timeout: 5000, keepAlive: true };
    this.pool = new Pool(this.settings);
    this.pool.on('error', () => {}); // an idle connection was lost: the next query opens a new one
    Object.assign(this, { cache: new Map(), most, retryAt: 0, closed: false });
    this.changes = 0; // an entry is valid until this counter changes
    this.checks = setInterval(() => { this.changes += 1; }, checkMs).unref();
    this.follow(checkMs);
  }

  async get(name, unit = null, attributes = {}) {
    const key = JSON.stringify([name, unit, attributes]);
    const entry = this.cache.get(key);
    // Without a unit, a split selects at random for each call: the entry is for outages only.
    const isCurrent = unit !== null && entry?.changes === this.changes;
    if (entry && (isCurrent || Date.now() < this.retryAt)) return entry.prompt;
    if (this.retryAt) this.retryAt = Date.now() + 5000; // during an outage, one call retries for all
    const { changes } = this; // read before the query: its answer may precede a change that is notified meanwhile
    try {
      const { rows } = await this.pool.query('select * from promptctl.resolve($1, $2, $3)', [name, unit, attributes]);
      this.retryAt = 0;
      this.cache.set(key, { prompt: rows[0], changes });
      if (this.cache.size > this.most) this.cache.delete(this.cache.keys().next().value);
      return rows[0];
    } catch (error) {
      const isAnswer = error.code === 'P0002'; // "no active version" is an answer, too
      this.retryAt = isAnswer ? 0 : Date.now() + 1000;
      if (isAnswer) this.cache.delete(key);
      if (isAnswer || !entry) throw error;
      return entry.prompt;
    }
  }

  async follow(checkMs) {
    for (; !this.closed; await pause(1000)) {
      const client = this.listener = new Client(this.settings);
      client.on('error', () => {}); // the next query fails as well
      client.on('notification', () => { this.changes += 1; });
      try {
        await client.connect().then(() => client.query('listen promptctl'));
        this.changes += 1; // changes before LISTEN were not notified
        for (; !this.closed; await pause(checkMs)) await client.query('select 1');
      } catch { /* without notifications, the interval keeps the cache current */ }
      client.end().catch(() => {});
    }
  }

  async close() {
    this.closed = true;
    clearInterval(this.checks);
    await Promise.all([this.listener.end(), this.pool.end()]);
  }
}

module.exports = { Prompts };
