// Batches: each row of a file becomes a run, once, whatever is killed.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';
import { ModelPeer, chunk, DONE } from '../lib/model_peer.mjs';

describe('batches', { timeout: 240000 }, () => {
  let w, peer, agent, other;
  const seen = new Map(); // message → how often the model was asked
  let held = null;        // answers wait for this

  before(async () => {
    peer = await new ModelPeer().open();
    peer.answer = async (req, res, body) => {
      const text = body.messages.at(-1).content;
      seen.set(text, (seen.get(text) ?? 0) + 1);
      if (held) await held.promise;
      if (text.includes('fail') && !seen.get('mended')) {
        res.statusCode = 400;
        return res.end('{"error":{"message":"I do not like this one."}}');
      }
      return res.end(chunk({ content: `=${text}` }) + chunk({}, 'stop') + DONE);
    };
    w = await AgentWorld.start({ exec: (path) => new ExecPeer(path).open(), env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${peer.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_BATCH_MAX_ROWS: '300' } });
    w.token = (await w.auth.setUp()).access_token;
    const email = 'other@example.org', password = 'correct horse battery staple';
    await w.auth.api('POST', '/api/users', { name: 'Other', email, password, roles: ['member'] }, w.token);
    other = (await w.auth.login({ email, password })).access_token;
    agent = await w.ok('POST', '/api/agents', { name: 'Namer' }, 201);
  });
  after(async () => {
    held?.resolve();
    await w?.stop();
    await peer?.close();
  });

  const make = (data, more = {}) => w.api('POST', '/api/batches', { name: 'B', agent_id: agent.id, message: 'Name {{what}}', format: 'csv', data, ...more });
  async function made(data, more) {
    const r = await make(data, more);
    assert.equal(r.status, 201, r.text);
    return r.body;
  }
  const get = (b) => w.ok('GET', `/api/batches/${b.id}`);
  async function until(b, what) {
    for (const limit = Date.now() + 60000; ; await sleep(30)) {
      const now = await get(b);
      if (what(now)) return now;
      assert.ok(Date.now() < limit, JSON.stringify(now));
    }
  }
  const over = (b) => until(b, (x) => ['ended', 'stopped', 'cancelled'].includes(x.status) && x.rows.running === 0);
  const rows = async (b, query = '') => (await w.ok('GET', `/api/batches/${b.id}/rows?limit=200${query}`)).items;
  const hold = () => (held = Promise.withResolvers());
  const release = () => {
    held.resolve();
    held = null;
  };

  test('each row of a table becomes a run; the answers come as CSV and JSONL', async () => {
    const b = await made('what,n\r\n"a ""red"" fox",1\r\n"two\nlines",2\r\n');
    assert.deepEqual([b.status, b.columns, b.rows.total], ['running', ['what', 'n'], 2]);
    const end = await over(b);
    assert.deepEqual([end.status, end.rows.succeeded], ['ended', 2]);
    const all = await rows(b);
    assert.deepEqual(all.map((r) => [r.number, r.data.n, r.status, r.output, r.attempt]), [[1, '1', 'succeeded', '=Name a "red" fox', 1], [2, '2', 'succeeded', '=Name two\nlines', 1]]);
    assert.ok(all.every((r) => r.input_tokens === 11 && r.conversation_id));
    const listed = (await w.ok('GET', '/api/conversations?limit=200')).items.map((c) => c.id);
    assert.ok(!all.some((r) => listed.includes(r.conversation_id)), 'they do not stand among the conversations');
    assert.match((await w.ok('GET', `/api/conversations/${all[0].conversation_id}`)).title, /^B 1$/);
    const csv = await w.api('GET', `/api/batches/${b.id}/results?format=csv`);
    assert.match(csv.headers['content-type'], /^text\/csv/);
    assert.match(csv.text, /^what,n,ogent_status,ogent_output,/);
    assert.ok(csv.text.includes('"a ""red"" fox",1,succeeded,"\'=Name a ""red"" fox",'), 'no formula for a spreadsheet: ' + csv.text);
    const jsonl = await w.api('GET', `/api/batches/${b.id}/results?format=jsonl`);
    assert.deepEqual(jsonl.text.trim().split('\n').map((l) => JSON.parse(l).output), ['=Name a "red" fox', '=Name two\nlines']);
  });

  test('JSONL has values of any kind', async () => {
    const b = await made('{"what":{"x":[1,2]}}\n{"what":7}\n', { format: 'jsonl' });
    await over(b);
    assert.deepEqual((await rows(b)).map((r) => r.output), ['=Name {"x":[1,2]}', '=Name 7']);
  });

  test('what is wrong with a file or a message is told by its line, and nothing begins', async () => {
    for (const [data, more, code, what] of [
      ['what\n', {}, 'table_empty', /row/],
      ['what,n\nx\n', {}, 'csv_invalid', /Line 2 has 1 cells/],
      ['what\n"x\n', {}, 'csv_invalid', /quote/],
      ['who\nx\n', {}, 'template_invalid', /Row 1.*what/],
      ['{"what":1}\n[]\n', { format: 'jsonl' }, 'jsonl_invalid', /Line 2/],
      [`what\n${'x\n'.repeat(301)}`, {}, 'table_too_large', /300/],
      [`what\n${'x\n'.repeat(300)}`, { message: 'y'.repeat(199_999) + '{{what}}' }, 'invalid_field', /message/],
      [`what,${Array.from({ length: 150 }, (_, i) => `${i}`.padEnd(190, 'c')).join()}\n${`x${','.repeat(150)}\n`.repeat(300)}`, { message: 'z'.repeat(199_000) + '{{what}}'.repeat(100) }, 'table_too_large', /messages/],
      ['what\nx\n', { format: 'xls' }, 'invalid_field', /format/],
      ['what\nx\n', { concurrency: 51 }, 'invalid_field', /concurrency/],
    ]) {
      const r = await make(data, more);
      assert.deepEqual([r.status, r.body.code], [422, code], r.text.slice(0, 300));
      assert.match(r.body.detail, what);
    }
    assert.equal((await make('what\nx\n', { agent_id: '00000000-0000-7000-8000-000000000000' })).body.code, 'agent_not_found');
  });

  test('so many run at once as it says; it can be paused, go on, and be cancelled', async () => {
    hold();
    const b = await made(`what\n${Array.from({ length: 12 }, (_, i) => `p${i}`).join('\n')}\n`, { concurrency: 3 });
    await until(b, (x) => x.rows.running === 3);
    await sleep(400);
    assert.equal((await get(b)).rows.running, 3);
    await w.ok('PATCH', `/api/batches/${b.id}`, { status: 'paused' });
    release();
    await until(b, (x) => x.rows.running === 0);
    assert.equal((await get(b)).rows.succeeded, 3);
    hold();
    await w.ok('PATCH', `/api/batches/${b.id}`, { status: 'running', concurrency: 5 });
    await until(b, (x) => x.rows.running === 5);
    assert.equal((await w.api('DELETE', `/api/batches/${b.id}`)).body.code, 'batch_running');
    await w.ok('PATCH', `/api/batches/${b.id}`, { status: 'cancelled' });
    const end = await over(b);
    assert.deepEqual([end.rows.succeeded, end.rows.cancelled], [3, 9]);
    release();
    assert.equal((await w.api('PATCH', `/api/batches/${b.id}`, { status: 'running' })).body.code, 'batch_over');
    await w.ok('POST', `/api/batches/${b.id}/retry`);
    assert.equal((await over(b)).rows.succeeded, 12);
    const [first] = await rows(b);
    await w.ok('DELETE', `/api/batches/${b.id}`, undefined, 204);
    assert.ok((await w.ok('GET', '/api/conversations?limit=200')).items.some((c) => c.id === first.conversation_id), 'its conversations are found then');
    assert.equal((await w.api('GET', `/api/batches/${b.id}`)).status, 404);
  });

  test('failures stop it where it says so, and what failed can be run again', async () => {
    const b = await made(`what\n${Array.from({ length: 10 }, (_, i) => `fail ${i}`).join('\n')}\n`, { concurrency: 1, max_failures: 3 });
    const end = await over(b);
    assert.deepEqual([end.status, end.reason, end.rows.failed], ['stopped', 'failures', 3]);
    assert.equal((await w.ok('PATCH', `/api/batches/${b.id}`, { name: 'Renamed' })).status, 'stopped');
    const [row] = await rows(b, '&status=failed');
    assert.equal(row.error.code, 'model_refused', JSON.stringify(row));
    seen.set('mended', 1);
    await w.ok('POST', `/api/batches/${b.id}/retry`);
    const again = await over(b);
    assert.deepEqual([again.status, again.rows.succeeded, (await rows(b))[0].attempt], ['ended', 10, 2]);
    assert.equal((await w.ok('PATCH', `/api/batches/${b.id}`, { name: 'Again' })).ended_at, again.ended_at);
    seen.delete('mended');
  });

  test('a batch is its user\'s', async () => {
    const b = await made('what\nmine\n');
    await over(b);
    for (const [method, path] of [['GET', ''], ['PATCH', ''], ['DELETE', ''], ['POST', '/retry'], ['GET', '/rows'], ['GET', '/results']])
      assert.equal((await w.api(method, `/api/batches/${b.id}${path}`, method === 'PATCH' ? { status: 'paused' } : undefined, other)).status, 404);
    assert.deepEqual((await w.api('GET', '/api/batches', undefined, other)).body.items, []);
    assert.equal((await w.ok('GET', '/api/batches')).items[0].id, b.id);
    assert.equal((await w.api('POST', '/api/batches', { name: 'B', agent_id: agent.id, message: 'x', format: 'csv', data: 'a\n1\n' }, other)).body.code, 'agent_not_found');
  });

  test('a repeated request makes one batch', async () => {
    const body = { name: 'Once', agent_id: agent.id, message: 'Once {{a}}', format: 'csv', data: 'a\n1\n' };
    const [one, two] = await Promise.all([1, 2].map(() => w.api('POST', '/api/batches', body, w.token, { 'idempotency-key': 'once' })));
    assert.equal(one.body.id, two.body.id, `${one.text} ${two.text}`);
    await over(one.body);
  });

  test('killed again and again, each row has one run and one answer', async (t) => {
    if (process.env.OGENT_DEPLOYMENT) return t.skip('the service cannot be killed here');
    const b = await made(`what\n${Array.from({ length: 60 }, (_, i) => `k${i}`).join('\n')}\n`, { concurrency: 8 });
    for (let i = 0; i < 4; i++) {
      await until(b, (x) => x.rows.succeeded > i * 10);
      await w.agent.kill('SIGKILL');
      await w.agent.start();
    }
    const end = await over(b);
    assert.deepEqual([end.status, end.rows.succeeded], ['ended', 60]);
    const all = await rows(b);
    assert.deepEqual(all.map((r) => r.output), all.map((r) => `=Name ${r.data.what}`));
    assert.ok(all.every((r) => r.attempt === 1), 'a row has one run');
    assert.equal(new Set(all.map((r) => r.execution_id)).size, 60);
  });
});
