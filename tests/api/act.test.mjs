// Who acts for a user: agents and services get what both may, for as long as the user may it.

import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { signed } from '../lib/jws.mjs';
import { request, startPlatform } from '../lib/platform.mjs';
import { ask, ended, newConversation } from '../lib/runs.mjs';

const MIA = { name: 'Mia Member', email: 'mia@example.org', password: 'a member runs commands all day' };

describe('acting for a user', { timeout: 300000 }, () => {
  let p, admin, adminId, mia, miaId, exec;
  const asMia = () => mia;
  const asAdmin = () => admin;
  const until = async (what, fn) => {
    for (const limit = Date.now() + 60000; ; await sleep(20)) {
      const value = await fn();
      if (value) return value;
      assert.ok(Date.now() < limit, what);
    }
  };
  const deny = async (...denials) => {
    const r = await p.api('PUT', `/api/users/${miaId}/permissions`, { grants: [], denials }, admin);
    assert.equal(r.status, 200, r.text);
  };
  // A token as the agent service makes it, straight to exec.
  const token = (claims) => {
    const jwk = JSON.parse(p.secret('agent.key'));
    const now = Math.floor(Date.now() / 1000);
    const all = { iss: 'ogent:agent', aud: 'exec', sub: miaId, act: { sub: 'agent:x', act: { sub: 'ogent:agent' } }, iat: now, exp: now + 50, ...claims };
    return signed(createPrivateKey({ key: jwk, format: 'jwk' }), { alg: 'EdDSA', kid: jwk.kid, typ: 'at+jwt' }, all);
  };
  const inside = (method, path, claims, body) => request(exec, method, path, { token: token(claims), body });

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: '' } });
    const session = await p.setUp();
    admin = session.access_token;
    adminId = session.user.id;
    miaId = (await p.api('POST', '/api/users', { ...MIA, roles: ['member'] }, admin)).body.id;
    mia = (await p.login(MIA)).access_token;
    exec = p.roles().find(([role]) => role === 'exec')[1];
  });
  after(() => p?.stop());

  test('37: a service for a user may what both may, and says who acts', async () => {
    const made = await inside('POST', '/api/commands', {}, { argv: ['true'] });
    assert.equal(made.status, 201, made.text);
    assert.equal((await inside('GET', `/api/commands/${made.body.id}`)).status, 200);
    // The user may more than the service: it does not get that.
    for (const [method, path, body] of [['PUT', '/api/policies/x', {}], ['GET', '/api/policies/approvals']]) {
      const r = await inside(method, path, { sub: adminId }, body);
      assert.equal(r.status, 403, r.text);
    }
    assert.equal((await inside('GET', `/api/commands/${made.body.id}`, { sub: adminId })).status, 404, "others' commands, which an administrator sees himself");
    assert.equal((await p.api('GET', `/api/commands/${made.body.id}`, undefined, admin)).status, 200);
    // Nobody acts without a name, for a stranger, or for nobody.
    assert.equal((await inside('GET', '/api/commands', { act: undefined })).status, 401);
    assert.equal((await inside('GET', '/api/commands', { act: {} })).status, 401);
    assert.equal((await inside('GET', '/api/commands', { sub: '01900000-0000-7000-8000-000000000000' })).status, 403);
    await until('the log says who acted', () => /"actor":"agent:x"/.test(p.log));
    assert.equal((await inside('POST', '/api/commands', { iss: 'ogent:socket' }, { argv: ['true'] })).status, 401, 'under another name');
  });

  test("36: a permission that is taken from the user stops the agent's next command, and the run says so", async () => {
    const conversation = await newConversation(p, asMia);
    const first = await ended(p, asMia, (await ask(p, asMia, conversation, 'run: echo one')).id);
    assert.equal(first.status, 'succeeded');
    await deny('commands.run');
    await until('exec has heard of it', async () => (await inside('POST', '/api/commands', {}, { argv: ['true'] })).status === 403);
    const run = await ended(p, asMia, (await ask(p, asMia, conversation, 'run: touch forbidden')).id);
    const detail = await p.api('GET', `/api/executions/${run.id}`, undefined, mia);
    assert.equal(detail.body.calls[0].status, 'error', detail.text);
    assert.match(JSON.stringify(detail.body.calls[0]), /This needs the permission commands\.run/);
    await deny();
    await until('exec has heard of it', async () => (await inside('POST', '/api/commands', {}, { argv: ['true'] })).status === 201);
    const again = await ended(p, asMia, (await ask(p, asMia, conversation, 'run: echo two')).id);
    assert.equal((await p.api('GET', `/api/executions/${again.id}`, undefined, mia)).body.calls[0].exit_code, 0, 'and given back, it works again');
  });

  test('a run can be stopped by whoever may, also when its user may run no command any more', async () => {
    const conversation = await newConversation(p, asMia);
    const { id } = await ask(p, asMia, conversation, 'run: sleep 300');
    const running = () => p.api('GET', '/api/commands?status=running', undefined, admin).then((r) => r.body.items.length);
    await until('the command runs', running);
    await deny('commands.run');
    assert.equal((await p.api('POST', `/api/executions/${id}/cancel`, undefined, mia)).status, 202);
    assert.equal((await ended(p, asAdmin, id)).status, 'cancelled');
    await until('the command is gone', async () => (await running()) === 0);
    await deny();
    await until('exec has heard of it', async () => (await inside('POST', '/api/commands', {}, { argv: ['true'] })).status === 201);
  });

  test('29: what acts for a user who is disabled ends', async () => {
    const conversation = await newConversation(p, asMia);
    const { id } = await ask(p, asMia, conversation, 'run: sleep 300');
    const running = () => p.api('GET', '/api/commands?status=running', undefined, admin).then((r) => r.body.items.length);
    await until('the command runs', running);
    assert.equal((await p.api('PATCH', `/api/users/${miaId}`, { disabled: true }, admin)).status, 200);
    await until('nothing is done for him any more', async () => (await inside('GET', '/api/commands')).status === 403);
    await until('the command is gone', async () => (await running()) === 0);
    const run = await ended(p, asAdmin, id);
    const detail = await p.api('GET', `/api/executions/${run.id}`, undefined, admin);
    assert.match(JSON.stringify(detail.body.calls[0]), /disabled or removed/);
  });
});
