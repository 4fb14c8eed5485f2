// Messages that come while an execution is on: queue, interrupt, rollback, steer; with the agent killed in between too.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';

describe('messages while an execution is on', { timeout: 300000 }, () => {
  let w, model, dir, gates = 0;
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ogent-busy-'));
    model = await new ScriptModel().open();
    w = await AgentWorld.start({
      demo: false, exec: (path) => new ExecPeer(path).open(),
      env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1' },
    });
  });
  after(async () => {
    await w?.stop();
    await model?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  // A command that runs until the gate is opened.
  function gate() {
    const file = join(dir, `gate${++gates}`);
    return { command: `echo begun; while [ ! -e ${file} ]; do sleep 0.02; done; echo over`, open: () => writeFileSync(file, '') };
  }
  const post = (c, content, when_busy) => w.api('POST', `/api/conversations/${c.id}/messages`, { content, when_busy });
  async function begin(...steps) {
    const conversation = await w.conversation();
    const g = gate();
    const word = model.script(call(['shell', { command: g.command }]), ...steps);
    const sent = await w.send(`first ${word}`, { conversation });
    await w.until(sent.id, (e) => e.type === 'call.output');
    return { conversation, g, sent, word };
  }
  const texts = async (c) => (await w.ok('GET', `/api/conversations/${c.id}/messages`)).items.map((m) => [m.role, m.content.split('\n')[0]]);

  test('reject is the default, and what is wrong is told', async () => {
    const { conversation, g, sent } = await begin(say('one'));
    assert.equal((await post(conversation, 'x')).body.code, 'run_active');
    assert.equal((await post(conversation, 'x', 'reject')).body.code, 'run_active');
    assert.equal((await post(conversation, 'x', 'shout')).status, 422);
    g.open();
    await w.ended(sent.id);
    const free = await post(conversation, 'free now', 'queue');
    assert.equal(free.status, 202);
    assert.equal((await w.ended(free.body.id)).status, 'succeeded');
  });

  test('queued messages wait their turn, in order, and one can be taken back', async () => {
    const { conversation, g, sent } = await begin(say('one'), say('two'), say('three'));
    const queued = [];
    for (const text of ['second', 'never', 'third']) {
      const r = await post(conversation, text, 'queue');
      assert.equal(r.status, 202, r.text);
      assert.deepEqual([r.body.status, r.body.input], ['queued', text]);
      queued.push(r.body);
    }
    assert.equal((await w.ok('GET', `/api/executions/${queued[0].id}`)).input, 'second');
    const back = await w.api('POST', `/api/executions/${queued[1].id}/cancel`);
    assert.equal(back.body.status, 'cancelled');
    assert.equal((await w.events(queued[1].id)).items.at(-1).type, 'execution.ended');
    g.open();
    for (const e of [sent, queued[0], queued[2]]) assert.equal((await w.ended(e.id)).status, 'succeeded');
    assert.deepEqual((await texts(conversation)).filter(([role]) => role !== 'tool'), [
      ['user', (await w.ok('GET', `/api/executions/${sent.id}`)).input], ['assistant', ''], ['assistant', 'one'],
      ['user', 'second'], ['assistant', 'two'], ['user', 'third'], ['assistant', 'three'],
    ]);
    const { items } = await w.events(queued[0].id);
    assert.deepEqual([items[0].type, items.at(-1).type], ['execution.started', 'execution.ended']);
    assert.equal(items[0].data.input, 'second');
  });

  test('interrupt stops the execution, keeps what it has done, and goes before what is queued', async () => {
    const { conversation, sent } = await begin(say('never'), say('two'), say('three'));
    const queued = (await post(conversation, 'later', 'queue')).body;
    const urgent = (await post(conversation, 'now', 'interrupt')).body;
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'cancelled');
    assert.equal(e.calls[0].status, 'cancelled');
    await w.ended(urgent.id);
    await w.ended(queued.id);
    assert.deepEqual((await texts(conversation)).map(([role, text]) => (role === 'user' ? text.split(' ')[0] : role)), ['first', 'assistant', 'tool', 'now', 'assistant', 'later', 'assistant']);
  });

  test('rollback takes the execution and its messages away', async () => {
    const { conversation, sent } = await begin(say('never'));
    const next = (await post(conversation, 'instead', 'rollback')).body;
    assert.equal((await w.ended(next.id)).status, 'succeeded');
    assert.equal((await w.api('GET', `/api/executions/${sent.id}`)).status, 404);
    assert.deepEqual((await texts(conversation)).map(([role]) => role), ['user', 'assistant']);
    assert.deepEqual((await texts(conversation))[0], ['user', 'instead']);
    assert.equal((await w.ok('GET', `/api/conversations/${conversation.id}`)).last_execution.id, next.id);
  });

  test('steering is told to the model at its next step', async () => {
    const { conversation, g, sent, word } = await begin((body) => say(`you said ${body.messages.filter((m) => m.role === 'user').at(-1).content}`));
    const r = await post(conversation, 'also the other one', 'steer');
    assert.equal(r.status, 202, r.text);
    assert.equal(r.body.id, sent.id);
    g.open();
    const e = await w.ended(sent.id);
    assert.equal(e.output, 'you said also the other one');
    assert.deepEqual(model.seen.get(word).at(-1).messages.map((m) => m.role), ['system', 'user', 'assistant', 'tool', 'user']);
    const added = (await w.events(sent.id)).items.filter((x) => x.type === 'message.added');
    assert.deepEqual(added.map((x) => x.data.content), ['also the other one']);
    const all = await w.ok('GET', `/api/executions?conversation_id=${conversation.id}`);
    assert.deepEqual(all.items.map((x) => x.id), [sent.id]);
  });

  test('steering that comes too late starts an execution of its own', async () => {
    const { conversation, g, sent } = await begin(say('one'), say('two'));
    await Promise.all([post(conversation, 'a', 'steer'), post(conversation, 'b', 'steer')]);
    g.open();
    await w.ended(sent.id);
    for (const x of (await w.ok('GET', `/api/executions?conversation_id=${conversation.id}`)).items) await w.ended(x.id);
    const users = (await texts(conversation)).filter(([role]) => role === 'user').map(([, text]) => text.slice(0, 5));
    assert.deepEqual(users.sort(), ['a', 'b', 'first']);
  });

  test('the agent is killed at any moment: everything queued is answered once, in order', async () => {
    for (let i = 0; i < 4; i++) {
      const { conversation, g, sent } = await begin(say('1'), say('2'), say('3'), say('4'));
      const queued = [];
      for (const text of ['q0', 'q1', 'q2']) queued.push((await post(conversation, text, 'queue')).body);
      if (i % 2) await w.agent.kill();
      g.open();
      if (i % 2 === 0) await w.agent.kill();
      await w.agent.start();
      for (const e of [sent, ...queued]) assert.equal((await w.ended(e.id)).status, 'succeeded');
      assert.deepEqual((await texts(conversation)).filter(([role, text]) => role === 'user' && /^q/.test(text)).map(([, text]) => text), ['q0', 'q1', 'q2']);
      assert.equal((await texts(conversation)).filter(([role, text]) => role === 'assistant' && text).length, 4);
    }
  });

  test('deleting a conversation takes what waits with it', async () => {
    const { conversation } = await begin(say('one'));
    const q = (await post(conversation, 'x', 'queue')).body;
    assert.equal((await w.api('DELETE', `/api/conversations/${conversation.id}`)).status, 204);
    assert.equal((await w.api('GET', `/api/executions/${q.id}`)).status, 404);
  });
});
