// node answer.js USER QUESTION: Claude's answer with the active version.
const { Client } = require('pg');
const { Anthropic } = require('@anthropic-ai/sdk');
const { compose } = require('./requests.js');

async function main(user, question) {
  const database = new Client({ connectionString: process.env.DATABASE_URL });
  await database.connect();
  const { rows: [prompt] } = await database.query(
    'select name, version, epoch, content, settings from promptctl.resolve($1, $2)', ['default-system-prompt', user]);

  const began = performance.now();
  const request = compose(prompt, {}, [{ role: 'user', content: question }]);
  const reply = await new Anthropic().messages.create({ ...request, max_tokens: request.max_tokens ?? 1024 });

  await database.query(
    'select promptctl.record_use($1, $2, $3, $4, $5, $6, model => $7, unit => $8)',
    [prompt.name, prompt.version, prompt.epoch, reply.usage.input_tokens, reply.usage.output_tokens,
      performance.now() - began, reply.model, user]);
  const text = reply.content.map((block) => block.text ?? '').join(''); // thinking has no text
  console.log(`${prompt.name}@${prompt.version}: ${text}`);
  await database.end();
}

main(...process.argv.slice(2));
