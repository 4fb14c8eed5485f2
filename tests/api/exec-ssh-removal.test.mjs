// What lies on a target goes with its conversation and with its user, at once or when the target is back.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { AgentWorld } from '../lib/agent_client.mjs';
import { startSshd } from '../lib/sshd.mjs';

const PASSWORD = 'a quiet river under stones';

describe('workspaces on a target', { timeout: 300000 }, () => {
  let w, sshd, far, n = 0;

  before(async () => {
    sshd = await startSshd();
    w = await AgentWorld.start({ exec: 'real', env: sshd.env });
    w.token = (await w.auth.setUp()).access_token;
  });
  after(async () => {
    await w?.stop();
    await sshd?.stop();
  });

  async function until(what, is) {
    for (const limit = Date.now() + 90000; ; await sleep(50)) {
      if (await is()) return;
      assert.ok(Date.now() < limit, `waited too long until ${what}`);
    }
  }
  async function person(roles = ['admin']) {
    const email = `person${++n}@example.org`;
    const made = await w.auth.api('POST', '/api/users', { name: `Person ${n}`, email, password: PASSWORD, roles }, w.token);
    assert.equal(made.status, 201, made.text);
    return { id: made.body.id, token: (await w.auth.login({ email, password: PASSWORD })).access_token };
  }
  const ok = async (p, method, path, body, status = 200) => {
    const r = await w.api(method, path, body, p.token);
    assert.equal(r.status, status, r.text);
    return r.body;
  };
  // A conversation with a file on the target: its id.
  async function conversation(p) {
    far = await ok(p, 'POST', '/api/agents', { name: `Far ${++n}`, tools: ['shell'], target: 'ssh' }, 201);
    const c = await ok(p, 'POST', '/api/conversations', { agent_id: far.id }, 201);
    const e = await ok(p, 'POST', `/api/conversations/${c.id}/messages`, { content: 'run: echo kept > file; cat file' }, 202);
    await until('the run ends', async () => (await ok(p, 'GET', `/api/executions/${e.id}`)).state === 'ended');
    assert.deepEqual(there(c.id), ['workspaces', 'snapshots', 'owners']);
    return c.id;
  }
  const there = (id) => [
    ...['workspaces', 'snapshots'].filter((f) => existsSync(join(sshd.place, f, id))),
    ...['owners', 'removals'].filter((f) => existsSync(join(w.data, 'exec', f, `${id}@ssh`))),
  ];
  const gone = (id) => until('it is gone', () => there(id).length === 0).catch((e) => assert.fail(`${e.message}: ${there(id)}`));
  const exec = (method, path, body, p) => w.exec.api(method, path, body, p.token);

  test('go with their conversation', async () => {
    const bob = await person(), id = await conversation(bob), other = await conversation(bob);
    await ok(bob, 'DELETE', `/api/conversations/${id}`, undefined, 204);
    await gone(id);
    assert.deepEqual(there(other), ['workspaces', 'snapshots', 'owners']);
  });

  test('go with their user, with those that are no conversation\'s', async () => {
    const bob = await person(), eve = await person(), id = await conversation(bob), hers = await conversation(eve);
    assert.equal((await exec('POST', '/api/workspaces?target=ssh', { id: 'own-1' }, bob)).status, 201);
    assert.equal((await w.auth.api('DELETE', `/api/users/${bob.id}`, undefined, w.token)).status, 204);
    await Promise.all([gone(id), gone('own-1')]);
    assert.deepEqual(there(hers), ['workspaces', 'snapshots', 'owners']);
  });

  test('are nobody\'s while the target is away, and go when it is back, also after a crash of exec', async () => {
    const bob = await person(), eve = await person(['member']);
    const id = await conversation(bob);
    assert.equal((await exec('POST', '/api/workspaces?target=ssh', { id: 'away-1' }, bob)).status, 201);
    await sshd.kill();
    await ok(bob, 'DELETE', `/api/conversations/${id}`, undefined, 204);
    assert.equal((await exec('DELETE', '/api/workspaces/away-1?target=*', undefined, eve)).status, 202, 'none of hers');
    assert.deepEqual(there('away-1'), ['workspaces', 'owners']);
    assert.equal((await exec('DELETE', '/api/workspaces/away-1?target=*', undefined, bob)).status, 202);
    assert.deepEqual(there('away-1'), ['workspaces', 'owners', 'removals']);
    await until('exec knows of the conversation', () => there(id).includes('removals'));
    const found = await exec('GET', '/api/workspaces?target=ssh', undefined, bob);
    assert.ok(!found.text.includes('away-1') && !found.text.includes(id), found.text);
    assert.equal((await exec('GET', '/api/workspaces/away-1/files?target=ssh', undefined, bob)).status, 404);
    for (const p of [bob, eve]) {
      const r = await exec('POST', '/api/commands', { script: 'ls', workspace: 'away-1', target: 'ssh' }, p);
      assert.deepEqual([r.status, r.body.code], [409, 'workspace_busy'], r.text);
      assert.equal((await exec('POST', '/api/workspaces?target=ssh', { id: 'away-1' }, p)).status, 409);
    }
    await w.exec.kill('SIGKILL');
    await w.exec.start();
    await sshd.start();
    await Promise.all([gone(id), gone('away-1')]);
    assert.equal((await exec('POST', '/api/workspaces?target=ssh', { id: 'away-1' }, eve)).status, 201, 'the name is free');
    assert.deepEqual(readdirSync(join(w.data, 'exec', 'removals')), []);
  });

  test('in which a command runs go when it has ended', async () => {
    const bob = await person();
    const { body: c } = await exec('POST', '/api/commands', { script: 'echo on; sleep 300', workspace: 'busy-1', target: 'ssh' }, bob);
    await until('it runs', async () => (await exec('GET', `/api/commands/${c.id}/output`, undefined, bob)).text.includes('on'));
    assert.equal((await exec('DELETE', '/api/workspaces/busy-1?target=*', undefined, bob)).status, 202);
    await sleep(3000);
    assert.ok(there('busy-1').includes('workspaces'));
    await exec('POST', `/api/commands/${c.id}/cancel`, undefined, bob);
    await gone('busy-1');
  });
});
