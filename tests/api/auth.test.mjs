import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ADMIN, request, startRole } from '../lib/platform.mjs';
import { claimsOf, headerOf, hmacSigned, signingKey, signed, strangerKey } from '../lib/jws.mjs';

const UNKNOWN_ID = '01900000-0000-7000-8000-000000000000';
let serial = 0;
const person = (name = 'Bob') => ({
  name,
  email: `${name.toLowerCase()}${++serial}@example.org`,
  password: 'a quiet river under stones',
});

// A problem document with this status and code.
function refused(r, status, code) {
  assert.equal(r.status, status, r.text);
  assert.match(r.headers['content-type'], /^application\/problem\+json/);
  assert.equal(r.body.status, status);
  assert.equal(r.body.code, code, r.text);
  assert.ok(r.body.detail.length > 10);
  assert.equal(r.body.request_id, r.headers['x-request-id']);
}

const cookieOf = (r) => (r.headers['set-cookie'] ?? [])[0];
const cookieValue = (r) => cookieOf(r)?.split(';')[0];

describe('set-up', () => {
  test('the first administrator is made once, with the token from the data folder', async () => {
    const auth = await startRole('auth');
    const file = join(auth.data, 'secrets', 'setup.token');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const token = auth.secret('setup.token');
    assert.equal(Buffer.from(token, 'base64url').length, 32);
    assert.deepEqual((await auth.api('GET', '/api/auth/setup')).body, { needed: true, registration: 'closed' });
    refused(await auth.api('POST', '/api/auth/setup', { token: 'x', ...ADMIN }), 403, 'setup_token_invalid');
    refused(await auth.api('POST', '/api/auth/setup', { token: `${token}x`, ...ADMIN }), 403, 'setup_token_invalid');
    refused(await auth.api('POST', '/api/auth/setup', { token, ...ADMIN, password: 'short' }), 422, 'password_too_short');

    const owner = (await auth.api('GET', '/api/auth/me', undefined, await auth.localToken())).body;
    assert.equal(owner.kind, 'local');
    assert.equal(owner.email, null);
    const r = await auth.api('POST', '/api/auth/setup', { token, ...ADMIN });
    assert.equal(r.status, 201, r.text);
    assert.equal(r.headers['cache-control'], 'no-store');
    assert.equal(r.body.token_type, 'Bearer');
    assert.equal(r.body.expires_in, 600);
    assert.equal(r.body.user.id, owner.id, 'the owner of the machine and the administrator are one');
    assert.equal(r.body.user.kind, 'user');
    assert.deepEqual(r.body.user.roles, ['admin']);
    assert.deepEqual(r.body.user.permissions, ['*']);
    assert.ok(!existsSync(file), 'the used token is gone');
    refused(await auth.api('POST', '/api/auth/setup', { token, ...ADMIN }), 410, 'setup_done');
    assert.equal((await auth.api('GET', '/api/auth/setup')).body.needed, false);
    refused(await auth.api('POST', '/api/auth/setup-link', undefined, await auth.localToken()), 410, 'setup_done');
    await auth.kill('SIGTERM');
    await auth.start();
    assert.ok(!existsSync(file), 'no new token for an installation that is set up');
    assert.equal((await auth.login(ADMIN)).user.id, owner.id);
    const me = (await auth.api('GET', '/api/auth/me', undefined, await auth.localToken())).body;
    assert.equal(me.id, owner.id, 'the command line is still the same person');
    await auth.stop();
  });

  test('of many at once, one wins', async () => {
    const auth = await startRole('auth');
    const token = auth.secret('setup.token');
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) => auth.api('POST', '/api/auth/setup', { token, ...ADMIN, email: `a${i}@example.org` })),
    );
    assert.equal(all.filter((r) => r.status === 201).length, 1);
    for (const r of all) if (r.status !== 201) refused(r, 410, 'setup_done');
    const { access_token } = all.find((r) => r.status === 201).body;
    const users = (await auth.api('GET', '/api/users', undefined, access_token)).body.items;
    assert.equal(users.length, 1);
    await auth.stop();
  });

  test('every start without an administrator makes a new link, and so does the owner', async () => {
    const auth = await startRole('auth');
    const first = auth.secret('setup.token');
    await auth.kill('SIGKILL');
    await auth.start();
    const second = auth.secret('setup.token');
    assert.notEqual(first, second);
    refused(await auth.api('POST', '/api/auth/setup', { token: first, ...ADMIN }), 403, 'setup_token_invalid');
    refused(await auth.api('POST', '/api/auth/setup-link'), 401, 'unauthorized');
    const link = await auth.api('POST', '/api/auth/setup-link', undefined, await auth.localToken());
    assert.equal(link.status, 201, link.text);
    assert.equal(link.body.path, `/setup#token=${link.body.token}`);
    assert.equal(link.body.token, auth.secret('setup.token'));
    const minutes = (Date.parse(link.body.expires_at) - Date.now()) / 60000;
    assert.ok(minutes > 29 && minutes <= 30, `${minutes} minutes`);
    refused(await auth.api('POST', '/api/auth/setup', { token: second, ...ADMIN }), 403, 'setup_token_invalid');
    refused(
      await auth.api('POST', '/api/users', person(), await auth.localToken()), 409, 'setup_required');
    await auth.setUp();
    await auth.stop();
  });

  test('secrets are readable by their owner only, and only hashes are in the database', async () => {
    const auth = await startRole('auth');
    const token = auth.secret('setup.token');
    const key = auth.secret('cli.token');
    for (const name of ['cli.token', 'setup.token', 'auth-keys.key', 'auth-audit.key', 'auth-refresh.key'])
      assert.equal(statSync(join(auth.data, 'secrets', name)).mode & 0o777, 0o600, name);
    assert.match(key, /^ogl_[\w-]{43}$/);
    const session = await auth.setUp();
    await auth.kill('SIGTERM');
    const database = await auth.stored();
    for (const secret of [token, key, ADMIN.password, session.refresh_token, session.access_token, auth.secret('auth-keys.key')])
      assert.ok(!database.includes(secret));
    assert.ok(database.includes(createHash('sha256').update(key).digest('hex')));
    for (const secret of [token, key, ADMIN.password, session.refresh_token, session.access_token])
      assert.ok(!auth.log.includes(secret), 'no secret in the log');
    await auth.start();
    await auth.stop();
  });
});

describe('one installation', () => {
  let auth, admin;
  // A user with this role, signed in.
  async function userWith(role) {
    const who = person(role);
    const r = await auth.api('POST', '/api/users', { ...who, roles: [role] }, admin.access_token);
    assert.equal(r.status, 201, r.text);
    return { ...(await auth.login(who)), who };
  }

  before(async () => {
    auth = await startRole('auth', { env: { OGENT_REFRESH_GRACE: '1s' } });
    admin = await auth.setUp();
  });
  after(() => auth.stop());

  describe('sign-in', () => {
    test('the right password gives a session', async () => {
      const r = await auth.api('POST', '/api/auth/login', { email: ' ADA@Example.org ', password: ADMIN.password });
      assert.equal(r.status, 200, r.text);
      assert.equal(r.headers['cache-control'], 'no-store');
      assert.deepEqual(Object.keys(r.body).sort(), ['access_token', 'expires_in', 'refresh_token', 'token_type', 'user']);
      const claims = claimsOf(r.body.access_token);
      assert.deepEqual(
        Object.keys(claims).sort(), ['aud', 'exp', 'iat', 'iss', 'jti', 'name', 'pe', 'permissions', 'roles', 'sid', 'sub']);
      assert.equal(claims.iss, 'ogent');
      assert.equal(claims.aud, 'ogent-api');
      assert.equal(claims.sub, r.body.user.id);
      assert.equal(claims.exp - claims.iat, 600);
      const header = headerOf(r.body.access_token);
      assert.equal(header.typ, 'at+jwt');
      assert.equal(header.alg, 'EdDSA');
      assert.match(header.kid, /^[\w-]{16}$/);
      const me = await auth.api('GET', '/api/auth/me', undefined, r.body.access_token);
      assert.deepEqual(me.body, r.body.user);
      assert.deepEqual(Object.keys(me.body).sort(), ['created_at', 'email', 'id', 'kind', 'name', 'permissions', 'roles']);
    });

    test('whatever is wrong, the answer is the same', async () => {
      const off = await userWith('member');
      await auth.api('PATCH', `/api/users/${off.user.id}`, { disabled: true }, admin.access_token);
      const tries = [
        { email: ADMIN.email, password: 'not the password at all' },
        { email: ADMIN.email, password: `${ADMIN.password} ` },
        { email: ADMIN.email, password: ADMIN.password.toUpperCase() },
        { email: ADMIN.email, password: '' },
        { email: 'nobody@example.org', password: ADMIN.password },
        { email: 'nobody@example.org', password: '' },
        { email: "' OR 1=1--", password: ADMIN.password },
        { email: '', password: '' },
        { email: off.who.email, password: off.who.password },
        { email: ADMIN.email, password: 'x'.repeat(2000) },
      ];
      const answers = new Set();
      for (const t of tries) {
        const r = await auth.api('POST', '/api/auth/login', t, undefined, { 'x-forwarded-for': `10.1.0.${answers.size}` });
        refused(r, 401, 'invalid_credentials');
        const { request_id: _, ...rest } = r.body;
        answers.add(JSON.stringify([rest, Object.keys(r.headers).sort()]));
      }
      assert.equal(answers.size, 1);
      await auth.login(ADMIN);
    });

    test('every refusal costs one hash, so the time tells nothing', async () => {
      const off = await userWith('member');
      const on = (await userWith('member')).who;
      await auth.api('PATCH', `/api/users/${off.user.id}`, { disabled: true }, admin.access_token);
      const hashes = async () => Number((await auth.api('GET', '/metrics')).text.match(/^ogent_auth_password_hashes_total (\d+)/m)[1]);
      const tries = [
        [on.email, 'not the password at all'],
        [on.email, ''],
        [on.email, 'x'.repeat(2000)],
        ['nobody@example.org', on.password],
        ['not an address', ''],
        [off.who.email, off.who.password],
      ];
      for (const [email, password] of tries) {
        const before = await hashes();
        const from = { 'x-forwarded-for': `10.4.0.${password.length % 256}` };
        refused(await auth.api('POST', '/api/auth/login', { email, password }, undefined, from), 401, 'invalid_credentials');
        assert.equal((await hashes()) - before, 1, `${email} ${password}`);
      }
      await auth.login(on);
    });

    test('both spellings of an accented password are one', async () => {
      const who = { ...person(), password: 'cafe\u0301 et the\u0301 au jardin' };
      assert.equal((await auth.api('POST', '/api/users', who, admin.access_token)).status, 201);
      await auth.login({ ...who, password: 'caf\u00e9 et th\u00e9 au jardin' });
      await auth.login(who);
    });

    test('one address has one account, however it is written', async () => {
      const who = person();
      assert.equal((await auth.api('POST', '/api/users', who, admin.access_token)).status, 201);
      for (const email of [who.email.toUpperCase(), ` ${who.email} `, who.email.replace('@', '＠'), who.email.replace('b', 'ｂ')])
        refused(await auth.api('POST', '/api/users', { ...who, email }, admin.access_token), 409, 'email_taken');
    });

    test('guessing is slowed down, and the right password works again soon', async () => {
      const { who } = await userWith('viewer');
      const from = (n) => ({ 'x-forwarded-for': `10.2.0.${n}` });
      const bad = { email: who.email, password: 'not the password at all' };
      for (let i = 0; i < 5; i++)
        refused(await auth.api('POST', '/api/auth/login', bad, undefined, from(i)), 401, 'invalid_credentials');
      const slow = await auth.api('POST', '/api/auth/login', bad, undefined, from(6));
      refused(slow, 429, 'too_many_attempts');
      const wait = Number(slow.headers['retry-after']);
      assert.ok(wait >= 1 && wait <= 60);
      const { email, password } = who;
      refused(await auth.api('POST', '/api/auth/login', { email, password }, undefined, from(7)), 429, 'too_many_attempts');
      // Where the account was signed in to before, others' guesses hold up nobody.
      await auth.login(who);
      await sleep(wait * 1000);
      const late = await auth.api('POST', '/api/auth/login', { email, password }, undefined, from(8));
      assert.equal(late.status, 200, late.text);
    });

    test('one address cannot try account after account', async () => {
      const from = { 'x-forwarded-for': '2001:db8:1:2::1' };
      const statuses = [];
      for (let i = 0; i < 60; i++) {
        const r = await auth.api('POST', '/api/auth/login', { email: `n${i}@example.org`, password: 'x' }, undefined, from);
        statuses.push(r.status);
      }
      assert.equal(statuses[0], 401);
      assert.equal(statuses.at(-1), 429);
      const same64 = { 'x-forwarded-for': '2001:db8:1:2:ffff::9' };
      const r = await auth.api('POST', '/api/auth/login', { email: 'n@example.org', password: 'x' }, undefined, same64);
      assert.equal(r.status, 429, 'the whole /64 is one address');
    });
  });

  describe('refresh', () => {
    const refresh = (token, headers) => auth.api('POST', '/api/auth/refresh', { refresh_token: token }, undefined, headers);

    test('each use gives a new token and the same session', async () => {
      let session = await auth.login(ADMIN);
      const { sid } = claimsOf(session.access_token);
      const seen = new Set([session.refresh_token]);
      for (let i = 0; i < 5; i++) {
        const r = await refresh(session.refresh_token);
        assert.equal(r.status, 200, r.text);
        assert.equal(r.headers['cache-control'], 'no-store');
        session = r.body;
        assert.equal(claimsOf(session.access_token).sid, sid);
        assert.ok(!seen.has(session.refresh_token));
        seen.add(session.refresh_token);
      }
    });

    test('fifty at once get one successor', async () => {
      const { refresh_token } = await auth.login(ADMIN);
      const all = await Promise.all(Array.from({ length: 50 }, () => refresh(refresh_token)));
      for (const r of all) assert.equal(r.status, 200, r.text);
      assert.equal(new Set(all.map((r) => r.body.refresh_token)).size, 1);
      assert.equal((await refresh(all[0].body.refresh_token)).status, 200);
    });

    test('a used token after the grace time ends the whole family', async () => {
      const first = await auth.login(ADMIN);
      const second = (await refresh(first.refresh_token)).body;
      assert.equal((await refresh(first.refresh_token)).body.refresh_token, second.refresh_token, 'inside the grace time');
      await sleep(1200);
      refused(await refresh(first.refresh_token), 401, 'invalid_refresh_token');
      refused(await refresh(second.refresh_token), 401, 'invalid_refresh_token');
      const { sid } = claimsOf(first.access_token);
      const event = auth.log.split('\n').find((line) => line.includes('refresh_reuse') && line.includes(sid));
      assert.ok(event, 'it is in the log as a security event');
      const me = await auth.api('GET', '/api/auth/me', undefined, second.access_token);
      refused(me, 401, 'unauthorized');
    });

    test('a token far behind ends the family at once', async () => {
      const first = await auth.login(ADMIN);
      const second = (await refresh(first.refresh_token)).body;
      const third = (await refresh(second.refresh_token)).body;
      refused(await refresh(first.refresh_token), 401, 'invalid_refresh_token');
      refused(await refresh(third.refresh_token), 401, 'invalid_refresh_token');
    });

    test('sessions outlive a crash of the service', async () => {
      const session = await auth.login(ADMIN);
      await auth.kill('SIGKILL');
      await auth.start();
      assert.equal((await refresh(session.refresh_token)).status, 200);
      assert.equal((await auth.api('GET', '/api/auth/me', undefined, session.access_token)).status, 200);
    });

    test('junk, a changed token and an access token are refused alike', async () => {
      const { refresh_token, access_token } = await auth.login(ADMIN);
      const i = 30;
      const changed = refresh_token.slice(0, i) + (refresh_token[i] === 'A' ? 'B' : 'A') + refresh_token.slice(i + 1);
      for (const t of ['', 'x', 'ogr_', changed, `${refresh_token}A`, access_token.slice(0, 1024)])
        refused(await refresh(t), 401, 'invalid_refresh_token');
      refused(await auth.api('POST', '/api/auth/refresh'), 401, 'invalid_refresh_token');
      refused(await auth.api('GET', '/api/auth/me', undefined, refresh_token), 401, 'unauthorized');
      assert.equal((await refresh(refresh_token)).status, 200);
    });

    test('logging out ends the session, and only that one', async () => {
      const one = await auth.login(ADMIN);
      const two = await auth.login(ADMIN);
      assert.equal((await auth.api('POST', '/api/auth/logout', undefined, one.access_token)).status, 204);
      refused(await refresh(one.refresh_token), 401, 'invalid_refresh_token');
      refused(await auth.api('GET', '/api/auth/me', undefined, one.access_token), 401, 'unauthorized');
      assert.equal((await refresh(two.refresh_token)).status, 200);
      assert.equal((await auth.api('POST', '/api/auth/logout')).status, 401);
    });
  });

  describe('the web app', () => {
    const web = { 'x-ogent-client': 'web' };

    test('has its refresh token in a cookie only', async () => {
      const r = await auth.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }, undefined, web);
      assert.equal(r.status, 200, r.text);
      assert.equal(r.body.refresh_token, undefined);
      assert.match(cookieOf(r), /^ogent_session=ogr_[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
      const next = await auth.api('POST', '/api/auth/refresh', undefined, undefined, { ...web, cookie: `a=b; ${cookieValue(r)}` });
      assert.equal(next.status, 200, next.text);
      assert.equal(next.body.refresh_token, undefined);
      assert.notEqual(cookieValue(next), cookieValue(r));
      const out = await auth.api('POST', '/api/auth/logout', undefined, undefined, { ...web, cookie: cookieValue(next) });
      assert.equal(out.status, 204, out.text);
      assert.match(cookieOf(out), /^ogent_session=; .*Max-Age=0/);
      const late = await auth.api('POST', '/api/auth/refresh', undefined, undefined, { ...web, cookie: cookieValue(next) });
      refused(late, 401, 'invalid_refresh_token');
      assert.match(cookieOf(late), /Max-Age=0/);
    });

    test('behind HTTPS the cookie is bound to the host', async () => {
      const https = { ...web, 'x-forwarded-proto': 'https' };
      const r = await auth.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }, undefined, https);
      assert.match(cookieOf(r), /^__Host-ogent_session=ogr_[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+; Secure$/);
      const plain = await auth.api('POST', '/api/auth/refresh', undefined, undefined, { ...web, cookie: cookieValue(r) });
      refused(plain, 401, 'invalid_refresh_token');
      const good = await auth.api('POST', '/api/auth/refresh', undefined, undefined, { ...https, cookie: cookieValue(r) });
      assert.equal(good.status, 200, good.text);
    });

    test('another site can do nothing with the cookie', async () => {
      const r = await auth.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }, undefined, web);
      const cookie = cookieValue(r);
      const foreign = [
        { cookie },
        { ...web, cookie, 'sec-fetch-site': 'cross-site' },
        { ...web, cookie, origin: 'https://evil.example' },
        { ...web, cookie, origin: 'null' },
      ];
      for (const headers of foreign) {
        refused(await auth.api('POST', '/api/auth/refresh', undefined, undefined, headers), 403, 'cross_site');
        refused(await auth.api('POST', '/api/auth/logout', undefined, undefined, headers), 403, 'cross_site');
      }
      const login = { email: ADMIN.email, password: ADMIN.password };
      refused(await auth.api('POST', '/api/auth/login', login, undefined, { origin: 'https://evil.example' }), 403, 'cross_site');
      const own = { ...web, cookie, origin: 'http://ogent.example:8420', host: 'ogent.example:8420', 'sec-fetch-site': 'same-origin' };
      assert.equal((await auth.api('POST', '/api/auth/refresh', undefined, undefined, own)).status, 200);
      const proxied = { ...own, cookie: cookieValue(r), host: '127.0.0.1', 'x-forwarded-host': 'ogent.example:8420' };
      assert.equal((await auth.api('POST', '/api/auth/refresh', undefined, undefined, proxied)).status, 200);
    });

    test('a cookie set before sign-in is never taken over', async () => {
      const before = await auth.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }, undefined, web);
      const again = await auth.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }, undefined, {
        ...web, cookie: cookieValue(before) });
      assert.notEqual(claimsOf(before.body.access_token).sid, claimsOf(again.body.access_token).sid);
    });
  });

  describe('sign-up', () => {
    test('is closed until an administrator opens it', async () => {
      refused(await auth.api('POST', '/api/auth/register', person()), 403, 'registration_closed');
      const settings = (registration, token = admin.access_token) => auth.api('PATCH', '/api/auth/settings', { registration }, token);
      const member = await userWith('member');
      refused(await settings('open', member.access_token), 403, 'forbidden');
      refused(await settings('ajar'), 422, 'invalid_field');
      assert.deepEqual((await settings('open')).body, { registration: 'open' });
      assert.deepEqual((await auth.api('GET', '/api/auth/settings', undefined, admin.access_token)).body, { registration: 'open' });
      assert.deepEqual((await auth.api('GET', '/api/auth/setup')).body, { needed: false, registration: 'open' });
      assert.deepEqual((await settings('closed')).body, { registration: 'closed' });
      refused(await auth.api('POST', '/api/auth/register', person()), 403, 'registration_closed');
    });
  });

  describe('passwords', () => {
    const create = (password, email) => auth.api('POST', '/api/users', { ...person(), password, ...(email && { email }) }, admin.access_token);

    test('are long, of any kind, and not the name', async () => {
      assert.equal((await create('😀'.repeat(15))).status, 201);
      refused(await create('😀'.repeat(14)), 422, 'password_too_short');
      assert.equal((await create('x'.repeat(1024))).status, 201);
      refused(await create('x'.repeat(1025)), 422, 'password_too_long');
      refused(await create('my name is grace hopper', 'grace@example.org'), 422, 'password_guessable');
      refused(await create('Ogent is what I use here'), 422, 'password_guessable');
      refused(await create('tab\tinside the password'), 422, 'password_invalid');
    });

    test('every byte of a long one counts', async () => {
      const who = { ...person(), password: 'z'.repeat(256) };
      assert.equal((await auth.api('POST', '/api/users', who, admin.access_token)).status, 201);
      await auth.login(who);
      for (const password of ['z'.repeat(255), `${'z'.repeat(72)}y${'z'.repeat(183)}`])
        refused(await auth.api('POST', '/api/auth/login', { email: who.email, password }), 401, 'invalid_credentials');
    });

    test('NUL and broken UTF-8 never get as far as a comparison', async () => {
      const send = (text) => auth.api('POST', '/api/auth/login', text);
      refused(await send(`{"email":"${ADMIN.email}","password":"abc\\u0000def"}`), 400, 'invalid_json');
      const raw = Buffer.concat([Buffer.from(`{"email":"${ADMIN.email}","password":"`), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
      refused(await send(raw), 400, 'invalid_json');
    });
  });

  describe('users', () => {
    test('are made, listed by pages, changed and removed', async () => {
      const who = person();
      const made = await auth.api('POST', '/api/users', { ...who, roles: ['viewer', 'operator'] }, admin.access_token);
      assert.equal(made.status, 201, made.text);
      assert.equal(made.headers.location, `/api/users/${made.body.id}`);
      assert.deepEqual(Object.keys(made.body).sort(), ['created_at', 'disabled', 'email', 'id', 'kind', 'name', 'roles']);
      assert.deepEqual(made.body.roles, ['operator', 'viewer']);
      const url = `/api/users/${made.body.id}`;
      assert.deepEqual((await auth.api('GET', url, undefined, admin.access_token)).body, made.body);

      const ids = [];
      for (let next = ''; next !== null; ) {
        const page = await auth.api('GET', `/api/users?limit=2${next && `&after=${next}`}`, undefined, admin.access_token);
        assert.equal(page.status, 200, page.text);
        assert.ok(page.body.items.length <= 2);
        ids.push(...page.body.items.map((u) => u.id));
        next = page.body.next;
      }
      assert.equal(new Set(ids).size, ids.length);
      assert.deepEqual(ids, [...ids].sort().reverse(), 'newest first');
      assert.ok(ids.includes(made.body.id) && ids.includes(admin.user.id));

      const changed = await auth.api('PATCH', url, { name: ' Robert ', roles: ['member'] }, admin.access_token);
      assert.equal(changed.body.name, 'Robert');
      assert.deepEqual(changed.body.roles, ['member']);
      assert.equal((await auth.api('DELETE', url, undefined, admin.access_token)).status, 204);
      refused(await auth.api('GET', url, undefined, admin.access_token), 404, 'not_found');
      refused(await auth.api('DELETE', url, undefined, admin.access_token), 404, 'not_found');
      refused(await auth.api('PATCH', `/api/users/${UNKNOWN_ID}`, { name: 'x' }, admin.access_token), 404, 'not_found');
      refused(await auth.api('GET', "/api/users/'%20or%201=1", undefined, admin.access_token), 404, 'not_found');
    });

    test('made twice with one Idempotency-Key are one', async () => {
      const who = person();
      const key = { 'idempotency-key': `k-${serial}` };
      const one = await auth.api('POST', '/api/users', who, admin.access_token, key);
      const two = await auth.api('POST', '/api/users', who, admin.access_token, key);
      assert.equal(one.status, 201, one.text);
      assert.equal(two.status, 201, two.text);
      assert.deepEqual(one.body, two.body);
      refused(await auth.api('POST', '/api/users', person(), admin.access_token, key), 422, 'idempotency_key_reused');
    });

    test('a name of a hundred wide characters fits, also in the token', async () => {
      const who = { ...person(), name: '😀'.repeat(100) };
      assert.equal((await auth.api('POST', '/api/users', who, admin.access_token)).status, 201);
      const session = await auth.login(who);
      assert.equal((await auth.api('GET', '/api/auth/me', undefined, session.access_token)).body.name, who.name);
      refused(await auth.api('POST', '/api/users', { ...person(), name: 'x'.repeat(101) }, admin.access_token), 422, 'invalid_field');
      for (const name of ['', '   ', 'a\nb'])
        refused(await auth.api('POST', '/api/users', { ...person(), name }, admin.access_token), 422, 'invalid_field');
    });

    test('disabling ends sessions at once, and enabling lets in again', async () => {
      const user = await userWith('member');
      const url = `/api/users/${user.user.id}`;
      assert.equal((await auth.api('PATCH', url, { disabled: true }, admin.access_token)).body.disabled, true);
      refused(await auth.api('GET', '/api/auth/me', undefined, user.access_token), 401, 'unauthorized');
      refused(await auth.api('POST', '/api/auth/refresh', { refresh_token: user.refresh_token }), 401, 'invalid_refresh_token');
      assert.equal((await auth.api('PATCH', url, { disabled: false }, admin.access_token)).body.disabled, false);
      await auth.login(user.who);
    });

    test('a right that was taken away is gone with the next request', async () => {
      const user = await userWith('operator');
      assert.equal((await auth.api('GET', '/api/users', undefined, user.access_token)).status, 200);
      await auth.api('PATCH', `/api/users/${user.user.id}`, { roles: ['viewer'] }, admin.access_token);
      refused(await auth.api('GET', '/api/users', undefined, user.access_token), 403, 'forbidden');
    });

    test('the last administrator stays', async () => {
      const url = `/api/users/${admin.user.id}`;
      for (const change of [{ disabled: true }, { roles: [] }, { roles: ['member'] }])
        refused(await auth.api('PATCH', url, change, admin.access_token), 409, 'last_administrator');
      refused(await auth.api('DELETE', url, undefined, admin.access_token), 409, 'last_administrator');
      assert.deepEqual((await auth.api('GET', '/api/auth/me', undefined, admin.access_token)).body.roles, ['admin']);

      const second = await userWith('admin');
      refused(await auth.api('DELETE', url, undefined, second.access_token), 409, 'owner_account');
      const both = await Promise.all([
        auth.api('PATCH', url, { roles: ['member'] }, second.access_token),
        auth.api('PATCH', `/api/users/${second.user.id}`, { roles: ['member'] }, admin.access_token),
      ]);
      assert.equal(both.filter((r) => r.status === 200).length, 1, 'two that remove each other: one stays');
      const winner = both[0].status === 200 ? second.access_token : admin.access_token;
      assert.equal((await auth.api('PATCH', url, { roles: ['admin'] }, winner)).status, 200);
      const local = await auth.localToken();
      assert.equal((await auth.api('DELETE', `/api/users/${second.user.id}`, undefined, local)).status, 204);
    });

    test('unknown fields, wrong types and unknown roles change nothing', async () => {
      const user = await userWith('member');
      const url = `/api/users/${user.user.id}`;
      const fields = { is_admin: true, kind: 'local', email: 'x@example.org', password: 'another good long one', permissions: ['*'], id: 'x' };
      for (const [k, v] of Object.entries(fields))
        refused(await auth.api('PATCH', url, { [k]: v }, admin.access_token), 422, 'invalid_field');
      for (const bad of [{ disabled: 'yes' }, { disabled: 1 }, { name: ['x'] }, { roles: 'admin' }, { roles: [1] }, { roles: ['member', 'member'] }])
        refused(await auth.api('PATCH', url, bad, admin.access_token), 422, 'invalid_field');
      refused(await auth.api('PATCH', url, { roles: ['root'] }, admin.access_token), 422, 'unknown_role');
      refused(await auth.api('POST', '/api/users', { ...person(), roles: ['root'] }, admin.access_token), 422, 'unknown_role');
      refused(await auth.api('POST', '/api/users', { ...person(), disabled: true }, admin.access_token), 422, 'invalid_field');
      for (const bad of [{ password: ['x'] }, { email: { $ne: null } }, { name: 7 }])
        refused(await auth.api('POST', '/api/users', { ...person(), ...bad }, admin.access_token), 422, 'invalid_field');
      for (const email of ['x', '@', 'a@b@c', `${'x'.repeat(250)}@example.org`])
        refused(await auth.api('POST', '/api/users', { ...person(), email }, admin.access_token), 422, 'invalid_email');
      refused(await auth.api('POST', '/api/auth/login', { email: ADMIN.email, password: ['x'] }), 422, 'invalid_field');
      refused(await auth.api('POST', '/api/auth/login', { email: ADMIN.email }), 422, 'invalid_field');
      refused(await auth.api('POST', '/api/auth/login', { ...ADMIN }), 422, 'invalid_field');
      assert.deepEqual((await auth.api('GET', url, undefined, admin.access_token)).body.roles, ['member']);
    });
  });

  describe('rights', () => {
    test('every route answers who has no right to it with 401 or 403', async () => {
      const { items } = (await auth.api('GET', '/routes')).body;
      const guarded = items.filter((r) => !r.public && !r.internal);
      assert.ok(guarded.length >= 10);
      const roles = (await auth.api('GET', '/api/roles', undefined, admin.access_token)).body.items;
      assert.deepEqual(roles.map((r) => r.name).sort(), ['admin', 'member', 'operator', 'viewer']);
      const covers = (granted, wanted) => granted === '*' || granted === wanted || (granted.endsWith('.*') && wanted.startsWith(granted.slice(0, -1)));
      const pathOf = (route) => route.pattern.replace(/\{[^}]*\}/g, UNKNOWN_ID);
      for (const route of guarded) refused(await auth.api(route.method, pathOf(route)), 401, 'unauthorized');
      for (const role of roles) {
        const user = await userWith(role.name);
        for (const route of guarded.filter((r) => r.permission)) {
          const may = role.permissions.some((p) => covers(p, route.permission));
          const r = await auth.api(route.method, pathOf(route), undefined, user.access_token);
          if (may) assert.notEqual(r.status, 403, `${role.name} ${route.method} ${route.pattern}`);
          else refused(r, 403, 'forbidden');
        }
        if (role.name === 'admin') await auth.api('DELETE', `/api/users/${user.user.id}`, undefined, admin.access_token);
      }
    });

    test('the permissions are listed with what they mean', async () => {
      const { items } = (await auth.api('GET', '/api/permissions', undefined, admin.access_token)).body;
      const names = items.map((p) => p.name);
      assert.equal(new Set(names).size, names.length);
      const contract = readFileSync(resolve(import.meta.dirname, '../../docs/openapi.yaml'), 'utf8');
      const needed = [...contract.matchAll(/x-permission: ([a-z._]+)/g)].map((m) => m[1]);
      assert.ok(needed.length > 30);
      for (const name of needed) assert.ok(names.includes(name), `${name} can be given`);
      for (const p of items) assert.ok(/^[a-z]+\.[a-z_]+$/.test(p.name) && p.description.length > 5, p.name);
    });
  });

  describe('the command line of this machine', () => {
    test('has the owner\'s rights with its key, and nobody without', async () => {
      const r = await auth.api('POST', '/api/auth/local', { key: auth.secret('cli.token') });
      assert.equal(r.status, 200, r.text);
      assert.equal(r.headers['cache-control'], 'no-store');
      assert.deepEqual(Object.keys(r.body).sort(), ['access_token', 'expires_in', 'token_type']);
      for (const key of ['', 'x', 'ogl_', `${auth.secret('cli.token')}x`])
        refused(await auth.api('POST', '/api/auth/local', { key }), 401, 'invalid_key');
      refused(await auth.api('POST', '/api/auth/local', { key: 7 }), 422, 'invalid_field');
      refused(await auth.api('POST', '/api/auth/local', {}), 422, 'invalid_field');
    });
  });

  describe('tokens', () => {
    test('the key set is public, cacheable, and checks what auth signs', async () => {
      const r = await auth.api('GET', '/.well-known/jwks.json');
      assert.equal(r.status, 200);
      assert.match(r.headers['cache-control'], /max-age=300/);
      // Another test may have asked for the next one.
      const key = r.body.keys.find((k) => k.kid === headerOf(admin.access_token).kid);
      assert.equal(key.kty, 'OKP');
      assert.equal(key.crv, 'Ed25519');
      assert.equal(key.d, undefined);
      const again = await auth.api('GET', '/.well-known/jwks.json', undefined, undefined, { 'if-none-match': r.headers.etag });
      assert.equal(again.status, 304);
      assert.equal(again.text, '');
    });

    test('forged, foreign, expired and misshapen ones are refused, here and at another service', async () => {
      const other = await startRole('agent', { data: auth.data });
      const key = signingKey(auth);
      const session = await auth.login(ADMIN);
      const header = headerOf(session.access_token);
      const claims = claimsOf(session.access_token);
      const now = Math.floor(Date.now() / 1000);
      const jwk = (await auth.api('GET', '/.well-known/jwks.json')).body.keys[0];
      const make = (h, c) => signed(key, { ...header, ...h }, { ...claims, ...c });
      const without = (o, k) => Object.fromEntries(Object.entries(o).filter(([name]) => name !== k));
      const [h64, c64, s64] = session.access_token.split('.');
      const good = make({}, {});
      const bad = {
        'signed by a stranger': signed(strangerKey(), header, claims),
        'a stranger\'s kid': signed(strangerKey(), { ...header, kid: '0123456789abcdef' }, claims),
        'kid as a path': make({ kid: '../../dev/null' }, {}),
        'no kid': signed(key, without(header, 'kid'), claims),
        'alg none': `${Buffer.from(JSON.stringify({ ...header, alg: 'none' })).toString('base64url')}.${c64}.`,
        'alg none, signature kept': `${Buffer.from(JSON.stringify({ ...header, alg: 'none' })).toString('base64url')}.${c64}.${s64}`,
        'HS256 with the public key': hmacSigned(Buffer.from(jwk.x, 'base64url'), { ...header, alg: 'HS256' }, claims),
        'claims changed': `${h64}.${Buffer.from(JSON.stringify({ ...claims, sub: UNKNOWN_ID })).toString('base64url')}.${s64}`,
        'signature cut': session.access_token.slice(0, -4),
        'no signature': `${h64}.${c64}.`,
        'two parts': `${h64}.${c64}`,
        'five parts': `${session.access_token}.x.y`,
        'padding': `${session.access_token}==`,
        'expired': make({}, { iat: now - 1200, exp: now - 600 }),
        'no exp': signed(key, header, without(claims, 'exp')),
        'exp as text': make({}, { exp: String(claims.exp) }),
        'exp 1e400': signed(key, header, JSON.stringify(claims).replace(String(claims.exp), '1e400')),
        'not yet valid': make({}, { nbf: now + 600 }),
        'another audience': make({}, { aud: 'agent' }),
        'our audience among others': make({}, { aud: ['ogent-api', 'other'] }),
        'another issuer': make({}, { iss: 'ogent/' }),
        'an internal issuer': make({}, { iss: 'ogent:gateway' }),
        'another typ': make({ typ: 'JWT' }, {}),
        'crit': make({ crit: ['x'] }, {}),
        'jku': make({ jku: 'http://127.0.0.1:1/' }, {}),
        'jwk': make({ jwk }, {}),
        'sub twice': signed(key, header, JSON.stringify(claims).replace('{', `{"sub":"${UNKNOWN_ID}",`)),
        'NUL in sub': signed(key, header, JSON.stringify(claims).replace(claims.sub, `${claims.sub}\\u0000`)),
        'too long': make({}, { pad: 'x'.repeat(8192) }),
      };
      assert.equal((await auth.api('GET', '/api/auth/me', undefined, good)).status, 200, 'the forger\'s tools work');
      assert.equal((await other.api('GET', '/api/agents', undefined, good)).status, 200);
      for (const [name, token] of Object.entries(bad)) {
        const here = await auth.api('GET', '/api/auth/me', undefined, token);
        assert.equal(here.status, 401, `${name}: ${here.text}`);
        assert.equal(here.headers['www-authenticate'], 'Bearer error="invalid_token"', name);
        const there = await other.api('GET', '/api/agents', undefined, token);
        assert.equal(there.status, 401, `${name} at another service: ${there.text}`);
      }
      await other.stop();
    });

    test('a second Authorization header is a bad request', async () => {
      const r = await request(auth.where(), 'GET', '/api/auth/me', {
        headers: { authorization: [`Bearer ${admin.access_token}`, `Bearer ${admin.access_token}`] } });
      assert.ok([400, 401].includes(r.status), r.text);
    });
  });

  describe('bad requests', () => {
    const login = '/api/auth/login';

    test('wrong method, path, type, encoding', async () => {
      const wrong = await auth.api('DELETE', login);
      refused(wrong, 405, 'method_not_allowed');
      assert.match(wrong.headers.allow, /POST/);
      refused(await auth.api('GET', '/api/auth/nothing'), 404, 'not_found');
      refused(await auth.api('POST', login, '{}', undefined, { 'content-type': 'text/plain' }), 415, 'unsupported_media_type');
      refused(await auth.api('POST', login, '{}', undefined, { 'content-type': 'application/json; charset=latin1' }), 415, 'unsupported_media_type');
      refused(await auth.api('POST', login, '{}', undefined, { 'content-encoding': 'gzip' }), 415, 'unsupported_media_type');
    });

    test('JSON that is broken, deep, doubled or no object', async () => {
      for (const text of ['{', '{"a":1,}', '{}{}', 'nonsense', '\ufeff{}']) refused(await auth.api('POST', login, text), 400, 'invalid_json');
      refused(await auth.api('POST', login, `{"a":${'['.repeat(2000)}${']'.repeat(2000)}}`), 400, 'invalid_json');
      refused(await auth.api('POST', login, '{"email":"a@b.c","email":"x@y.z","password":"p"}'), 400, 'invalid_json');
      refused(await auth.api('POST', login, '[]'), 400, 'invalid_json');
      refused(await auth.api('POST', login), 400, 'invalid_json');
    });

    test('a body over the limit', async () => {
      refused(await auth.api('POST', login, { email: 'a@b.c', password: 'x'.repeat(20000) }), 413, 'body_too_large');
    });
  });
});

test('hashing has a queue with an end, and says so', async () => {
  const env = { OGENT_HASH_QUEUE: '1', OGENT_HASH_THREADS: '1', OGENT_PASSWORD_MEMORY: '64', OGENT_PASSWORD_TIME: '3' };
  const auth = await startRole('auth', { env });
  await auth.setUp();
  const all = await Promise.all(
    Array.from({ length: 12 }, () => auth.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password })));
  const busy = all.filter((r) => r.status === 503);
  assert.ok(busy.length > 0);
  assert.ok(all.some((r) => r.status === 200));
  for (const r of busy) {
    refused(r, 503, 'busy');
    assert.equal(r.headers['retry-after'], '1');
  }
  await auth.login(ADMIN);
  await auth.stop();
});

test('a sign-in renews a hash that is cheaper than it should be', async () => {
  const auth = await startRole('auth');
  await auth.setUp();
  await auth.kill('SIGTERM');
  auth.env.OGENT_PASSWORD_MEMORY = '8';
  await auth.start();
  await auth.login(ADMIN);
  await auth.kill('SIGTERM');
  const hashes = (await auth.stored()).match(/\$argon2id\$v=19\$m=\d+/g);
  assert.ok(hashes.includes('$argon2id$v=19$m=8192'), String(hashes));
  await auth.start();
  await auth.login(ADMIN);
  await auth.stop();
});
