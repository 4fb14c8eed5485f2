// Routes and upstreams from a file, against real servers: who gets what, what happens when servers fail, die and come back, when the file
// or DNS changes under load.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Dnsmasq, hasDnsmasq } from '../lib/dnsmasq.mjs';
import { Load } from '../lib/load.mjs';
import { freePort, request, startRole } from '../lib/platform.mjs';
import { parseMetrics } from '../lib/prometheus.mjs';
import { DeafListener, UpstreamProcess, UpstreamServer } from '../lib/upstream_server.mjs';

const VIEWER = { name: 'Vera Viewer', email: 'vera@example.org', password: 'a viewer looks and does not touch' };
const WAIT_MS = 30000;

// Until `look` gives something true.
async function until(what, look) {
  for (const limit = Date.now() + WAIT_MS; ; await sleep(20)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > limit) throw new Error(`not within ${WAIT_MS} ms: ${what}`);
  }
}

// A route for everybody to an upstream of the same name.
const open = (name, upstream, more = '') => `[upstream ${name}]\n${upstream}\n[route ${name}]\npath = /${name}\nupstream = ${name}\npublic = true\n${more}\n`;

class House {
  static async start(text, env = {}) {
    const h = new House();
    h.dir = mkdtempSync(join(tmpdir(), 'ogent-routes-'));
    h.file = join(h.dir, 'routes.conf');
    h.write(text);
    h.auth = await startRole('auth');
    const port = await freePort();
    h.where = { host: '127.0.0.1', port };
    h.gateway = await startRole('gateway', {
      data: h.auth.data,
      env: { OGENT_LISTEN: `127.0.0.1:${port}`, OGENT_GATEWAY_ROUTES: h.file, OGENT_RATE_LIMIT: '0', OGENT_GATEWAY_THREADS: '2', ...env },
    });
    h.admin = (await h.call('POST', '/api/auth/setup', { body: { token: h.auth.secret('setup.token'), name: 'Ada', email: 'ada@example.org', password: 'correct horse battery staple' } })).body.access_token;
    assert.ok(h.admin);
    return h;
  }

  write(text) {
    writeFileSync(this.file, text);
  }

  call(method, path, options) {
    return request(this.where, method, path, options);
  }

  async reload(text) {
    this.write(text);
    const r = await this.call('POST', '/api/gateway/reload', { token: this.admin });
    assert.equal(r.status, 200, r.text);
  }

  async upstream(name) {
    const r = await this.call('GET', '/api/gateway/upstreams', { token: this.admin });
    assert.equal(r.status, 200, r.text);
    return r.body.items.find((u) => u.name === name);
  }

  async states(name) {
    return Object.fromEntries((await this.upstream(name)).endpoints.map((e) => [e.address, e.state]));
  }

  async stop() {
    await this.gateway?.stop();
    await this.auth?.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

// A WebSocket of which only the bytes matter: what is sent comes back.
class Echo {
  static open(where, path) {
    const e = new Echo();
    e.socket = net.connect(where.port, where.host);
    e.text = '';
    e.isClosed = false;
    e.socket.on('data', (d) => (e.text += d.toString('latin1')));
    e.socket.on('close', () => (e.isClosed = true));
    e.socket.on('error', () => {});
    e.socket.write(
      `GET ${path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
    return until('an open WebSocket', () => e.isClosed || e.text.includes('\r\n\r\n')).then(() => {
      assert.match(e.text, /^HTTP\/1\.1 101 /);
      return e;
    });
  }

  async says(word) {
    this.socket.write(word);
    await until(`an echo of ${word}`, () => this.isClosed || this.text.includes(word));
    assert.ok(!this.isClosed, 'the WebSocket was dropped');
  }
}

describe('routes from a file', { timeout: 120000 }, () => {
  let h, one, two, viewer;

  before(async () => {
    one = await UpstreamServer.start({ name: 'one' });
    two = await UpstreamServer.start({ name: 'two' });
    h = await House.start(
      `[upstream one]\nendpoint = ${one.address}\n[upstream two]\nendpoint = ${two.address}\n` +
        '[cors app]\norigins = https://app.example, https://admin.example:8443\ncredentials = true\nmax_age = 5m\n' +
        '[cors all]\norigins = *\n' +
        '[route plain]\npath = /plain\nupstream = one\npublic = true\n' +
        '[route host]\npath = /plain\nhost = *.two.test\nupstream = two\npublic = true\n' +
        '[route read]\npath = /plain/read\nmethods = GET, HEAD\nupstream = two\npublic = true\nbody_limit = 1K\n' +
        '[route read-only]\npath = /only\nmethods = GET\nupstream = one\npublic = true\n' +
        '[route strip]\npath = /strip\nupstream = one\npublic = true\nstrip_prefix = true\nbody_limit = 1K\n' +
        '[route inside]\npath = /auth-service\nupstream = auth\npublic = true\nstrip_prefix = true\n' +
        '[route managed]\npath = /managed\nupstream = one\npermission = users.manage\n' +
        '[route late]\npath = /late\nupstream = one\npublic = true\nfirst_byte_timeout = 200ms\n' +
        '[route idle]\npath = /idle\nupstream = one\npublic = true\nidle_timeout = 200ms\n' +
        '[route total]\npath = /total\nupstream = one\npublic = true\ntotal_timeout = 400ms\n' +
        '[route cors]\npath = /cors\nupstream = one\npublic = true\ncors = app\n' +
        '[route cors-private]\npath = /cors/private\nupstream = one\ncors = app\n' +
        '[route cors-all]\npath = /cors/all\nupstream = one\npublic = true\ncors = all\nmethods = GET, POST\n' +
        '[route permissions]\nenabled = false\n',
    );
    const made = await h.call('POST', '/api/users', { body: { ...VIEWER, roles: ['viewer'] }, token: h.admin });
    assert.equal(made.status, 201, made.text);
    viewer = (await h.call('POST', '/api/auth/login', { body: { email: VIEWER.email, password: VIEWER.password } })).body.access_token;
    assert.ok(viewer);
  });
  after(async () => {
    await h?.stop();
    await one?.stop();
    await two?.stop();
  });

  const server = async (path, headers) => (await h.call('GET', path, { headers })).body.server;

  test('host, path and method decide who answers', async () => {
    assert.equal(await server('/plain'), 'one');
    assert.equal(await server('/plain/other'), 'one');
    assert.equal(await server('/plain', { host: 'a.two.test:8420' }), 'two');
    assert.equal(await server('/plain', { host: 'two.test' }), 'one');
    assert.equal(await server('/plain/read/x'), 'two');
    assert.equal((await h.call('POST', '/plain/read', { body: {} })).body.server, 'one');
    const wrong = await h.call('POST', '/only', { body: {} });
    assert.equal(wrong.status, 405, wrong.text);
    assert.match(wrong.headers.allow, /GET/);
    assert.equal((await h.call('GET', '/plainer')).status, 404);
  });

  test('a prefix can be cut off; the roles keep their own paths for themselves', async () => {
    assert.equal((await h.call('GET', '/strip/a/b?c=d')).body.url, '/a/b?c=d');
    assert.equal((await h.call('GET', '/strip')).body.url, '/');
    assert.equal((await h.call('GET', '/strip?c')).body.url, '/?c');
    assert.equal((await h.call('GET', '/%73trip/a')).status, 404);
    assert.equal((await h.call('GET', '/auth-service/.well-known/jwks.json')).status, 200);
    for (const path of ['metrics', 'healthz', 'readyz', 'routes', '%6detrics'])
      assert.equal((await h.call('GET', `/auth-service/${path}`)).status, 404, path);
  });

  test('what is built in can be changed and switched off', async () => {
    assert.equal((await h.call('GET', '/api/permissions', { token: h.admin })).status, 404);
    assert.equal((await h.call('GET', '/api/users', { token: h.admin })).status, 200);
  });

  test('a permission is asked for at the gateway, and named', async () => {
    const before = one.requests;
    assert.equal((await h.call('GET', '/managed')).status, 401);
    const r = await h.call('GET', '/managed', { token: viewer });
    assert.equal(r.status, 403, r.text);
    assert.equal(r.body.code, 'forbidden');
    assert.match(r.body.detail, /users\.manage/);
    assert.equal(one.requests, before);
    assert.equal((await h.call('GET', '/managed', { token: h.admin })).status, 200);
  });

  test('a body above the limit of its route is refused', async () => {
    assert.equal((await h.call('POST', '/strip', { body: 'x'.repeat(1000) })).status, 200);
    assert.equal((await h.call('POST', '/strip', { body: 'x'.repeat(1100) })).status, 413);
    assert.equal((await h.call('POST', '/plain', { body: 'x'.repeat(1100) })).status, 200);
  });

  test('each route has its own times', async () => {
    one.mode = 'hang';
    const late = await h.call('GET', '/late');
    assert.equal(late.status, 504, late.text);
    assert.equal(late.body.code, 'gateway_timeout');
    assert.equal((await h.call('GET', '/total')).status, 504);
    one.mode = 'stall';
    await assert.rejects(h.call('GET', '/idle'));
    one.mode = 'slow';
    await assert.rejects(h.call('GET', '/total'));
    one.mode = 'ok';
    one.release();
  });

  describe('pages of other origins', () => {
    const ask = (path, origin, method, token) => h.call('OPTIONS', path, { headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization' }, token });
    const vary = (r) => (r.headers.vary ?? '').split(/, */);

    test('the question in advance is answered by the gateway, without a token', async () => {
      const before = one.requests;
      for (const path of ['/cors', '/cors/private']) {
        const r = await ask(path, 'https://app.example', 'DELETE');
        assert.equal(r.status, 204, r.text);
        assert.equal(r.headers['access-control-allow-origin'], 'https://app.example');
        assert.equal(r.headers['access-control-allow-credentials'], 'true');
        assert.match(r.headers['access-control-allow-methods'], /DELETE/);
        assert.match(r.headers['access-control-allow-headers'], /Authorization/);
        assert.equal(r.headers['access-control-max-age'], '300');
        assert.ok(vary(r).includes('Origin'));
      }
      assert.equal(one.requests, before);
    });

    test('an origin that is not in the list gets nothing, however like it looks', async () => {
      for (const origin of ['https://app.example.evil.test', 'http://app.example', 'https://app.example:443', 'https://APP.example', 'null', 'https://admin.example']) {
        const r = await ask('/cors', origin, 'GET');
        assert.equal(r.status, 403, origin);
        assert.equal(r.headers['access-control-allow-origin'], undefined, origin);
        const plain = await h.call('GET', '/cors', { headers: { origin } });
        assert.equal(plain.status, 200); // the browser keeps it from the page
        assert.equal(plain.headers['access-control-allow-origin'], undefined, origin);
      }
    });

    test('answers and problems carry it, Vary is joined with the role\'s, and what a role says of origins is dropped', async () => {
      const r = await h.call('GET', '/cors', { headers: { origin: 'https://admin.example:8443' } });
      assert.equal(r.headers['access-control-allow-origin'], 'https://admin.example:8443');
      assert.match(r.headers['access-control-expose-headers'], /X-Request-Id/);
      assert.deepEqual(vary(r).sort(), ['Accept-Encoding', 'Origin']);
      const refused = await h.call('GET', '/cors/private', { headers: { origin: 'https://app.example' } });
      assert.equal(refused.status, 401);
      assert.equal(refused.headers['access-control-allow-origin'], 'https://app.example');
      const none = await h.call('GET', '/cors');
      assert.equal(none.headers['access-control-allow-origin'], undefined);
      assert.ok(vary(none).includes('Origin'));
    });

    test('every origin may use what is open to all, but without credentials', async () => {
      const r = await h.call('GET', '/cors/all', { headers: { origin: 'https://anybody.test' } });
      assert.equal(r.headers['access-control-allow-origin'], '*');
      assert.equal(r.headers['access-control-allow-credentials'], undefined);
      assert.equal((await ask('/cors/all', 'https://anybody.test', 'POST')).status, 204);
    });

    test('a route without a policy answers as before', async () => {
      const r = await h.call('GET', '/plain', { headers: { origin: 'https://app.example' } });
      assert.equal(r.headers['access-control-allow-origin'], '*'); // the upstream's own word
    });
  });
});

describe('a reload', { timeout: 120000 }, () => {
  let h, server;
  const text = (n) => open('x', `endpoint = ${server.address}\neject_after = ${n}`, 'websocket = true') + `[route other${n}]\npath = /other${n}\nupstream = x\npublic = true\n`;

  before(async () => {
    server = await UpstreamServer.start();
    h = await House.start(text(1));
  });
  after(async () => {
    await h?.stop();
    await server?.stop();
  });

  test('drops no WebSocket and fails no request', async () => {
    const sockets = [];
    for (let i = 0; i < 50; i++) sockets.push(await Echo.open(h.where, '/x'));
    const load = new Load(h.where, '/x', { connections: 20 });
    for (let n = 2; n <= 11; n++) {
      await load.more(100);
      if (n % 2) {
        await h.reload(text(n));
      } else {
        h.write(text(n));
        h.gateway.child.kill('SIGHUP');
        await until('the routes of the signal', async () => (await h.call('GET', '/api/gateway/routes', { token: h.admin })).body.items.some((r) => r.name === `other${n}`));
      }
      assert.equal((await h.call('GET', `/other${n}`)).status, 200);
      assert.equal((await h.call('GET', `/other${n - 1}`)).status, 404);
    }
    await load.more(100);
    await load.stop();
    assert.deepEqual(load.failed, []);
    for (const [i, s] of sockets.entries()) await s.says(`still here ${i}`);
    for (const s of sockets) s.socket.destroy();
  });

  test('of a wrong file is refused with line and reason, and the old one stays', async () => {
    h.write(`${text(3)}[route broken]\npath = nowhere\nupstream = x\n`);
    const r = await h.call('POST', '/api/gateway/reload', { token: h.admin });
    assert.equal(r.status, 422, r.text);
    assert.equal(r.body.code, 'routes_invalid');
    assert.match(r.body.detail, new RegExp(`${h.file} line \\d+: path: "nowhere" is no path`));
    assert.equal((await h.call('GET', '/other11')).status, 200);
    const listed = (await h.call('GET', '/api/gateway/routes', { token: h.admin })).body;
    assert.equal(listed.last_error, r.body.detail);
    h.gateway.child.kill('SIGHUP');
    await until('the refusal in the log', () => h.gateway.log.includes('the routes stay as they are'));
    assert.equal((await h.call('GET', '/x')).status, 200);
    assert.equal((await h.call('POST', '/api/gateway/reload')).status, 401);
  });
});

describe('servers that fail', { timeout: 180000 }, () => {
  let h, servers, third, deaf;

  before(async () => {
    deaf = await DeafListener.start();
    servers = [await UpstreamServer.start({ name: 'a' }), await UpstreamServer.start({ name: 'b' })];
    third = await UpstreamServer.start({ name: 'c' });
    const both = servers.map((s) => `endpoint = ${s.address}`).join('\n');
    const nobody = `127.0.0.1:${await freePort()}`;
    h = await House.start(
      open('eject', `${both}\nendpoint = ${third.address}\neject_time = 500ms\nslow_start = 0s`, 'retries = 0') +
        open('retry', `${both}\neject_after = 0\nretry_floor = 5`) +
        open('help', `${both}\neject_after = 0\nretry_floor = 30`) +
        open('half', `${both}\nendpoint = ${nobody}\neject_after = 0`, 'retries = 2') +
        open('weights', `endpoint = ${servers[0].address} weight=1\nendpoint = ${servers[1].address} weight=3`) +
        open('full', `endpoint = ${servers[0].address}\nmax_requests = 3`) +
        open('wait', `endpoint = ${servers[0].address}\nmax_connections = 1\nmax_pending = 1`) +
        open('deaf', `endpoint = ${deaf.address}\neject_after = 0`, 'connect_timeout = 250ms\nretries = 0') +
        open('half-deaf', `endpoint = ${deaf.address}\nendpoint = ${servers[0].address}\neject_after = 0\nslow_start = 0s`, 'connect_timeout = 250ms\nretries = 1') +
        open('warming', `${both}\nhealth_path = /health\nhealth_interval = 100ms\nhealth_rise = 1\nhealth_fall = 1\nslow_start = 10m`) +
        open('warmed', `${both}\nhealth_path = /health\nhealth_interval = 100ms\nhealth_rise = 1\nhealth_fall = 1\nslow_start = 1s`) +
        open('checked', `${both}\nhealth_path = /health\nhealth_interval = 100ms\nhealth_rise = 2\nhealth_fall = 2\nslow_start = 60s`),
    );
  });
  after(async () => {
    await h?.stop();
    for (const s of [...(servers ?? []), third, deaf]) await s?.stop();
  });
  const counts = () => servers.map((s) => s.requests);
  const all = (n, path, options) => Promise.all(Array.from({ length: n }, () => h.call(options?.method ?? 'GET', path, options)));

  test('are ejected after five failures in a row, and come back', async () => {
    third.mode = 500;
    for (let i = 0; i < 60; i++) await h.call('GET', '/eject');
    assert.equal(third.requests, 5);
    assert.equal((await h.states('eject'))[third.address], 'ejected');
    third.mode = 'ok';
    await until('the server back', async () => (await h.states('eject'))[third.address] === 'up');
    await until('requests for it', async () => (await h.call('GET', '/eject')).headers['x-server'] === 'c');
    assert.ok((await h.upstream('eject')).ejections >= 1);
  });

  test('get all there is when all of them fail: never is everybody ejected', async () => {
    for (const s of [...servers, third]) s.mode = 500;
    for (let i = 0; i < 60; i++) assert.equal((await h.call('GET', '/eject')).status, 500);
    assert.deepEqual(Object.values(await h.states('eject')).sort(), ['ejected', 'up', 'up']);
    for (const s of [...servers, third]) s.mode = 'ok';
  });

  test('cost a retry elsewhere at most a fifth of the requests', async () => {
    for (const s of servers) s.mode = 503;
    const before = counts();
    const answers = await all(200, '/retry');
    assert.ok(answers.every((r) => r.status === 503));
    const extra = counts()[0] + counts()[1] - before[0] - before[1] - 200;
    assert.ok(extra >= 5 && extra <= 45, `${extra} retries of 200 requests`);
    const u = await h.upstream('retry');
    assert.equal(u.retries, extra);
    assert.ok(u.retries_refused > 100);
    for (const s of servers) s.mode = 'ok';
  });

  test('are helped out by another one, for what may be repeated', async () => {
    for (const mode of [503, 'reset']) {
      servers[0].mode = mode;
      const before = counts();
      const answers = await all(20, '/help');
      assert.ok(answers.every((r) => r.status === 200 && r.headers['x-server'] === 'b'), answers.map((r) => r.status).join(' '));
      assert.ok(counts()[0] > before[0]);
    }
    servers[0].mode = 500; // which is an answer, and not one about the server's state: it is passed on
    assert.ok((await all(20, '/help')).some((r) => r.status === 500));
    servers[0].mode = 'ok';
  });

  test('never get a POST twice', async () => {
    for (const s of servers) s.mode = 'reset';
    const before = servers.reduce((n, s) => n + (s.byMethod.POST ?? 0), 0);
    const answers = await all(30, '/retry', { method: 'POST', body: { a: 1 } });
    assert.ok(answers.every((r) => r.status === 502), answers.map((r) => r.status).join(' '));
    assert.equal(servers.reduce((n, s) => n + (s.byMethod.POST ?? 0), 0) - before, 30);
    for (const s of servers) s.mode = 'ok';
  });

  test('that cannot be reached cost nothing: what was never sent goes to another one, a POST too, with its body', async () => {
    const before = servers.reduce((n, s) => n + (s.byMethod.POST ?? 0), 0);
    const answers = await all(60, '/half', { method: 'POST', body: 'x'.repeat(5000) });
    assert.ok(answers.every((r) => r.status === 200 && r.body.bytes === 5000), answers.map((r) => r.status).join(' '));
    assert.equal(servers.reduce((n, s) => n + (s.byMethod.POST ?? 0), 0) - before, 60);
    assert.ok((await h.upstream('half')).endpoints.some((e) => e.connect_failures > 0));
  });

  test('that take no connection cost no more than the connect_timeout of the route', async () => {
    const began = Date.now();
    const r = await h.call('POST', '/deaf', { body: { a: 1 } });
    const took = Date.now() - began;
    assert.equal(r.status, 504, r.text);
    assert.equal(r.body.code, 'gateway_timeout');
    assert.ok(took >= 250 && took < 4500, `${took} ms: the usual connect_timeout is 5 s`);
    assert.equal((await h.upstream('deaf')).endpoints[0].connect_failures, 1);
  });

  test('that take no connection are replaced by others, for a POST too, since nothing was sent', async () => {
    const began = Date.now();
    const answers = await all(20, '/half-deaf', { method: 'POST', body: 'x'.repeat(100) });
    assert.ok(answers.every((r) => r.status === 200 && r.body.bytes === 100), answers.map((r) => r.status).join(' '));
    assert.ok(Date.now() - began < 4500);
    assert.ok((await h.upstream('half-deaf')).endpoints.find((e) => e.address === deaf.address).connect_failures > 0);
  });

  test('share the requests by weight', async () => {
    const before = counts();
    for (let i = 0; i < 200; i++) await h.call('GET', '/weights');
    const share = (counts()[0] - before[0]) / 200;
    assert.ok(share > 0.12 && share < 0.4, `${share} instead of 0.25`);
  });

  test('are not given more than they may have at once: 503 with Retry-After', async () => {
    // Each of the gateway's two threads has one connection for `wait`, and one request of all may wait for it.
    for (const [name, least, most] of [
      ['full', 3, 3],
      ['wait', 1, 3], // which thread gets a connection is the kernel's choice
    ]) {
      servers[0].mode = 'hang';
      const refused = [];
      const asked = Array.from({ length: 8 }, () => h.call('GET', `/${name}`).then((r) => r.status === 200 || refused.push(r)));
      const taken = await until('that all are taken or refused', async () => {
        const { active } = await h.upstream(name);
        return active + refused.length === 8 && active;
      });
      assert.ok(taken >= least && taken <= most, `${taken} of ${name}`);
      servers[0].mode = 'ok';
      servers[0].release();
      await Promise.all(asked);
      assert.equal(refused.length, 8 - taken);
      for (const r of refused) {
        assert.equal(r.status, 503, r.text);
        assert.equal(r.body.code, 'overloaded');
        assert.ok(Number(r.headers['retry-after']) >= 1);
      }
      assert.equal((await h.upstream(name)).overflows, refused.length);
    }
  });

  test('are left alone while their check fails, and start slowly afterwards', async () => {
    const address = servers[0].address;
    servers[0].healthy = false;
    await until('the server down', async () => (await h.states('checked'))[address] === 'down');
    const before = counts();
    for (let i = 0; i < 30; i++) await h.call('GET', '/checked');
    assert.equal(counts()[0], before[0]);
    servers[0].healthy = true;
    await until('the server up', async () => (await h.states('checked'))[address] === 'up');
    const e = (await h.upstream('checked')).endpoints.find((x) => x.address === address);
    assert.ok(e.warmth < 0.9, `warmth ${e.warmth}`);
  });

  test('that come back get few requests at first, and their whole share after slow_start', async () => {
    const address = servers[0].address;
    const shareOf = async (name) => {
      const before = counts();
      for (let i = 0; i < 200; i++) assert.equal((await h.call('GET', `/${name}`)).status, 200);
      return (counts()[0] - before[0]) / 200;
    };
    const warmth = async (name) => (await h.upstream(name)).endpoints.find((e) => e.address === address).warmth;
    servers[0].healthy = false;
    for (const name of ['warming', 'warmed']) await until('the server down', async () => (await h.states(name))[address] === 'down');
    servers[0].healthy = true;
    for (const name of ['warming', 'warmed']) await until('the server up', async () => (await h.states(name))[address] === 'up');
    const early = await shareOf('warming');
    assert.ok(early < 0.3, `${early} of the requests in the first seconds of ten minutes, by half the servers`);
    assert.ok((await warmth('warming')) < 0.5);
    await until('the server warm', async () => (await warmth('warmed')) === 1);
    const late = await shareOf('warmed');
    assert.ok(late > 0.25 && late < 0.75, `${late} of the requests after slow_start`);
  });

  test('can be watched', async () => {
    const { text } = await request({ socketPath: `${h.auth.data}/run/gateway.sock` }, 'GET', '/metrics');
    const m = parseMetrics(text);
    for (const name of ['requests_total', 'failures_total', 'connect_failures_total', 'retries_total', 'retries_refused_total', 'overflows_total', 'ejections_total', 'dns_answers_total', 'dns_failures_total', 'health_failures_total', 'active', 'pending', 'dns_stale'])
      assert.equal(typeof m.get(`ogent_gateway_upstream_${name}`, { upstream: 'retry' }), 'number', name);
    assert.ok(m.get('ogent_gateway_upstream_retries_total', { upstream: 'retry' }) > 0);
    assert.equal(m.get('ogent_gateway_upstream_pending', { upstream: 'wait' }), 0);
    assert.equal(m.get('ogent_gateway_upstream_active', { upstream: 'wait' }), 0);
    assert.equal(m.get('ogent_gateway_upstream_endpoint_up', { upstream: 'checked', endpoint: servers[1].address }), 1);
  });
});

describe('a server that is killed under load', { timeout: 120000 }, () => {
  test('fails no request that may be repeated while another one is there, and gets its share again when it is back', async () => {
    const processes = [await UpstreamProcess.start(), await UpstreamProcess.start()];
    const h = await House.start(open('x', `${processes.map((p) => `endpoint = ${p.address}`).join('\n')}\neject_time = 300ms\nslow_start = 0s`));
    const load = new Load(h.where, '/x', { connections: 20 });
    await load.more(300);
    await processes[0].kill();
    await load.more(500);
    // Its time is short: it may be in again already, to be tried.
    assert.ok((await h.upstream('x')).endpoints.find((e) => e.address === processes[0].address).ejections >= 1);
    await processes[0].start();
    await until('the server back', async () => Object.keys(load.servers).length === 3);
    await load.stop();
    assert.deepEqual(load.failed, []);
    await h.stop();
    for (const p of processes) await p.kill();
  });
});

const withDns = hasDnsmasq ? describe : () => {};

withDns('servers found by DNS', { timeout: 180000 }, () => {
  let dns, h, servers, port;
  const name = (n) => `host-record=web.test,${servers[n].host},1`;
  const srv = (...list) =>
    list.flatMap(([n, priority, weight]) => [`host-record=s${n}.test,${servers[n].host},1`, `srv-host=_web._tcp.test,s${n}.test,${port},${priority},${weight}`]);
  const addresses = async (upstream) => (await h.upstream(upstream)).endpoints.map((e) => e.address).sort();

  before(async () => {
    servers = [await UpstreamServer.start({ host: '127.0.0.11', name: '11' })];
    port = servers[0].port;
    servers.push(await UpstreamServer.start({ host: '127.0.0.12', port, name: '12' }));
    servers.push(await UpstreamServer.start({ host: '::1', port, name: 'six' }).catch(() => null));
    dns = await Dnsmasq.start([name(0), ...srv([0, 10, 50]), 'local-ttl=1']);
    h = await House.start(open('host', `dns = web.test:${port}\ndns_stale = 30s`) + open('service', 'srv = _web._tcp.test') + open('brief', `dns = web.test:${port}\ndns_stale = 1s`), {
      OGENT_DNS_SERVERS: dns.address,
    });
    await until('the first answers', async () => (await addresses('host')).length && (await addresses('service')).length);
  });
  after(async () => {
    await h?.stop();
    for (const s of servers ?? []) await s?.stop();
    dns?.remove();
  });

  test('are followed when the records change, without a failed request', async () => {
    const load = new Load(h.where, '/host', { connections: 10 });
    const service = new Load(h.where, '/service', { connections: 10 });
    await load.more(50);
    assert.deepEqual(Object.keys(load.servers), ['11']);
    await dns.set([name(0), name(1), ...srv([0, 10, 50], [1, 10, 50]), 'local-ttl=1']);
    await until('both', () => load.servers['12'] > 20 && service.servers['12'] > 20);
    await dns.set([name(1), ...srv([1, 10, 50]), 'local-ttl=1']);
    await until('only the second', async () => (await addresses('host')).join() === servers[1].address && (await addresses('service')).join() === servers[1].address);
    const before = servers[0].requests;
    await load.more(50);
    await service.more(50);
    assert.ok(servers[0].requests - before <= 20, 'what was under way ends; nothing new comes');
    await load.stop();
    await service.stop();
    assert.deepEqual([...load.failed, ...service.failed], []);
  });

  test('of a lower priority wait for those of a higher one to fail', async () => {
    await dns.set([name(1), ...srv([0, 10, 50], [1, 20, 50]), 'local-ttl=1']);
    await until('both', async () => (await addresses('service')).length === 2);
    for (let i = 0; i < 10; i++) assert.equal((await h.call('GET', '/service')).headers['x-server'], '11');
  });

  test('have an address of IPv6 too', async (t) => {
    if (!servers[2]) return t.skip('this machine has no ::1');
    await dns.set([`host-record=web.test,::1,1`, ...srv([0, 10, 50]), 'local-ttl=1']);
    await until('::1', async () => (await addresses('host')).join() === `[::1]:${port}`);
    assert.equal((await h.call('GET', '/host')).headers['x-server'], 'six');
  });

  test('stay while DNS is away, for a limited time', async () => {
    await dns.set([name(0), ...srv([0, 10, 50]), 'local-ttl=1']);
    await until('the first server', async () => (await addresses('host')).join() === servers[0].address && (await addresses('brief')).join() === servers[0].address);
    await dns.stop();
    await until('an old answer', async () => (await h.upstream('host')).dns_stale_ms > 0);
    await until('its end', async () => (await addresses('brief')).length === 0);
    assert.equal((await h.call('GET', '/host')).status, 200);
    const r = await h.call('GET', '/brief');
    assert.equal(r.status, 503, r.text);
    assert.ok(r.headers['retry-after']);
    await dns.set([name(1), ...srv([1, 10, 50]), 'local-ttl=1']);
    await until('a new answer', async () => (await addresses('host')).join() === servers[1].address && (await addresses('brief')).length === 1);
    assert.equal((await h.upstream('host')).dns_stale_ms, 0);
  });

  test('are asked for again soon when a connection fails, whatever their time to live', async () => {
    await dns.set([`host-record=web.test,${servers[0].host},300`, ...srv([0, 10, 50])]);
    await until('the first server', async () => (await addresses('host')).join() === servers[0].address);
    assert.equal((await h.upstream('host')).dns_ttl_ms, 30000);
    await dns.set([`host-record=web.test,${servers[1].host},300`, ...srv([0, 10, 50])]);
    await servers[0].stop();
    await until('the second server', async () => (await h.call('GET', '/host')).headers['x-server'] === '12');
    servers[0] = null;
  });
});
