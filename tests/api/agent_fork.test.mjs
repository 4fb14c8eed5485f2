// Forks of a conversation at a step, with the files of that step, and runs that are made again.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';

describe('forks', { timeout: 300000 }, () => {
  let w, model;
  before(async () => {
    model = await new ScriptModel().open();
    w = await AgentWorld.start({
      exec: 'real', demo: false,
      env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_WORKSPACE_STEPS_MAX: '6' },
    });
  });
  after(async () => {
    await w?.stop();
    await model?.close();
  });
  const shell = (command) => call(['shell', { command }]);
  const workspace = (id) => join(w.data, 'exec', 'workspaces', id);
  const file = (id, name) => readFileSync(join(workspace(id), name), 'utf8');
  const steps = (id) => readdirSync(join(w.data, 'exec', 'snapshots', id)).sort();
  const fork = (e, body) => w.ok('POST', `/api/executions/${e.id}/fork`, body, 201);
  const messages = async (id) => (await w.ok('GET', `/api/conversations/${id}/messages`)).items;

  test('a fork has the messages and the files of its step, and goes its own way', async () => {
    const other = (step, own) => (body) => (body.messages.some((m) => m.content === 'and now?') ? own : step);
    const word = model.script(
      shell('echo one > log'), other(shell('echo two >> log; mkdir d; echo x > d/x'), shell('cat log; echo mine >> log')), other(shell('echo three >> log; rm -r d'), say('fine')), say('done'),
    );
    const e = await w.run(`go ${word}`);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    const want = { 1: 'one\n', 2: 'one\ntwo\n', 3: 'one\ntwo\nthree\n' };
    for (const step of [1, 2, 3]) {
      const c = await fork(e, { step });
      assert.deepEqual(c.forked_from, { conversation_id: e.conversation_id, execution_id: e.id, message_seq: 1 + 2 * step });
      assert.equal(file(c.id, 'log'), want[step]);
      assert.equal(existsSync(join(workspace(c.id), 'd', 'x')), step === 2);
      assert.deepEqual((await messages(c.id)).map((m) => m.role), ['user', ...Array(step).fill(['assistant', 'tool']).flat()]);
    }
    const whole = await fork(e, {});
    assert.equal((await messages(whole.id)).at(-1).content, 'done');
    const c = await fork(e, { step: 1 });
    const next = await w.run('and now?', { conversation: c });
    assert.equal(next.status, 'succeeded', JSON.stringify(next.error));
    assert.equal(file(c.id, 'log'), 'one\nmine\n');
    assert.equal(file(e.conversation_id, 'log'), 'one\ntwo\nthree\n', 'the first one stays');
    // A fork of the fork, at a step of the first.
    const again = await fork(next, { step: 0 });
    assert.equal(file(again.id, 'log'), 'one\n');
    // By a number of an event.
    const { items } = await w.events(e.id);
    const third = items.find((i) => i.type === 'execution.state' && i.data.step === 3);
    assert.equal((await fork(e, { event: third.seq })).forked_from.message_seq, 5);
    for (const step of [9, 5]) assert.equal((await w.api('POST', `/api/executions/${e.id}/fork`, { step })).body.code, 'no_such_step');
    assert.equal((await w.api('POST', `/api/executions/${e.id}/fork`, { step: -1 })).status, 422);
  });

  test('files that no step changed take no room again, and the oldest steps go', async () => {
    const word = model.script(shell('head -c 3000000 /dev/urandom > big; echo 1 > small'), ...[2, 3, 4, 5, 6, 7, 8].map((n) => shell(`echo ${n} > small`)), shell('cat small > /dev/null'), say('done'));
    const e = await w.run(`go ${word}`);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    const kept = steps(e.conversation_id);
    assert.ok(kept.length >= 2 && kept.length <= 6, `${kept.length} are kept`);
    const inodes = new Set(kept.map((id) => statSync(join(w.data, 'exec', 'snapshots', e.conversation_id, id, 'tree', 'big')).ino));
    assert.equal(inodes.size, 1, 'one copy of the big file');
    assert.deepEqual(readFileSync(join(w.data, 'exec', 'snapshots', e.conversation_id, kept.at(-1), 'tree', 'big')), readFileSync(join(workspace(e.conversation_id), 'big')));
    assert.equal((await w.api('POST', `/api/executions/${e.id}/fork`, { step: 1 })).body.code, 'snapshot_gone');
    const last = await fork(e, { step: 8 });
    assert.equal(file(last.id, 'small'), '8\n');
  });

  test('a file that a command dates back is copied all the same', async () => {
    const word = model.script(shell('echo aaaa > f; touch -d 2001-01-01 f; sleep 0.2'), shell('echo bbbb > f; touch -d 2001-01-01 f'), shell('echo over > g'), say('done'));
    const e = await w.run(`go ${word}`);
    assert.equal(file((await fork(e, { step: 1 })).id, 'f'), 'aaaa\n');
    assert.equal(file((await fork(e, { step: 2 })).id, 'f'), 'bbbb\n');
  });

  test('a run is made again from its input, with the same version of its agent or another', async () => {
    const a = await w.ok('POST', '/api/agents', { name: 'Again', instructions: 'First.', tools: ['shell'] }, 201);
    const c = await w.conversation({ agent_id: a.id });
    const word = model.script(shell('echo once >> log; wc -l < log'), say('said'));
    const e = await w.run(`count ${word}`, { conversation: c });
    const patched = await w.api('PATCH', `/api/agents/${a.id}`, { instructions: 'Second.' }, w.token, { 'if-match': '*' });
    assert.equal(patched.status, 200);
    const told = () => model.seen.get(word).at(-1).messages[0].content;
    for (const [body, instructions] of [[{ step: 0, same_version: true }, 'First.'], [{ step: 0 }, 'Second.'], [{ step: 0, agent_version: 1 }, 'First.']]) {
      const r = await fork(e, body);
      assert.equal(r.forked_from.message_seq, 0);
      const again = await w.run(e.input, { conversation: r });
      assert.deepEqual([again.status, again.output], ['succeeded', 'said']);
      assert.equal(told(), instructions);
      assert.equal(file(r.id, 'log'), 'once\n', 'it began with an empty workspace');
    }
    assert.equal((await w.api('POST', `/api/executions/${e.id}/fork`, { agent_version: 7 })).status, 404);
  });

  test('a conversation without files forks without a workspace, and of another\'s there is none to fork', async () => {
    const e = await w.run(`hello ${model.script(say('hi'))}`);
    const c = await fork(e, undefined);
    assert.equal((await messages(c.id)).length, 2);
    assert.ok(!existsSync(workspace(c.id)));
    assert.equal((await w.api('POST', `/api/executions/${c.id}/fork`)).status, 404);
  });
});
