// The checklist of requirements (OWASP ASVS 5.0, whose chapters are numbers; B: NIST SP 800-63B-4; J: RFC 8725; O: RFC 9700) as a table:
// number, source, what is asked and must come back, and the request itself or the test elsewhere that makes it.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { totp } from '../lib/authenticator.mjs';
import { authRows, authSql } from '../lib/databases.mjs';
import { claimsOf, headerOf, signed, signingKey } from '../lib/jws.mjs';
import { ADMIN, startRole } from '../lib/platform.mjs';

const COMMON = readFileSync(join(import.meta.dirname, '../../services/auth/data/common_passwords.txt'), 'utf8').split('\n').filter((l) => l && !l.startsWith('#'));

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

  // A user who gives codes of an app too; not at the end of a step, where the next code would be another one.
  async function withTotp() {
    const late = (Date.now() % 30000) - 15000;
    if (late > 0) await sleep(15000 - late + 50);
    const who = await user();
    const begun = (await post('factors/totp', {}, who.access_token)).body;
    const on = await post('factors/totp/confirm', { ticket: begun.ticket, code: totp(begun.secret, Date.now() - 30000) }, who.access_token);
    is(on, 200);
    const ticket = async () => (await login(who.email)).body.ticket;
    const code = async (at = Date.now(), given) => post('login/code', { ticket: given ?? (await ticket()), code: totp(begun.secret, at) });
    return { ...who, secret: begun.secret, codes: on.body.recovery_codes, ticket, code };
  }
  const me = (token) => call('GET', '/api/auth/me', undefined, token);
  const hashes = async () => Number((await auth.api('GET', '/metrics')).text.match(/^ogent_auth_password_hashes_total (\d+)/m)[1]);
  const audited = async (event, target) => {
    for (const end = Date.now() + 30000; Date.now() < end; await sleep(20)) {
      const { items } = (await call('GET', `/api/audit?limit=200&event=${event}`, undefined, admin.access_token)).body;
      const found = items.find((e) => !target || e.target === target);
      if (found) return found;
    }
    throw new Error(`no ${event} of ${target}`);
  };

  before(async () => {
    auth = await startRole('auth', { env: { OGENT_REFRESH_GRACE: '0s' } });
    admin = await auth.setUp();
    is(await call('PATCH', '/api/auth/settings', { registration: 'open' }, admin.access_token), 200);
  });
  after(() => auth?.stop());

  const rows = [
    ['1', '6.2.1 L1, B', 'seven characters are too few, fifteen enough', async () => {
      is(await post('register', { name: 'P', email: address(), password: 'sevench' }), 422, 'password_too_short');
      is(await post('register', { name: 'P', email: address(), password: 'fifteen charss!' }), 202);
    }],
    ['2, 3', '6.2.8/9, B', 'long ones count to their last byte', async () => {
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
    ['4, 8', '6.2.5/10, B', 'no rule of composition, and no password grows too old', async () => {
      const who = await user('only lower case here');
      await auth.kill('SIGTERM');
      await authSql(auth.data, `update users set password_changed_at = password_changed_at - 5 * 365 * 86400000000 where id = '${who.id}'`);
      await auth.start();
      is(await login(who.email, 'only lower case here'), 200);
    }],
    ['5', '6.2.4 L1, 6.2.12', 'common and breached ones are refused wherever one is chosen', async () => {
      const listed = COMMON.filter((_, i) => i % 40 === 0);
      assert.ok(COMMON.length > 20000 && listed.length > 500);
      while (listed.length) {
        const got = await Promise.all(listed.splice(0, 50).map(async (password) => [password, await create(password)]));
        for (const [password, r] of got) assert.deepEqual([r.status, r.body.code], [422, 'password_breached'], password);
      }
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
    ['6, 7', '6.2.2/3/11, 6.1.2', 'names are refused; the current password is asked for', async () => {
      is(await create('grace is my own name', 'grace@example.org'), 422, 'password_guessable');
      is(await create('i love my ogent very much'), 422, 'password_guessable');
      const who = await user();
      is(await post('password', { current_password: NEW, new_password: NEW }, who.access_token), 401, 'invalid_credentials');
      is(await post('password', { new_password: NEW }, who.access_token), 422, 'invalid_field');
    }],
    ['9', 'B', 'both spellings are one; undefined characters and broken text are bad requests', async () => {
      const who = await user('cafe\u0301 au lait au jardin');
      is(await login(who.email, 'caf\u00e9 au lait au jardin'), 200);
      is(await create(`undefined: ${String.fromCodePoint(0x378)} is none`), 400, 'password_undefined');
      const raw = Buffer.concat([Buffer.from(`{"name":"P","email":"${address()}","password":"`), Buffer.from([0xff]), Buffer.from(' is no text of UTF-8"}')]);
      is(await call('POST', '/api/users', raw, admin.access_token), 400, 'invalid_json');
    }],
    ['10', '6.3.2', 'the set-up works once', async () => is(await post('setup', { token: 'x', ...ADMIN }), 410, 'setup_done')],
    ['13', '6.3.8 L3', 'whatever is wrong with a sign-in, the answer is the same to the byte', async () => {
      const [off, locked, pending] = [await user(), await user(), address()];
      is(await call('PATCH', `/api/users/${off.id}`, { disabled: true }, admin.access_token), 200);
      await post('register', { name: 'P', email: pending, password: PASSWORD });
      await auth.kill('SIGTERM');
      await auth.fail(locked.id, 100);
      await auth.start();
      const tries = [[address(), PASSWORD], [admin.user.email, NEW], [off.email, PASSWORD], [pending, PASSWORD], [locked.email, PASSWORD], [address(), ''], [admin.user.email, '']];
      const seen = new Set();
      for (const [i, [email, password]] of tries.entries()) {
        const before = await hashes();
        const r = await login(email, password, { 'x-forwarded-for': `10.40.0.${i}` });
        is(r, 401, 'invalid_credentials');
        assert.equal((await hashes()) - before, 1, 'each costs one hash, so the time is the same');
        seen.add(JSON.stringify([{ ...r.body, request_id: '' }, Object.keys(r.headers).sort(), r.headers['content-length']]));
      }
      assert.equal(seen.size, 1, [...seen].join('\n'));
    }],
    ['14', '6.3.8', 'a taken and a free address, a known and an unknown one get the same answer', async () => {
      const who = await user();
      const shape = (r) => JSON.stringify([r.status, r.text, Object.keys(r.headers).sort()]);
      const sign = (email) => post('register', { name: 'P', email, password: PASSWORD });
      assert.equal(shape(await sign(who.email)), shape(await sign(address())));
      assert.equal(shape(await post('forgot', { email: who.email })), shape(await post('forgot', { email: address() })));
      assert.equal(await link('signup_taken', who.email), null);
    }],
    ['17', '6.4.1', 'the secret of a link has 128 bits at least and works once', async () => {
      const who = address();
      const invited = await call('POST', '/api/auth/invitations', { email: who }, admin.access_token);
      is(invited, 201);
      const token = invited.body.link.split('token=')[1];
      assert.ok(Buffer.from(token.slice(4), 'base64url').length >= 16 + 16);
      is(await post('accept', { token, name: 'P', password: PASSWORD }), 201);
      is(await post('accept', { token, name: 'P', password: PASSWORD }), 410, 'link_gone');
    }],
    ['17', '6.4.1', 'an address that comes with many links that are none waits, and no other one does', async () => {
      const from = (address) => ({ 'x-forwarded-for': address });
      const bodies = [['reset', { token: 'ogk_x', password: NEW }], ['accept', { token: 'ogk_x', name: 'P', password: NEW }], ['verify', { token: 'ogk_x', password: NEW }], ['link', { token: 'ogk_x' }]];
      const seen = [];
      for (let i = 0; i < 32; i++) seen.push((await post(...bodies[i % 4], undefined, from('10.77.0.1'))).status);
      assert.deepEqual(seen, [...Array(30).fill(403), 429, 429]);
      is(await post('link', { token: 'ogk_x' }, undefined, from('10.77.0.2')), 403, 'link_invalid');
    }],
    ['19', '6.4.6', 'no administrator sets a password', async () => {
      const who = await user();
      is(await call('PATCH', `/api/users/${who.id}`, { password: NEW }, admin.access_token), 422, 'invalid_field');
      is(await call('POST', `/api/users/${who.id}/reset`, undefined, admin.access_token), 202);
    }],
    ['26', '7.2.3', 'refresh tokens are unique', async () => {
      const who = await user();
      const seen = new Set([who.refresh_token]);
      for (let i = 0, token = who.refresh_token; i < 50; i++) seen.add((token = (await post('refresh', { refresh_token: token })).body.refresh_token));
      assert.equal(seen.size, 51);
    }],
    ['27', '7.2.4', 'a cookie of before is not taken over, and its session ends', async () => {
      const who = await user();
      const web = { 'x-ogent-client': 'web' };
      const before = await login(who.email, PASSWORD, web);
      const cookie = before.headers['set-cookie'][0].split(';')[0];
      const next = await login(who.email, PASSWORD, { ...web, cookie });
      assert.notEqual(claimsOf(before.body.access_token).sid, claimsOf(next.body.access_token).sid);
      is(await call('GET', '/api/auth/me', undefined, before.body.access_token), 401, 'unauthorized');
    }],
    ['28', '7.3.1/2, B', 'no token outlives its session', async () => {
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
      // A busy one ends too, at the end that its first token had.
      const busy = await user();
      const next = (await post('refresh', { refresh_token: busy.refresh_token })).body;
      await auth.kill('SIGTERM');
      await authSql(auth.data, `update sessions set ends_at = 1 where user_id = '${busy.id}'`);
      await auth.start();
      is(await post('refresh', { refresh_token: next.refresh_token }), 401, 'invalid_refresh_token');
    }],
    ['29', '7.4.1', 'signing out ends the access token too', async () => {
      const who = await user();
      is(await post('logout', undefined, who.access_token), 204);
      is(await call('GET', '/api/auth/me', undefined, who.access_token), 401, 'unauthorized');
      is(await post('refresh', { refresh_token: who.refresh_token }), 401, 'invalid_refresh_token');
    }],
    ['31, 32', '7.4.5, 7.5.1/2', 'sessions are ended, and the address is changed, with a fresh sign-in only', async () => {
      const who = await user();
      await auth.kill('SIGTERM');
      await auth.age(who.id);
      await auth.start();
      is(await post('email', { email: address() }, who.access_token), 403, 'reauth_required');
      is(await call('DELETE', '/api/auth/sessions', undefined, who.access_token), 403, 'reauth_required');
      const begun = (await post('factors/totp', {}, who.access_token)).body;
      is(await post('factors/totp/confirm', { ticket: begun.ticket, code: totp(begun.secret) }, who.access_token), 403, 'reauth_required');
      is(await call('DELETE', '/api/auth/factors/totp', undefined, who.access_token), 403, 'reauth_required');
      for (const path of ['factors/passkeys/options', 'factors/recovery-codes']) is(await post(path, {}, who.access_token), 403, 'reauth_required');
      const fresh = await post('reauth', { password: PASSWORD }, who.access_token);
      is(fresh, 200);
      is(await post('email', { email: address() }, fresh.body.access_token), 202);
      is(await call('DELETE', '/api/auth/sessions', undefined, fresh.body.access_token), 204);
    }],
    ['34, 35', '8.2.2/3', 'nobody touches another\'s session, and the profile takes no right', async () => {
      const [a, b] = [await user(), await user()];
      is(await call('DELETE', `/api/auth/sessions/${claimsOf(a.access_token).sid}`, undefined, b.access_token), 404, 'not_found');
      for (const extra of [{ roles: ['admin'] }, { is_admin: true }, { email_verified: true }, { tenant_id: 't' }])
        is(await call('PATCH', '/api/auth/me', { name: 'P', ...extra }, a.access_token), 422, 'invalid_field');
      const email = address();
      is(await post('register', { name: 'P', email, password: PASSWORD, is_admin: true }), 422, 'invalid_field');
      assert.deepEqual(authRows(auth.data, `select id from links where email = '${email}'`), []);
      const made = await call('POST', '/api/tokens', { name: 'mine', scopes: ['agents.read'] }, a.access_token);
      is(made, 201);
      is(await call('DELETE', `/api/tokens/${made.body.id}`, undefined, b.access_token), 404, 'not_found');
    }],
    ['49, 51', '10.4.5/8, O4.14', 'a used refresh token ends the family outside the grace time', async () => {
      const who = await user();
      const next = (await post('refresh', { refresh_token: who.refresh_token })).body;
      is(await post('refresh', { refresh_token: who.refresh_token }), 401, 'invalid_refresh_token');
      is(await post('refresh', { refresh_token: next.refresh_token }), 401, 'invalid_refresh_token');
      assert.ok(auth.log.includes('refresh_reuse'));
      assert.equal((await audited('session.reused', `session:${claimsOf(who.access_token).sid}`)).outcome, 'denied');
    }],
    ['+', 'V3 cookies', 'another site gets nowhere with a cookie', async () => {
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
    ['15', '6.3.7', 'who changes a factor is told', async () => {
      const who = await withTotp();
      assert.equal(await link('factors', who.email), null);
    }],
    ['18', '6.4.3', 'a reset of an account with a second factor opens no session, and the next sign-in asks for the factor', async () => {
      const who = await withTotp();
      await post('forgot', { email: who.email });
      const r = await post('reset', { token: await link('reset', who.email), password: NEW });
      is(r, 204);
      assert.equal(r.text, '');
      assert.equal(r.headers['set-cookie'], undefined);
      is(await login(who.email, NEW), 401, 'second_factor_required');
    }],
    ['20', '6.5.1/5', 'one code, twenty times at once: one of them is good', async () => {
      const who = await withTotp();
      const tickets = await Promise.all(Array.from({ length: 20 }, () => who.ticket()));
      const at = Date.now();
      const all = await Promise.all(tickets.map((t) => who.code(at, t)));
      assert.equal(all.filter((r) => r.status === 200).length, 1, all.map((r) => r.status).join());
      assert.deepEqual([...new Set(all.map((r) => r.status))].filter((s) => ![200, 401, 429].includes(s)), []);
    }],
    ['21', '6.5.8', 'two steps early or late is wrong, whatever time the client says', async () => {
      const who = await withTotp();
      const ticket = await who.ticket();
      const date = { date: new Date(Date.now() + 60000).toUTCString() };
      for (const off of [-60000, 60000])
        is(await post('login/code', { ticket, code: totp(who.secret, Date.now() + off) }, undefined, date), 401, 'code_wrong');
      is(await who.code(Date.now(), ticket), 200);
    }],
    ['22', '6.5.2', 'recovery codes have 112 bits at least, and neither they nor the secret are in the database', async () => {
      const who = await withTotp();
      for (const code of who.codes) assert.ok(code.replaceAll('-', '').length * 5 >= 112, code);
      assert.equal(new Set(who.codes).size, 10);
      await auth.kill('SIGTERM');
      const stored = await auth.stored();
      await auth.start();
      for (const secret of [who.secret, ...who.codes.flatMap((c) => [c, c.replaceAll('-', '')])]) assert.ok(!stored.includes(secret));
    }],
    ['23', '6.6.3', 'after five wrong codes the right one waits too', async () => {
      const who = await withTotp();
      const ticket = await who.ticket();
      for (let i = 0; i < 5; i++) is(await who.code(Date.now() + 3600000 * (i + 1), ticket), 401, 'code_wrong');
      const r = await who.code(Date.now(), ticket);
      is(r, 429, 'too_many_attempts');
      assert.ok(Number(r.headers['retry-after']) >= 25);
    }],
    ['24', '6.5.6, 7.4.3', 'all other sessions are ended at one go', async () => {
      const who = await user();
      const other = (await login(who.email)).body;
      is(await call('DELETE', '/api/auth/sessions', undefined, who.access_token), 204);
      is(await me(other.access_token), 401, 'unauthorized');
      is(await me(who.access_token), 200);
    }],
    ['38', '8.4.1', 'an installation is a tenant: what one gives is nothing in another', async () => {
      const who = await user();
      const key = (await call('POST', '/api/tokens', { name: 'mine', scopes: ['agents.read'] }, admin.access_token)).body.token;
      const web = { 'x-ogent-client': 'web' };
      const cookie = (await login(who.email, PASSWORD, web)).headers['set-cookie'][0].split(';')[0];
      await post('forgot', { email: who.email });
      const reset = await link('reset', who.email);
      const other = await startRole('auth');
      try {
        await other.setUp();
        for (const token of [admin.access_token, key]) is(await other.api('GET', '/api/users', undefined, token), 401, 'unauthorized');
        is(await other.api('POST', '/api/auth/refresh', { refresh_token: who.refresh_token }), 401, 'invalid_refresh_token');
        is(await other.api('POST', '/api/auth/refresh', undefined, undefined, { ...web, cookie }), 401, 'invalid_refresh_token');
        is(await other.api('POST', '/api/auth/reset', { token: reset, password: NEW }), 403, 'link_invalid');
        is(await other.api('POST', '/api/auth/local', { key: auth.secret('cli.token') }), 401);
      } finally {
        await other.stop();
      }
    }],
    ['39', '9.1.1–3, J3.1', 'keys that a token brings along are neither used nor fetched', async () => {
      let asked = 0;
      const server = net.createServer((s) => (asked++, s.destroy()));
      await new Promise((done) => server.listen(0, '127.0.0.1', done));
      const url = `http://127.0.0.1:${server.address().port}/keys`;
      const token = (await user()).access_token;
      const key = signingKey(auth);
      is(await me(signed(key, headerOf(token), claimsOf(token))), 200);
      for (const more of [{ jku: url }, { x5u: url }, { x5c: ['AA=='] }, { jwk: { kty: 'OKP', crv: 'Ed25519', x: 'AA' } }, { alg: 'none' }, { alg: 'HS256' }, { alg: 'HS512' }])
        is(await me(signed(key, { ...headerOf(token), ...more }, claimsOf(token))), 401, 'unauthorized');
      server.close();
      assert.equal(asked, 0);
    }],
    ['40', '9.2.1', 'exp and iat are needed, nbf counts, the skew is a minute at most, and so long no token lives', async () => {
      const token = (await user()).access_token;
      const [key, header, claims, now] = [signingKey(auth), headerOf(token), claimsOf(token), Math.floor(Date.now() / 1000)];
      const make = (more) => signed(key, header, Object.fromEntries(Object.entries({ ...claims, ...more }).filter(([, v]) => v !== undefined)));
      is(await me(make({})), 200);
      for (const more of [{ exp: undefined }, { iat: undefined }, { exp: now - 61, iat: now - 600 }, { iat: now + 61, exp: now + 600 }, { nbf: now + 61 }, { exp: now + 90000 }])
        is(await me(make(more)), 401, 'unauthorized');
    }],
    ['41', '9.2.2, J3.11', 'no other secret of the platform is an access token', async () => {
      const who = await withTotp();
      await post('forgot', { email: who.email });
      const invited = (await call('POST', '/api/auth/invitations', { email: address() }, admin.access_token)).body.link.split('token=')[1];
      const id = signed(signingKey(auth), { ...headerOf(who.access_token), typ: 'JWT' }, claimsOf(who.access_token));
      for (const other of [who.refresh_token, await link('reset', who.email), invited, await who.ticket(), who.codes[0], id, auth.secret('cli.token')])
        is(await me(other), 401, 'unauthorized');
    }],
    ['42, 43', '9.2.3/4, J3.8/9', 'another audience, ours among others, and an issuer that differs by a sign are refused', async () => {
      const token = (await user()).access_token;
      const key = signingKey(auth);
      for (const more of [{ aud: 'agent' }, { aud: ['ogent-api'] }, { aud: ['ogent-api', 'other'] }, { aud: 'OGENT-API' }, { iss: 'ogent/' }, { iss: 'Ogent' }, { iss: 'ogent:' }])
        is(await me(signed(key, headerOf(token), { ...claimsOf(token), ...more })), 401, 'unauthorized');
    }],
    ['44', 'J3.5, 11.5.1', 'with a key that is too short nothing starts', async () => {
      await auth.kill('SIGTERM');
      for (const name of ['auth-refresh.key', 'auth-factors.key', 'auth-keys.key', 'auth-audit.key']) {
        const file = join(auth.data, 'secrets', name);
        const before = readFileSync(file);
        writeFileSync(file, before.subarray(0, 16));
        await assert.rejects(auth.start(), (e) => e.message.includes('"code":1') && e.message.includes(name), name);
        writeFileSync(file, before);
      }
      await auth.start();
    }],
    ['54', '11.4.2', 'a hash that is too cheap is not configured, and one that is too dear not computed', async () => {
      const who = await user();
      await auth.kill('SIGTERM');
      for (const [memory, passes] of [['7', '4'], ['12', '2'], ['19', '1'], ['45', '1']]) {
        Object.assign(auth.env, { OGENT_PASSWORD_MEMORY: memory, OGENT_PASSWORD_TIME: passes });
        await assert.rejects(auth.start(), /password_memory = \d+ needs password_time = \d+ at least/);
      }
      Object.assign(auth.env, { OGENT_PASSWORD_MEMORY: '7', OGENT_PASSWORD_TIME: '5' });
      await authSql(auth.data, `update users set password_hash = replace(password_hash, 'm=7168', 'm=4194304') where id = '${who.id}'`);
      await auth.start();
      is(await login(who.email), 401, 'invalid_credentials');
    }],
    ['55', '16.2.5, 16.3, 16.4.1', 'a sign-in, a refusal, a denial and an act are one line of JSON each, without line ends of others', async () => {
      const who = await user();
      const evil = address().replace('@', '.evil@');
      const id = (n) => ({ 'x-request-id': `checklist-${n}` });
      is(await login(who.email, NEW, { ...id(1), 'user-agent': 'a\tb' }), 401);
      is(await login(who.email, PASSWORD, id(2)), 200);
      is(await call('GET', '/api/users', undefined, who.access_token, id(3)), 403);
      is(await call('POST', '/api/users', { name: 'Line\u2028end', email: evil, password: PASSWORD }, admin.access_token, id(4)), 201);
      is(await login('a\r\nb\u001b[31m@example.org', PASSWORD, id(5)), 401);
      const lines = auth.log.split('\n').filter(Boolean).map((l) => JSON.parse(l));
      const of = (n, message) => lines.filter((l) => l.request_id === `checklist-${n}` && l.message === message);
      for (const [n, event] of [[1, 'login.refused'], [2, 'session.started'], [4, 'user.created'], [5, 'login.refused']]) {
        const [line, more] = of(n, 'audit');
        assert.equal(line?.event, event, `${n}`);
        assert.equal(more, undefined);
        assert.match(line.time, /^\d{4}-.*Z$/);
        assert.ok('actor' in line && 'target' in line && 'address' in line);
      }
      const [denied] = of(3, 'request');
      assert.deepEqual([denied.status, denied.route, denied.user], ['403', '/api/users', who.id]);
      assert.ok(!/[\u0000-\u0009\u000b-\u001f]/.test(auth.log));
      for (const secret of [PASSWORD, NEW, ADMIN.password, who.access_token, who.refresh_token]) assert.ok(!auth.log.includes(secret));
    }],
  ];

  // Rows that are shown by other files: [number, source, file, the test's name].
  const elsewhere = [
    ['11', '6.3.1, B', 'auth-accounts', 'fifty wrong passwords at once count fifty'],
    ['11', '6.3.1, B', 'auth-accounts', 'after a hundred failures in a row only it may sign in, until the password is reset'],
    ['12', '6.1.1', 'auth-accounts', 'is not kept out by what others try'],
    ['15', '6.3.7', 'auth-accounts', 'changes by the link sent to the new one, and both are told'],
    ['16', '6.3.5', 'auth-accounts', 'of a sign-in from a new device, and of one after failed attempts'],
    ['26', '7.2.3', '../../lib/service/personal_token_test.c', 'ten_thousand_are_ten_thousand'],
    ['25', '6.8.1', 'sso', 'two providers that name one subject have two users'],
    ['25', '6.8.1', 'sso', 'an account links a provider from its own session, freshly signed in, and unlinks it'],
    ['30', '7.4.2', 'revocation', 'by removing its user stops'],
    ['33', '8.2.1', 'rbac', 'every route of every service is 401 without a token, and 403 for exactly the roles that lack its permission'],
    ['36', '8.3.2', 'rbac', 'own is made, changed, given and removed, and felt at once with the same token'],
    ['29', '7.4.1', 'act', '29: what acts for a user who is disabled ends'],
    ['36', '8.3.2', 'act', "36: a permission that is taken from the user stops the agent's next command, and the run says so"],
    ['37', '8.3.3', 'act', '37: a service for a user may what both may, and says who acts'],
    ['37', '8.3.3', 'oauth', 'a token may what its scope and its user may, and no more than either'],
    ['45', '10.4.1, O', 'oauth', 'an answer goes to no address but one of its own'],
    ['46', '10.4.2', 'oauth', 'a code is good once; a second use ends what the first began'],
    ['47', '10.4.3', 'oauth', 'a code older than a minute is nothing'],
    ['48', '10.4.4, O', 'oauth', 'grants and forms that are none are refused with their own codes'],
    ['50', '10.4.6, O', 'oauth', 'a code is bound to client, address and verifier'],
    ['52', '10.4.10', 'oauth', 'revocation and introspection ask who it is, and end and tell nothing of others'],
    ['53', 'O, RFC 9207', 'oauth', 'what else is wrong goes back to the program, with state and iss'],
    ['53', 'O', 'oauth', 'no secret is in the log or in the database'],
    ['56', '16.5.3', '../servers/mysql', ': 503 with Retry-After meanwhile, then everything works again'],
    ['56', '16.5.3', '../faults/locked', 'of the accounts: signing in is refused with 503 and works again afterwards; who is signed in works on'],
    ['56', '16.5.3', 'auth', 'hashing has a queue with an end, and says so'],
  ];
  for (const [number, source, name, run] of rows) test(`${number} (${source}): ${name}`, run);

  test('every row of the checklist is shown', () => {
    for (const [number, , file, name] of elsewhere) {
      const text = readFileSync(join(import.meta.dirname, file.endsWith('.c') ? file : `${file}.test.mjs`), 'utf8');
      assert.ok(text.includes(name), `${number}: ${file} has no test "${name}"`);
    }
    const shown = new Set([...rows, ...elsewhere].flatMap(([number]) => number.split(', ')));
    const missing = [...Array.from({ length: 56 }, (_, i) => String(i + 1)), '+'].filter((n) => !shown.has(n));
    assert.deepEqual(missing, []);
  });
});
