// Answers by a JSON Schema: asked for in the provider's way, checked, repaired, kept; with a scripted model.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';

const schema = { type: 'object', properties: { city: { type: 'string' }, people: { type: 'integer', minimum: 1 } }, required: ['city', 'people'], additionalProperties: false };

describe('answers by a schema', { timeout: 300000 }, () => {
  let w, model, made = 0;
  before(async () => {
    model = await new ScriptModel().open();
    w = await AgentWorld.start({ demo: false, env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1' } });
  });
  after(async () => {
    await w?.stop();
    await model?.close();
  });

  async function run(steps, { agent = {}, output_schema } = {}) {
    const a = await w.ok('POST', '/api/agents', { name: `S${++made}`, instructions: 'Be brief.', ...agent }, 201);
    const c = await w.conversation({ agent_id: a.id });
    const word = model.script(...steps);
    const sent = await w.ok('POST', `/api/conversations/${c.id}/messages`, { content: `go ${word}`, ...(output_schema && { output_schema }) }, 202);
    const e = await w.ended(sent.id);
    return { e, a, messages: (await w.ok('GET', `/api/conversations/${c.id}/messages`)).items, asked: model.seen.get(word) };
  }

  test('an answer that fits is kept as a value, and the model was told the schema in both ways', async () => {
    const { e, messages, asked } = await run([say('{"city":"Paris","people":2}')], { output_schema: schema });
    assert.equal(e.status, 'succeeded');
    assert.deepEqual(e.parsed, { city: 'Paris', people: 2 });
    assert.deepEqual(messages.at(-1).parsed, { city: 'Paris', people: 2 });
    assert.equal(messages[0].parsed, null);
    assert.deepEqual(asked[0].response_format, { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } });
    assert.match(asked[0].messages[0].content, /^Be brief\.\n\nYour final answer[^]*"minimum":1/);
  });

  test('one that does not is asked for again with what is wrong, and is not kept', async () => {
    const { e, messages, asked } = await run([say('Paris'), say('```json\n{"city":"Paris","people":0}\n```'), say('Sure: {"city":"Paris","people":3}')], { agent: { output_schema: schema } });
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.deepEqual(e.parsed, { city: 'Paris', people: 3 });
    assert.equal(messages.length, 2);
    assert.match(asked[1].messages.at(-1).content, /does not fit the JSON Schema:\nThe answer is no JSON/);
    assert.match(asked[2].messages.at(-1).content, /\/people: must not be less than 1/);
    const { items } = await w.events(e.id);
    assert.equal(items.filter((x) => x.type === 'model.warning' && x.data.code === 'output_invalid').length, 2);
    assert.equal(e.steps, 3);
  });

  test('the repairs have an end', async () => {
    const { e, messages } = await run([say('no')], { output_schema: schema });
    assert.equal(e.status, 'failed');
    assert.equal(e.error.code, 'output_invalid');
    assert.match(e.error.message, /after 3 tries/);
    assert.equal(e.parsed, null);
    assert.equal(messages.length, 1);
  });

  test('tools are used before, and the message\'s schema counts before the agent\'s', async () => {
    const own = { type: 'array', items: { type: 'string' } };
    const { e } = await run([call(['memory_search', {}]), say('["a"]')], { agent: { tools: ['memory'], output_schema: schema }, output_schema: own });
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.deepEqual(e.parsed, ['a']);
    assert.equal(e.calls[0].status, 'done');
  });

  test('a schema that cannot be judged is refused when it is set, and an empty one is none', async () => {
    for (const bad of [{ type: 'text' }, { $ref: 'https://example.org/s' }, { unevaluatedProperties: false }, { pattern: '(' }]) {
      const r = await w.api('POST', '/api/agents', { name: 'bad', output_schema: bad });
      assert.equal(r.status, 422, JSON.stringify(bad));
      assert.match(r.body.detail, /output_schema.*schema is wrong/);
    }
    const { e, a } = await run([say('plain')], { agent: { output_schema: {} } });
    assert.equal(e.output, 'plain');
    assert.deepEqual(a.output_schema, {});
  });

  test('ogent run --schema prints the value, for scripts', async () => {
    if (process.env.OGENT_DEPLOYMENT) return;
    const file = join(w.data, 'schema.json');
    writeFileSync(file, JSON.stringify(schema));
    const word = model.script(say('nothing'), say('{"city":"Rome","people":5}'));
    const env = { ...process.env, OGENT_TOKEN: w.token };
    const { socketPath, host, port } = w.agent.where();
    const url = socketPath ? `unix:${socketPath}` : `http://${host}:${port}`;
    const { stdout } = await promisify(execFile)(process.env.OGENT_BIN, ['run', '--url', url, '--schema', file, `go ${word}`], { env });
    assert.deepEqual(JSON.parse(stdout), { city: 'Rome', people: 5 });
    await assert.rejects(promisify(execFile)(process.env.OGENT_BIN, ['run', '--url', url, '--schema', '/nowhere', 'x'], { env }), /cannot be read/);
  });
});
