// The front door of the whole platform: what it refuses, what it passes on, what it answers itself.

import assert from 'node:assert/strict';
import { createPrivateKey, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { claimsOf, headerOf, signingKey, signed, strangerKey } from '../lib/jws.mjs';
import { startPlatform } from '../lib/platform.mjs';
import { sendRaw } from '../lib/raw.mjs';
import { ask, ended, newConversation, patient, rolePids } from '../lib/runs.mjs';
import { events } from '../lib/sse.mjs';

const VIEWER = { name: 'Vera Viewer', email: 'vera@example.org', password: 'a viewer looks and does not touch' };
const UNKNOWN_ID = '01900000-0000-7000-8000-000000000000';

function assertProblem(r, status, code) {
  assert.equal(r.status, status, r.text);
  assert.match(r.headers['content-type'], /^application\/problem\+json/);
  assert.equal(r.body.status, status);
  if (code) assert.equal(r.body.code, code, r.text);
  assert.ok(r.body.title && r.body.detail, r.text);
  assert.equal(r.body.request_id, r.headers['x-request-id']);
}

describe('the front door', { timeout: 240000 }, () => {
  let p, admin, viewer;
  // token: null for nobody.
  const get = (path, headers, token = admin) => p.api('GET', path, undefined, token, headers);
  const post = (path, body, headers, token = admin) => p.api('POST', path, body, token, headers);

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
    admin = (await p.setUp()).access_token;
    const made = await post('/api/users', { ...VIEWER, roles: ['viewer'] });
    assert.equal(made.status, 201, made.text);
    viewer = (await p.login(VIEWER)).access_token;
  });
  after(() => p?.stop());

  describe('requests that are wrong', () => {
    test('an unknown path is a 404 problem, with and without a token', async () => {
      for (const path of ['/api/nothing', '/api/agents/x/y/z', '/api/auth/nothing', '/.well-known/nothing', '/api/'])
        for (const token of [admin, null]) {
          const r = await get(path, {}, token);
          if (token || r.status !== 401) assertProblem(r, 404, 'not_found');
        }
      assertProblem(await get('/nothing.js', { accept: '*/*' }), 404, 'not_found');
      assertProblem(await get('/assets/nothing-12345678.js', { accept: 'text/html' }), 404, 'not_found');
      assertProblem(await get(`/api/agents/${UNKNOWN_ID}`), 404);
      assertProblem(await get('/api/agents/not-an-id'), 404);
    });

    test('a wrong method is 405 and says which are possible', async () => {
      for (const [method, path, allow] of [
        ['PUT', '/api/agents', ['GET', 'POST']],
        ['DELETE', '/api/models', ['GET']],
        ['GET', '/api/auth/login', ['POST']],
        ['POST', '/api/openapi.json', ['GET']],
        ['POST', '/healthz', ['GET']],
        ['DELETE', '/', ['GET']],
      ]) {
        const r = await p.api(method, path, undefined, admin);
        assertProblem(r, 405, 'method_not_allowed');
        const allowed = r.headers.allow.split(/, */);
        for (const m of allow) assert.ok(allowed.includes(m), `${method} ${path}: Allow: ${r.headers.allow}`);
        assert.ok(!allowed.includes(method), `${method} ${path}: Allow: ${r.headers.allow}`);
      }
      const made = await sendRaw(p.where(), 'BREW /api/agents HTTP/1.1\r\nHost: x\r\n\r\n');
      assert.ok([400, 405, 501].includes(made.status), made.text);
    });

    test('a body that is no JSON by its type is 415', async () => {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', 'application/json; charset=latin1', ''])
        assertProblem(await post('/api/agents', '{"name":"a"}', { 'content-type': type }), 415, 'unsupported_media_type');
      assertProblem(await post('/api/agents', '{"name":"a"}', { 'content-encoding': 'gzip' }), 415, 'unsupported_media_type');
    });

    test('JSON is taken strictly', async () => {
      const agent = (text) => `{"name":"a","description":${text}}`;
      for (const [what, body] of [
        ['nothing', ''],
        ['not whole', '{"name":'],
        ['something behind it', '{"name":"a"} {}'],
        ['no object', '["a"]'],
        ['a text', '"a"'],
        ['nested too deep', `{"name":${'['.repeat(1000)}${']'.repeat(1000)}}`],
        ['nested beyond the stack', `{"name":${'['.repeat(30000)}`],
        ['a name twice', '{"name":"a","name":"b"}'],
        ['a name twice, once escaped', '{"name":"a","n\\u0061me":"b"}'],
        ['a name twice further down', '{"name":"a","limits":{"max_steps":1,"max_steps":2}}'],
        ['an escaped NUL', agent('"a\\u0000b"')],
        ['a raw NUL', agent('"a\0b"')],
        ['half a surrogate pair', agent('"\\ud800"')],
        ['a byte that is no UTF-8', Buffer.from(agent('"\xff"'), 'latin1')],
        ['UTF-8 that is too long', Buffer.from(agent('"\xc0\xaf"'), 'latin1')],
        ['a surrogate in UTF-8', Buffer.from(agent('"\xed\xa0\x80"'), 'latin1')],
        ['a control character', agent('"a\nb"')],
        ['NaN', agent('NaN')],
        ['a comment', '{"name":"a"/* */}'],
        ['a comma too many', '{"name":"a",}'],
        ['single quotes', "{'name':'a'}"],
      ]) {
        const r = await post('/api/agents', body);
        assert.equal(r.status, 400, `${what}: ${r.status} ${r.text}`);
        assertProblem(r, 400);
      }
      assert.equal((await get('/api/agents')).body.items.length, 1, 'nothing was made');
      assertProblem(await post('/api/agents', { name: 'a', is_admin: true }), 422);
    });

    test('NUL, broken escapes and dots in a path go nowhere', async () => {
      for (const path of ['/api/agents/%00', '/api/agents/%zz', '/api/agents/%', '/api/auth/../users', '/api/%2e%2e/routes', '/..%2f..%2fetc/passwd', '/%c0%ae%c0%ae/x', '//etc/passwd', '/api//agents']) {
        const r = await sendRaw(p.where(), `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin}\r\nConnection: close\r\n\r\n`);
        assert.ok([400, 404].includes(r.status), `${path}: ${r.text}`);
      }
    });

    test('a body over the limit is 413, announced or not', async () => {
      const auth = `Host: x\r\nAuthorization: Bearer ${admin}\r\nContent-Type: application/json\r\n`;
      for (const [what, bytes] of [
        ['of no route', `POST /api/agents HTTP/1.1\r\n${auth}Content-Length: 1073741824\r\n\r\n`],
        ['of this route', `POST /api/agents HTTP/1.1\r\n${auth}Content-Length: 99000000\r\n\r\n`],
        ['sign-in', 'POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n'],
        ['in chunks', `POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n${' '.repeat(0x40000)}\r\n0\r\n\r\n`],
      ]) {
        const r = await sendRaw(p.where(), bytes, { once: true });
        assert.equal(r.status, 413, `${what}: ${r.text.slice(0, 500)}`);
        assert.equal(JSON.parse(r.body).code, 'body_too_large', what);
      }
      assertProblem(await post('/api/agents', { name: 'a', description: 'x'.repeat(2 << 20) }), 413, 'body_too_large');
    });

    test('a head over the limits is 414 or 431 and the connection closes', async () => {
      for (const [what, bytes, status] of [
        ['a long target', `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
        ['a long query', `GET /api/agents?q=${'a'.repeat(60000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
        ['a long field', `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(40000)}\r\n\r\n`, 431],
        ['many fields', `GET / HTTP/1.1\r\nHost: x\r\n${'X-A: 1\r\n'.repeat(200)}\r\n`, 431],
        ['a long name', `GET / HTTP/1.1\r\nHost: x\r\n${'A'.repeat(40000)}: 1\r\n\r\n`, 431],
      ]) {
        const r = await sendRaw(p.where(), bytes);
        assert.equal(r.status, status, `${what}: ${r.text.slice(0, 300)}`);
        assert.ok(r.closed, what);
      }
    });

    test('framing that two readers may read differently is refused and the connection closed', async () => {
      const head = `POST /api/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin}\r\nContent-Type: application/json\r\n`;
      const hidden = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
      for (const [what, bytes] of [
        ['two lengths', `${head}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}${hidden}`],
        ['two lengths that differ', `${head}Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}${hidden}`],
        ['a list of lengths', `${head}Content-Length: 2, 2\r\n\r\n{}${hidden}`],
        ['a signed length', `${head}Content-Length: +2\r\n\r\n{}${hidden}`],
        ['length and chunks', `${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`],
        ['chunks and length', `${head}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n${hidden}`],
        ['a coding we do not know', `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`],
        ['a blank before the colon', `${head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${hidden}`],
        ['a bad chunk size', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n${hidden}`],
        ['a chunk longer than its size', `${head}Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n${hidden}`],
        ['a chunk without its end', `${head}Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n${hidden}`],
        ['a folded field', `GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\n\r\n${hidden}`],
        ['no Host', `GET / HTTP/1.1\r\n\r\n${hidden}`],
        ['two Hosts', `GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n${hidden}`],
        ['a NUL in a field', `GET / HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n${hidden}`],
        ['line feeds alone', `GET / HTTP/1.1\nHost: x\n\n${hidden}`],
      ]) {
        const r = await sendRaw(p.where(), bytes);
        assert.equal(r.status, 400, `${what}: ${r.text.slice(0, 300)}`);
        assert.ok(r.closed, `${what}: the connection is closed`);
        assert.equal(r.text.match(/HTTP\/1\.1 /g).length, 1, `${what}: the hidden request got no answer`);
      }
      assert.equal((await get('/api/agents')).body.items.length, 1, 'nothing was made');
    });

    test('pipelined requests are answered in order', async () => {
      const line = (path, more = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
      const r = await sendRaw(p.where(), line('/healthz') + line('/api/nothing') + line('/api/auth/setup', 'Connection: close\r\n'));
      assert.ok(r.closed);
      assert.deepEqual([...r.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]), ['200', '404', '200']);
    });
  });

  describe('who it is', () => {
    test('no token, and every bad one, is 401 with a challenge', async () => {
      const none = await get('/api/agents', {}, null);
      assertProblem(none, 401, 'unauthorized');
      assert.match(none.headers['www-authenticate'], /^Bearer/);

      const key = signingKey(p);
      const header = headerOf(admin);
      const claims = claimsOf(admin);
      const now = Math.floor(Date.now() / 1000);
      const agentKey = JSON.parse(p.secret('agent.key'));
      const internal = { iss: 'ogent:agent', aud: 'auth', sub: claims.sub, iat: now, exp: now + 50 };
      const internalHeader = { ...header, kid: agentKey.kid };
      const asService = createPrivateKey({ key: agentKey, format: 'jwk' });
      const bad = {
        garbage: 'garbage',
        expired: signed(key, header, { ...claims, iat: now - 1200, exp: now - 600 }),
        forged: signed(strangerKey(), header, claims),
        foreign: signed(key, header, { ...claims, iss: 'https://elsewhere.example', aud: 'something' }),
        unsigned: `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${admin.split('.')[1]}.`,
        'with other claims': [admin.split('.')[0], Buffer.from(JSON.stringify({ ...claims, permissions: ['*'] })).toString('base64url'), viewer.split('.')[2]].join('.'),
        'a service\'s own': signed(asService, internalHeader, internal),
        'a service\'s own for people': signed(asService, internalHeader, { ...internal, aud: 'ogent-api' }),
        'too long': 'a'.repeat(20000),
      };
      assert.equal((await get('/api/agents', {}, signed(key, header, { ...claims, jti: 'again' }))).status, 200, 'the way tokens are made here is right');
      for (const [what, token] of Object.entries(bad)) {
        for (const path of ['/api/agents', '/api/users', '/api/commands', '/api/auth/me']) {
          const r = await get(path, {}, token);
          assert.equal(r.status, 401, `${what} at ${path}: ${r.text}`);
          assertProblem(r, 401, 'unauthorized');
          assert.equal(r.headers['www-authenticate'], 'Bearer error="invalid_token"', what);
        }
      }
      for (const scheme of ['Basic YWRhOmFkYQ==', 'Bearer', `Token ${admin}`, `Bearer ${admin} ${admin}`])
        assert.equal((await get('/api/agents', { authorization: scheme }, null)).status, 401, scheme);
    });

    test('two Authorization fields are refused, whatever they hold', async () => {
      for (const second of [admin, viewer, 'x']) {
        const r = await sendRaw(p.where(), `GET /api/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin}\r\nauthorization: Bearer ${second}\r\nConnection: close\r\n\r\n`);
        assert.equal(r.status, 400, r.text);
      }
    });

    test('a token in the URL is none', async () => {
      for (const name of ['access_token', 'token', 'authorization'])
        assert.equal((await get(`/api/agents?${name}=${admin}`, {}, null)).status, 401);
    });

    test('fields that tell who the user is are not believed', async () => {
      const me = (await get('/api/auth/me')).body;
      const lies = {
        'x-user-id': me.id, 'x-user-permissions': '*', 'x-user-roles': 'admin', 'X-User': me.id,
        'x-internal-user': me.id, 'x-internal-token': 'x', 'x-ogent-service': 'agent', 'x_user_id': me.id,
        'x-forwarded-user': me.id, forwarded: 'for=127.0.0.1', 'x-real-ip': '127.0.0.1',
      };
      assert.equal((await get('/api/auth/me', lies, null)).status, 401);
      assert.equal((await get('/api/auth/me', lies, viewer)).body.email, VIEWER.email);
      assertProblem(await get('/api/users', lies, viewer), 403, 'forbidden');
      assertProblem(await post('/api/agents', { name: 'a' }, lies, viewer), 403, 'forbidden');
    });

    test('the services\' own paths are not to be reached', async () => {
      for (const path of ['/metrics', '/routes', '/api/routes', '/api/metrics', '/demo/script', '/v1/../demo/script', '/api/agents/../../metrics', '/socket.io/../metrics']) {
        const r = await sendRaw(p.where(), `GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nAuthorization: Bearer ${admin}\r\nConnection: close\r\n\r\n`);
        assert.ok([400, 404].includes(r.status), `${path}: ${r.text.slice(0, 300)}`);
        assert.doesNotMatch(r.text, /"pattern"|process_resident_memory/);
      }
      for (const path of ['/metrics', '/routes']) assert.doesNotMatch((await get(path, { accept: 'text/html' })).text, /"pattern"|process_resident_memory/);
      assert.equal((await post('/demo/script', { pace_ms: 1 })).status, 405);
      const health = await get('/healthz');
      assert.deepEqual(Object.keys(health.body).sort(), ['role', 'status', 'version'], 'neither pid nor memory is told outside');
      assertProblem(await post('/api/publish', { events: [] }, {}, viewer), 403, 'forbidden');
    });
  });

  describe('what passes', () => {
    test('X-Request-Id is kept when it is well formed, made anew otherwise', async () => {
      const own = `test-${randomUUID()}`;
      assert.equal((await get('/api/agents', { 'x-request-id': own })).headers['x-request-id'], own);
      assert.equal((await get('/api/nothing', { 'x-request-id': own })).body.request_id, own);
      for (const bad of ['short', 'a b c d e f g h', 'x'.repeat(65), '<script>alert(1)</script>', '../../../etc/passwd']) {
        const r = await get('/api/agents', { 'x-request-id': bad });
        assert.notEqual(r.headers['x-request-id'], bad);
        assert.match(r.headers['x-request-id'], /^[\w.-]{8,64}$/);
      }
      const two = await Promise.all([get('/api/agents'), get('/api/agents')]);
      assert.notEqual(two[0].headers['x-request-id'], two[1].headers['x-request-id']);
      assert.ok(p.log.includes(own), 'it stands in the log');
    });

    test('a traceparent does not break a request, good or bad', async () => {
      for (const traceparent of ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '00-0-0-0', 'x'.repeat(1000)])
        assert.equal((await get('/api/agents', { traceparent })).status, 200);
    });

    test('no secret and no software version in the answers', async () => {
      for (const path of ['/api/agents', '/', '/api/nothing']) {
        const { headers } = await get(path);
        assert.equal(headers.server, undefined);
        assert.equal(headers['x-powered-by'], undefined);
        assert.equal(headers['access-control-allow-origin'], undefined);
      }
      assert.ok(!p.log.includes(admin.split('.')[2]), 'no token in the log');
    });

    test('events come as they are made, not when the run ends', async (t) => {
      const token = () => admin;
      const script = 'demo: {"first_ms": 0, "pace_ms": 20}';
      const took = [];
      for (let i = 0; i < 5 && !took.some((ms) => ms <= 100); i++) {
        const conversation = await newConversation(p, token);
        const { id } = await ask(p, token, conversation, `Tell me about yourself.\n${script}`);
        const start = performance.now();
        const arrivals = [];
        for await (const { data } of events(p.where(), 'GET', `/api/executions/${id}/events`, { token: admin }))
          arrivals.push({ type: data.type, ms: performance.now() - start });
        const texts = arrivals.filter((a) => a.type === 'text.delta');
        assert.equal(arrivals.at(-1).type, 'execution.ended');
        assert.ok(texts.length > 4, JSON.stringify(arrivals));
        assert.ok(texts.at(-1).ms - texts[0].ms > 60, `the text came over time: ${JSON.stringify(arrivals)}`);
        took.push(arrivals[0].ms);
      }
      t.diagnostic(`first event after ${took.map((ms) => ms.toFixed(1)).join(', ')} ms`);
      assert.ok(took.some((ms) => ms <= 100), `the first event is there in 100 ms: ${took}`);
    });

    test('HEAD answers as GET without a body', async () => {
      for (const path of ['/', '/healthz', '/api/openapi.json', '/api/agents']) {
        const [whole, head] = [await get(path), await p.api('HEAD', path, undefined, admin)];
        assert.equal(head.status, whole.status, path);
        assert.equal(head.text, '');
        assert.equal(head.headers['content-type'], whole.headers['content-type'], path);
        assert.equal(head.headers['content-length'], whole.headers['content-length'], path);
      }
    });
  });

  describe('the web app', () => {
    let page, asset;
    before(async () => {
      page = await get('/', { accept: 'text/html' }, null);
      asset = page.text.match(/\/assets\/[\w.-]+\.js/)?.[0];
    });

    test('the page is never stored and may load only its own', async () => {
      assert.equal(page.status, 200);
      assert.match(page.headers['content-type'], /^text\/html/);
      assert.equal(page.headers['cache-control'], 'no-store');
      const csp = page.headers['content-security-policy'];
      for (const part of ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) assert.ok(csp.includes(part), csp);
      assert.doesNotMatch(csp, /unsafe|\*/);
      assert.equal(page.headers['x-content-type-options'], 'nosniff');
      assert.equal(page.headers['referrer-policy'], 'no-referrer');
    });

    test('an asset may be kept for ever, comes packed, and is asked for once', async (t) => {
      if (!asset) return t.skip('the program was built without the web app');
      const plain = await get(asset, {}, null);
      assert.equal(plain.status, 200);
      assert.match(plain.headers['content-type'], /javascript/);
      assert.match(plain.headers['cache-control'], /max-age=31536000, immutable/);
      assert.equal(plain.headers['content-encoding'], undefined);
      assert.equal(plain.headers.vary, 'Accept-Encoding');
      const tags = [plain.headers.etag];
      for (const [accept, coding] of [['br', 'br'], ['gzip, br', 'br'], ['gzip', 'gzip'], ['br;q=0, gzip', 'gzip'], ['identity', undefined]]) {
        const r = await get(asset, { 'accept-encoding': accept }, null);
        assert.equal(r.headers['content-encoding'], coding, accept);
        if (coding) assert.ok(Number(r.headers['content-length']) < Number(plain.headers['content-length']) / 2);
        tags.push(r.headers.etag);
        const again = await get(asset, { 'accept-encoding': accept, 'if-none-match': r.headers.etag }, null);
        assert.equal(again.status, 304);
        assert.equal(again.text, '');
        assert.equal(again.headers.etag, r.headers.etag);
      }
      assert.equal(new Set(tags).size, 3, 'each form has its own ETag');
      assert.equal((await get(asset, { 'if-none-match': '"other"' }, null)).status, 200);
    });

    test('a part of an asset can be asked for, as long as it is the same asset', async (t) => {
      if (!asset) return t.skip('the program was built without the web app');
      const whole = await get(asset, {}, null);
      const size = Number(whole.headers['content-length']);
      assert.equal(whole.headers['accept-ranges'], 'bytes');
      const part = await get(asset, { range: 'bytes=10-19', 'accept-encoding': 'br' }, null);
      assert.equal(part.status, 206);
      assert.equal(part.headers['content-range'], `bytes 10-19/${size}`);
      assert.equal(part.headers['content-encoding'], undefined);
      assert.equal(part.text, whole.text.slice(10, 20));
      const same = { range: 'bytes=-4', 'if-range': whole.headers.etag };
      assert.equal((await get(asset, same, null)).text, whole.text.slice(-4));
      assert.equal((await get(asset, { ...same, 'if-range': '"older"' }, null)).status, 200, 'the asset has changed');
      const beyond = await get(asset, { range: `bytes=${size}-` }, null);
      assert.equal(beyond.status, 416);
      assert.equal(beyond.headers['content-range'], `bytes */${size}`);
      for (const range of ['bytes=0-1,3-4', 'lines=1-2', 'bytes=9-2']) assert.equal((await get(asset, { range }, null)).status, 200, range);
    });

    test('an address of the app gives the page, to a browser alone', async (t) => {
      if (!asset) return t.skip('the program was built without the web app');
      for (const path of ['/runs', `/chat/${UNKNOWN_ID}`, '/setup', '/a/b/c']) {
        const r = await get(path, { accept: 'text/html,application/xhtml+xml' }, null);
        assert.equal(r.status, 200, path);
        assert.equal(r.text, page.text);
        assert.equal(r.headers['cache-control'], 'no-store');
        assertProblem(await get(path, { accept: 'application/json' }, null), 404, 'not_found');
      }
      assertProblem(await get('/api/nothing', { accept: 'text/html' }), 404, 'not_found');
    });
  });

  test('a role that is down is 503 with a time to wait, or 502 when it broke off, and comes back', async () => {
    const before = rolePids(p);
    const seen = [];
    process.kill(before.exec, 'SIGKILL');
    for (const limit = Date.now() + 5000; Date.now() < limit && !seen.some((r) => r.status >= 500); ) {
      const r = await get('/api/commands');
      seen.push(r);
      if (r.status === 200) await sleep(2);
    }
    assert.ok(seen.at(-1).status >= 500, 'it was seen to be down');
    for (const r of seen.filter((r) => r.status !== 200)) {
      assert.ok([502, 503].includes(r.status), r.text);
      assertProblem(r, r.status);
      assert.match(r.body.detail, /exec/);
      if (r.status === 503) assert.match(r.headers['retry-after'] ?? '', /^\d+$/, 'it says when to come again');
    }
    assert.equal((await get('/api/agents')).status, 200, 'the others go on');
    assert.equal((await patient(() => get('/api/commands'))).status, 200);
    assert.notEqual(rolePids(p).exec, before.exec);
  });
});

describe('the rate limit', { timeout: 60000 }, () => {
  let p;
  before(async () => (p = await startPlatform({ env: { OGENT_RATE_LIMIT: '1', OGENT_RATE_BURST: '8' } })));
  after(() => p?.stop());

  test('is told in each answer and ends in 429 with Retry-After; health is not counted', async () => {
    // Many at once: a slow machine gets some of its allowance back meanwhile.
    const answers = await Promise.all(Array.from({ length: 40 }, () => p.api('GET', '/api/auth/setup')));
    for (const r of answers) {
      assert.ok([200, 429].includes(r.status), r.text);
      assert.equal(r.headers['ratelimit-policy'], '"default";q=8;w=8');
      const [, remaining, seconds] = r.headers.ratelimit.match(/^"default";r=(\d+);t=(\d+)$/);
      assert.ok(Number(remaining) <= 7 && Number(seconds) <= 8, r.headers.ratelimit);
    }
    assert.ok(answers.filter((r) => r.status === 200).length >= 4);
    const refused = answers.find((r) => r.status === 429);
    assertProblem(refused, 429, 'rate_limited');
    const wait = Number(refused.headers['retry-after']);
    assert.ok(wait >= 1 && wait <= 2, refused.headers['retry-after']);
    for (let i = 0; i < 10; i++) {
      const r = await p.api('GET', '/healthz');
      assert.equal(r.status, 200);
      assert.equal(r.headers.ratelimit, undefined);
    }
    const elsewhere = await Promise.all(Array.from({ length: 40 }, (_, i) => p.api('GET', '/api/auth/setup', undefined, undefined, { 'x-forwarded-for': `203.0.113.${i}` })));
    assert.ok(elsewhere.some((r) => r.status === 429), 'a made-up address does not help');
    await sleep(wait * 1000 + 100);
    assert.equal((await p.api('GET', '/api/auth/setup')).status, 200);
  });

  test('each user has an own allowance, and bad tokens use the address\'s', async () => {
    await sleep(3000);
    const token = await p.localToken();
    const own = await p.api('GET', '/api/agents', undefined, token);
    assert.equal(own.status, 200, own.text);
    assert.match(own.headers.ratelimit, /^"default";r=7;/);
    const bad = await Promise.all(Array.from({ length: 40 }, () => p.api('GET', '/api/agents', undefined, 'x')));
    assert.ok(bad.some((r) => r.status === 401) && bad.some((r) => r.status === 429));
    assert.equal((await p.api('GET', '/api/agents', undefined, token)).status, 200);
  });
});
