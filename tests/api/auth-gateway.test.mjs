// Sign-in as the outside sees it: through the gateway.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { claimsOf, headerOf, signed, strangerKey } from '../lib/jws.mjs';
import { ADMIN, freePort, request, startPlatform, startRole } from '../lib/platform.mjs';

const login = { email: ADMIN.email, password: ADMIN.password };
// Auth, some services, and the gateway in front of them.
async function startFront(services, env = {}) {
  const auth = await startRole('auth');
  const where = { host: '127.0.0.1', port: await freePort() };
  const others = [];
  for (const role of services) others.push(await startRole(role, { data: auth.data }));
  others.push(await startRole('gateway', { data: auth.data, env: { OGENT_LISTEN: `${where.host}:${where.port}`, ...env } }));
  return {
    where,
    auth,
    api: (method, path, body, token, headers) => request(where, method, path, { body, token, headers }),
    async stop() {
      for (const role of others.reverse()) await role.stop();
      await auth.stop();
    },
  };
}

const cookieOf = (r) => (r.headers['set-cookie'] ?? [''])[0];

describe('auth behind the gateway', () => {
  let p, web;

  before(async () => {
    p = await startFront(['agent', 'exec']);
    const { host, port } = p.where;
    web = { 'x-ogent-client': 'web', origin: `http://${host}:${port}`, 'sec-fetch-site': 'same-origin' };
  });
  after(() => p.stop());

  test('a browser sets up, stays signed in by its cookie and signs out', async () => {
    const setup = { token: p.auth.secret('setup.token'), ...ADMIN };
    const first = await p.api('POST', '/api/auth/setup', setup, undefined, web);
    assert.equal(first.status, 201, first.text);
    assert.equal(first.body.refresh_token, undefined);
    assert.match(cookieOf(first), /^ogent_session=.*HttpOnly; SameSite=Strict/);
    const me = await p.api('GET', '/api/auth/me', undefined, first.body.access_token);
    assert.deepEqual(me.body, first.body.user);

    const cookie = cookieOf(first).split(';')[0];
    const next = await p.api('POST', '/api/auth/refresh', undefined, undefined, { ...web, cookie });
    assert.equal(next.status, 200, next.text);
    const foreign = { ...web, cookie, origin: 'https://evil.example' };
    assert.equal((await p.api('POST', '/api/auth/refresh', undefined, undefined, foreign)).status, 403);
    const out = { ...web, cookie: cookieOf(next).split(';')[0] };
    assert.equal((await p.api('POST', '/api/auth/logout', undefined, undefined, out)).status, 204);
    assert.equal((await p.api('POST', '/api/auth/refresh', undefined, undefined, out)).status, 401);
  });

  test('the command line signs in with its key', async () => {
    const me = await p.api('GET', '/api/auth/me', undefined, await p.auth.localToken());
    assert.equal(me.body.email, ADMIN.email);
  });

  test('forged tokens are refused for every service', async () => {
    const { access_token } = await p.auth.login(ADMIN);
    const forged = signed(strangerKey(), headerOf(access_token), claimsOf(access_token));
    for (const path of ['/api/auth/me', '/api/users', '/api/agents', '/api/commands']) {
      assert.equal((await p.api('GET', path, undefined, access_token)).status, 200, path);
      const r = await p.api('GET', path, undefined, forged);
      assert.equal(r.status, 401, path);
      assert.equal(r.headers['www-authenticate'], 'Bearer error="invalid_token"', path);
    }
  });

  test('the internal listener is not to be seen from outside', async () => {
    for (const path of ['/routes', '/metrics']) assert.notEqual((await p.api('GET', path)).headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    const r = await p.api('GET', '/routes');
    assert.ok(!r.text.includes('/api/auth/login'), 'no route table');
  });

  test('a made-up X-Forwarded-For changes neither the throttle nor the cookie', async () => {
    const statuses = new Set();
    for (let i = 0; i < 60; i++) {
      const from = { 'x-forwarded-for': `10.9.8.${i}` };
      const r = await p.api('POST', '/api/auth/login', { email: `nobody${i}@example.org`, password: 'x' }, undefined, from);
      statuses.add(r.status);
    }
    assert.deepEqual([...statuses], [401, 429]);
    const https = { ...web, 'x-forwarded-proto': 'https' };
    const r = await p.api('POST', '/api/auth/refresh', undefined, undefined, { ...https, cookie: '__Host-ogent_session=x' });
    assert.doesNotMatch(cookieOf(r), /^__Host-/);
  });
});

test('behind a trusted proxy with HTTPS the cookie is bound to the host', async () => {
  const p = await startFront([], { OGENT_TRUSTED_PROXIES: '127.0.0.1' });
  await p.auth.setUp();
  const proxy = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'ogent.example', 'x-forwarded-for': '203.0.113.9' };
  const web = { ...proxy, 'x-ogent-client': 'web', origin: 'https://ogent.example' };
  const r = await p.api('POST', '/api/auth/login', login, undefined, web);
  assert.equal(r.status, 200, r.text);
  assert.match(cookieOf(r), /^__Host-ogent_session=.*; Secure$/);
  const next = await p.api('POST', '/api/auth/refresh', undefined, undefined, { ...web, cookie: cookieOf(r).split(';')[0] });
  assert.equal(next.status, 200, next.text);
  await p.stop();
});

test('a good token is never refused while the services start: it cannot be checked yet, and that is said', async () => {
  const p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
  const token = await p.localToken();
  const statuses = new Set();
  for (let i = 0; i < 3; i++) {
    await p.kill();
    let ready = false;
    const started = p.start().then(() => (ready = true));
    const asking = ['/api/agents', '/api/commands', '/api/users'].map(async (path) => {
      while (!ready) {
        const r = await p.api('GET', path, undefined, token).catch(() => null);
        if (r) statuses.add(r.status);
      }
    });
    await Promise.all([started, ...asking]);
  }
  await p.stop();
  assert.deepEqual([...statuses].filter((s) => ![200, 502, 503, 504].includes(s)), []);
});
