// What people do with accounts and sign-ins is in the audit log: who, what, to what, from where; and no secret.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ADMIN, startRole } from '../lib/platform.mjs';

describe('the audit log of accounts', { timeout: 120000 }, () => {
  let auth, admin, adminId;
  const ZORA = { name: 'Zora', email: 'zora@example.org', password: 'some quiet evening words' };
  const FROM = { 'x-forwarded-for': '203.0.113.9' };

  // The newest events, oldest first, once there are those that are asked for.
  async function events(wanted) {
    for (const limit = Date.now() + 30000; ; await sleep(50)) {
      const r = await auth.api('GET', '/api/audit?limit=200', undefined, admin);
      assert.equal(r.status, 200, r.text);
      const items = r.body.items.reverse();
      if (wanted.every((w) => items.some((e) => e.event === w))) return items;
      assert.ok(Date.now() < limit, `missing of ${wanted}: ${items.map((e) => e.event)}`);
    }
  }

  before(async () => {
    auth = await startRole('auth');
    const r = await auth.api('POST', '/api/auth/setup', { token: auth.secret('setup.token'), ...ADMIN });
    admin = r.body.access_token;
    adminId = r.body.user.id;
  });
  after(() => auth?.stop());

  test('each act leaves one event', async () => {
    const { id } = (await auth.api('POST', '/api/users', { ...ZORA, roles: ['member'] }, admin)).body;
    assert.equal((await auth.api('POST', '/api/auth/login', { email: ZORA.email, password: 'wrong, but long enough' }, undefined, FROM)).status, 401);
    assert.equal((await auth.api('POST', '/api/auth/login', { email: 'nobody@example.org', password: 'wrong, but long enough' }, undefined, FROM)).status, 401);
    const login = await auth.api('POST', '/api/auth/login', { email: ZORA.email, password: ZORA.password }, undefined, FROM);
    assert.equal(login.status, 200, login.text);
    const changed = await auth.api('POST', '/api/auth/password', { current_password: ZORA.password, new_password: 'other quiet evening words' }, login.body.access_token);
    assert.equal(changed.status, 204, changed.text);
    assert.equal((await auth.api('PATCH', `/api/users/${id}`, { roles: ['viewer'], disabled: true }, admin)).status, 200);
    assert.equal((await auth.api('PATCH', '/api/auth/settings', { registration: 'open' }, admin)).status, 200);
    assert.equal((await auth.api('DELETE', `/api/users/${id}`, undefined, admin)).status, 204);

    const all = await events(['user.set_up', 'user.created', 'login.refused', 'session.started', 'password.changed', 'user.changed', 'settings.changed', 'user.deleted']);
    const of = (event) => all.filter((e) => e.event === event);
    const [made] = of('user.created');
    assert.deepEqual([made.actor.id, made.target, made.outcome], [adminId, `user:${id}`, 'success']);
    const refused = of('login.refused');
    assert.deepEqual(refused.map((e) => [e.outcome, e.target, e.address]), [
      ['failure', `user:${id}`, '203.0.113.9'],
      ['failure', '', '203.0.113.9'],
    ]);
    const [started] = of('session.started');
    assert.deepEqual([started.actor.id, started.address], [id, '203.0.113.9']);
    assert.match(started.target, /^session:/);
    assert.deepEqual(of('user.changed')[0].detail, { name: ZORA.name, disabled: 'true', roles: 'viewer' });
    assert.deepEqual(of('settings.changed')[0].detail, { registration: 'open' });
    assert.equal(of('user.deleted')[0].target, `user:${id}`);
    const text = JSON.stringify(all) + auth.log;
    for (const secret of [ZORA.password, 'other quiet evening words', login.body.access_token, login.body.refresh_token, ADMIN.password]) assert.ok(!text.includes(secret));
  });

  test('the chain of them all is whole', async () => {
    const r = await auth.api('GET', '/api/audit/verify', undefined, admin);
    assert.equal(r.status, 200, r.text);
    assert.equal(r.body.ok ?? r.body.whole ?? r.body.valid, true, r.text);
  });
});
