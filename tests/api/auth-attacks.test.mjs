// Classes of attacks on sign-in, tokens and accounts, on one platform: at the gateway and at the service behind it. Whatever is sent, the answer
// is a refusal: never a session, never a right, never an error of the server.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { authRows } from '../lib/databases.mjs';
import { claimsOf, headerOf, signed, signingKey } from '../lib/jws.mjs';
import { ADMIN, request, startPlatform } from '../lib/platform.mjs';
import { sendRaw } from '../lib/raw.mjs';

const PASSWORD = 'a quiet river under stones';
const SQL = ["' OR 1=1--", "'; drop table users; --", '" or ""="', '1) union select password_hash from users --', '%27', '\\', '%00', '../../etc/passwd', '*'];

describe('attacks', { timeout: 240000 }, () => {
  let p, admin, session, places;
  const member = { name: 'Mia', email: 'mia@example.org', password: PASSWORD };
  const refused = (r, what) => assert.ok(r.status >= 400 && r.status < 500, `${what}: ${r.status} ${r.text}`);

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: '' } });
    admin = (await p.setUp()).access_token;
    assert.equal((await p.api('POST', '/api/users', { ...member, roles: ['member'] }, admin)).status, 201);
    assert.equal((await p.api('PATCH', '/api/auth/settings', { registration: 'open' }, admin)).status, 200);
    session = await p.login(member);
    const roles = Object.fromEntries(p.roles());
    places = { gateway: p.where(), auth: roles.auth, agent: roles.agent };
  });
  after(() => p?.stop());

  test('two Authorization headers are a bad request, alike or not', async () => {
    const good = `Bearer ${session.access_token}`;
    for (const [name, where] of Object.entries(places)) {
      const path = name === 'auth' ? '/api/auth/me' : '/api/agents';
      for (const second of [good, 'Bearer x', 'Basic YTpi', '']) {
        const r = await sendRaw(where, `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${good}\r\nAuthorization: ${second}\r\nConnection: close\r\n\r\n`, { once: true, ms: 30000 });
        assert.equal(r.status, 400, `${name} ${second}: ${r.text}`);
      }
    }
  });

  test('a token of more than 8 KiB, of five parts, or in another form is refused as any bad one', async () => {
    const [h, c, s] = session.access_token.split('.');
    const long = `${h}.${c}${'A'.repeat(8193 - session.access_token.length)}.${s}`;
    assert.equal(long.length, 8193);
    const plain = await p.api('GET', '/api/agents', undefined, 'x.y.z');
    for (const token of [long, `${h}.${c}.${s}.AA.AA`, `${h}..${c}.${s}.AA`, `${h}.${c}.${s}.`, `.${h}.${c}.${s}`, `${h}%2e${c}.${s}`, 'null', 'undefined', '[object Object]', `${h}.${c}.${s},${h}.${c}.${s}`]) {
      for (const [name, where] of Object.entries(places)) {
        const r = await request(where, 'GET', name === 'auth' ? '/api/auth/me' : '/api/agents', { token });
        assert.equal(r.status, 401, `${name} ${token.length}: ${r.text}`);
        assert.equal(r.headers['www-authenticate'], plain.headers['www-authenticate']);
        assert.deepEqual({ ...r.body, request_id: 0 }, { ...plain.body, request_id: 0 });
      }
    }
  });

  test('a token with more rights than its user has gives them where it is signed only', async () => {
    const claims = claimsOf(session.access_token);
    /* A stolen key is another thing; but what was true once is not true now: the epoch tells. */
    const old = signed(signingKey(p), headerOf(session.access_token), { ...claims, permissions: ['*'], pe: claims.pe });
    const id = session.user.id;
    assert.equal((await p.api('PUT', `/api/users/${id}/permissions`, { grants: [], denials: ['agents.write'] }, admin)).status, 200);
    for (const end = Date.now() + 30000; ; ) {
      const r = await p.api('POST', '/api/agents', {}, old);
      if (r.status === 403) break;
      assert.ok(Date.now() < end, r.text);
    }
    assert.equal((await p.api('GET', '/api/users', undefined, old)).status, 403, 'and auth looks at the rights of now');
    assert.equal((await p.api('PUT', `/api/users/${id}/permissions`, { grants: [], denials: [] }, admin)).status, 200);
  });

  test('fifty refreshes at once: all get one successor, by one rotation', async () => {
    const start = await p.login(member);
    const all = await Promise.all(Array.from({ length: 50 }, () => p.api('POST', '/api/auth/refresh', { refresh_token: start.refresh_token })));
    assert.deepEqual([...new Set(all.map((r) => r.status))], [200]);
    assert.equal(new Set(all.map((r) => r.body.refresh_token)).size, 1);
    assert.deepEqual(authRows(p.data, `select counter from sessions where id = '${claimsOf(start.access_token).sid}'`), [['2']]);
  });

  test('storms of refreshes by many sessions lose none', async () => {
    const sessions = await Promise.all(Array.from({ length: 8 }, () => p.login(member)));
    for (let round = 0; round < 5; round++) {
      await Promise.all(
        sessions.map(async (s) => {
          const got = await Promise.all(Array.from({ length: 6 }, () => p.api('POST', '/api/auth/refresh', { refresh_token: s.refresh_token })));
          for (const r of got) assert.equal(r.status, 200, r.text);
          assert.equal(new Set(got.map((r) => r.body.refresh_token)).size, 1);
          s.refresh_token = got[0].body.refresh_token;
        }),
      );
    }
  });

  test('bodies of wrong types and unknown members are refused by every route that anybody may ask', async () => {
    const { items } = (await request(places.auth, 'GET', '/routes')).body;
    const routes = items.filter((r) => r.public && r.method === 'POST' && r.pattern.startsWith('/api/') && r.pattern !== '/api/auth/logout');
    assert.ok(routes.length >= 10, `${routes.length}`);
    const names = ['email', 'password', 'name', 'token', 'code', 'ticket', 'key', 'refresh_token', 'credential', 'login_ticket'];
    const odd = [[], {}, 7, -1, 1e308, true, null, ['x'], { $ne: null }, { $gt: '' }, 'x'.repeat(9000)];
    for (const { pattern } of routes) {
      for (const value of odd) {
        const body = Object.fromEntries(names.map((n) => [n, value]));
        refused(await request(places.auth, 'POST', pattern, { body }), `${pattern} ${JSON.stringify(value).slice(0, 20)}`);
      }
      for (const text of ['[]', 'null', '"x"', '7', '', '{"__proto__":{"is_admin":true}}', '{"constructor":{}}', '{"email":"a@b.c","email":"d@e.f"}', `{"a":${'['.repeat(500)}`]) {
        const r = await request(places.auth, 'POST', pattern, { body: text, headers: { 'content-type': 'application/json' } });
        /* Passkeys may be asked for, and sessions refreshed, without a body. */
        if (!(text === '' && r.status === 200)) refused(r, `${pattern} ${text.slice(0, 20)}`);
      }
    }
    for (const more of [{ is_admin: true }, { roles: ['admin'] }, { permissions: ['*'] }, { email_verified: true }, { tenant_id: 't' }, { kind: 'local' }, { id: 'x' }])
      for (const [path, body] of [['register', { ...member, email: 'new@example.org' }], ['login', { email: member.email, password: PASSWORD }], ['accept', { token: 'x', name: 'x', password: PASSWORD }]])
        assert.equal((await p.api('POST', `/api/auth/${path}`, { ...body, ...more })).status, 422, `${path} ${JSON.stringify(more)}`);
    assert.deepEqual(authRows(p.data, "select id from users where email = 'new@example.org'"), []);
  });

  test('SQL in any place is text', async () => {
    const { items } = (await request(places.auth, 'GET', '/routes')).body;
    const gets = items.filter((r) => !r.internal && r.method === 'GET' && r.pattern.startsWith('/api/') && !r.public);
    const users = (await p.api('GET', '/api/users?limit=200', undefined, admin)).body.items.length;
    for (const { pattern } of gets) {
      for (const evil of SQL) {
        const path = pattern.replace(/\{[^}]+\}/g, encodeURIComponent(evil));
        const query = ['sort', 'order', 'limit', 'after', 'q', 'user_id', 'event', 'actor', 'target', 'since'].map((n) => `${n}=${encodeURIComponent(evil)}`).join('&');
        for (const r of [await p.api('GET', path, undefined, admin), await p.api('GET', `${pattern.replace(/\{[^}]+\}/g, 'x')}?${query}`, undefined, admin)])
          assert.ok(r.status === 200 || (r.status >= 400 && r.status < 500), `${pattern} ${evil}: ${r.status} ${r.text}`);
      }
    }
    for (const evil of SQL) {
      refused(await p.api('POST', '/api/auth/login', { email: evil, password: evil }), evil);
      refused(await p.api('POST', '/api/auth/refresh', { refresh_token: evil }), evil);
      if (evil !== '*') refused(await p.api('POST', '/api/permissions/check', { permissions: [evil] }, admin), evil);
    }
    assert.equal((await p.api('GET', '/api/users?limit=200', undefined, admin)).body.items.length, users);
  });

  test('a body that says it has 4 GiB is refused before it comes', async () => {
    for (const where of [places.gateway, places.auth]) {
      const r = await sendRaw(where, 'POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4294967296\r\nConnection: close\r\n\r\n{"email":', { once: true, ms: 30000 });
      assert.equal(r.status, 413, r.text);
    }
  });

  test('another site gets no session, whatever it says of itself', async () => {
    const body = { email: member.email, password: PASSWORD };
    const { host, port } = p.where();
    for (const headers of [{ origin: 'https://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }, { origin: `http://${host}:${port}.evil.example` }, { origin: `http://${host}:1` }, { origin: `https://${host}:${port}@evil.example` }]) {
      const r = await p.api('POST', '/api/auth/login', body, undefined, headers);
      assert.equal(r.status, 403, `${JSON.stringify(headers)}: ${r.text}`);
      assert.equal(r.headers['set-cookie'], undefined);
      assert.equal(r.headers['access-control-allow-origin'], undefined);
    }
    assert.equal((await p.api('POST', '/api/auth/login', body, undefined, { origin: `http://${host}:${port}` })).status, 200);
  });

  test('what was not meant for it does not reach another account', async () => {
    const { id } = (await p.api('POST', '/api/tokens', { name: 'admins', scopes: ['agents.read'] }, admin)).body;
    const made = await p.api('POST', '/api/agents', { name: 'Of the administrator', instructions: 'Help.' }, admin);
    assert.equal(made.status, 201, made.text);
    const bob = session.access_token;
    const adminId = (await p.api('GET', '/api/auth/me', undefined, admin)).body.id;
    for (const [method, path, body, status] of [
      ['DELETE', `/api/tokens/${id}`, undefined, 404],
      ['DELETE', `/api/auth/sessions/${claimsOf(admin).sid}`, undefined, 404],
      ['GET', `/api/users/${adminId}/sessions`, undefined, 403],
      ['PATCH', `/api/users/${adminId}`, { disabled: true }, 403],
      ['PUT', `/api/users/${session.user.id}/permissions`, { grants: ['*'], denials: [] }, 403],
      ['POST', '/api/tokens', { name: 'x', scopes: ['*'] }, 403],
      ['POST', '/api/tokens', { name: 'x', scopes: ['agents.read'], user_id: adminId }, 403],
    ]) {
      const r = await p.api(method, path, body, bob);
      assert.equal(r.status, status, `${method} ${path}: ${r.text}`);
    }
    const r = await p.api('PATCH', `/api/agents/${made.body.id}`, { name: 'Mine now' }, bob, { 'if-match': '*' });
    assert.ok([403, 404].includes(r.status), r.text);
    assert.equal((await p.login(ADMIN)).user.id, adminId);
  });
});
