// Which model is used, and what goes over the wire to it: over the platform's own client (127.0.0.1) and over libcurl.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld, fold } from '../lib/agent_client.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';
import { ModelPeer, chunk, DONE } from '../lib/model_peer.mjs';

const KEY = 'sk-secret-0123456789';

async function withPeer(options, env, fn) {
  const peer = await new ModelPeer(options).open();
  const w = await AgentWorld.start({ demo: false, env: env(peer) });
  try {
    await fn(w, peer);
    assert.ok(!w.agent.log.includes(KEY), 'the key is in the log');
  } finally {
    await w.stop();
    await peer.close();
  }
}

for (const [way, host] of [['the own client', '127.0.0.1'], ['libcurl', '127.0.0.2']]) {
  const env = (peer) => ({ OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${peer.url}/v1/`, OGENT_OPENAI_MODEL: 'm-1' });

  test(`an OpenAI-compatible server with a key is used, over ${way}`, { timeout: 60000 }, () =>
    withPeer({ host }, env, async (w, peer) => {
      const models = await w.ok('GET', '/api/models');
      assert.deepEqual(models.default, { id: 'm-1', provider: 'openai', name: 'm-1', demo: false, reason: null });
      const e = await w.run('Hi "there"');
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      assert.equal(e.output, 'Hello you.');
      assert.equal(e.model, 'm-1');
      assert.equal(e.provider, 'openai');
      assert.deepEqual(e.usage, { input_tokens: 11, output_tokens: 3, cached_tokens: 0, cost_usd: 0, estimated: false });
      const [r] = peer.requests;
      assert.equal(r.url, '/v1/chat/completions');
      assert.equal(r.headers.authorization, `Bearer ${KEY}`);
      assert.equal(r.body.model, 'm-1');
      assert.equal(r.body.stream, true);
      assert.deepEqual(r.body.messages.map((m) => m.role), ['system', 'user']);
      assert.equal(r.body.messages[1].content, 'Hi "there"');
      assert.equal(r.body.tools[0].function.name, 'shell');
      assert.equal(r.body.tools[0].function.parameters.type, 'object');
    }));

  test(`a cancel closes the model's socket at once, over ${way}`, { timeout: 60000 }, () =>
    withPeer({ host }, env, async (w, peer) => {
      peer.answer = (req, res) => res.write(chunk({ content: 'Begun' }));
      const sent = await w.send('Hi');
      await w.until(sent.id, (e) => e.type === 'text.delta');
      assert.equal(peer.closed, 0);
      const at = Date.now();
      await w.api('POST', `/api/executions/${sent.id}/cancel`);
      while (peer.closed === 0 && Date.now() < at + 2000) await sleep(2);
      assert.equal(peer.closed, 1);
      assert.ok(Date.now() - at < 500, `${Date.now() - at} ms`);
      assert.equal((await w.ended(sent.id)).output, 'Begun');
    }));

  test(`a refused key is told without the key, over ${way}`, { timeout: 60000 }, () =>
    withPeer({ host }, env, async (w, peer) => {
      peer.answer = (req, res) => {
        res.statusCode = 401;
        res.end(JSON.stringify({ error: { message: `Incorrect API key provided: ${KEY}` } }));
      };
      const e = await w.run('Hi');
      assert.equal(e.error.code, 'model_key_refused');
      assert.ok(!e.error.message.includes('sk-'));
      assert.equal(peer.requests.length, 1);
    }));

  test(`a server that goes away and comes back is asked again, over ${way}`, { timeout: 60000 }, () =>
    withPeer({ host }, env, async (w, peer) => {
      const { port } = peer;
      await peer.close();
      const sent = await w.send('Hi');
      await w.until(sent.id, (e) => e.type === 'model.retry');
      await peer.open(port);
      const e = await w.ended(sent.id);
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    }));

  test(`broken off in the middle, the text is taken back and comes whole, over ${way}`, { timeout: 60000 }, () =>
    withPeer({ host }, env, async (w, peer) => {
      const whole = peer.answer;
      peer.answer = (req, res) => {
        peer.answer = whole;
        res.write(chunk({ content: 'Hel' }), () => setTimeout(() => res.destroy(), 20));
      };
      const e = await w.run('Hi');
      assert.equal(e.output, 'Hello you.');
      const { items } = await w.events(e.id);
      const reset = items.findIndex((x) => x.type === 'text.reset');
      assert.ok(reset > 0 && items[reset + 1].type === 'model.retry');
      assert.equal(Object.values(fold(items).texts)[0], 'Hello you.');
    }));
}

const withModels = (fn) => withPeer({}, (peer) => ({ OPENAI_BASE_URL: `${peer.url}/v1`, OGENT_OPENAI_MODEL: 'first' }), fn);
const answering = (peer, failures) => {
  const whole = peer.answer;
  peer.answer = (req, res, body) => {
    const f = failures[body.model];
    if (!f) return whole(req, res, body);
    res.writeHead(f.status, { 'content-type': 'application/json', ...f.headers });
    return res.end(JSON.stringify({ error: { message: f.message ?? 'no' } }));
  };
};
const agentWith = async (w, fallback_models) => {
  const agent = await w.ok('POST', '/api/agents', { name: 'Chain', fallback_models }, 201);
  assert.deepEqual(agent.fallback_models, fallback_models);
  return w.conversation({ agent_id: agent.id });
};
const of = async (w, e, type) => (await w.events(e.id)).items.filter((x) => x.type === type).map((x) => x.data);

test('when a model fails the next one of the agent is asked, and the run says so', { timeout: 60000 }, () =>
  withModels(async (w, peer) => {
    answering(peer, { first: { status: 529, message: 'Overloaded' }, second: { status: 404 } });
    const e = await w.run('Hi', { conversation: await agentWith(w, ['second', 'third']) });
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.model, 'third');
    assert.deepEqual(peer.requests.map((r) => r.body.model), ['first', 'first', 'second', 'third']);
    const moves = await of(w, e, 'model.fallback');
    assert.deepEqual(moves.map((m) => [m.from, m.to]), [['first', 'second'], ['second', 'third']]);
    assert.match(moves[0].reason, /529.*Overloaded/);
  }));

test('the provider says whether and when to ask again: x-should-retry and retry-after-ms', { timeout: 60000 }, () =>
  withModels(async (w, peer) => {
    answering(peer, { first: { status: 429, headers: { 'x-should-retry': 'false' }, message: 'You exceeded your quota' } });
    const e = await w.run('Hi', { conversation: await agentWith(w, ['second']) });
    assert.deepEqual(peer.requests.map((r) => r.body.model), ['first', 'second']);
    assert.equal(e.model, 'second');
    const failures = { first: { status: 429, headers: { 'retry-after-ms': '20', 'retry-after': '40' } } };
    answering(peer, failures);
    const sent = await w.send('Hi');
    const [retry] = (await w.until(sent.id, (x) => x.type === 'model.retry')).filter((x) => x.type === 'model.retry');
    assert.equal(retry.data.wait_ms, 20);
    delete failures.first;
    peer.answer = new ModelPeer().answer;
    assert.equal((await w.ended(sent.id)).status, 'succeeded');
  }));

test('a provider that asks for more than a minute is left for the next model at once', { timeout: 60000 }, () =>
  withModels(async (w, peer) => {
    answering(peer, { first: { status: 503, headers: { 'retry-after': '3600' } } });
    const e = await w.run('Hi', { conversation: await agentWith(w, ['second']) });
    assert.equal(e.model, 'second');
    assert.equal(peer.requests.length, 2);
  }));

test('a compatible server that seems to cut the conversation is told of', { timeout: 60000 }, () =>
  withModels(async (w, peer) => {
    const usage = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 4096, completion_tokens: 3 } })}\n\ndata: [DONE]\n\n`;
    peer.answer = (req, res) => res.end(chunk({ content: 'Hello.' }) + chunk({}, 'length') + usage);
    const e = await w.run(`Sum this up: ${'many words '.repeat(4000)}`);
    assert.deepEqual((await of(w, e, 'model.warning')).map((x) => x.code), ['model_input_cut', 'model_answer_cut']);
  }));

test('a compatible server without a key and without a named model: its first model is used', { timeout: 60000 }, () =>
  withPeer({}, (peer) => ({ OPENAI_BASE_URL: `${peer.url}/v1` }), async (w, peer) => {
    const models = await w.ok('GET', '/api/models');
    assert.equal(models.default.id, 'peer-1');
    assert.deepEqual(models.items.map((m) => m.id), ['ogent-demo', 'peer-1', 'peer-2']);
    const agent = await w.ok('POST', '/api/agents', { name: 'Other', model: 'peer-2' }, 201);
    assert.equal((await w.run('Hi', { conversation: await w.conversation({ agent_id: agent.id }) })).model, 'peer-2');
    assert.equal(peer.requests.at(-1).headers.authorization, undefined);
  }));

test('an Ollama that answers is used', { timeout: 60000 }, () =>
  withPeer({ models: ['llama3.2:latest'] }, (peer) => ({ OLLAMA_HOST: `127.0.0.1:${peer.port}` }), async (w, peer) => {
    const models = await w.ok('GET', '/api/models');
    assert.deepEqual(models.default, { id: 'llama3.2:latest', provider: 'ollama', name: 'llama3.2:latest', demo: false, reason: null });
    peer.answer = (req, res) => {
      const line = (o) => `${JSON.stringify({ model: 'llama3.2:latest', ...o })}\n`;
      res.write(line({ message: { role: 'assistant', content: 'Hello ' }, done: false }));
      res.end(line({ message: { role: 'assistant', content: 'you.' }, done: true, done_reason: 'stop', prompt_eval_count: 11, eval_count: 3 }));
    };
    const e = await w.run('Hi');
    assert.equal(e.provider, 'ollama');
    assert.equal(e.output, 'Hello you.');
    const { url, body } = peer.requests.at(-1);
    assert.equal(url, '/api/chat');
    assert.deepEqual(body.options, { num_predict: 4096, num_ctx: 16384 });
  }));

test('a conversation whose call lost its result is repaired before the model sees it', { timeout: 60000 }, () =>
  withPeer({}, (peer) => ({ OPENAI_BASE_URL: `${peer.url}/v1`, OGENT_OPENAI_MODEL: 'm' }), async (w, peer) => {
    const whole = peer.answer;
    peer.answer = (req, res) => {
      const calls = ['a', 'b'].map((id, index) => ({ index, id, function: { name: 'nothing', arguments: '{broken' } }));
      res.end(chunk({ tool_calls: calls }) + chunk({}, 'tool_calls') + DONE);
      peer.answer = whole;
    };
    const c = await w.conversation();
    assert.equal((await w.run('one', { conversation: c })).status, 'succeeded');
    assert.equal((await w.run('two', { conversation: c })).status, 'succeeded');
    const { messages } = peer.requests.at(-1).body;
    assert.deepEqual(messages.map((m) => m.role), ['system', 'user', 'assistant', 'tool', 'tool', 'assistant', 'user']);
    assert.deepEqual(messages.filter((m) => m.role === 'tool').map((m) => m.tool_call_id), ['a', 'b']);
    for (const call of messages[2].tool_calls) JSON.parse(call.function.arguments);
  }));

test('ids, names and arguments of a call may be anything', { timeout: 60000 }, async () => {
  const peer = await new ModelPeer().open();
  const w = await AgentWorld.start({
    demo: false, exec: (path) => new ExecPeer(path).open(), env: { OPENAI_BASE_URL: `${peer.url}/v1`, OGENT_OPENAI_MODEL: 'm' },
  });
  const ids = ['a\r\nX-Evil: 1', 'quote"\\', '\u20ac'.repeat(60), ' '];
  const whole = peer.answer;
  peer.answer = (req, res) => {
    const args = JSON.stringify({ command: 'head -c 300000 /dev/zero | tr "\\0" x' });
    const calls = ids.map((id, index) => ({ index, id, function: { name: index === 3 ? '\u20ac'.repeat(60) : 'shell', arguments: args } }));
    res.end(chunk({ tool_calls: calls }) + chunk({}, 'tool_calls') + DONE);
    peer.answer = whole;
  };
  try {
    const e = await w.run('go');
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls.length, 4);
    assert.deepEqual(e.calls.map((c) => c.status), ['exited', 'exited', 'exited', 'error']);
    assert.equal(w.peer.starts, 3);
    const { items } = await w.events(e.id);
    assert.equal(items.filter((x) => x.type === 'call.output_skipped').length, 3);
  } finally {
    await w.stop();
    await peer.close();
  }
});
