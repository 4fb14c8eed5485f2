// What deploy/nginx does in front of real gateways.

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // Node's WebSocket takes no certificate of its own

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';

import { Live } from '../lib/live.mjs';
import { freePort, request, startPlatform, startRole } from '../lib/platform.mjs';
import { ask, newConversation } from '../lib/runs.mjs';
import { events } from '../lib/sse.mjs';
import { checkConfiguration, Nginx } from './nginx.mjs';

const UNLIMITED = [['rate=100r/s', 'rate=1000000r/s'], ['limit_conn connections 256', 'limit_conn connections 10000']];

let platform, second, secondPort, nginx, token;

before(async () => {
  platform = await startPlatform({ env: { OGENT_TRUSTED_PROXIES: '127.0.0.1', OGENT_RATE_LIMIT: '0' } });
  secondPort = await freePort();
  second = await startSecond();
  nginx = await Nginx.start({ gateways: [`127.0.0.1:${platform.where().port}`, `127.0.0.1:${secondPort}`], change: UNLIMITED });
  token = await platform.localToken();
});

after(async () => {
  await nginx?.stop();
  await second?.stop();
  await platform?.stop();
});

// Another gateway in front of the same roles.
async function startSecond() {
  const env = { OGENT_LISTEN: `127.0.0.1:${secondPort}`, OGENT_GATEWAY_LISTEN: `unix:${platform.data}/run/gateway2.sock`, OGENT_TRUSTED_PROXIES: '127.0.0.1', OGENT_RATE_LIMIT: '0' };
  const g = await startRole('gateway', { data: platform.data, env });
  for (let r; r?.status !== 200; await sleep(10)) r = await request({ host: '127.0.0.1', port: secondPort }, 'GET', '/readyz').catch(() => null);
  return g;
}

const get = (path, headers = {}, as = token) => request(nginx.where(), 'GET', path, { headers, token: as });
const post = (path, body, headers = {}) => request(nginx.where(), 'POST', path, { body, headers, token });

function assertProblem(r, status, code) {
  assert.equal(r.status, status, r.text);
  assert.match(r.headers['content-type'], /^application\/problem\+json/);
  assert.equal(r.body.status, status);
  assert.equal(r.body.code, code);
  assert.ok(r.body.detail.length > 20);
}

test('nginx -t is content and warns of nothing', () => {
  const said = checkConfiguration(nginx);
  assert.match(said, /test is successful/);
  // nginx before 1.25, Debian 12's, knows HTTP/2 only as a word of `listen`; later ones take that too and say that it is old.
  assert.doesNotMatch(said.replace(/^.*\[warn\].*"listen ... http2" directive is deprecated.*\n/gm, ''), /\[warn\]/);
});

test('every public path of the gateway goes to a gateway, and the services\' own do not', async () => {
  const table = readFileSync(resolve(import.meta.dirname, '../../services/gateway/routes_builtin.c'), 'utf8');
  const prefixes = [...table.matchAll(/^\t\{"[^"]+", "(\/[^"]+)"/gm)].map((m) => m[1]);
  assert.ok(prefixes.length > 25);
  for (const path of [...prefixes.flatMap((p) => [p, `${p}/x`]), '/healthz', '/readyz', '/api/openapi.json']) {
    if (path === '/ws/x' || path === '/socket.io' || /^\/(healthz|readyz)\//.test(path)) continue;
    const before = nginx.requests().length;
    await get(path);
    let seen;
    for (; !(seen = nginx.requests().slice(before).find((r) => r.path === path)); ) await sleep(2);
    assert.match(seen.upstream, /^127\.0\.0\.1:/, `${path} goes to a gateway`);
  }
  for (const path of ['/metrics', '/routes', '/status', '/demo/script', '/apix', '/wsx']) assertProblem(await get(path, { accept: '*/*' }), 404, 'not_found');
});

describe('TLS', () => {
  const handshake = (version, more = {}) =>
    new Promise((done, fail) => {
      const s = tls.connect({ ...nginx.where(), minVersion: version, maxVersion: version, servername: 'localhost', ...more }, () => {
        done({ protocol: s.getProtocol(), cipher: s.getCipher().standardName, alpn: s.alpnProtocol });
        s.destroy();
      });
      s.on('error', fail);
    });

  test('1.2 and 1.3 are spoken, with forward secrecy, and nothing older', async () => {
    assert.equal((await handshake('TLSv1.3')).protocol, 'TLSv1.3');
    const old = await handshake('TLSv1.2');
    assert.equal(old.protocol, 'TLSv1.2');
    assert.match(old.cipher, /^TLS_ECDHE_.*(GCM|CHACHA20)/);
    await assert.rejects(handshake('TLSv1.2', { ciphers: 'AES128-SHA:AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA' }), /handshake failure/);
    for (const version of ['TLSv1', 'TLSv1.1']) await assert.rejects(handshake(version, { ciphers: 'DEFAULT@SECLEVEL=0' }), /protocol version/);
  });

  test('plain HTTP is sent to HTTPS', async () => {
    const r = await request({ host: '127.0.0.1', port: nginx.plainPort }, 'GET', '/history?x=1', { headers: { host: 'ogent.example' } });
    assert.equal(r.status, 308);
    assert.equal(r.headers.location, 'https://ogent.example/history?x=1');
    assertProblem(await request({ host: '127.0.0.1', port: nginx.port }, 'GET', '/'), 400, 'bad_request');
  });

  test('HTTP/2 is chosen when it is offered, and serves files, the API and events', async () => {
    assert.equal((await handshake('TLSv1.3', { ALPNProtocols: ['h2', 'http/1.1'] })).alpn, 'h2');
    const session = http2.connect(`https://localhost:${nginx.port}`, { ca: nginx.ca });
    const fetch = (headers) =>
      new Promise((done, fail) => {
        let text = '', head;
        session.request(headers).on('response', (h) => (head = h)).on('error', fail).setEncoding('utf8').on('data', (d) => (text += d)).on('end', () => done({ head, text })).end();
      });
    const [page, agents] = await Promise.all([fetch({ ':path': '/' }), fetch({ ':path': '/api/agents', authorization: `Bearer ${token}` })]);
    assert.equal(page.head[':status'], 200);
    assert.match(page.text, /<html/);
    assert.equal(agents.head[':status'], 200);
    assert.ok(JSON.parse(agents.text).items.length);
    session.close();
  });
});

describe('the web app', () => {
  test('the page comes with the same security headers as from the gateway itself, and is never stored', async () => {
    const [page, own] = [await get('/', {}, null), await request(platform.where(), 'GET', '/')];
    assert.equal(page.status, 200);
    assert.equal(page.text, own.text);
    assert.equal(page.headers['cache-control'], 'no-store');
    for (const name of ['content-security-policy', 'x-content-type-options', 'referrer-policy', 'cross-origin-opener-policy', 'cross-origin-resource-policy', 'permissions-policy', 'cache-control'])
      assert.equal(page.headers[name], own.headers[name], name);
    assert.equal(page.headers['strict-transport-security'], undefined, 'not with a certificate that nobody can check');
    assert.equal(page.headers.server, 'nginx', 'the version is not told');
  });

  test('an asset may be kept for ever, and goes out packed as it was built', async () => {
    const asset = (await get('/')).text.match(/\/assets\/[\w.-]+\.js/)[0];
    const plain = await get(asset, {}, null);
    assert.equal(plain.status, 200);
    assert.match(plain.headers['content-type'], /^text\/javascript/);
    assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable');
    assert.equal(plain.headers['content-encoding'], undefined);
    const packed = await get(asset, { 'accept-encoding': 'gzip, br' }, null);
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.equal(packed.headers.vary, 'Accept-Encoding');
    assert.equal(Number(packed.headers['content-length']), readFileSync(join(nginx.dir, `www${asset}.gz`)).length);
    assert.ok(Number(packed.headers['content-length']) < Number(plain.headers['content-length']) / 2);
    const again = await get(asset, { 'accept-encoding': 'gzip', 'if-none-match': packed.headers.etag }, null);
    assert.equal(again.status, 304);
    assert.match(plain.headers['content-security-policy'], /default-src 'self'/);
  });

  test('an address of the app gives the page, to a browser alone; a missing file is missing', async () => {
    const page = (await get('/')).text;
    for (const path of ['/history', '/chat/0190', '/setup']) {
      const r = await get(path, { accept: 'text/html,*/*' }, null);
      assert.equal(r.text, page, path);
      assert.equal(r.headers['cache-control'], 'no-store');
      assertProblem(await get(path, { accept: 'application/json' }, null), 404, 'not_found');
    }
    assertProblem(await get('/assets/app-0.js', { accept: 'text/html' }, null), 404, 'not_found');
    assertProblem(await post('/', { a: 1 }), 405, 'method_not_allowed');
    assertProblem(await get('/../../etc/passwd', { accept: '*/*' }, null), 400, 'bad_request');
  });
});

describe('streams', () => {
  test('events come as they are made, not when the run ends', async () => {
    const conversation = await newConversation(platform, () => token);
    const { id } = await ask(platform, () => token, conversation, 'Tell me about yourself.\ndemo: {"first_ms": 0, "pace_ms": 20}');
    const arrivals = [];
    for await (const { data } of events(nginx.where(), 'GET', `/api/executions/${id}/events`, { token })) arrivals.push({ type: data.type, ms: performance.now() });
    const texts = arrivals.filter((a) => a.type === 'text.delta');
    assert.equal(arrivals.at(-1).type, 'execution.ended');
    assert.ok(texts.length > 4, JSON.stringify(arrivals));
    assert.ok(texts.at(-1).ms - texts[0].ms > 60, `the text came over time: ${JSON.stringify(arrivals)}`);
  });

  test('a WebSocket passes both ways', async () => {
    const live = await Live.open({ host: 'localhost', port: nginx.port, tls: true }, token);
    const conversation = await newConversation(platform, () => token);
    await live.join(`conversation:${conversation}`);
    const { id } = await ask(platform, () => token, conversation, 'Hello');
    await live.next((m) => m.type === 'event' && m.event.type === 'execution.ended' && m.event.execution_id === id);
    assert.equal((await live.close()).code, 1005);
  });

  test('a terminal is upgraded', async () => {
    const { body } = await post('/api/commands', { argv: ['cat'], tty: { rows: 24, cols: 80 } });
    const ws = new WebSocket(`wss://localhost:${nginx.port}/api/commands/${body.id}/terminal`);
    ws.binaryType = 'arraybuffer';
    await new Promise((done, fail) => Object.assign(ws, { onopen: done, onerror: fail }));
    const shown = new Promise((done) => {
      let text = '';
      ws.onmessage = ({ data }) => typeof data !== 'string' && (text += Buffer.from(data)).includes('over nginx') && done();
    });
    ws.send(JSON.stringify({ type: 'auth', token }));
    ws.send(Buffer.from('over nginx\n'));
    await shown;
    ws.close();
    assert.equal((await post(`/api/commands/${body.id}/cancel`, {})).status, 202);
  });
});

describe('limits', () => {
  test('a header field over 8 KiB and a path over 8 KiB are 431; what is below passes', async () => {
    assert.equal((await get('/api/agents', { 'x-long': 'a'.repeat(7000) })).status, 200);
    assertProblem(await get('/api/agents', { 'x-long': 'a'.repeat(9000) }), 431, 'head_too_large');
    assertProblem(await get(`/api/agents?x=${'a'.repeat(9000)}`), 431, 'head_too_large');
    const many = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`x-long-${i}`, 'a'.repeat(7000)]));
    assertProblem(await get('/api/agents', many), 431, 'head_too_large');
  });

  test('a body that no path takes is 413 here, and the role\'s own limit holds behind', async () => {
    assertProblem(await post('/api/agents', Buffer.alloc(9 << 20, 32)), 413, 'body_too_large');
    const r = await post('/api/agents', Buffer.alloc(2 << 20, 32));
    assert.equal(r.status, 413);
    assert.match(r.headers['content-type'], /problem\+json/);
  });

  test('more requests than the rate are 429 with Retry-After, the web app\'s files not', async () => {
    const strict = await Nginx.start({ gateways: [`127.0.0.1:${secondPort}`], change: [['rate=100r/s', 'rate=1r/s']] });
    const agent = new https.Agent({ keepAlive: true, maxSockets: 32 });
    const status = (path) => new Promise((done, fail) => https.get({ ...strict.where(), path, agent }, (res) => res.resume().on('end', () => done(res))).on('error', fail));
    const answers = await Promise.all(Array.from({ length: 600 }, () => status('/healthz')));
    const refused = answers.filter((r) => r.statusCode === 429);
    assert.ok(refused.length > 100 && answers.every((r) => [200, 429].includes(r.statusCode)));
    assert.equal(refused[0].headers['retry-after'], '1');
    for (let i = 0; i < 5; i++) assert.equal((await status('/')).statusCode, 200);
    agent.destroy();
    await strict.stop();
  });
});

describe('who the client is', () => {
  // What the gateways noted for the request.
  const noted = async (id) => {
    for (let line; ; await sleep(5)) if ((line = [platform, second].flatMap((g) => g.log.split('\n')).find((l) => l.includes(id) && l.includes('"client"')))) return JSON.parse(line).client;
  };
  const from = (localAddress, headers) => request({ ...nginx.where(), localAddress }, 'GET', '/api/agents', { headers, token });
  const lies = { 'x-forwarded-for': '203.0.113.9', 'x-real-ip': '203.0.113.9', forwarded: 'for=203.0.113.9', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'http' };

  test('the gateway learns the address that nginx saw, whatever the client says', async () => {
    for (const [address, i] of [['127.0.0.77', 1], ['127.0.0.78', 2]]) {
      const id = `client-test-${i}-${process.pid}`;
      assert.equal((await from(address, { 'x-request-id': id, ...lies })).status, 200);
      assert.equal(await noted(id), address);
    }
  });

  test('a gateway that is asked past nginx believes nobody else', async () => {
    const id = `client-test-3-${process.pid}`;
    const r = await request({ host: '127.0.0.1', port: secondPort, localAddress: '127.0.0.79' }, 'GET', '/api/agents', { headers: { 'x-request-id': id, ...lies }, token });
    assert.equal(r.status, 200);
    assert.equal(await noted(id), '127.0.0.79');
  });

  test('a load balancer in front is believed when it is named, and only it', async () => {
    const behind = await Nginx.start({ gateways: [`127.0.0.1:${secondPort}`], env: { OGENT_REAL_IP_FROM: '127.0.0.80/32', OGENT_HSTS: 'max-age=31536000' } });
    for (const [address, seen, i] of [['127.0.0.80', '203.0.113.9', 4], ['127.0.0.81', '127.0.0.81', 5]]) {
      const id = `client-test-${i}-${process.pid}`;
      const r = await request({ ...behind.where(), localAddress: address }, 'GET', '/api/agents', { headers: { 'x-request-id': id, 'x-forwarded-for': '198.51.100.1, 203.0.113.9' }, token });
      assert.equal(r.status, 200);
      assert.equal(r.headers['strict-transport-security'], 'max-age=31536000');
      assert.equal(await noted(id), seen);
    }
    await behind.stop();
  });

  test('the session cookie is one of HTTPS, and another site is refused by the Host that nginx saw', async () => {
    const own = `https://127.0.0.1:${nginx.port}`;
    const tries = (origin) => post('/api/auth/login', { email: 'nobody@example.org', password: 'wrong password here' }, { origin, 'x-forwarded-host': 'evil.example' });
    assert.equal((await tries(own)).status, 401);
    assertProblem(await tries('https://evil.example'), 403, 'cross_site');
  });
});

describe('several gateways', () => {
  test('both get requests, over connections that are kept', async () => {
    const before = nginx.requests().length;
    await Promise.all(Array.from({ length: 60 }, () => get('/api/agents')));
    await sleep(50);
    const upstreams = new Set(nginx.requests().slice(before).map((r) => r.upstream));
    assert.equal(upstreams.size, 2, [...upstreams].join());
  });

  test('one is killed under load: no request fails but those in flight on it', async (t) => {
    const agent = new https.Agent({ keepAlive: true, ca: nginx.ca });
    const failed = [], sent = { GET: 0, POST: 0 };
    let stop = false, killedAt = Infinity;
    const one = (method, path, body) =>
      new Promise((done) => {
        const at = performance.now();
        const fail = (what) => (failed.push({ method, at, after: at - killedAt, what }), done());
        sent[method]++;
        const r = https.request({ ...nginx.where(), method, path, agent, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } }, (res) => {
          let text = '';
          res.on('data', (d) => (text += d)).on('error', (e) => fail(e.message)).on('end', () => (res.statusCode < 300 && JSON.parse(text) ? done() : fail(`${res.statusCode} ${text}`)));
        });
        r.on('error', (e) => fail(e.message));
        r.end(body);
      });
    const agentId = (await get('/api/agents')).body.items[0].id;
    const worker = async (i) => {
      while (!stop) await (i % 4 ? one('GET', '/api/agents') : one('POST', '/api/conversations', JSON.stringify({ agent_id: agentId })));
    };
    const workers = Array.from({ length: 32 }, (_, i) => worker(i));
    const many = async (n) => {
      for (const from = sent.GET + sent.POST; sent.GET + sent.POST < from + n; ) await sleep(5);
    };
    await many(300);
    await second.kill('SIGKILL');
    killedAt = performance.now();
    await many(1500);
    stop = true;
    await Promise.all(workers);
    agent.destroy();
    t.diagnostic(`${sent.GET} reads and ${sent.POST} writes; in flight on the killed gateway and failed: ${failed.length}`);
    for (const f of failed) assert.ok(f.at < killedAt, `started ${f.after.toFixed(1)} ms after the end of the gateway and failed: ${JSON.stringify(f)}`);
    assert.ok(failed.every((f) => f.method === 'POST' || !/^\d/.test(f.what)), `a read is asked again elsewhere: ${JSON.stringify(failed)}`);
    assert.ok(failed.length <= 32);
  });

  test('it takes part again when it is back', async () => {
    second.start = undefined;
    second = await startSecond();
    for (const until = Date.now() + 10000; ; await sleep(50)) {
      const before = nginx.requests().length;
      await Promise.all(Array.from({ length: 20 }, () => get('/api/agents')));
      await sleep(20);
      if (nginx.requests().slice(before).some((r) => r.upstream === `127.0.0.1:${secondPort}` && r.status === 200)) break;
      assert.ok(Date.now() < until, 'the second gateway gets requests again');
    }
  });

  test('none left: 502 as a problem that says what to do', async () => {
    const alone = await Nginx.start({ gateways: [`127.0.0.1:${await freePort()}`] });
    const r = await request(alone.where(), 'GET', '/api/agents');
    assertProblem(r, 502, 'gateway_away');
    assert.equal(r.headers['retry-after'], '2');
    assert.equal((await request(alone.where(), 'GET', '/')).status, 200, 'the web app is there all the same');
    await alone.stop();
  });

  test('other gateways and another certificate are taken in without a restart', async () => {
    const moving = await Nginx.start({ gateways: ['no-such-name.invalid:1'] });
    assert.equal((await request(moving.where(), 'GET', '/healthz')).status, 502, 'it starts before any gateway has an address');
    writeFileSync(join(moving.dir, 'tmp/gateways.conf'), `server 127.0.0.1:${secondPort};\n`);
    const serial = (s) => new Promise((done) => (s = tls.connect(moving.where(), () => (done(s.getPeerCertificate().serialNumber), s.destroy()))));
    const before = await serial();
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=new', '-keyout', join(moving.dir, 'tls/key.pem'), '-out', join(moving.dir, 'tls/certificate.pem')], { stdio: 'ignore' });
    for (const until = Date.now() + 10000; (await serial()) === before; await sleep(100)) assert.ok(Date.now() < until, 'the new certificate is served');
    assert.equal((await request({ ...moving.where(), rejectUnauthorized: false }, 'GET', '/healthz')).status, 200);
    await moving.stop();
  });
});
