// exec with commands on this machine.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { execSuite } from '../lib/exec_suite.mjs';
import { events } from '../lib/sse.mjs';

// Local only: the layers in /healthz, and what supervisors give: a command outlives exec, and is lost with its supervisor.
execSuite({ name: 'local' }, (t) => {
  const { post, get, run, ended, alive } = t;
  const supervisorOf = (id) => {
    const held = readFileSync('/proc/locks', 'utf8');
    const inode = execFileSync('stat', ['-c', '%i', join(t.exec.data, 'exec/commands', id)], { encoding: 'utf8' }).trim();
    const line = held.split('\n').find((l) => l.includes('FLOCK') && l.includes(`:${inode} `));
    return Number(line.split(/\s+/)[4]);
  };

  test('shows each layer and the level', async () => {
    const { sandbox } = (await t.exec.api('GET', '/healthz')).body;
    assert.ok(['standard', 'strict'].includes(sandbox.level), sandbox.level);
    assert.equal(sandbox.ok, true);
    for (const layer of ['userns', 'pidns', 'netns', 'root', 'seccomp', 'capabilities', 'no_new_privs']) {
      assert.equal(sandbox.layers[layer].ok, true, layer);
    }
    assert.equal(typeof sandbox.layers.landlock.abi, 'number');
    assert.equal(typeof sandbox.layers.cgroup.version, 'number');
  });

  test('kill -9 in the middle of a command: it goes on, its output and result are there', async () => {
    const body = { script: 'for i in 1 2 3 4 5 6; do echo $i; sleep 0.15; done; exit 9' };
    const { body: c } = await post(body, { key: 'fault-1' });
    await sleep(250);
    await t.exec.kill();
    await t.exec.start();
    const r = await run(undefined, { path: `/api/commands/${c.id}/stream` });
    assert.equal(r.output, '1\n2\n3\n4\n5\n6\n');
    assert.equal(r.command.exit_code, 9);
    const again = await post(body, { key: 'fault-1' });
    assert.equal(again.status, 200);
    assert.equal(again.body.exit_code, 9);
  });

  test('SIGTERM lets commands go on too', async () => {
    const { body: c } = await post({ script: 'sleep 0.6; echo after' });
    const how = await t.exec.kill('SIGTERM');
    assert.equal(how.code, 0);
    await t.exec.start();
    assert.equal((await ended(c.id)).exit_code, 0);
    assert.equal((await get(`/${c.id}/output`)).text, 'after\n');
  });

  test('it ends while nobody is there: the result waits', async () => {
    const { body: c } = await post({ script: 'sleep 0.2; exit 5' });
    await t.exec.kill();
    await sleep(500);
    await t.exec.start();
    assert.equal((await ended(c.id)).exit_code, 5);
  });

  test('kill -9 at any moment of starting: each key runs once', async () => {
    for (let i = 0; i < 8; i++) {
      const body = { script: 'echo ran >> log; wc -l < log', workspace: `fault-${i}` };
      const key = `fault-run-${i}`;
      const first = post(body, { key }).catch(() => null);
      await sleep(i * 3);
      await t.exec.kill();
      await first;
      await t.exec.start();
      const r = await run(body, { key });
      assert.equal(r.command.status, 'exited', JSON.stringify(r.command));
      assert.equal(r.output, '1\n');
    }
  });

  test('a killed supervisor takes its command along, which is told as lost', async () => {
    const { body: c } = await post({ script: 'echo on; sleep 773.25' }, { key: 'fault-lost' });
    for await (const { event } of events(t.exec.where(), 'GET', `/api/commands/${c.id}/stream`, { token: t.bob })) if (event === 'output') break;
    process.kill(supervisorOf(c.id), 'SIGKILL');
    const end = await ended(c.id);
    assert.equal(end.status, 'lost');
    assert.match(end.reason, /supervisor/);
    assert.equal(end.output_bytes, 3);
    for (let i = 0; i < 40 && alive('sleep 773.25').length; i++) await sleep(25);
    assert.deepEqual(alive('sleep 773.25'), []);
    const again = await post({ script: 'echo on; sleep 773.25' }, { key: 'fault-lost' });
    assert.equal(again.body.status, 'lost', 'it is not run again');
  });

});
