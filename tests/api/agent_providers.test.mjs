// Connected providers of models: keys, rights, limits, the dialects over the wire.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ExecPeer } from '../lib/exec_peer.mjs';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ModelPeer, chunk, DONE } from '../lib/model_peer.mjs';
import { freePort, ogent, startPlatform, startRole } from '../lib/platform.mjs';

const KEY = 'sk-very-secret-0123456789abcd';
const PATH = '/api/models/providers';
const sse = (events) => events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join('');
const lines = (items) => items.map((i) => `${JSON.stringify(i)}\n`).join('');

// The same conversation in each dialect: a call of the shell with thoughts before it, then the answer.
const DIALECTS = {
  compatible: {
    path: '/v1/chat/completions', base: (peer) => `${peer.url}/v1`,
    key: (r) => r.headers.authorization === `Bearer ${KEY}`,
    call: () => chunk({ reasoning_content: 'Hm' }) + chunk({ tool_calls: [{ index: 0, id: 'c1', function: { name: 'shell', arguments: '{"command":"true"}' } }] }) + chunk({}, 'tool_calls') + DONE,
    text: () => chunk({ content: 'Done.' }) + chunk({}, 'stop') + DONE,
    sentBack: (body) => body.messages.find((m) => m.tool_calls).reasoning_content === 'Hm',
  },
  responses: {
    path: '/v1/responses', base: (peer) => `${peer.url}/v1`,
    key: (r) => r.headers.authorization === `Bearer ${KEY}`,
    call: () => sse([
      { type: 'response.output_item.done', output_index: 0, item: { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'zz' } },
      { type: 'response.output_item.done', output_index: 1, item: { type: 'function_call', call_id: 'c1', name: 'shell', arguments: '{"command":"true"}' } },
      { type: 'response.completed', response: { status: 'completed', usage: { input_tokens: 11, output_tokens: 3 } } },
    ]),
    text: () => sse([
      { type: 'response.output_text.delta', delta: 'Done.' },
      { type: 'response.completed', response: { status: 'completed', usage: { input_tokens: 11, output_tokens: 3 } } },
    ]),
    sentBack: (body) => body.input.find((i) => i.type === 'reasoning')?.encrypted_content === 'zz',
  },
  anthropic: {
    path: '/v1/messages', base: (peer) => `${peer.url}/v1`,
    key: (r) => r.headers['x-api-key'] === KEY && r.headers['anthropic-version'] === '2023-06-01',
    call: () => sse([
      { type: 'message_start', message: { usage: { input_tokens: 11, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hm' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'sig' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'ping' },
      { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 'c1', name: 'shell', input: {} } },
      { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{"command":"true"}' } },
      { type: 'content_block_stop', index: 1 },
      { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 3 } },
      { type: 'message_stop' },
    ]),
    text: () => sse([
      { type: 'message_start', message: { usage: { input_tokens: 11, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Done.' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 3 } },
      { type: 'message_stop' },
    ]),
    sentBack: (body) => body.messages.find((m) => m.role === 'assistant').content[0].signature === 'sig',
  },
  ollama: {
    path: '/api/chat', base: (peer) => peer.url,
    key: (r) => r.headers.authorization === `Bearer ${KEY}`,
    call: () => lines([
      { message: { thinking: 'Hm', content: '' }, done: false },
      { message: { content: '', tool_calls: [{ function: { name: 'shell', arguments: { command: 'true' } } }] }, done: false },
      { done: true, done_reason: 'stop', prompt_eval_count: 11, eval_count: 3 },
    ]),
    text: () => lines([{ message: { content: 'Done.' }, done: false }, { done: true, done_reason: 'stop', prompt_eval_count: 11, eval_count: 3 }]),
    sentBack: (body) => body.messages.find((m) => m.tool_calls).thinking === 'Hm' && body.messages.at(-1).tool_name === 'shell',
  },
};

describe('connected providers of models', { timeout: 240000 }, () => {
  let w, peer;
  before(async () => {
    peer = await new ModelPeer({ models: ['gpt-5-mini', 'other'] }).open();
    w = await AgentWorld.start({ exec: (path) => new ExecPeer(path).open() });
  });
  after(async () => {
    assert.ok(!w.agent.log.includes(KEY), 'the key is in the log');
    await w?.stop();
    await peer?.close();
  });
  const connect = (body) => w.ok('POST', PATH, { key: KEY, provider: 'compatible', base_url: `${peer.url}/v1`, ...body }, 201);
  const remove = (p) => w.ok('DELETE', `${PATH}/${p.id}`, undefined, 204);
  const change = (p, body) => w.api('PATCH', `${PATH}/${p.id}`, body, w.token, { 'if-match': `"${p.version}"` });
  const talk = async (model, text = 'go', more = {}) => {
    const agent = await w.ok('POST', '/api/agents', { name: `A ${model}`, model, tools: ['shell'], ...more }, 201);
    return w.run(text, { conversation: await w.conversation({ agent_id: agent.id }) });
  };

  test('a key is stored sealed and never told again', async () => {
    const p = await connect({ name: 'Open AI (EU)', default_model: 'gpt-5-mini' });
    assert.equal(p.slug, 'open-ai-eu');
    assert.equal(p.key_end, 'abcd');
    const all = await w.ok('GET', PATH);
    assert.deepEqual(all.items.map((i) => i.id), [p.id]);
    assert.ok(!JSON.stringify([p, all, await w.ok('GET', `${PATH}/${p.id}`)]).includes(KEY));
    if (!process.env.OGENT_TEST_AGENT_DB) for (const f of readdirSync(join(w.data, 'db'))) assert.ok(!readFileSync(join(w.data, 'db', f)).includes(KEY), f);
    assert.equal(statSync(join(w.data, 'secrets', 'agent-models.key')).mode & 0o777, 0o600);
    await remove(p);
    assert.deepEqual((await w.ok('GET', PATH)).items, []);
  });

  test('what is wrong with a provider is told by name', async () => {
    for (const [body, what] of [
      [{ provider: 'openai' }, 'name'],
      [{ name: 'x', provider: 'bard' }, 'provider'],
      [{ name: 'x', provider: 'compatible' }, 'base_url'],
      [{ name: 'x', provider: 'compatible', base_url: 'http://u:p@host/' }, 'base_url'],
      [{ name: 'x', provider: 'compatible', base_url: 'file:///etc/passwd' }, 'base_url'],
      [{ name: 'x', provider: 'openai', key: 'a\r\nb' }, 'key'],
      [{ name: 'x', provider: 'openai', models: [7] }, 'models'],
      [{ name: 'x', provider: 'openai', is_default: true }, 'default_model'],
      [{ name: 'x', provider: 'openai', reasoning_echo: 'maybe' }, 'reasoning_echo'],
    ]) {
      const r = await w.api('POST', PATH, body);
      assert.equal(r.status, 422, `${JSON.stringify(body)}: ${r.text}`);
      assert.match(r.body.detail, new RegExp(what));
    }
  });

  for (const [provider, d] of Object.entries(DIALECTS))
    test(`${provider}: a call with thoughts, its result, the answer, tokens and key`, async () => {
      const p = await connect({ name: provider, provider, base_url: d.base(peer) });
      peer.requests.length = 0;
      peer.answer = (req, res) => res.end(peer.requests.length === 1 ? d.call() : d.text());
      const e = await talk(`${provider}/gpt-5-mini`);
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      assert.equal(e.output, 'Done.');
      assert.equal(e.provider, provider);
      assert.equal(e.usage.input_tokens, 22);
      assert.equal(e.usage.output_tokens, 6);
      assert.equal(e.usage.cost_usd, (22 * 0.25 + 6 * 2) / 1e6);
      assert.deepEqual(peer.requests.map((r) => r.url), [d.path, d.path]);
      assert.ok(peer.requests.every(d.key), 'the key is not where it belongs');
      assert.ok(d.sentBack(peer.requests[1].body), JSON.stringify(peer.requests[1].body));
      await remove(p);
    });

  test('a test reads the list, keeps it, and can ask a model', async () => {
    const p = await connect({ name: 'Tried' });
    peer.answer = (req, res) => res.end(chunk({ content: 'ok' }) + chunk({}, 'stop') + DONE);
    const found = await w.ok('POST', `${PATH}/${p.id}/test`);
    assert.equal(found.ok, true, JSON.stringify(found));
    assert.deepEqual(found.models, ['gpt-5-mini', 'other']);
    assert.deepEqual((await w.ok('GET', '/api/models')).items.filter((m) => m.connection_id).map((m) => m.id), ['tried/gpt-5-mini', 'tried/other']);
    const known = (await w.ok('GET', '/api/models')).items.find((m) => m.id === 'tried/gpt-5-mini');
    assert.equal(known.context, 400000);
    assert.deepEqual(known.prices, { input: 0.25, output: 2, cached: 0.025, cache_write: 0.25 });
    assert.equal((await w.ok('POST', `${PATH}/${p.id}/test`, { model: 'other' })).ok, true);
    assert.equal(peer.requests.at(-1).body.model, 'other');
    peer.answer = (req, res) => {
      res.statusCode = 401;
      res.end('{"error":{"message":"no"}}');
    };
    assert.equal((await w.ok('POST', `${PATH}/${p.id}/test`, { model: 'other' })).error.code, 'model_key_refused');
    const other = await change(p, { base_url: 'http://127.0.0.1:1' });
    assert.equal(other.status, 422, 'a key goes to a new address');
    const moved = await change(p, { base_url: 'http://127.0.0.1:1', key: null });
    assert.equal(moved.status, 200, moved.text);
    assert.equal(moved.body.key_end, null);
    assert.equal((await w.ok('POST', `${PATH}/${p.id}/test`)).error.code, 'model_unreachable');
    await remove(p);
  });

  test('the default of everybody, taken over at once, and what is disabled or removed is not used', async () => {
    const p = await connect({ name: 'Main', default_model: 'other', is_default: true });
    peer.answer = (req, res) => res.end(chunk({ content: 'ok' }) + chunk({}, 'stop') + DONE);
    assert.equal((await w.ok('GET', '/api/models')).default.id, 'main/other');
    assert.equal((await talk('default')).model, 'other');
    const off = await change(p, { enabled: false });
    assert.equal(off.status, 200, off.text);
    assert.equal((await w.ok('GET', '/api/models')).default.id, 'ogent-demo');
    assert.equal((await talk('main/other')).error.code, 'model_unknown');
    assert.equal((await change(p, { name: 'Late' })).body.code, 'version_conflict');
    await remove(p);
  });

  test('no more calls go on at once than the provider may have, and the rest wait for their turn', async () => {
    const p = await connect({ name: 'Narrow', max_concurrent: 2, default_model: 'other' });
    let most = 0, now = 0;
    const held = [];
    peer.answer = (req, res) => {
      most = Math.max(most, ++now);
      held.push(() => {
        now--;
        res.end(chunk({ content: 'ok' }) + chunk({}, 'stop') + DONE);
      });
    };
    const agent = await w.ok('POST', '/api/agents', { name: 'Narrow', model: 'narrow/other' }, 201);
    const sent = [];
    for (let i = 0; i < 6; i++) sent.push(await w.send('go', { conversation: await w.conversation({ agent_id: agent.id }) }));
    await w.until(sent[5].id, (x) => x.type === 'model.waiting');
    for (let done = 0; done < 6; ) {
      if (held.length) {
        held.shift()();
        done++;
      } else await new Promise((r) => setTimeout(r, 5));
    }
    for (const s of sent) assert.equal((await w.ended(s.id)).status, 'succeeded');
    assert.equal(most, 2);
    await remove(p);
  });

  test('tokens of a minute are counted, and what is over them waits instead of failing', async () => {
    const p = await connect({ name: 'Metered', tokens_per_minute: 60000, default_model: 'other' });
    assert.equal(p.tokens_per_minute, 60000);
    const answers = [];
    peer.answer = (req, res) => {
      answers.push(performance.now());
      // More than a minute has, by the provider's own count: 600 tokens are 0.6 s.
      const usage = { prompt_tokens: answers.length === 1 ? 60500 : 1, completion_tokens: 1 };
      res.end(chunk({ content: 'ok' }) + chunk({}, 'stop') + `data: ${JSON.stringify({ choices: [], usage })}\n\ndata: [DONE]\n\n`);
    };
    const agent = await w.ok('POST', '/api/agents', { name: 'Metered', model: 'metered/other', limits: { max_output_tokens: 50 } }, 201);
    const go = async () => w.send('go', { conversation: await w.conversation({ agent_id: agent.id }) });
    const first = await w.ended((await go()).id);
    assert.equal(first.usage.input_tokens, 60500);
    const second = await w.ended((await go()).id);
    assert.equal(second.status, 'succeeded');
    const { items } = await w.events(second.id);
    assert.deepEqual(items.filter((x) => x.type === 'model.waiting').map((x) => x.data), [{ model: 'metered/other', reason: 'tokens_per_minute' }]);
    assert.ok(answers[1] - answers[0] > 500, `${answers[1] - answers[0]} ms`);
    assert.equal((await w.api('POST', PATH, { name: 'Bad', provider: 'openai', tokens_per_minute: -1 })).status, 422);
    await remove(p);
  });

  test('a cancel closes the socket of the provider within a tenth of a second', async () => {
    const p = await connect({ name: 'Slow', default_model: 'other' });
    let closed;
    const isClosed = new Promise((done) => (closed = done));
    peer.answer = (req, res) => {
      res.on('close', () => closed(performance.now()));
      res.write(chunk({ content: 'Begun' }));
    };
    const agent = await w.ok('POST', '/api/agents', { name: 'Slow', model: 'slow/other' }, 201);
    const sent = await w.send('go', { conversation: await w.conversation({ agent_id: agent.id }) });
    await w.until(sent.id, (x) => x.type === 'text.delta');
    const from = performance.now();
    await w.api('POST', `/api/executions/${sent.id}/cancel`);
    const ms = (await isClosed) - from;
    assert.ok(ms < 5000, `${ms} ms`); // measured: a few ms on a machine that has time
    console.log(`# the socket was closed ${ms.toFixed(1)} ms after the cancel`);
    await w.ended(sent.id);
    await remove(p);
  });

  // ---- The quirks, as the demo model plays them in each dialect ----

  // script: what it should come to.
  const fine = { status: 'succeeded' };
  const QUIRKS = [
    ['thoughts that must be sent back', { thoughts: true }, fine],
    ['CRLF and comment pings', { crlf: true, comments: true }, fine],
    ['a doubled finish', { double_finish: true }, fine],
    ['no [DONE]', { no_done: true }, fine],
    ['usage of zeros', { zero_usage: true }, { ...fine, estimated: true }],
    ['no usage', { no_usage: true }, { ...fine, estimated: true }],
    ['calls without index', { no_index: true }, fine],
    ['calls without id', { no_id: true }, fine],
    ['the name after the arguments', { name_late: true }, fine],
    ['empty choices', { empty_choices: true }, fine],
    ['object arguments', { object_arguments: true }, fine],
    ['broken arguments', { malformed_arguments: true }, { ...fine, call: 'error' }],
    ['empty arguments', { empty_arguments: true }, { ...fine, call: 'error' }],
    ['null arguments', { null_arguments: true }, { ...fine, call: 'any' }],
    ['an unknown tool', { unknown_tool: true }, { ...fine, call: 'error' }],
    ['an error with status 200, once', { error_in_body: true, fail: { times: 1 } }, { ...fine, retried: true }],
    ['an overload (529), once', { fail: { status: 529, times: 1 } }, { ...fine, retried: true }],
    ['a page of HTML as an error, once', { html_error: true, fail: { times: 1 } }, { ...fine, retried: true }],
    ['a conversation that is too long', { context: 1 }, { status: 'failed', code: 'model_context_overflow' }],
  ];
  for (const [provider, path] of [['compatible', '/v1'], ['responses', '/v1'], ['anthropic', '/v1'], ['ollama', '']])
    test(`the demo model's quirks are borne: ${provider}`, async () => {
      const port = await freePort();
      const demo = await startRole('demo-model', { env: { OGENT_DEMO_LISTEN: `127.0.0.1:${port}` }, where: { host: '127.0.0.1', port } });
      const p = await connect({ name: `Demo ${provider}`, slug: 'quirks', provider, base_url: `http://127.0.0.1:${port}${path}` });
      const agent = await w.ok('POST', '/api/agents', { name: 'Quirks', model: 'quirks/ogent-demo', tools: ['shell'] }, 201);
      await Promise.all(QUIRKS.map(async ([name, script, wanted]) => {
        const e = await w.run(`run: echo ${name}`, { script: { instant: true, ...script }, conversation: await w.conversation({ agent_id: agent.id }) });
        const told = `${provider}, ${name}: ${JSON.stringify(e)}`;
        assert.equal(e.status, wanted.status, told);
        assert.equal(e.error?.code, wanted.code, told);
        if (wanted.estimated) assert.equal(e.usage.estimated, true, told);
        if (wanted.retried) assert.equal((await w.events(e.id)).items.filter((x) => x.type === 'model.retry').length, 1, told);
        /* What only chat completions can get wrong is right in the other dialects. */
        const call = e.calls[0]?.status;
        if (wanted.status === 'succeeded' && !wanted.call) assert.equal(call, 'exited', told);
        else if (wanted.call === 'error') assert.equal(call, 'error', told);
      }));
      await remove(p);
      await demo.stop();
    });

  // ---- A conversation that is too long ----

  const isSummary = (body) => body.messages[0].content.startsWith('You shorten a conversation');
  const done = (body) => `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: Math.round(JSON.stringify(body).length / 4), completion_tokens: 9 } })}\n\ndata: [DONE]\n\n`;
  const say = (text, body = []) => chunk({ content: text }) + chunk({}, 'stop') + done(body);
  const pairs = (messages) => {
    for (const [i, m] of messages.entries()) {
      for (const [k, c] of (m.tool_calls ?? []).entries()) assert.equal(messages[i + 1 + k]?.tool_call_id, c.id, 'a call without its result');
      if (m.role === 'tool') assert.ok(messages.slice(0, i).some((b) => b.tool_calls?.some((c) => c.id === m.tool_call_id)), 'a result without its call');
    }
  };
  const compacted = async (e) => (await w.events(e.id)).items.filter((x) => x.type === 'context.compacted').map((x) => x.data);

  test('a conversation that grows over the context is summed up, keeps its calls whole, and its messages stay', async () => {
    const p = await connect({ name: 'Small', default_model: 'other', context: 4000 });
    const agent = await w.ok('POST', '/api/agents', { name: 'Small', model: 'small/other', tools: ['shell'], limits: { max_output_tokens: 500 } }, 201);
    const conversation = await w.conversation({ agent_id: agent.id });
    peer.requests.length = 0;
    let turn = 0;
    peer.answer = (req, res, body) => {
      assert.ok(JSON.stringify(body).length < 30000, 'over the context');
      if (isSummary(body)) return res.end(say('SUMMARY of it', body));
      pairs(body.messages);
      if (body.messages.at(-1).role === 'user')
        return res.end(chunk({ tool_calls: [{ index: 0, id: `c${turn++}`, function: { name: 'shell', arguments: '{"command":"true"}' } }] }) + chunk({}, 'tool_calls') + done(body));
      return res.end(say(`answer ${turn}. ${'many words '.repeat(150)}`, body));
    };
    const runs = [];
    for (let i = 0; i < 6; i++) {
      const e = await w.run(`question ${i}. ${'lorem ipsum dolor '.repeat(150)}`, { conversation });
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      runs.push(e);
    }
    const marks = (await Promise.all(runs.map(compacted))).flat();
    assert.ok(marks.length > 0 && marks.length < 7, `${marks.length} summaries`);
    for (const m of marks) assert.ok(m.summary === 'SUMMARY of it' && m.tokens_after < m.tokens_before && m.up_to_message > 0);
    const last = peer.requests.at(-1).body.messages;
    assert.match(last[1].content, /SUMMARY of it/);
    assert.ok(!JSON.stringify(last).includes('question 0.'));
    assert.match(JSON.stringify(last), /question 5\./);
    const { items } = await w.ok('GET', `/api/conversations/${conversation.id}/messages`);
    assert.deepEqual(items.filter((m) => m.role === 'user').map((m) => m.content.slice(0, 11)), [0, 1, 2, 3, 4, 5].map((i) => `question ${i}.`));
    await w.ok('DELETE', `/api/conversations/${conversation.id}`, undefined, 204);
    await remove(p);
  });

  test('an overflow that only the provider knows of is met by a summary, also when that cannot be had', async () => {
    for (const summaryWorks of [true, false]) {
      const p = await connect({ name: 'Unknown', default_model: 'm' });
      const agent = await w.ok('POST', '/api/agents', { name: 'Unknown', model: 'unknown/m' }, 201);
      const conversation = await w.conversation({ agent_id: agent.id });
      const refuse = (res) => {
        res.statusCode = 400;
        res.end(JSON.stringify({ error: { message: "This model's maximum context length is 1024 tokens.", code: 'context_length_exceeded' } }));
      };
      let asked = 0;
      peer.answer = (req, res, body) => {
        if (isSummary(body)) return summaryWorks ? res.end(say('SUMMARY')) : refuse(res);
        asked++;
        return JSON.stringify(body).length > 9000 ? refuse(res) : res.end(say('fine'));
      };
      for (let i = 0; i < 3; i++) {
        const e = await w.run(`part ${i} ${'lorem ipsum dolor '.repeat(200)}`, { conversation });
        assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
        if (i === 2) assert.equal((await compacted(e))[0].summary.startsWith(summaryWorks ? 'SUMMARY' : 'The user said'), true);
      }
      asked = 0;
      const e = await w.run('x'.repeat(20000), { conversation });
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      const warned = (await w.events(e.id)).items.filter((x) => x.type === 'model.warning').map((x) => x.data);
      assert.deepEqual([...new Set(warned.map((x) => x.code))], ['text_cut'], 'a message that alone is too long is cut, and that is told');
      assert.ok(asked <= 5, `${asked} calls`);
      peer.answer = (req, res) => refuse(res);
      const never = await w.run('x'.repeat(20000), { conversation });
      assert.equal(never.error.code, 'model_context_overflow', 'what no cut helps against is told');
      await remove(p);
    }
  });
});

test('ogent models lists, connects, tests and removes', { timeout: 60000 }, async () => {
  const peer = await new ModelPeer({ models: ['m1'] }).open();
  const p = await startPlatform();
  const models = (args, input = '') =>
    new Promise((done) => {
      const child = execFile(ogent, ['models', ...args], { env: { PATH: process.env.PATH, OGENT_DATA: p.data } }, (err, stdout, stderr) => done({ code: err?.code ?? 0, stdout, stderr }));
      child.stdin.on('error', () => {}); // it may end without reading
      child.stdin.end(input);
    });
  try {
    assert.match((await models([])).stdout, /^\* ogent-demo/);
    const added = await models(['add', 'compatible', '--slug', 'mine', '--address', `${peer.url}/v1`, '--model', 'm1', '--default'], `${KEY}\n`);
    assert.equal(added.code, 0, added.stderr);
    assert.match((await models(['providers'])).stdout, /^\* mine .*key …abcd {2}for everybody/);
    assert.match((await models(['test', 'mine'])).stdout, /mine works: 1 models/);
    assert.match((await models([])).stdout, /^\* mine\/m1/m);
    assert.equal((await models(['test', 'none'])).code, 1);
    assert.equal((await models(['remove', 'mine'])).code, 0);
    assert.doesNotMatch((await models(['providers'])).stdout, /mine/);
  } finally {
    await p.stop();
    await peer.close();
  }
});
