// Accounts from invitation to removal, with mail through a real SMTP server; on SQLite, and by the suite `servers` on MariaDB.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { claimsOf } from '../lib/jws.mjs';
import { ADMIN, startRole } from '../lib/platform.mjs';
import { Smtp } from '../lib/smtp.mjs';

const UNKNOWN_ID = '01900000-0000-7000-8000-000000000000';
const PASSWORD = 'a quiet river under stones';
const OTHER = 'nine green bottles on the wall';
let serial = 0;
const person = (name = 'Bob') => ({ name, email: `${name.toLowerCase()}${++serial}@example.org`, password: PASSWORD });

function refused(r, status, code) {
  assert.equal(r.status, status, r.text);
  assert.equal(r.body.code, code, r.text);
}

async function until(what, limit = 30000) {
  for (const end = Date.now() + limit; ; await sleep(20)) {
    const value = await what();
    if (value) return value;
    assert.ok(Date.now() < end, `waited too long for ${what}`);
  }
}

describe('accounts', { timeout: 240000 }, () => {
  let auth, smtp, admin;
  const post = (path, body, token, headers) => auth.api('POST', `/api/auth/${path}`, body, token, headers);
  const refresh = (session) => post('refresh', { refresh_token: session.refresh_token });
  const me = (session) => auth.api('GET', '/api/auth/me', undefined, session.access_token);
  const registration = (value) => auth.api('PATCH', '/api/auth/settings', { registration: value }, admin.access_token);
  const login = (who, password = who.password, headers = {}) => post('login', { email: who.email, password }, undefined, headers);
  const logged = (event) => auth.log.split('\n').filter((l) => l.startsWith('{') && l.includes(`"${event}"`)).map((l) => JSON.parse(l));
  // A user made by an administrator, signed in.
  async function user(roles = ['member'], who = person()) {
    const r = await auth.api('POST', '/api/users', { ...who, roles }, admin.access_token);
    assert.equal(r.status, 201, r.text);
    return { ...(await auth.login(who)), ...who, id: r.body.id };
  }

  before(async () => {
    smtp = await Smtp.start();
    auth = await startRole('auth', { env: { ...smtp.env, OGENT_PUBLIC_URL: 'https://ogent.example.com', OGENT_ORG_NAME: 'Blüten & Co' } });
    admin = await auth.setUp();
  });
  after(async () => {
    await auth?.stop();
    await smtp?.stop();
  });

  describe('signing up', () => {
    before(() => registration('open'));
    after(() => registration('invite'));

    test('needs the link of the mail and the password; the link works once, and looking at it uses nothing up', async () => {
      const who = person('Carla');
      const r = await post('register', who);
      assert.equal(r.status, 202, r.text);
      assert.equal(r.text, '');
      refused(await login(who), 401, 'invalid_credentials');
      const mail = await smtp.to(who.email);
      assert.match(mail.link, /^https:\/\/ogent\.example\.com\/verify#token=ogk_[\w-]{43}$/);
      assert.equal(mail.head['auto-submitted'], 'auto-generated');
      assert.equal(mail.from, 'ogent@example.net');
      assert.match(mail.head.from, /^"Ogent" <ogent@example.net>$/);
      assert.match(mail.head.subject, /^=\?utf-8\?B\?[\w=+/]+\?=: Confirm your e-mail address$/);
      assert.match(mail.text, /Hello Carla,/);
      for (let i = 0; i < 3; i++) {
        const look = await post('link', { token: mail.token });
        assert.equal(look.status, 200, look.text);
        assert.deepEqual([look.body.kind, look.body.email, look.body.name], ['signup', who.email, 'Carla']);
      }
      refused(await post('verify', { token: mail.token, password: 'not the one that was chosen' }), 401, 'invalid_credentials');
      refused(await post('verify', { token: `${mail.token.slice(0, -1)}${mail.token.endsWith('A') ? 'E' : 'A'}`, password: PASSWORD }), 403, 'link_invalid');
      const both = await Promise.all([0, 1].map(() => post('verify', { token: mail.token, password: PASSWORD })));
      assert.deepEqual(both.map((b) => b.status).sort(), [201, 410], both.map((b) => b.text).join());
      assert.deepEqual(both.find((b) => b.status === 201).body.user.roles, ['member']);
      refused(await post('verify', { token: mail.token, password: PASSWORD }), 410, 'link_gone');
      refused(await post('link', { token: mail.token }), 410, 'link_gone');
      assert.equal((await login(who)).status, 200);
    });

    test('a taken address gets the same answer and another mail', async () => {
      const who = await user();
      const taken = await post('register', { ...person(), email: who.email.toUpperCase() });
      const free = person();
      const fresh = await post('register', free);
      const shape = (r) => [r.status, r.text, Object.keys(r.headers).filter((h) => h !== 'x-request-id').sort()];
      assert.deepEqual(shape(taken), shape(fresh));
      const mail = await smtp.to(who.email, /account already/);
      assert.equal(mail.link, undefined);
      await smtp.to(free.email, /Confirm/);
    });

    test('holds nothing but what it needs', async () => {
      for (const extra of [{ is_admin: true }, { roles: ['admin'] }, { email_verified: true }, { tenant_id: 'x' }])
        refused(await post('register', { ...person(), ...extra }), 422, 'invalid_field');
      refused(await post('register', { ...person(), password: 'sevench' }), 422, 'password_too_short');
      refused(await post('register', { ...person(), password: 'iloveyou' }), 422, 'password_breached');
      refused(await post('register', { ...person(), password: `an unassigned one: ${String.fromCodePoint(0x378)}` }), 400, 'password_undefined');
      refused(await post('register', { ...person(), password: 'we grow blüten & co daily' }), 422, 'password_guessable');
    });

    test('who signs up with an address that is taken before the link is opened gets no second account', async () => {
      const who = person('Dan');
      assert.equal((await post('register', who)).status, 202);
      const { token } = await smtp.to(who.email);
      await user(['viewer'], { ...who, password: OTHER });
      refused(await post('verify', { token, password: PASSWORD }), 410, 'link_gone');
      assert.equal((await login(who, OTHER)).status, 200);
    });
  });

  test('sign-up has three states', async () => {
    const invitation = () => auth.api('POST', '/api/auth/invitations', { email: person().email }, admin.access_token);
    for (const [state, signUp, invite] of [['closed', 403, 409], ['invite', 403, 201], ['open', 202, 201]]) {
      assert.deepEqual((await registration(state)).body, { registration: state });
      assert.equal((await auth.api('GET', '/api/auth/setup')).body.registration, state);
      assert.equal((await post('register', person())).status, signUp, state);
      assert.equal((await invitation()).status, invite, state);
    }
    await registration('invite');
  });

  describe('invitations', () => {
    const invite = (body, token = admin.access_token, headers) => auth.api('POST', '/api/auth/invitations', body, token, headers);

    test('make a user once, with the roles that were given', async () => {
      const who = person('Eve');
      const r = await invite({ email: who.email, name: 'Eve', roles: ['operator', 'viewer'] });
      assert.equal(r.status, 201, r.text);
      assert.match(r.body.link, /^https:\/\/ogent\.example\.com\/invite#token=/);
      assert.equal(Math.round((Date.parse(r.body.expires_at) - Date.parse(r.body.created_at)) / 86400000), 7);
      const mail = await smtp.to(who.email);
      assert.equal(mail.link, r.body.link);
      assert.match(mail.text, /Ada Admin invites you/);
      const accept = (password) => post('accept', { token: mail.token, name: 'Eve E.', password });
      refused(await accept('eve'.repeat(2)), 422, 'password_too_short');
      const both = await Promise.all([accept(PASSWORD), accept(PASSWORD)]);
      assert.deepEqual(both.map((b) => b.status).sort(), [201, 410], both.map((b) => b.text).join());
      const made = both.find((b) => b.status === 201).body;
      assert.deepEqual([made.user.name, made.user.email, made.user.roles], ['Eve E.', who.email, ['operator', 'viewer']]);
      refused(await accept(PASSWORD), 410, 'link_gone');
      refused(await invite({ email: who.email }), 409, 'email_taken');
    });

    test('can be withdrawn, and a new one replaces the last', async () => {
      const who = person();
      const list = async () => (await auth.api('GET', '/api/auth/invitations', undefined, admin.access_token)).body.items;
      const first = (await invite({ email: who.email })).body;
      const second = (await invite({ email: who.email })).body;
      assert.ok((await list()).some((i) => i.id === second.id && i.link === second.link));
      assert.ok(!(await list()).some((i) => i.id === first.id));
      const token = (link) => link.split('token=')[1];
      refused(await post('accept', { token: token(first.link), name: 'X', password: PASSWORD }), 410, 'link_gone');
      assert.equal((await auth.api('DELETE', `/api/auth/invitations/${second.id}`, undefined, admin.access_token)).status, 204);
      refused(await auth.api('DELETE', `/api/auth/invitations/${second.id}`, undefined, admin.access_token), 404, 'not_found');
      refused(await post('accept', { token: token(second.link), name: 'X', password: PASSWORD }), 410, 'link_gone');
    });

    test('give nobody more than who invites has', async () => {
      const member = await user();
      refused(await invite({ email: person().email }, member.access_token), 403, 'forbidden');
      refused(await invite({ email: person().email, roles: ['root'] }), 422, 'unknown_role');
      refused(await invite({ email: 'nobody' }), 422, 'invalid_email');
    });

    test('one Idempotency-Key makes one, and its answer is kept without the link', async () => {
      const body = { email: person().email };
      const [one, two] = [await invite(body, undefined, { 'idempotency-key': 'i1' }), await invite(body, undefined, { 'idempotency-key': 'i1' })];
      assert.equal(one.body.id, two.body.id, two.text);
      assert.equal(two.body.link, null);
    });
  });

  describe('a forgotten password', () => {
    test('is replaced by the link of a mail; all sessions end, the link works once', async () => {
      const who = await user();
      const known = await post('forgot', { email: who.email.toUpperCase() });
      const unknown = await post('forgot', { email: 'nobody-at-all@example.org' });
      assert.equal(known.status, 202, known.text);
      assert.deepEqual([known.status, known.text, Object.keys(known.headers).sort()], [unknown.status, unknown.text, Object.keys(unknown.headers).sort()]);
      const mail = await smtp.to(who.email, /new password/);
      assert.match(mail.link, /\/reset#token=/);
      refused(await post('reset', { token: mail.token, password: 'short' }), 422, 'password_too_short');
      refused(await post('reset', { token: mail.token, password: `${who.email} is my name` }), 422, 'password_guessable');
      const r = await post('reset', { token: mail.token, password: OTHER });
      assert.equal(r.status, 204, r.text);
      refused(await post('reset', { token: mail.token, password: OTHER }), 410, 'link_gone');
      refused(await refresh(who), 401, 'invalid_refresh_token');
      refused(await me(who), 401, 'unauthorized');
      refused(await login(who), 401, 'invalid_credentials');
      assert.equal((await login(who, OTHER)).status, 200);
      await smtp.to(who.email, /password was changed/);
      assert.ok(!smtp.mails.some((m) => m.to === 'nobody-at-all@example.org'));
    });

    test('an earlier link is good no more when another was used, or the password was changed', async () => {
      const who = await user();
      await post('forgot', { email: who.email });
      const first = await smtp.to(who.email, /new password/);
      await post('forgot', { email: who.email });
      const second = await smtp.to(who.email, /new password/);
      assert.equal((await post('reset', { token: second.token, password: OTHER })).status, 204);
      refused(await post('reset', { token: first.token, password: OTHER }), 410, 'link_gone');
    });

    test('a disabled user gets no mail, and a link that he has is good no more', async () => {
      const who = await user();
      await post('forgot', { email: who.email });
      const { token } = await smtp.to(who.email, /new password/);
      await auth.api('PATCH', `/api/users/${who.id}`, { disabled: true }, admin.access_token);
      refused(await post('reset', { token, password: OTHER }), 410, 'link_gone');
      assert.equal((await post('forgot', { email: who.email })).status, 202);
      const next = await user();
      await post('forgot', { email: next.email });
      await smtp.to(next.email, /new password/);
      assert.ok(!smtp.mails.some((m) => m.to === who.email));
    });

    test('an administrator can send it, and nothing more', async () => {
      const who = await user();
      const send = (id, token = admin.access_token) => auth.api('POST', `/api/users/${id}/reset`, undefined, token);
      const r = await send(who.id);
      assert.equal(r.status, 202, r.text);
      assert.deepEqual([r.body.mailed, r.body.link], [true, null]);
      assert.ok((await smtp.to(who.email, /new password/)).token);
      refused(await send(UNKNOWN_ID), 404, 'not_found');
      refused(await send(who.id, who.access_token), 403, 'forbidden');
      refused(await auth.api('PATCH', `/api/users/${who.id}`, { password: OTHER }, admin.access_token), 422, 'invalid_field');
    });

    test('nobody is flooded: one address gets few mails, with the same answer', async () => {
      const who = await user();
      const answers = [];
      for (let i = 0; i < 8; i++) answers.push(await post('forgot', { email: who.email }, undefined, { 'x-forwarded-for': `10.9.0.${i}` }));
      assert.deepEqual([...new Set(answers.map((r) => `${r.status}${r.text}`))], ['202']);
      const last = await user();
      await post('forgot', { email: last.email });
      await smtp.to(last.email, /new password/);
      const got = smtp.mails.filter((m) => m.to === who.email && /new password/.test(m.head.subject)).length;
      assert.ok(got >= 1 && got <= 5, `${got}`);
    });
  });

  describe('the password', () => {
    const change = (who, current, next, more = {}) => post('password', { current_password: current, new_password: next, ...more }, who.access_token);

    test('is changed by who knows it; other sessions end, and he is told', async () => {
      const who = await user();
      const second = await auth.login(who);
      assert.equal((await change(who, PASSWORD, OTHER)).status, 204);
      refused(await me(second), 401, 'unauthorized');
      assert.equal((await me(who)).status, 200);
      refused(await login(who), 401, 'invalid_credentials');
      assert.equal((await login(who, OTHER)).status, 200);
      assert.match((await smtp.to(who.email, /password was changed/)).text, /From: /);
      const third = await auth.login({ ...who, password: OTHER });
      assert.equal((await change(who, OTHER, PASSWORD, { end_other_sessions: false })).status, 204);
      assert.equal((await me(third)).status, 200);
    });

    test('a wrong current one is a failed sign-in, and none is a bad request', async () => {
      const who = await user();
      refused(await post('password', { new_password: OTHER }, who.access_token), 422, 'invalid_field');
      const from = (i) => ({ 'x-forwarded-for': `10.8.0.${i}` });
      for (let i = 0; i < 3; i++)
        refused(await post('password', { current_password: OTHER, new_password: OTHER }, who.access_token, from(i)), 401, 'invalid_credentials');
      for (let i = 3; i < 5; i++) refused(await login(who, OTHER, from(i)), 401, 'invalid_credentials');
      refused(await login(who, OTHER, from(6)), 429, 'too_many_attempts');
      refused(await post('password', { current_password: PASSWORD, new_password: OTHER }, who.access_token, from(7)), 429, 'too_many_attempts');
      assert.equal((await me(who)).status, 200, 'the session stays');
    });

    test('the new one must be a good one', async () => {
      const who = await user();
      for (const [next, code] of [['short', 'password_too_short'], ['Password', 'password_breached'], ['passwordpassword', 'password_breached'], ['x'.repeat(1025), 'password_too_long'], ['My Ogent is my castle', 'password_guessable'],
        ['BLÜTEN & CO for ever', 'password_guessable']])
        refused(await change(who, PASSWORD, next), 422, code);
      assert.equal((await login(who)).status, 200);
    });
  });

  describe('the e-mail address', () => {
    const change = (who, email) => post('email', { email }, who.access_token);

    test('changes by the link sent to the new one, and both are told', async () => {
      const who = await user();
      const next = person('Moved').email;
      assert.equal((await change(who, next)).status, 202);
      assert.match((await smtp.to(who.email, /about to change/)).text, new RegExp(next));
      const mail = await smtp.to(next, /Confirm/);
      assert.equal((await login(who)).status, 200, 'nothing has changed yet');
      assert.equal((await post('email/confirm', { token: mail.token })).status, 204);
      refused(await post('email/confirm', { token: mail.token }), 410, 'link_gone');
      await smtp.to(who.email, /was changed/);
      await smtp.to(next, /was changed/);
      refused(await login(who), 401, 'invalid_credentials');
      assert.equal((await login({ ...who, email: next })).status, 200);
      assert.equal((await me(who)).body.email, next);
    });

    test('a taken one gets the same answer, and its owner a mail without a link', async () => {
      const [who, owner] = [await user(), await user()];
      assert.equal((await change(who, owner.email)).status, 202);
      assert.equal((await smtp.to(owner.email, /has an account/)).link, undefined);
    });

    test('with an old sign-in the password is needed again, and the session gets a new id', async () => {
      const who = await user();
      await auth.kill('SIGTERM');
      await auth.age(who.id);
      await auth.start();
      refused(await change(who, person().email), 403, 'reauth_required');
      refused(await auth.api('DELETE', '/api/auth/sessions', undefined, who.access_token), 403, 'reauth_required');
      assert.equal((await auth.api('GET', '/api/auth/sessions', undefined, who.access_token)).status, 200);
      refused(await post('reauth', { password: OTHER }, who.access_token), 401, 'invalid_credentials');
      const again = await post('reauth', { password: PASSWORD }, who.access_token);
      assert.equal(again.status, 200, again.text);
      assert.notEqual(claimsOf(again.body.access_token).sid, claimsOf(who.access_token).sid);
      refused(await me(who), 401, 'unauthorized');
      refused(await refresh(who), 401, 'invalid_refresh_token');
      assert.equal((await change(again.body, person().email)).status, 202);
    });
  });

  test('the profile is the name and nothing else', async () => {
    const who = await user();
    const patch = (body) => auth.api('PATCH', '/api/auth/me', body, who.access_token);
    const r = await patch({ name: ' Bobby ' });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.body.name, 'Bobby');
    for (const bad of [{ name: 'x', roles: ['admin'] }, { is_admin: true }, { name: 'x', email_verified: true }, { name: 'x', tenant_id: 't' }, { name: '' }, { name: ['x'] }])
      refused(await patch(bad), 422, 'invalid_field');
    const now = (await me(who)).body;
    assert.deepEqual([now.name, now.roles, now.email], ['Bobby', ['member'], who.email]);
  });

  describe('sessions', () => {
    const list = (s) => auth.api('GET', '/api/auth/sessions', undefined, s.access_token);
    const sid = (s) => claimsOf(s.access_token).sid;

    test('are listed and ended, one or all others', async () => {
      const one = await user();
      const two = await auth.login(one);
      const three = await auth.login(one);
      const { items } = (await list(one)).body;
      assert.deepEqual(items.map((i) => i.id).sort(), [one, two, three].map(sid).sort());
      assert.deepEqual(items.filter((i) => i.current).map((i) => i.id), [sid(one)]);
      assert.equal((await auth.api('DELETE', `/api/auth/sessions/${sid(two)}`, undefined, one.access_token)).status, 204);
      refused(await me(two), 401, 'unauthorized');
      refused(await refresh(two), 401, 'invalid_refresh_token');
      refused(await auth.api('DELETE', `/api/auth/sessions/${sid(two)}`, undefined, one.access_token), 404, 'not_found');
      assert.equal((await auth.api('DELETE', '/api/auth/sessions', undefined, one.access_token)).status, 204);
      refused(await me(three), 401, 'unauthorized');
      assert.deepEqual((await list(one)).body.items.map((i) => i.id), [sid(one)]);
    });

    test('of others are not to be seen or ended, but by an administrator', async () => {
      const [a, b] = [await user(), await user()];
      refused(await auth.api('DELETE', `/api/auth/sessions/${sid(a)}`, undefined, b.access_token), 404, 'not_found');
      const url = `/api/users/${a.id}/sessions`;
      refused(await auth.api('GET', url, undefined, b.access_token), 403, 'forbidden');
      const seen = await auth.api('GET', url, undefined, admin.access_token);
      assert.deepEqual(seen.body.items.map((i) => i.id), [sid(a)]);
      refused(await auth.api('DELETE', `${url}/${sid(b)}`, undefined, admin.access_token), 404, 'not_found');
      const second = await auth.login(a);
      assert.equal((await auth.api('DELETE', `${url}/${sid(a)}`, undefined, admin.access_token)).status, 204);
      refused(await me(a), 401, 'unauthorized');
      assert.equal((await auth.api('DELETE', url, undefined, admin.access_token)).status, 204);
      refused(await me(second), 401, 'unauthorized');
      refused(await auth.api('GET', `/api/users/${UNKNOWN_ID}/sessions`, undefined, admin.access_token), 404, 'not_found');
    });
  });

  describe('notices', () => {
    test('of a sign-in from a new device, and of one after failed attempts', async () => {
      const who = await user();
      const from = (address) => ({ 'x-forwarded-for': address, 'user-agent': 'Browser of Bob' });
      assert.equal((await login(who, PASSWORD, from('10.7.0.1'))).status, 200);
      const mail = await smtp.to(who.email, /New sign-in/);
      assert.match(mail.text, /10\.7\.0\.1 \(Browser of Bob\)/);
      assert.ok(logged('login_new_device').some((e) => e.user_id === who.id));
      await login(who, PASSWORD, from('10.7.0.1'));
      for (let i = 0; i < 5; i++) refused(await login(who, OTHER, from('10.7.0.1')), 401, 'invalid_credentials');
      const failed = async () => (await login(who, PASSWORD, from('10.7.0.1'))).status === 200;
      await until(failed);
      assert.match((await smtp.to(who.email, /failed attempts/)).text, /after 5 failed attempts/);
      assert.ok(!smtp.mails.some((m) => m.to === who.email && /New sign-in/.test(m.head.subject)), 'the device was known');
    });
  });

  describe('a known device', () => {
    const web = { 'x-ogent-client': 'web' };
    const device = (r) => (r.headers['set-cookie'] ?? []).find((c) => c.startsWith('ogent_device='));

    test('is not kept out by what others try', async () => {
      const who = await user();
      const first = await login(who, PASSWORD, { ...web, 'x-forwarded-for': '10.6.0.1' });
      assert.match(device(first), /^ogent_device=ogd_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
      const cookie = device(first).split(';')[0];
      let status;
      for (let i = 0; i < 70 && status !== 429; i++) ({ status } = await login(who, OTHER, { 'x-forwarded-for': '10.6.0.66' }));
      assert.equal(status, 429);
      refused(await login(who, PASSWORD, { 'x-forwarded-for': '10.6.0.67' }), 429, 'too_many_attempts');
      const known = await login(who, PASSWORD, { ...web, cookie, 'x-forwarded-for': '10.6.0.66' });
      assert.equal(known.status, 200, known.text);
      assert.equal(device(known), undefined, 'it has its cookie');
      const stranger = await user();
      const foreign = await login(stranger, OTHER, { ...web, cookie, 'x-forwarded-for': '10.6.0.66' });
      assert.notEqual(foreign.status, 200, 'it is good for its account alone');
      const https = await login(who, PASSWORD, { ...web, 'x-forwarded-proto': 'https', 'x-forwarded-for': '10.6.0.1' });
      assert.match(https.headers['set-cookie'].find((c) => c.startsWith('__Host-ogent_device=')), /; Secure$/);
    });

    test('after a hundred failures in a row only it may sign in, until the password is reset', async () => {
      const who = await user();
      const cookie = device(await login(who, PASSWORD, { ...web, 'x-forwarded-for': '10.5.0.1' })).split(';')[0];
      await auth.kill('SIGTERM');
      await auth.fail(who.id, 100);
      await auth.start();
      refused(await login(who, PASSWORD, { 'x-forwarded-for': '10.5.0.2' }), 401, 'invalid_credentials');
      await post('forgot', { email: who.email });
      const { token } = await smtp.to(who.email, /new password/);
      assert.equal((await login(who, PASSWORD, { ...web, cookie, 'x-forwarded-for': '10.5.0.2' })).status, 200);
      await auth.kill('SIGTERM');
      await auth.fail(who.id, 100);
      await auth.start();
      assert.equal((await post('reset', { token, password: OTHER })).status, 204);
      assert.equal((await login(who, OTHER, { 'x-forwarded-for': '10.5.0.3' })).status, 200);
    });

    test('fifty wrong passwords at once count fifty', async () => {
      const who = await user();
      const all = await Promise.all(Array.from({ length: 50 }, (_, i) => login(who, OTHER, { 'x-forwarded-for': `10.3.0.${i}` })));
      const wrong = all.filter((r) => r.status === 401).length;
      assert.equal(wrong, all.filter((r) => r.status !== 429 && r.status !== 503).length);
      await until(async () => (await auth.failures(who.id)) === wrong);
    });
  });

  describe('the outbox', () => {
    const mails = async () => (await auth.api('GET', '/api/auth/mails?limit=200', undefined, admin.access_token)).body.items;

    test('keeps what cannot be sent, through a crash, and holds nobody up', async () => {
      const [poison, later, who] = [`poison${++serial}@example.org`, `later${++serial}@example.org`, person().email];
      for (const email of [poison, later, who]) assert.equal((await auth.api('POST', '/api/auth/invitations', { email }, admin.access_token)).status, 201);
      await smtp.to(who);
      const state = async (to) => (await mails()).find((m) => m.to === to);
      const bad = await until(async () => (await state(poison))?.state === 'failed' && state(poison));
      assert.match(bad.error, /550/);
      assert.equal(bad.link, null);
      const slow = await until(async () => (await state(later))?.attempts > 1 && state(later));
      assert.equal(slow.state, 'waiting');
      await smtp.stop();
      const lost = person().email;
      assert.equal((await auth.api('POST', '/api/auth/invitations', { email: lost }, admin.access_token)).status, 201);
      await until(async () => (await state(lost)).error);
      await auth.kill('SIGKILL');
      await smtp.start();
      await auth.start();
      await smtp.to(lost);
      await until(async () => (await state(lost)).state === 'sent');
    });

    test('killed again and again while it sends, it loses none', async () => {
      const addresses = Array.from({ length: 20 }, () => person().email);
      const add = async (email) => {
        const r = await until(() => auth.api('POST', '/api/auth/invitations', { email }, admin.access_token).catch(() => null));
        assert.ok([201, 409].includes(r.status), r.text);
      };
      for (const [i, email] of addresses.entries()) {
        await add(email);
        if (i % 4 !== 3) continue;
        await auth.kill('SIGKILL');
        await auth.start();
      }
      const ids = new Map();
      for (const email of addresses) ids.set(email, (await smtp.to(email)).head['message-id']);
      await until(async () => (await mails()).filter((m) => ids.has(m.to)).every((m) => m.state === 'sent'));
      // What came twice is the same mail.
      for (const m of smtp.mails) if (ids.has(m.to)) assert.equal(m.head['message-id'], ids.get(m.to));
    });

    test('no secret is in the database or the log', async () => {
      const who = person();
      const invitation = (await auth.api('POST', '/api/auth/invitations', { email: who.email }, admin.access_token)).body;
      const { token } = await smtp.to(who.email);
      assert.ok(invitation.link.endsWith(token));
      await auth.kill('SIGTERM');
      const stored = await auth.stored();
      assert.ok(stored.includes(who.email));
      for (const secret of [token, token.slice(-22)]) {
        assert.ok(!stored.includes(secret));
        assert.ok(!auth.log.includes(secret));
      }
      await auth.start();
    });
  });
});
