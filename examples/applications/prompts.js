// What is live, from memory: asked once for each unit, then again when told of a change, or after checkMs at the latest.
const { Client, Pool } = require('pg');
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms).unref(); });

class Prompts {
  constructor(connectionString, { checkMs = 5000, most = 10000 } = {}) {
    this.settings = { connectionString, connectionTimeoutMillis: 2000, query_timeout: 5000, keepAlive: true };
    this.pool = new Pool(this.settings);
    this.pool.on('error', () => {}); // an idle connection was lost: the next query opens another
    Object.assign(this, { known: new Map(), most, triesAgainAt: 0, closed: false });
    this.changes = 0; // what was read before the last one is read again
    this.checks = setInterval(() => { this.changes += 1; }, checkMs).unref();
    this.follow(checkMs);
  }

  async get(name, unit = null, attributes = {}) {
    const key = JSON.stringify([name, unit, attributes]);
    const found = this.known.get(key);
    // Without a unit a split draws lots for each call: there is nothing to remember but for an outage.
    const isLive = unit !== null && found?.changes === this.changes;
    if (found && (isLive || Date.now() < this.triesAgainAt)) return found.prompt;
    if (this.triesAgainAt) this.triesAgainAt = Date.now() + 5000; // in an outage one call asks for all
    const { changes } = this; // taken first: an answer may be from before a change of which is told meanwhile
    try {
      const { rows } = await this.pool.query('select * from promptctl.resolve($1, $2, $3)', [name, unit, attributes]);
      this.triesAgainAt = 0;
      this.known.set(key, { prompt: rows[0], changes });
      if (this.known.size > this.most) this.known.delete(this.known.keys().next().value);
      return rows[0];
    } catch (error) {
      const isAnswer = error.code === 'P0002'; // that nothing is served is one, too
      this.triesAgainAt = isAnswer ? 0 : Date.now() + 1000;
      if (isAnswer) this.known.delete(key);
      if (isAnswer || !found) throw error;
      return found.prompt;
    }
  }

  async follow(checkMs) {
    for (; !this.closed; await pause(1000)) {
      const client = this.listener = new Client(this.settings);
      client.on('error', () => {}); // the next query fails as well
      client.on('notification', () => { this.changes += 1; });
      try {
        await client.connect().then(() => client.query('listen promptctl'));
        this.changes += 1; // nobody told what changed before
        for (; !this.closed; await pause(checkMs)) await client.query('select 1');
      } catch { /* as long as nothing is told, the checks are what keeps it right */ }
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
