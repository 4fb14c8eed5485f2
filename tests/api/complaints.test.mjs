// What users of other platforms complain about, each as a test; docs/complaints.md says which complaint is answered by which test.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld, fold } from '../lib/agent_client.mjs';
import { DONE, ModelPeer, chunk } from '../lib/model_peer.mjs';

describe('complaints', { timeout: 300000 }, () => {
  let w, model;
  before(async () => {
    model = await new ModelPeer().open();
    w = await AgentWorld.start({ exec: 'real', demo: false, env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1' } });
  });
  after(async () => {
    await w?.stop();
    await model?.close();
  });
  // The model answers one request after the other so; the last answer stays.
  const answers = (...list) => {
    let n = 0;
    model.answer = (req, res, body) => list[Math.min(n++, list.length - 1)](res, body);
  };
  const say = (text) => (res) => res.end(chunk({ content: text }) + chunk({}, 'stop') + DONE);
  const calls = (...list) => (res) =>
    res.end(chunk({ role: 'assistant', tool_calls: list.map((args, index) => ({ index, id: `c${index}_${Math.random()}`, type: 'function', function: { name: 'shell', arguments: typeof args === 'string' ? args : JSON.stringify(args) } })) }) + chunk({}, 'tool_calls') + DONE);
  const tools = (body) => body.messages.filter((m) => m.role === 'tool').map((m) => m.content);

  test('generation goes on without a reader, and is replayed from any point', async () => {
    model.answer = async (req, res) => {
      for (let i = 0; i < 20; i++) {
        res.write(chunk({ content: `${i} ` }));
        await sleep(10);
      }
      res.end(chunk({}, 'stop') + DONE);
    };
    const sent = await w.send('count');
    // The reader leaves after the first piece.
    await w.follow(sent.id, { until: (e) => e.type === 'text.delta' });
    const e = await w.ended(sent.id);
    assert.equal(e.output, `${Array.from({ length: 20 }, (_, i) => i).join(' ')} `);
    const whole = await w.follow(sent.id, { after: 0 });
    fold(whole);
    for (const at of [1, Math.floor(whole.length / 2), whole.length - 1])
      assert.deepEqual(await w.follow(sent.id, { after: whole[at - 1].seq }), whole.slice(at), `from the ${at}th event`);
  });

  test('a cancel closes the provider\'s socket and kills the command', async () => {
    let closed;
    const gone = new Promise((done) => (closed = done));
    model.answer = (req, res) => {
      res.write(chunk({ content: 'endless' }));
      res.on('close', () => closed(performance.now()));
    };
    const thinking = await w.send('talk');
    await w.until(thinking.id, (e) => e.type === 'text.delta');
    const t = performance.now();
    assert.equal((await w.api('POST', `/api/executions/${thinking.id}/cancel`)).status, 202);
    console.log(`# cancel to closed socket: ${((await gone) - t).toFixed(1)} ms`);
    assert.equal((await w.ended(thinking.id)).status, 'cancelled');
    answers(calls({ command: 'echo $$; exec sleep 1000' }), say('no'));
    const tooling = await w.send('sleep');
    await w.until(tooling.id, (e) => e.type === 'call.output');
    await w.api('POST', `/api/executions/${tooling.id}/cancel`);
    const e = await w.ended(tooling.id);
    assert.equal(e.status, 'cancelled');
    assert.equal(e.calls[0].status, 'cancelled');
    const { body } = await w.exec.api('GET', `/api/commands/${e.calls[0].command_id}`, undefined, w.token);
    assert.equal(body.status, 'cancelled');
  });

  test('a call that is late is stopped, and the model is told', async () => {
    answers(calls({ command: 'sleep 1000', timeout_seconds: 1 }), (res, body) => say(`told: ${tools(body).at(-1)}`)(res));
    const e = await w.run('wait');
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].status, 'timeout');
    assert.match(e.output, /told: .*time/is);
  });

  test('a model in circles is warned and stopped', async () => {
    answers(calls({ command: 'echo same' }));
    const e = await w.run('loop');
    assert.deepEqual([e.status, e.calls.filter((c) => c.status === 'exited').length], ['failed', 3]);
    assert.match(e.error.code, /loop/);
  });

  test('the disk grows with the text, not with its square', { skip: Boolean(process.env.OGENT_TEST_AGENT_DB) }, async () => {
    const prose = ['README', 'ARCHITECTURE'].map((name) => readFileSync(new URL(`../../${name}.md`, import.meta.url), 'latin1')).join('').replaceAll(/[^ -~\n]/g, '');
    const slice = (i) => prose.substr((i * 500) % (prose.length - 500), 500);
    let turn = 0;
    model.answer = (req, res) => say(slice(2 * turn++ + 1))(res);
    const file = join(w.data, 'db', 'langchain_agent.db');
    const size = async () => {
      await w.agent.kill('SIGTERM');
      const n = statSync(file).size;
      await w.agent.start();
      return n;
    };
    const c = await w.conversation(), turns = 60, sizes = [await size()];
    for (let part = 0; part < 2; part++) {
      for (let i = 0; i < turns; i++) assert.equal((await w.run(slice(2 * turn), { conversation: c })).status, 'succeeded');
      sizes.push(await size());
    }
    const [first, all] = [sizes[1] - sizes[0], (sizes[2] - sizes[0]) / 2].map((n) => n / (turns * 1000));
    console.log(`# ${first.toFixed(2)} after ${turns} turns, ${all.toFixed(2)} after twice as many, in bytes on disk for a byte of text`);
    assert.ok(first <= 1.6 && all <= 1.5, `${first}, then ${all} bytes on disk for a byte of text`);
  });

  // ---- Quirks of model servers ----

  const raw = (delta) => chunk(delta);
  const shellCall = (more) => ({ type: 'function', function: { name: 'shell', arguments: '{"command":"echo hi"}' }, ...more });

  test('quirk 1: deltas of calls without an index are told apart by their ids', async () => {
    answers(
      (res) => res.end(raw({ tool_calls: [shellCall({ id: 'a' })] }) + raw({ tool_calls: [shellCall({ id: 'b', function: { name: 'shell', arguments: '{"command":"echo ho"}' } })] }) + chunk({}, 'tool_calls') + DONE),
      say('done'),
    );
    const e = await w.run('two');
    assert.deepEqual(e.calls.map((c) => [c.command, c.output]), [['echo hi', 'hi\n'], ['echo ho', 'ho\n']]);
  });

  test('quirk 2: a call without an id gets one, and a name may come after its arguments', async () => {
    answers(
      (res) => res.end(raw({ tool_calls: [{ index: 0, function: { arguments: '{"command":' } }] }) + raw({ tool_calls: [{ index: 0, function: { name: 'shell', arguments: '"echo late"}' } }] }) + chunk({}, 'tool_calls') + DONE),
      say('done'),
    );
    const e = await w.run('late name');
    assert.equal(e.calls[0].output, 'late\n');
    const last = model.requests.at(-1).body.messages;
    const [asked, told] = [last.find((m) => m.tool_calls), last.find((m) => m.role === 'tool')];
    assert.ok(asked.tool_calls[0].id);
    assert.equal(told.tool_call_id, asked.tool_calls[0].id);
  });

  test('quirk 3: thoughts come back to a compatible server within the loop of tools', async () => {
    answers(
      (res) => res.end(raw({ reasoning_content: 'I think.' }) + raw({ tool_calls: [{ index: 0, id: 'r', ...shellCall() }] }) + chunk({}, 'tool_calls') + DONE),
      say('done'),
    );
    assert.equal((await w.run('think')).status, 'succeeded');
    assert.equal(model.requests.at(-1).body.messages.find((m) => m.tool_calls).reasoning_content, 'I think.');
  });

  test('quirk 4: a call whose run was stopped has a result in the next request', async () => {
    answers(calls({ command: 'sleep 1000' }), say('never'));
    const c = await w.conversation();
    const sent = await w.send('sleep', { conversation: c });
    await w.until(sent.id, (e) => e.type === 'call.started');
    await w.api('POST', `/api/executions/${sent.id}/cancel`);
    await w.ended(sent.id);
    answers(say('fine'));
    assert.equal((await w.run('and now?', { conversation: c })).output, 'fine');
    const messages = model.requests.at(-1).body.messages;
    const asked = messages.findIndex((m) => m.tool_calls);
    assert.equal(messages[asked + 1].role, 'tool');
    assert.equal(messages[asked + 1].tool_call_id, messages[asked].tool_calls[0].id);
  });

  test('quirk 6: usage that is missing or zero is estimated, and marked so', async () => {
    const zero = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 0, completion_tokens: 0 } })}\n\ndata: [DONE]\n\n`;
    for (const end of ['data: [DONE]\n\n', zero, DONE.replace(/\{"prompt_tokens[^}]*\}/, 'null')]) {
      answers((res) => res.end(chunk({ content: 'Some words of an answer.' }) + chunk({}, 'stop') + end));
      const e = await w.run('hello');
      assert.ok(e.usage.estimated && e.usage.input_tokens > 0 && e.usage.output_tokens > 0, JSON.stringify(e.usage));
      assert.equal(model.requests.at(-1).body.stream_options.include_usage, true);
    }
  });

  test('quirk 8: what is broken in a stream is survived, or told', async () => {
    const good = [
      ['no [DONE]', (res) => res.end(chunk({ content: 'ok' }) + chunk({}, 'stop'))],
      ['CRLF', (res) => res.end((chunk({ content: 'ok' }) + chunk({}, 'stop') + DONE).replaceAll('\n', '\r\n'))],
      ['pings', (res) => res.end(`: ping\n\n${chunk({ content: 'o' })}: ping\n\n${chunk({ content: 'k' })}${chunk({}, 'stop')}${DONE}`)],
      ['two finishes', (res) => res.end(chunk({ content: 'ok' }) + chunk({}, 'stop') + chunk({}, 'stop') + DONE)],
      ['empty choices', (res) => res.end(`data: {"choices":[]}\n\n${chunk({ content: 'ok' })}${chunk({}, 'stop')}${DONE}`)],
    ];
    for (const [what, answer] of good) {
      answers(answer);
      assert.equal((await w.run(what)).output, 'ok', what);
    }
    // Arguments that are broken, null or empty go back to the model as a result that says so.
    for (const args of ['{"command": "ech', 'null', '""', '']) {
      answers(calls(args), (res, body) => say(tools(body).at(-1))(res));
      const e = await w.run('broken');
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      assert.match(e.output, /argument|command|JSON/i, args);
    }
    answers((res) => {
      res.setHeader('content-type', 'application/json');
      res.end('{"error":{"message":"out of order","type":"server_error"}}');
    });
    const e = await w.run('an error with 200');
    assert.equal(e.status, 'failed');
    assert.match(e.error.message, /out of order/);
  });

  test('what a run needs is small: the agent and its database', () => {
    const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${w.agent.child.pid}/status`, 'utf8'))[1]);
    console.log(`# agent: ${(rss / 1024).toFixed(1)} MiB after these tests; files: ${readdirSync(join(w.data, 'db')).join(' ')}`);
    assert.ok(rss > 0);
  });
});
