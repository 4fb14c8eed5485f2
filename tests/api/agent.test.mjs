// The agent role from outside, with the real auth role and demo model, and a stand-in for exec that can misbehave.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld, fold, withoutPieceTimes } from '../lib/agent_client.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';

const peer = (path) => new ExecPeer(path).open();
const INSTANT = { instant: true };
const types = (events) => events.map((e) => e.type);

describe('the agent role', { timeout: 300000 }, () => {
  let w;
  before(async () => (w = await AgentWorld.start({ exec: peer })));
  after(() => w?.stop());

  // ---- Agents ----

  test('there is one agent at first, with the shell', async () => {
    const { items, next } = await w.ok('GET', '/api/agents');
    assert.equal(items.length, 1);
    assert.equal(next, null);
    assert.equal(items[0].slug, 'assistant');
    assert.deepEqual(items[0].tools, ['shell']);
    assert.deepEqual(items[0].limits, { max_steps: 25, max_seconds: 600, max_output_tokens: 4096 });
  });

  test('an agent is made, changed against its ETag, has versions, and is archived', async () => {
    const made = await w.api('POST', '/api/agents', { name: 'Data Analyst (EU)', instructions: 'Count.', tools: ['shell'] });
    assert.equal(made.status, 201, made.text);
    assert.equal(made.body.slug, 'data-analyst-eu');
    assert.equal(made.headers.etag, '"1"');
    assert.equal(made.headers.location, `/api/agents/${made.body.id}`);
    const path = made.headers.location;
    assert.equal((await w.api('PATCH', path, { name: 'X' })).body.code, 'precondition_required');
    assert.equal((await w.api('PATCH', path, { name: 'X' }, w.token, { 'if-match': '"7"' })).body.code, 'version_conflict');
    const changed = await w.api('PATCH', path, { limits: { max_steps: 3 } }, w.token, { 'if-match': '"1"' });
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual(changed.body.limits, { max_steps: 3, max_seconds: 600, max_output_tokens: 4096 });
    assert.equal(changed.body.instructions, 'Count.');
    assert.equal(changed.headers.etag, '"2"');
    const versions = await w.ok('GET', `${path}/versions`);
    assert.deepEqual(versions.items.map((v) => [v.version, v.limits.max_steps]), [[2, 3], [1, 25]]);
    const restored = await w.api('POST', `${path}/versions/1/restore`);
    assert.equal(restored.status, 200, restored.text);
    assert.deepEqual([restored.body.version, restored.body.limits.max_steps, restored.headers.etag], [3, 25, '"3"']);
    assert.deepEqual((await w.ok('GET', `${path}/versions`)).items.map((v) => [v.version, v.limits.max_steps]), [[3, 25], [2, 3], [1, 25]]);
    for (const version of [9, 'x', 0]) assert.equal((await w.api('POST', `${path}/versions/${version}/restore`)).status, 404);
    assert.equal((await w.api('POST', '/api/agents', { name: 'Other', slug: 'data-analyst-eu' })).body.code, 'slug_taken');
    assert.equal((await w.api('POST', '/api/agents', { name: 'Data Analyst EU' })).body.slug, 'data-analyst-eu-2');
    assert.equal((await w.api('DELETE', path)).status, 204);
    assert.equal((await w.api('GET', path)).status, 404);
    assert.equal((await w.api('POST', '/api/agents', { name: 'Again', slug: 'data-analyst-eu' })).status, 201);
  });

  test('what is wrong with an agent is told by name', async () => {
    for (const [body, what] of [
      [{}, 'name'],
      [{ name: '' }, 'name'],
      [{ name: 'a', tools: ['rm'] }, 'tools'],
      [{ name: 'a', tools: 'shell' }, 'tools'],
      [{ name: 'a', slug: 'A b' }, 'slug'],
      [{ name: 'a', limits: { max_steps: 0 } }, 'max_steps'],
      [{ name: 'a', limits: { max_seconds: 1e9 } }, 'max_seconds'],
      [{ name: 'a', extra: 1 }, 'extra'],
    ]) {
      const r = await w.api('POST', '/api/agents', body);
      assert.equal(r.status, 422, r.text);
      assert.match(r.body.detail, new RegExp(what));
    }
  });

  test('an import without the model that it names falls back to the default, when asked to', async () => {
    const file = { format: 'ogent-agent', schema_version: 1, agent: { name: 'From elsewhere', model: 'gpt-none', fallback_models: ['gpt-none-2'] } };
    const dry = await w.ok('POST', '/api/agents/import?dry_run=true', file);
    assert.deepEqual([dry.can_import, dry.missing.map((m) => `${m.kind} ${m.name} ${m.state}`)], [false, ['model gpt-none missing', 'model gpt-none-2 missing']]);
    assert.equal((await w.api('POST', '/api/agents/import', file)).body.code, 'references_missing');
    const made = await w.ok('POST', '/api/agents/import?skip_missing=true', file, 201);
    assert.deepEqual([made.model, made.fallback_models], ['default', []]);
    assert.equal((await w.api('DELETE', `/api/agents/${made.id}`)).status, 204);
  });

  test('lists go page by page', async () => {
    const seen = [];
    for (let after = ''; ; ) {
      const r = await w.ok('GET', `/api/agents?limit=1${after}`);
      seen.push(...r.items.map((a) => a.id));
      if (!r.next) break;
      after = `&after=${r.next}`;
    }
    assert.equal(new Set(seen).size, seen.length);
    assert.deepEqual(seen, (await w.ok('GET', '/api/agents')).items.map((a) => a.id));
  });

  test('the models say which is used and why', async () => {
    const m = await w.ok('GET', '/api/models');
    const demo = { id: 'ogent-demo', provider: 'demo', name: 'ogent-demo', default: true, available: true, connection_id: null, shared: true };
    assert.deepEqual(m.items, [{ ...demo, context: null, max_output: null, images: false, prices: null }]);
    assert.equal(m.default.demo, true);
    assert.match(m.default.reason, /OPENAI_API_KEY is not set and no Ollama/);
  });

  // ---- One message ----

  test('a message runs a command once and is answered from its output', async () => {
    const starts = w.peer.starts;
    const sent = await w.send('run: echo $((6*7))');
    assert.equal(sent.status, 'queued');
    assert.equal(sent.input, 'run: echo $((6*7))');
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.match(e.output, /42/);
    assert.equal(w.peer.starts, starts + 1);
    assert.equal(e.steps, 2);
    assert.equal(e.commands, 1);
    assert.equal(e.calls.length, 1);
    const [call] = e.calls;
    assert.equal(call.command, 'echo $((6*7))');
    assert.equal(call.status, 'exited');
    assert.equal(call.exit_code, 0);
    assert.equal(call.output, '42\n');
    assert.equal(call.output_bytes, 3);
    assert.ok(call.command_id && call.started_at && call.ended_at);
    assert.ok(e.usage.input_tokens > 0 && e.usage.output_tokens > 0 && e.usage.estimated === false);
    assert.equal(e.model, 'ogent-demo');
    assert.equal(e.provider, 'demo');
    const body = w.peer.bodies.at(-1);
    assert.equal(body.workspace, e.conversation_id);
    const { items } = await w.ok('GET', `/api/conversations/${e.conversation_id}/messages`);
    assert.deepEqual(items.map((m) => m.role), ['user', 'assistant', 'tool', 'assistant']);
    assert.deepEqual(items.map((m) => m.seq), [1, 2, 3, 4]);
    assert.equal(items[2].tool_call_id, items[1].tool_calls[0].id);
    assert.equal(items[2].result.exit_code, 0);
    const c = await w.ok('GET', `/api/conversations/${e.conversation_id}`);
    assert.equal(c.title, 'run: echo $((6*7))');
    const long = await w.conversation();
    await w.ended((await w.send('Please tell me in a few plain words what an operating environment is for', { conversation: long })).id);
    assert.equal((await w.ok('GET', `/api/conversations/${long.id}`)).title, 'Please tell me in a few plain words what an operating…');
    assert.deepEqual(c.last_execution, { id: e.id, status: 'succeeded' });
  });

  test('the events tell the story in order, and folding them gives what is stored', async () => {
    const e = await w.run('run: echo one; echo two >&2');
    const { items, ended, last_event } = await w.events(e.id);
    assert.equal(ended, true);
    assert.equal(last_event, e.last_event);
    const order = types(items).filter((t, i, all) => t !== all[i - 1] && t !== 'execution.state');
    assert.deepEqual(order, [
      'execution.started', 'message.done', 'call.started', 'call.output', 'call.done', 'text.delta', 'message.done', 'execution.ended',
    ]);
    assert.equal(items[0].data.input, 'run: echo one; echo two >&2');
    const { texts, outputs, calls } = fold(items);
    assert.equal(Object.values(texts).at(-1), e.output);
    assert.match(Object.values(outputs)[0], /one\n/);
    assert.equal(Object.values(calls)[0].exit_code, 0);
    assert.deepEqual(items.at(-1).data.usage, e.usage);
    assert.equal(items.at(-1).data.output, e.output);
  });

  test('a stream followed live has the same events as the log, and closes at the end', async () => {
    const sent = await w.send('run: for i in 1 2 3 4 5; do echo line $i; sleep 0.05; done');
    const live = await w.follow(sent.id);
    assert.equal(live.at(-1).type, 'execution.ended');
    assert.deepEqual(withoutPieceTimes(live), withoutPieceTimes((await w.events(sent.id)).items));
    fold(live);
  });

  test('what was shown is in every list that is asked for afterwards, stored or not', async () => {
    const sent = await w.send('run: for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.02; done');
    const lists = [];
    const live = await w.follow(sent.id, { onEvent: (e) => lists.push(w.events(sent.id, e.seq - 1).then(({ items }) => [e, items[0]])) });
    assert.ok(live.length > 20);
    for (const [shown, listed] of await Promise.all(lists)) assert.deepEqual(...[listed, shown].map((e) => withoutPieceTimes([e])));
  });

  test('from every event on, a stream that is taken up again gives exactly the rest', async () => {
    const e = await w.run('run: echo a; sleep 0.1; echo b');
    const { items } = await w.events(e.id);
    for (let at = 0; at <= items.length; at++) {
      const after = at ? items[at - 1].seq : 0;
      assert.deepEqual(await w.follow(e.id, { after }), items.slice(at));
      assert.deepEqual((await w.events(e.id, after)).items, items.slice(at));
    }
    assert.equal((await w.api('GET', `/api/executions/${e.id}/events?after=x`)).status, 400);
  });

  test('streams that are cut at any moment of a live run and taken up again miss nothing', async () => {
    const sent = await w.send('run: for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.03; done');
    const followers = Array.from({ length: 12 }, async (_, i) => {
      const all = [];
      for (let cut = i + 1; all.at(-1)?.type !== 'execution.ended'; cut += 3) {
        let n = 0;
        const got = await w.follow(sent.id, { after: all.at(-1)?.seq, until: () => ++n === cut });
        all.push(...got);
      }
      return all;
    });
    const results = await Promise.all(followers);
    const { items } = await w.events(sent.id);
    for (const r of results) assert.deepEqual(withoutPieceTimes(r), withoutPieceTimes(items));
  });

  test('a conversation goes on with what was said before', async () => {
    const c = await w.conversation({ title: 'My title' });
    for (const text of ['run: echo one', 'hello', 'run: echo two']) {
      const e = await w.run(text, { conversation: c, script: INSTANT });
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    }
    const { items } = await w.ok('GET', `/api/conversations/${c.id}/messages`);
    assert.equal(items.length, 10);
    assert.equal((await w.ok('GET', `/api/conversations/${c.id}`)).title, 'My title');
  });

  test('several commands of one answer run side by side, each once, and their results stand in order', async () => {
    const starts = w.peer.starts;
    const e = await w.run('run: echo a\nrun: echo b\nthen: echo c', { script: INSTANT });
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.deepEqual(e.calls.map((c) => c.output), ['a\n', 'b\n', 'c\n']);
    assert.equal(w.peer.starts, starts + 3);
    assert.equal(e.steps, 3);
    // Each waits for what the other does: one after the other they would wait for ever.
    const both = await w.run('run: while [ ! -e /tmp/ogent-core-b ]; do sleep 0.02; done; rm /tmp/ogent-core-b; echo first\nrun: touch /tmp/ogent-core-b; echo second\nrun: exit 3', { script: INSTANT });
    assert.deepEqual(both.calls.map((c) => [c.output, c.exit_code]), [['first\n', 0], ['second\n', 0], ['', 3]]);
    const { items } = await w.ok('GET', `/api/conversations/${both.conversation_id}/messages`);
    assert.deepEqual(items.map((m) => [m.seq, m.role]), [[1, 'user'], [2, 'assistant'], [3, 'tool'], [4, 'tool'], [5, 'tool'], [6, 'assistant']]);
    assert.deepEqual(items.slice(2, 5).map((m) => m.tool_call_id), items[1].tool_calls.map((c) => c.id));
  });

  test('the same Idempotency-Key gives the same execution, another body is refused', async () => {
    const c = await w.conversation();
    const path = `/api/conversations/${c.id}/messages`;
    const headers = { 'idempotency-key': randomUUID() };
    const body = { content: 'hello' };
    const first = await w.api('POST', path, body, w.token, headers);
    const again = await w.api('POST', path, body, w.token, headers);
    assert.equal(first.status, 202);
    assert.deepEqual(again.body, first.body);
    await w.ended(first.body.id);
    assert.deepEqual((await w.api('POST', path, body, w.token, headers)).body, first.body);
    assert.equal((await w.ok('GET', path)).items.filter((m) => m.role === 'user').length, 1);
    const other = await w.api('POST', path, { content: 'other' }, w.token, headers);
    assert.equal(other.status, 422);
    assert.equal(other.body.code, 'idempotency_key_reused');
  });

  test('a second message while the agent is at work is refused', async () => {
    const c = await w.conversation();
    const sent = await w.send('run: sleep 0.5', { conversation: c });
    const r = await w.api('POST', `/api/conversations/${c.id}/messages`, { content: 'and?' });
    assert.equal(r.status, 409);
    assert.equal(r.body.code, 'run_active');
    await w.ended(sent.id);
  });

  test('messages that are no text are refused', async () => {
    const c = await w.conversation();
    for (const body of [{}, { content: '' }, { content: 7 }, { content: 'x'.repeat(200001) }, { content: 'a', role: 'system' }])
      assert.equal((await w.api('POST', `/api/conversations/${c.id}/messages`, body)).status, 422);
    assert.equal((await w.api('POST', `/api/conversations/${randomUUID()}/messages`, { content: 'a' })).status, 404);
    assert.equal((await w.api('POST', '/api/conversations/nonsense/messages', { content: 'a' })).status, 404);
    assert.equal((await w.api('POST', '/api/conversations', { agent: 'nobody' })).body.code, 'agent_not_found');
  });

  test('the history is filtered by status, conversation, agent and words', async () => {
    const e = await w.run('run: echo needle-in-100%-hay', { script: INSTANT });
    const find = async (q) => (await w.ok('GET', `/api/executions?${q}`)).items.map((x) => x.id);
    assert.deepEqual(await find(`conversation_id=${e.conversation_id}`), [e.id]);
    assert.deepEqual(await find('q=NEEDLE-in-100%25-h'), [e.id]);
    assert.deepEqual(await find('q=needle-in-1000-h'), []);
    assert.ok((await find('status=succeeded')).includes(e.id));
    assert.ok(!(await find('status=failed')).includes(e.id));
    assert.ok((await find(`agent_id=${e.agent_id}`)).includes(e.id));
    assert.deepEqual(await find(`agent_id=${randomUUID()}`), []);
  });

  // ---- Stopping ----

  test('a cancel while the model streams ends the run at once and keeps the text so far', async () => {
    const sent = await w.send('hello', { script: { pace_ms: 100 } });
    await w.until(sent.id, (e) => e.type === 'text.delta');
    const at = Date.now();
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/cancel`)).status, 202);
    const e = await w.ended(sent.id);
    assert.ok(Date.now() - at < 1000);
    assert.equal(e.status, 'cancelled');
    assert.equal(e.error, null);
    assert.ok(e.output.length > 0);
    fold((await w.events(sent.id)).items);
    assert.equal((await w.run('hello', { conversation: { id: e.conversation_id }, script: INSTANT })).status, 'succeeded');
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/cancel`)).status, 202);
  });

  test('a cancel while a command runs kills it and leaves a conversation that goes on', async () => {
    const sent = await w.send('run: echo begun; sleep 60\nrun: sleep 60; echo never');
    await w.until(sent.id, (e) => e.type === 'call.output');
    await w.api('POST', `/api/executions/${sent.id}/cancel`);
    const e = await w.ended(sent.id, 4000);
    assert.equal(e.status, 'cancelled');
    assert.deepEqual(e.calls.map((c) => c.status), ['cancelled', 'cancelled']);
    assert.equal(e.calls[0].output, 'begun\n');
    for (const c of [...w.peer.byId.values()].slice(-2)) assert.equal(c.status, 'cancelled');
    assert.equal((await w.run('hello', { conversation: { id: e.conversation_id }, script: INSTANT })).status, 'succeeded');
  });

  test('deleting a conversation stops its run and takes everything with it', async () => {
    const sent = await w.send('run: echo begun; sleep 60');
    await w.until(sent.id, (e) => e.type === 'call.output');
    assert.equal((await w.api('DELETE', `/api/conversations/${sent.conversation_id}`)).status, 204);
    assert.equal((await w.api('GET', `/api/executions/${sent.id}`)).status, 404);
    assert.equal((await w.api('GET', `/api/conversations/${sent.conversation_id}`)).status, 404);
    for (const limit = Date.now() + 4000; [...w.peer.byId.values()].at(-1).status === 'running'; await sleep(20))
      assert.ok(Date.now() < limit, 'the command goes on');
  });

  // ---- The model misbehaves ----

  const bearable = {
    'empty choices in front': { empty_choices: true },
    'no [DONE]': { no_done: true },
    'a doubled finish': { double_finish: true },
    'CRLF and comments': { crlf: true, comments: true },
    'calls without index': { no_index: true },
    'calls without id': { no_id: true },
    'calls without either': { no_id: true, no_index: true },
    'arguments as an object': { object_arguments: true },
  };
  for (const [name, script] of Object.entries(bearable))
    test(`the model's quirk is borne: ${name}`, async () => {
      const e = await w.run('run: echo fine\nrun: echo too', { script: { ...INSTANT, ...script } });
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      assert.deepEqual(e.calls.map((c) => c.output), ['fine\n', 'too\n']);
    });

  for (const script of [{ no_usage: true }, { zero_usage: true }])
    test(`tokens are estimated when the model does not count them: ${Object.keys(script)}`, async () => {
      const e = await w.run('hello', { script: { ...INSTANT, ...script } });
      assert.equal(e.status, 'succeeded');
      assert.equal(e.usage.estimated, true);
      assert.ok(e.usage.input_tokens > 0 && e.usage.output_tokens > 0);
    });

  for (const [name, script] of [['malformed', { malformed_arguments: true }], ['empty', { empty_arguments: true }], ['null', { null_arguments: true }]])
    test(`${name} arguments are told to the model, and nothing is run`, async () => {
      const starts = w.peer.starts;
      const e = await w.run('run: echo no', { script: { ...INSTANT, ...script } });
      assert.equal(w.peer.starts, starts);
      assert.equal(e.calls[0].status, 'error');
      assert.match(e.calls[0].message, /arguments of the tool shell are wrong/);
    });

  test('an unknown tool is told to the model', async () => {
    const e = await w.run('run: echo no', { script: { ...INSTANT, unknown_tool: true } });
    assert.match(e.calls[0].message, /There is no tool "no_such_tool".*shell/);
  });

  test('429 with Retry-After is waited for, and told', async () => {
    const at = Date.now();
    const e = await w.run('hello', { script: { ...INSTANT, fail: { status: 429, retry_after: 1, times: 1 } } });
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.ok(Date.now() - at >= 1000);
    const retry = (await w.events(e.id)).items.find((x) => x.type === 'model.retry');
    assert.equal(retry.data.attempt, 1);
    assert.equal(retry.data.wait_ms, 1000);
    assert.match(retry.data.reason, /429/);
  });

  test('500 is tried again', async () => {
    const e = await w.run('hello', { script: { ...INSTANT, fail: { status: 500, times: 2 } } });
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal((await w.events(e.id)).items.filter((x) => x.type === 'model.retry').length, 2);
  });

  const failing = {
    'a refused key': [{ fail: { status: 401 } }, 'model_key_refused', /refused the key.*openai_api_key/],
    'a refused request': [{ fail: { status: 400 } }, 'model_refused', /HTTP 400/],
    'an HTML page': [{ html_error: true }, 'model_unavailable', /After 4 attempts.*502/],
    'an error in the body': [{ error_in_body: true }, 'model_error', /reported an error/],
    'a wait that is too long': [{ fail: { status: 429, retry_after: 3600 } }, 'model_rate_limited', /429/],
  };
  for (const [name, [script, code, message]] of Object.entries(failing))
    test(`what the model cannot do is told: ${name}`, async () => {
      const e = await w.run('hello', { script: { ...INSTANT, ...script } });
      assert.equal(e.status, 'failed');
      assert.equal(e.error.code, code);
      assert.match(e.error.message, message);
      const { items } = await w.events(e.id);
      assert.equal(items.at(-1).type, 'execution.ended');
      assert.deepEqual(items.at(-1).data.error, e.error);
      assert.equal((await w.run('hello', { conversation: { id: e.conversation_id }, script: INSTANT })).status, 'succeeded');
    });

  test('a stream that breaks off is asked again, and its text is taken back', async () => {
    const sent = await w.send('hello', { script: { pace_ms: 1, break_after_chunks: 5 } });
    const e = await w.ended(sent.id, 30000);
    assert.equal(e.status, 'failed');
    assert.equal(e.error.code, 'model_answer_broken');
    const { items } = await w.events(sent.id);
    assert.ok(types(items).includes('text.reset'));
    assert.deepEqual([...new Set(Object.values(fold(items).texts))], ['']);
  });

  // ---- Limits ----

  test('the same call three times is warned about, the fourth ends the run', async () => {
    const starts = w.peer.starts;
    const e = await w.run('hello', { script: { ...INSTANT, loop_same: true } });
    assert.equal(e.status, 'failed');
    assert.equal(e.error.code, 'loop_detected');
    assert.equal(w.peer.starts, starts + 3);
    const { items } = await w.ok('GET', `/api/conversations/${e.conversation_id}/messages`);
    const tools = items.filter((m) => m.role === 'tool').map((m) => m.content);
    assert.equal(tools.length, 4);
    assert.doesNotMatch(tools[1], /Warning/);
    assert.match(tools[2], /Warning: this was the same call for the 3rd time/);
    assert.equal((await w.run('hello', { conversation: { id: e.conversation_id }, script: INSTANT })).status, 'succeeded');
  });

  test('steps and seconds of an agent are limits', async () => {
    const agent = await w.ok('POST', '/api/agents', { name: 'Short', tools: ['shell'], limits: { max_steps: 3, max_seconds: 2 } }, 201);
    const steps = await w.run('hello', { conversation: await w.conversation({ agent_id: agent.id }), script: { ...INSTANT, loop: true } });
    assert.equal(steps.error.code, 'step_limit');
    assert.equal(steps.steps, 3);
    assert.match(steps.error.message, /3 steps.*max_steps/);
    const at = Date.now();
    const time = await w.run('run: sleep 60', { conversation: await w.conversation({ agent: 'short' }) });
    assert.equal(time.error.code, 'time_limit');
    assert.ok(Date.now() - at < 5000);
    assert.notEqual([...w.peer.byId.values()].at(-1).status, 'running');
  });

  test('an agent without tools is told so when it asks for one', async () => {
    const agent = await w.ok('POST', '/api/agents', { name: 'Toolless' }, 201);
    const e = await w.run('hello', { conversation: await w.conversation({ agent_id: agent.id }), script: { ...INSTANT, unknown_tool: true } });
    assert.notEqual(e.state, 'running');
  });

  test('an unknown model is told', async () => {
    const agent = await w.ok('POST', '/api/agents', { name: 'Nomodel', model: 'gpt-none' }, 201);
    const e = await w.run('hello', { conversation: await w.conversation({ agent_id: agent.id }) });
    assert.equal(e.error.code, 'model_unknown');
  });

  // ---- Exec misbehaves ----

  test('much output is shown up to a bound, then its end behind a gap', async () => {
    const e = await w.run('run: head -c 3000000 /dev/zero | tr "\\0" x; echo THE-END', { script: INSTANT });
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    const { items } = await w.events(e.id);
    const shown = items.filter((x) => x.type === 'call.output');
    const bytes = shown.reduce((n, x) => n + x.data.text.length, 0);
    assert.ok(bytes <= 256 * 1024 + 16 * 1024, `${bytes} bytes shown`);
    assert.match(shown.at(-1).data.text, /THE-END\n$/);
    const skipped = items.find((x) => x.type === 'call.output_skipped');
    assert.equal(bytes + skipped.data.bytes, 3000008);
    assert.equal(e.calls[0].output_bytes, 3000008);
    assert.match(e.calls[0].output, /bytes left out/);
    assert.ok(e.calls[0].output.length < 20000);
  });

  test('a broken stream of a command is taken up again: once run, nothing doubled', async () => {
    const starts = w.peer.starts;
    w.peer.breakAfter = 20;
    const e = await w.run('run: for i in 1 2 3 4 5 6; do echo line number $i; sleep 0.05; done', { script: INSTANT });
    w.peer.breakAfter = null;
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(w.peer.starts, starts + 1);
    assert.equal(e.calls[0].output, [1, 2, 3, 4, 5, 6].map((i) => `line number ${i}\n`).join(''));
    assert.deepEqual(Object.values(fold((await w.events(e.id)).items).outputs), [e.calls[0].output]);
  });

  test('exec going away and coming back is waited for', async () => {
    const sent = await w.send('run: echo a; sleep 1; echo b', { script: INSTANT });
    await w.until(sent.id, (e) => e.type === 'call.output');
    await w.peer.close();
    await sleep(300);
    await w.peer.open();
    const e = await w.ended(sent.id);
    assert.equal(e.calls[0].output, 'a\nb\n');
  });

  test('a refusal of exec is told to the model in its own words', async () => {
    w.peer.refuse = { status: 503, code: 'sandbox_unavailable', times: 1 };
    const e = await w.run('run: echo no', { script: INSTANT });
    assert.equal(e.calls[0].status, 'error');
    assert.match(e.calls[0].message, /refused: told to answer sandbox_unavailable/);
    w.peer.refuse = { status: 503, code: 'unavailable', times: 2 };
    assert.equal((await w.run('run: echo yes', { script: INSTANT })).calls[0].output, 'yes\n');
  });

  // ---- Crashes ----

  const restart = async () => {
    await w.agent.kill('SIGKILL');
    await w.agent.start();
  };

  test('killed while the model streams, the run goes on, and the text is taken back first', async () => {
    const sent = await w.send('hello', { script: { pace_ms: 20 } });
    const seen = await w.follow(sent.id, { until: (e) => e.type === 'text.delta' && e.data.offset > 30 });
    await restart();
    const rest = await w.follow(sent.id, { after: seen.at(-1).seq });
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(rest[0].type, 'text.reset');
    assert.ok(rest[0].seq > seen.at(-1).seq);
    const { texts } = fold([...seen, ...rest]);
    assert.equal(Object.values(texts).at(-1), e.output);
  });

  test('killed while a command runs, the command is attached to, not run again', async () => {
    const starts = w.peer.starts;
    const sent = await w.send('run: for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 0.1; done');
    const seen = await w.follow(sent.id, { until: (e) => e.type === 'call.output' && e.data.offset > 10 });
    await restart();
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(w.peer.starts, starts + 1);
    assert.equal(e.calls[0].output, [1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `line ${i}\n`).join(''));
    assert.equal(e.commands, 1);
    const rest = await w.follow(sent.id, { after: seen.at(-1).seq });
    assert.ok(rest[0].seq > seen.at(-1).seq);
    assert.equal(rest.filter((x) => x.type === 'call.done').length, 1);
  });

  test('killed at any moment of thirty runs, every one is answered and every command ran once', async () => {
    const starts = w.peer.starts;
    const ids = [];
    for (let i = 0; i < 30; i++) ids.push((await w.send(`run: echo run-${i}; sleep 0.2`, { script: { pace_ms: 2 } })).id);
    for (let i = 0; i < 5; i++) {
      await sleep(40 + 60 * i);
      await restart();
    }
    const ended = await Promise.all(ids.map((id) => w.ended(id, 60000)));
    ended.forEach((e, i) => {
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      assert.equal(e.calls.length, 1);
      assert.equal(e.calls[0].output, `run-${i}\n`);
    });
    assert.equal(w.peer.starts, starts + 30);
  });

  test('a cancelled run stays cancelled through a crash', async () => {
    const sent = await w.send('run: echo begun; sleep 60');
    await w.until(sent.id, (e) => e.type === 'call.output');
    w.peer.hold = true; // exec does not confirm, so that the run has not ended yet
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/cancel`)).status, 202);
    await restart();
    // The new process's question is left without an answer, and is asked again.
    while (!w.peer.held.some((r) => r.startsWith('GET /api/commands?key='))) await sleep(20);
    w.peer.hold = false;
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'cancelled');
    for (const limit = Date.now() + 15000; [...w.peer.byId.values()].at(-1).status === 'running'; await sleep(20))
      assert.ok(Date.now() < limit, 'the command goes on');
  });

  // ---- Other people ----

  test('two users do not see each other, the administrator sees all', async () => {
    const admin = (await w.auth.setUp()).access_token; // the owner's token from here on
    const make = async (name) => {
      const user = { name, email: `${name}@example.org`, password: 'correct horse battery staple' };
      const r = await w.auth.api('POST', '/api/users', { ...user, roles: ['member'] }, admin);
      assert.equal(r.status, 201, r.text);
      return (await w.auth.login(user)).access_token;
    };
    const [ann, ben] = [await make('ann'), await make('ben')];
    w.token = ann;
    const e = await w.run('hello', { script: INSTANT });
    const paths = [
      ['GET', `/api/conversations/${e.conversation_id}`],
      ['GET', `/api/conversations/${e.conversation_id}/messages`],
      ['GET', `/api/executions/${e.id}`],
      ['GET', `/api/executions/${e.id}/events`],
    ];
    for (const [method, path] of paths) {
      assert.equal((await w.api(method, path, undefined, ann)).status, 200, path);
      assert.equal((await w.api(method, path, undefined, ben)).status, 404, path);
      assert.equal((await w.api(method, path, undefined, admin)).status, 200, path);
      assert.equal((await w.api(method, path, undefined, '')).status, 401, path);
    }
    assert.equal((await w.api('POST', `/api/executions/${e.id}/cancel`, undefined, ben)).status, 404);
    assert.equal((await w.api('POST', `/api/conversations/${e.conversation_id}/messages`, { content: 'hi' }, ben)).status, 404);
    assert.equal((await w.api('DELETE', `/api/conversations/${e.conversation_id}`, undefined, ben)).status, 404);
    await assert.rejects(w.follow(e.id, { token: ben }), /status 404/);
    assert.deepEqual((await w.api('GET', '/api/executions', undefined, ben)).body.items, []);
    assert.deepEqual((await w.api('GET', '/api/conversations', undefined, ben)).body.items, []);
    const own = await w.ok('POST', '/api/agents', { name: 'Ann own' }, 201);
    const change = (token) => w.api('PATCH', `/api/agents/${own.id}`, { name: 'New' }, token, { 'if-match': '*' });
    assert.equal((await change(ben)).status, 404);
    assert.equal((await change(ann)).status, 200);
    assert.equal((await change(admin)).status, 200);
    w.token = admin;
  });

  test('a drained service leaves its runs to the next', async () => {
    const sent = await w.send('run: echo a; sleep 1; echo b');
    await w.until(sent.id, (e) => e.type === 'call.output');
    const ended = await w.agent.kill('SIGTERM');
    assert.deepEqual(ended, { code: 0, signal: null });
    await w.agent.start();
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].output, 'a\nb\n');
  });
});
