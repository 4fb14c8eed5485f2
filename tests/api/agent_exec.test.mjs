// The agent role with the real exec role: commands in the sandbox, and what a crash of either leaves behind.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld, fold, withoutPieceTimes } from '../lib/agent_client.mjs';
import { startSshd } from '../lib/sshd.mjs';

const INSTANT = { instant: true };

describe('the agent role with exec', { timeout: 120000 }, () => {
  let w;
  before(async () => (w = await AgentWorld.start({ exec: 'real' })));
  after(() => w?.stop());

  test('a command runs in the workspace of its conversation, which stays', async () => {
    const c = await w.conversation();
    const one = await w.run('run: pwd; echo kept > note.txt; exit 3', { conversation: c, script: INSTANT });
    assert.equal(one.status, 'succeeded', JSON.stringify(one.error));
    assert.equal(one.calls[0].output, '/workspace\n');
    assert.equal(one.calls[0].status, 'exited');
    assert.equal(one.calls[0].exit_code, 3);
    const two = await w.run('run: cat note.txt', { conversation: c, script: INSTANT });
    assert.equal(two.calls[0].output, 'kept\n');
    const other = await w.run('run: cat note.txt', { script: INSTANT });
    assert.notEqual(other.calls[0].exit_code, 0);
    const command = await w.exec.api('GET', `/api/commands/${two.calls[0].command_id}`, undefined, w.token);
    assert.equal(command.status, 200, command.text);
    assert.equal(command.body.workspace, c.id);
  });

  test('a command that is not there, one that is killed, one that takes too long', async () => {
    const e = await w.run('run: no-such-command-here\nrun: kill -9 $$', { script: INSTANT });
    assert.equal(e.calls[0].exit_code, 127);
    assert.equal(e.calls[1].status, 'signalled');
    assert.equal(e.status, 'succeeded');
  });

  test('output comes live, both streams, bytes that are no text as U+FFFD', async () => {
    const sent = await w.send("run: echo out; sleep 0.3; echo err >&2; sleep 0.3; printf 'a\\377b\\n'");
    const live = await w.follow(sent.id);
    const pieces = live.filter((e) => e.type === 'call.output').map((e) => e.data);
    assert.deepEqual(pieces.map((p) => [p.stream, p.text]), [['stdout', 'out\n'], ['stderr', 'err\n'], ['stdout', 'a\ufffdb\n']]);
    assert.deepEqual(pieces.map((p) => p.offset), [0, 4, 8]);
    assert.deepEqual(withoutPieceTimes(live), withoutPieceTimes((await w.events(sent.id)).items));
  });

  test('NULs in the output do not swallow it', async () => {
    const e = await w.run("run: printf 'a\\0b\\n'; echo end", { script: INSTANT });
    assert.equal(e.calls[0].output, 'a\ufffdb\nend\n');
    assert.equal(e.calls[0].output_bytes, 8);
  });

  test('output that is a little more than what is shown has no gap and no double', async () => {
    const sent = await w.send('run: head -c 261120 /dev/zero | tr "\\0" x; sleep 0.5; head -c 3072 /dev/zero | tr "\\0" y', { script: INSTANT });
    await w.ended(sent.id);
    const [output] = Object.values(fold((await w.events(sent.id)).items).outputs);
    assert.equal(output, 'x'.repeat(261120) + 'y'.repeat(3072));
  });

  test('a cancel kills the command with all it has started', async () => {
    const sent = await w.send('run: echo begun; sleep 300 & sleep 300');
    await w.until(sent.id, (e) => e.type === 'call.output');
    const at = Date.now();
    await w.api('POST', `/api/executions/${sent.id}/cancel`);
    const e = await w.ended(sent.id);
    assert.ok(Date.now() - at < 2500, `${Date.now() - at} ms`);
    assert.equal(e.status, 'cancelled');
    assert.equal(e.calls[0].status, 'cancelled');
    const command = await w.exec.api('GET', `/api/commands/${e.calls[0].command_id}`, undefined, w.token);
    assert.equal(command.body.status, 'cancelled');
  });

  test('a run that is stopped at any moment ends as stopped, and its command with it', async () => {
    const stop = async (i) => {
      const sent = await w.send(`run: echo begun; sleep 611.${i}`);
      await sleep(i * 8);
      assert.equal((await w.api('POST', `/api/executions/${sent.id}/cancel`)).status, 202);
      const e = await w.ended(sent.id);
      assert.equal(e.status, 'cancelled');
      for (const call of e.calls) {
        assert.equal(call.status, 'cancelled');
      }
    };
    for (let i = 0; i < 32; i += 4) await Promise.all([i, i + 1, i + 2, i + 3].map(stop));
    for (const limit = Date.now() + 20000; ; await sleep(20)) {
      const { body } = await w.exec.api('GET', '/api/commands?limit=100', undefined, w.token);
      const left = body.items.filter((c) => c.script?.includes('sleep 611.') && c.status !== 'cancelled');
      if (left.length === 0) break;
      assert.ok(Date.now() < limit, `still there: ${JSON.stringify(left)}`);
    }
  });

  test('two hundred megabytes of output leave head and tail', async () => {
    const e = await w.run('run: head -c 200000000 /dev/zero | tr "\\0" y; echo; echo LAST', { script: INSTANT });
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].output_bytes, 200000006);
    assert.match(e.calls[0].output, /bytes left out[^]*LAST\n$/);
    const { items } = await w.events(e.id);
    assert.ok(JSON.stringify(items).length < 1000000);
  });

  test('a run that is cancelled and crashes leaves no command behind', async () => {
    const sent = await w.send('run: echo begun; sleep 300');
    await w.until(sent.id, (e) => e.type === 'call.output');
    await w.exec.kill('SIGKILL');
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/cancel`)).status, 202);
    await w.agent.kill('SIGKILL');
    await w.exec.start();
    await w.agent.start();
    assert.equal((await w.ended(sent.id)).status, 'cancelled');
    const running = async () => (await w.exec.api('GET', '/api/commands', undefined, w.token)).body.items.filter((c) => c.status === 'running');
    for (const limit = Date.now() + 5000; (await running()).length; await sleep(50)) assert.ok(Date.now() < limit, 'a command goes on');
  });

  for (const victim of ['exec', 'agent'])
    test(`${victim} killed while commands run: each ran once, nothing is missing or doubled`, async () => {
      const sent = [];
      for (let i = 0; i < 8; i++)
        sent.push(await w.send(`run: echo begun >> log; for i in 1 2 3 4 5 6; do echo ${i}-$i; sleep 0.2; done; wc -l < log`, { script: INSTANT }));
      await sleep(500);
      await w[victim].kill('SIGKILL');
      await w[victim].start();
      for (const [i, s] of sent.entries()) {
        const e = await w.ended(s.id, 30000);
        assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
        assert.equal(e.calls.length, 1);
        assert.equal(e.calls[0].output, [1, 2, 3, 4, 5, 6].map((n) => `${i}-${n}\n`).join('') + '1\n');
        const { outputs } = fold((await w.events(s.id)).items);
        assert.deepEqual(Object.values(outputs), [e.calls[0].output]);
      }
    });
});

describe('an agent whose commands run on another host', { timeout: 120000 }, () => {
  let w, sshd;
  before(async () => {
    sshd = await startSshd();
    w = await AgentWorld.start({ exec: 'real', env: sshd.env });
  });
  after(async () => {
    await w?.stop();
    await sshd?.stop();
  });

  test('the setting is kept, versioned, checked, and the shell goes there', async () => {
    const agent = await w.ok('POST', '/api/agents', { name: 'Far', tools: ['shell'], target: 'ssh' }, 201);
    assert.equal(agent.target, 'ssh');
    const c = await w.conversation({ agent_id: agent.id });
    const e = await w.run('run: echo far > f; cat f', { conversation: c, script: INSTANT });
    assert.equal(e.calls[0].output, 'far\n', JSON.stringify(e.calls));
    const command = await w.exec.api('GET', `/api/commands/${e.calls[0].command_id}`, undefined, w.token);
    assert.equal(command.body.target, 'ssh');
    assert.equal((await w.run('run: cat f', { conversation: c, script: INSTANT })).calls[0].output, 'far\n');
    assert.equal((await w.ok('GET', '/api/agents')).items.find((a) => a.slug === 'assistant').target, 'local');
    const bad = await w.api('POST', '/api/agents', { name: 'Bad', target: 'No Such' });
    assert.equal(bad.status, 422);
    assert.match(bad.body.detail, /GET \/api\/targets/);
  });

  test('a run is forked at its steps with the files of that step, there', async () => {
    const agent = await w.ok('POST', '/api/agents', { name: 'Forked', tools: ['shell'], target: 'ssh' }, 201);
    const c = await w.conversation({ agent_id: agent.id });
    const first = await w.run('run: echo one > f', { conversation: c, script: INSTANT });
    const second = await w.run('run: echo two > f; cat f', { conversation: c, script: INSTANT });
    assert.equal(second.calls[0].output, 'two\n', JSON.stringify(second.calls));
    for (const [e, says, from] of [[first, 'one\n', 'snapshot'], [second, 'two\n', 'live']]) {
      const r = await w.api('POST', `/api/executions/${e.id}/fork`, {});
      assert.equal(r.status, 201, r.text);
      assert.equal(r.headers['x-ogent-workspace'], from);
      const run = await w.run('run: cat f', { conversation: r.body, script: INSTANT });
      assert.equal(run.calls[0].output, says, JSON.stringify(run.calls));
    }
    const list = await w.exec.api('GET', `/api/workspaces/${c.id}/snapshots?target=ssh`, undefined, w.token);
    assert.ok(list.body.items.length >= 2 && list.body.items.every((s) => s.step), list.text);
  });

  test('a target that exec does not have is told by name, not tried again', async () => {
    const agent = await w.ok('POST', '/api/agents', { name: 'Lost', tools: ['shell'], target: 'mars' }, 201);
    const e = await w.run('run: true', { conversation: await w.conversation({ agent_id: agent.id }), script: INSTANT });
    assert.equal(e.calls[0].status, 'error');
    assert.match(JSON.stringify(e.calls[0]), /no target of the name/);
  });

  test('a connection that breaks in the middle: the call is lost, and the run goes on', async () => {
    const agent = await w.ok('POST', '/api/agents', { name: 'Cut', tools: ['shell'], target: 'ssh' }, 201);
    const sent = await w.send('run: echo begun; sleep 300', { conversation: await w.conversation({ agent_id: agent.id }) });
    await w.until(sent.id, (e) => e.type === 'call.output');
    sshd.breakConnections();
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].status, 'lost');
  });
});

test('where a new agent\'s commands run is an option; an agent says otherwise for itself', { timeout: 60000 }, async () => {
  const w = await AgentWorld.start({ env: { OGENT_AGENT_TARGET: 'elsewhere' } });
  const target = async (r) => (await w.ok('GET', `/api/agents/${r.id}`)).target;
  const [assistant] = (await w.ok('GET', '/api/agents')).items;
  assert.equal(await target(assistant), 'elsewhere');
  const made = await w.api('POST', '/api/agents', { name: 'One' });
  assert.equal(await target(made.body), 'elsewhere');
  const own = await w.api('POST', '/api/agents', { name: 'Two', target: 'local' });
  assert.equal(await target(own.body), 'local');
  await w.stop();
});
