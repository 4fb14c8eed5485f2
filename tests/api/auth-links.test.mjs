// Without a mail server administrators hand the links over; and what a removed user leaves behind.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { ADMIN, ogent, startPlatform, startRole } from '../lib/platform.mjs';
import { ask, newConversation } from '../lib/runs.mjs';

const PASSWORD = 'a quiet river under stones';

async function until(what, limit = 30000) {
  for (const end = Date.now() + limit; ; await sleep(20)) {
    const value = await what();
    if (value) return value;
    assert.ok(Date.now() < end, `waited too long for ${what}`);
  }
}

describe('a platform without a mail server', { timeout: 120000 }, () => {
  let p, admin;
  const as = (token) => (method, path, body) => p.api(method, path, body, token);
  const mailTo = async (call, to, kind) =>
    until(async () => (await call('GET', '/api/auth/mails')).body.items.find((m) => m.to === to && m.kind === kind && m.state === 'shown'));

  before(async () => {
    p = await startPlatform();
    admin = as((await p.setUp()).access_token);
  });
  after(() => p?.stop());

  test('shows administrators the links, by the API and by the command line', async () => {
    assert.equal((await admin('PATCH', '/api/auth/settings', { registration: 'open' })).status, 200);
    const who = { name: 'Carla', email: 'carla@example.org', password: PASSWORD };
    assert.equal((await p.api('POST', '/api/auth/register', who)).status, 202);
    const mail = await mailTo(admin, who.email, 'signup');
    const { host, port } = p.where();
    assert.match(mail.link, new RegExp(`^http://${host}:${port}/verify#token=ogk_`));
    const { stdout } = await promisify(execFile)(ogent, ['mails', '--data', p.data], { env: { PATH: process.env.PATH, HOME: p.data } });
    assert.ok(stdout.includes(mail.link), stdout);
    const token = mail.link.split('token=')[1];
    const session = await p.api('POST', '/api/auth/verify', { token, password: PASSWORD });
    assert.equal(session.status, 201, session.text);
    assert.equal((await mailTo(admin, who.email, 'signup')).link, null, 'it is used');

    const sent = await admin('POST', `/api/users/${session.body.user.id}/reset`);
    assert.equal(sent.status, 202, sent.text);
    assert.equal(sent.body.mailed, false);
    const reset = { token: sent.body.link.split('token=')[1], password: 'nine green bottles on the wall' };
    assert.equal((await p.api('POST', '/api/auth/reset', reset)).status, 204);
    await p.login({ email: who.email, password: reset.password });
  });

  test('shows them to nobody who would gain rights by them', async () => {
    const made = await admin('POST', '/api/roles', { name: 'clerk', description: 'Looks after users', permissions: ['users.read', 'users.manage'] });
    assert.equal(made.status, 201, made.text);
    const clerk = { name: 'Clerk', email: 'clerk@example.org', password: PASSWORD, roles: ['clerk'] };
    assert.equal((await admin('POST', '/api/users', clerk)).status, 201);
    const asClerk = as((await p.login(clerk)).access_token);
    await p.api('POST', '/api/auth/forgot', { email: ADMIN.email });
    assert.ok((await mailTo(admin, ADMIN.email, 'reset')).link);
    assert.equal((await mailTo(asClerk, ADMIN.email, 'reset')).link, null);
    const boss = (await admin('GET', '/api/auth/me')).body;
    const refused = await asClerk('POST', `/api/users/${boss.id}/reset`);
    assert.equal(refused.status, 403, refused.text);
    assert.equal((await asClerk('POST', '/api/auth/invitations', { email: 'x@example.org', roles: ['admin'] })).status, 403);
    const invited = await admin('POST', '/api/auth/invitations', { email: 'y@example.org', roles: ['admin'] });
    assert.equal(invited.status, 201, invited.text);
    const seen = (await asClerk('GET', '/api/auth/invitations')).body.items.find((i) => i.id === invited.body.id);
    assert.equal(seen.link, null);
  });

  test('stops the runs of a user who is removed, and takes them and the user\'s agents away', async () => {
    const who = { name: 'Dan', email: 'dan@example.org', password: PASSWORD };
    const { id } = (await admin('POST', '/api/users', who)).body;
    const session = await p.login(who);
    const token = () => session.access_token;
    const { id: execution } = await ask(p, token, await newConversation(p, token), 'run: sleep 100');
    const mine = await p.api('POST', '/api/agents', { name: 'Of Dan', instructions: 'Help.' }, session.access_token);
    assert.equal(mine.status, 201, mine.text);
    const state = async () => (await admin('GET', `/api/executions/${execution}`));
    await until(async () => (await state()).body.status === 'running');
    assert.equal((await admin('DELETE', `/api/users/${id}`)).status, 204);
    await until(async () => (await state()).status === 404);
    await until(async () => !(await admin('GET', '/api/agents?limit=200')).body.items.some((a) => a.id === mine.body.id));
  });
});

test('the agent service hears of a removed user also when it was away', async () => {
  const auth = await startRole('auth');
  const admin = (await auth.setUp()).access_token;
  const who = { name: 'Eve', email: 'eve@example.org', password: PASSWORD };
  const { id } = (await auth.api('POST', '/api/users', who, admin)).body;
  const agent = await startRole('agent', { data: auth.data });
  const list = async () => (await agent.api('GET', '/api/agents?limit=200', undefined, admin)).body.items;
  const made = await agent.api('POST', '/api/agents', { name: 'Of Eve', instructions: 'Help.' }, (await auth.login(who)).access_token);
  assert.equal(made.status, 201, made.text);
  await agent.kill('SIGTERM');
  assert.equal((await auth.api('DELETE', `/api/users/${id}`, undefined, admin)).status, 204);
  await auth.kill('SIGKILL');
  auth.env.OGENT_MAIL_RETRY = '100ms';
  await auth.start();
  await agent.start();
  assert.ok((await list()).some((a) => a.id !== made.body.id), 'the ready agent is there');
  await until(async () => !(await list()).some((a) => a.id === made.body.id));
  await agent.stop();
  await auth.stop();
});
