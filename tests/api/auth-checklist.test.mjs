// The checklist of requirements (OWASP ASVS 5.0, NIST SP 800-63B-4, RFC 9700) as a table: what is asked, what must come back. Rows of
// accounts, passwords, sessions and the guard.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { claimsOf } from '../lib/jws.mjs';
import { ADMIN, startRole } from '../lib/platform.mjs';

const PASSWORD = 'a quiet river under stones';
const NEW = 'nine green bottles on the wall';
let serial = 0;
const address = () => `p${++serial}@example.org`;

describe('checklist: accounts', { timeout: 120000 }, () => {
  let auth, admin;
  const call = (method, path, body, token, headers) => auth.api(method, path, body, token, headers);
  const post = (path, body, token, headers) => call('POST', `/api/auth/${path}`, body, token, headers);
  const login = (email, password = PASSWORD, headers) => post('login', { email, password }, undefined, headers);
  const create = (password, email = address()) => call('POST', '/api/users', { name: 'P', email, password }, admin.access_token);
  async function user(password = PASSWORD) {
    const email = address();
    const made = await create(password, email);
    assert.equal(made.status, 201, made.text);
    return { id: made.body.id, email, ...(await login(email, password)).body };
  }
  const link = async (kind, to) => {
    for (const end = Date.now() + 30000; Date.now() < end; ) {
      const mail = (await call('GET', '/api/auth/mails', undefined, admin.access_token)).body.items.find((m) => m.kind === kind && m.to === to && m.state === 'shown');
      if (mail) return mail.link?.split('token=')[1] ?? null;
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(`no ${kind} for ${to}`);
  };
  const is = (r, status, code) => {
    assert.equal(r.status, status, r.text);
    if (code) assert.equal(r.body.code, code, r.text);
  };

  before(async () => {
    auth = await startRole('auth', { env: { OGENT_REFRESH_GRACE: '0s' } });
    admin = await auth.setUp();
    is(await call('PATCH', '/api/auth/settings', { registration: 'open' }, admin.access_token), 200);
  });
  after(() => auth?.stop());

  const rows = [
    ['1', 'seven characters are too few, fifteen enough', async () => {
      is(await post('register', { name: 'P', email: address(), password: 'sevench' }), 422, 'password_too_short');
      is(await post('register', { name: 'P', email: address(), password: 'fifteen charss!' }), 202);
    }],
    ['2, 3', 'long ones count to their last byte', async () => {
      for (const password of ['x'.repeat(64), 'ü'.repeat(256), '😀'.repeat(15)]) {
        const who = await user(password);
        is(await login(who.email, [...password].slice(1).join('')), 401, 'invalid_credentials');
        is(await login(who.email, `${password} `), 401, 'invalid_credentials');
      }
      const long = 'k'.repeat(100);
      const who = await user(long);
      is(await login(who.email, `${'k'.repeat(72)}j${'k'.repeat(27)}`), 401, 'invalid_credentials');
      is(await login(who.email, long), 200);
    }],
    ['4, 8', 'no rule of composition', async () => is(await create('only lower case here'), 201)],
    ['5', 'common and breached ones are refused wherever one is chosen', async () => {
      const who = await user();
      for (const password of ['password', '123456', 'qwerty', 'IloveYou', 'letmein', 'monkey', 'dragon', 'football', 'qwertyuiopasdfghjkl']) {
        is(await post('register', { name: 'P', email: address(), password }), 422, 'password_breached');
        is(await create(password), 422, 'password_breached');
        is(await post('password', { current_password: PASSWORD, new_password: password }, who.access_token), 422, 'password_breached');
      }
      await post('forgot', { email: who.email });
      const token = await link('reset', who.email);
      is(await post('reset', { token, password: 'sunshine' }), 422, 'password_breached');
      is(await post('reset', { token, password: NEW }), 204);
    }],
    ['6, 7', 'names are refused; the current password is asked for', async () => {
      is(await create('grace is my own name', 'grace@example.org'), 422, 'password_guessable');
      is(await create('i love my ogent very much'), 422, 'password_guessable');
      const who = await user();
      is(await post('password', { current_password: NEW, new_password: NEW }, who.access_token), 401, 'invalid_credentials');
      is(await post('password', { new_password: NEW }, who.access_token), 422, 'invalid_field');
    }],
    ['9', 'both spellings are one; undefined characters and broken text are bad requests', async () => {
      const who = await user('cafe\u0301 au lait au jardin');
      is(await login(who.email, 'caf\u00e9 au lait au jardin'), 200);
      is(await create(`undefined: ${String.fromCodePoint(0x378)} is none`), 400, 'password_undefined');
      const raw = Buffer.concat([Buffer.from(`{"name":"P","email":"${address()}","password":"`), Buffer.from([0xff]), Buffer.from(' is no text of UTF-8"}')]);
      is(await call('POST', '/api/users', raw, admin.access_token), 400, 'invalid_json');
    }],
    ['10', 'the set-up works once', async () => is(await post('setup', { token: 'x', ...ADMIN }), 410, 'setup_done')],
    ['13', 'whatever is wrong with a sign-in, the answer is the same to the byte', async () => {
      const [off, locked, pending] = [await user(), await user(), address()];
      is(await call('PATCH', `/api/users/${off.id}`, { disabled: true }, admin.access_token), 200);
      await post('register', { name: 'P', email: pending, password: PASSWORD });
      await auth.kill('SIGTERM');
      await auth.fail(locked.id, 100);
      await auth.start();
      const tries = [[address(), PASSWORD], [admin.user.email, NEW], [off.email, PASSWORD], [pending, PASSWORD], [locked.email, PASSWORD], [address(), ''], [admin.user.email, '']];
      const seen = new Set();
      for (const [i, [email, password]] of tries.entries()) {
        const r = await login(email, password, { 'x-forwarded-for': `10.40.0.${i}` });
        is(r, 401, 'invalid_credentials');
        seen.add(JSON.stringify([{ ...r.body, request_id: '' }, Object.keys(r.headers).sort(), r.headers['content-length']]));
      }
      assert.equal(seen.size, 1, [...seen].join('\n'));
    }],
    ['14', 'a taken and a free address, a known and an unknown one get the same answer', async () => {
      const who = await user();
      const shape = (r) => JSON.stringify([r.status, r.text, Object.keys(r.headers).sort()]);
      const sign = (email) => post('register', { name: 'P', email, password: PASSWORD });
      assert.equal(shape(await sign(who.email)), shape(await sign(address())));
      assert.equal(shape(await post('forgot', { email: who.email })), shape(await post('forgot', { email: address() })));
      assert.equal(await link('signup_taken', who.email), null);
    }],
    ['17', 'the secret of a link has 128 bits at least and works once', async () => {
      const who = address();
      const invited = await call('POST', '/api/auth/invitations', { email: who }, admin.access_token);
      is(invited, 201);
      const token = invited.body.link.split('token=')[1];
      assert.ok(Buffer.from(token.slice(4), 'base64url').length >= 16 + 16);
      is(await post('accept', { token, name: 'P', password: PASSWORD }), 201);
      is(await post('accept', { token, name: 'P', password: PASSWORD }), 410, 'link_gone');
    }],
    ['19', 'no administrator sets a password', async () => {
      const who = await user();
      is(await call('PATCH', `/api/users/${who.id}`, { password: NEW }, admin.access_token), 422, 'invalid_field');
      is(await call('POST', `/api/users/${who.id}/reset`, undefined, admin.access_token), 202);
    }],
    ['26', 'refresh tokens are unique', async () => {
      const who = await user();
      const seen = new Set([who.refresh_token]);
      for (let i = 0, token = who.refresh_token; i < 50; i++) seen.add((token = (await post('refresh', { refresh_token: token })).body.refresh_token));
      assert.equal(seen.size, 51);
    }],
    ['27', 'a cookie of before is not taken over, and its session ends', async () => {
      const who = await user();
      const web = { 'x-ogent-client': 'web' };
      const before = await login(who.email, PASSWORD, web);
      const cookie = before.headers['set-cookie'][0].split(';')[0];
      const next = await login(who.email, PASSWORD, { ...web, cookie });
      assert.notEqual(claimsOf(before.body.access_token).sid, claimsOf(next.body.access_token).sid);
      is(await call('GET', '/api/auth/me', undefined, before.body.access_token), 401, 'unauthorized');
    }],
    ['28', 'no token outlives its session', async () => {
      await auth.kill('SIGTERM');
      auth.env.OGENT_REFRESH_TTL = '60s';
      await auth.start();
      const who = await user();
      const { iat, exp } = claimsOf(who.access_token);
      assert.ok(exp - iat <= 60, `${exp - iat}`);
      assert.equal(who.expires_in, exp - iat);
      await auth.kill('SIGTERM');
      await auth.expire(who.id);
      delete auth.env.OGENT_REFRESH_TTL;
      await auth.start();
      is(await call('GET', '/api/auth/me', undefined, who.access_token), 401, 'unauthorized');
      is(await post('refresh', { refresh_token: who.refresh_token }), 401, 'invalid_refresh_token');
      admin = await auth.login(ADMIN);
    }],
    ['29', 'signing out ends the access token too', async () => {
      const who = await user();
      is(await post('logout', undefined, who.access_token), 204);
      is(await call('GET', '/api/auth/me', undefined, who.access_token), 401, 'unauthorized');
      is(await post('refresh', { refresh_token: who.refresh_token }), 401, 'invalid_refresh_token');
    }],
    ['31, 32', 'sessions are ended, and the address is changed, with a fresh sign-in only', async () => {
      const who = await user();
      await auth.kill('SIGTERM');
      await auth.age(who.id);
      await auth.start();
      is(await post('email', { email: address() }, who.access_token), 403, 'reauth_required');
      is(await call('DELETE', '/api/auth/sessions', undefined, who.access_token), 403, 'reauth_required');
      const fresh = await post('reauth', { password: PASSWORD }, who.access_token);
      is(fresh, 200);
      is(await post('email', { email: address() }, fresh.body.access_token), 202);
      is(await call('DELETE', '/api/auth/sessions', undefined, fresh.body.access_token), 204);
    }],
    ['34, 35', 'nobody touches another\'s session, and the profile takes no right', async () => {
      const [a, b] = [await user(), await user()];
      is(await call('DELETE', `/api/auth/sessions/${claimsOf(a.access_token).sid}`, undefined, b.access_token), 404, 'not_found');
      for (const extra of [{ roles: ['admin'] }, { is_admin: true }, { email_verified: true }, { tenant_id: 't' }])
        is(await call('PATCH', '/api/auth/me', { name: 'P', ...extra }, a.access_token), 422, 'invalid_field');
    }],
    ['49, 51', 'a used refresh token ends the family outside the grace time', async () => {
      const who = await user();
      const next = (await post('refresh', { refresh_token: who.refresh_token })).body;
      is(await post('refresh', { refresh_token: who.refresh_token }), 401, 'invalid_refresh_token');
      is(await post('refresh', { refresh_token: next.refresh_token }), 401, 'invalid_refresh_token');
      assert.ok(auth.log.includes('refresh_reuse'));
    }],
    ['+', 'another site gets nowhere with a cookie', async () => {
      const who = await user();
      const web = { 'x-ogent-client': 'web', 'x-forwarded-proto': 'https' };
      const r = await login(who.email, PASSWORD, web);
      assert.match(r.headers['set-cookie'][0], /^__Host-ogent_session=.*; Path=\/; HttpOnly; SameSite=Strict; .*Secure$/);
      const cookie = r.headers['set-cookie'][0].split(';')[0];
      for (const foreign of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
        is(await post('refresh', undefined, undefined, { ...web, ...foreign, cookie }), 403, 'cross_site');
        const [email, password, token, name] = [who.email, PASSWORD, 'x', 'P'];
        const bodies = { login: { email, password }, register: { name, email, password }, forgot: { email }, reset: { token, password }, accept: { token, name, password }, verify: { token, password } };
        for (const [path, body] of Object.entries(bodies)) is(await post(path, body, undefined, foreign), 403, 'cross_site');
      }
    }],
  ];
  for (const [number, name, run] of rows) test(`${number}: ${name}`, run);
});
