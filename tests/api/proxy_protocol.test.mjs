// The PROXY protocol, with HAProxy really in front: who the client is comes from trusted proxies only.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort, request, startPlatform } from '../lib/platform.mjs';

const haproxy = '/usr/sbin/haproxy';
const withProxy = existsSync(haproxy) ? describe : () => {};
// HAProxy speaks to us from this address; everybody else on this machine is a stranger.
const PROXY = '127.0.0.2';
let serial = 0;

withProxy('behind HAProxy in TCP mode', { timeout: 60000 }, () => {
  let p, dir, child, ports;
  before(async () => {
    p = await startPlatform({ env: { OGENT_TRUSTED_PROXIES: PROXY, OGENT_PROXY_PROTOCOL: 'true', OGENT_RATE_LIMITS: 'login=3/1h/address' } });
    dir = mkdtempSync(join(tmpdir(), 'ogent-haproxy-'));
    ports = { 'send-proxy': await freePort(), 'send-proxy-v2': await freePort() };
    const parts = Object.entries(ports).map(
      ([how, port]) => `listen ${how}\n  bind 127.0.0.1:${port}\n  server ogent 127.0.0.1:${p.where().port} ${how} source ${PROXY} check inter 200\n`,
    );
    writeFileSync(join(dir, 'conf'), `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n${parts.join('')}`);
    child = spawn(haproxy, ['-f', join(dir, 'conf'), '-db'], { stdio: 'ignore' });
    for (const port of Object.values(ports))
      for (const limit = Date.now() + 10000; !(await request({ host: '127.0.0.1', port }, 'GET', '/healthz').catch(() => null)); await sleep(20))
        assert.ok(Date.now() < limit, 'HAProxy is not ready');
  });
  after(async () => {
    child?.kill('SIGKILL');
    if (dir) rmSync(dir, { recursive: true, force: true });
    await p?.stop();
  });

  // The client's address as the access log has it.
  const seen = async (where, headers = {}) => {
    const path = `/api/auth/setup?n=${++serial}`;
    const id = `proxied-${serial}`;
    const r = await request(where, 'GET', path, { headers: { 'x-request-id': id, ...headers } });
    assert.equal(r.status, 200, r.text);
    for (const limit = Date.now() + 5000; ; await sleep(10)) {
      const line = p.log.split('\n').find((l) => l.includes(id) && l.includes('"client"'));
      if (line) return JSON.parse(line).client;
      assert.ok(Date.now() < limit, `no line of ${id}`);
    }
  };

  for (const how of ['send-proxy', 'send-proxy-v2']) {
    test(`${how} tells the client's address, and what the client himself tells does not count`, async () => {
      const at = { host: '127.0.0.1', port: ports[how], localAddress: '127.0.0.9' };
      assert.equal(await seen(at), '127.0.0.9');
      assert.equal(await seen(at, { 'x-forwarded-for': '203.0.113.1', forwarded: 'for=203.0.113.1' }), '127.0.0.9');
      assert.equal(await seen({ ...at, localAddress: '127.0.0.10' }), '127.0.0.10');
    });
  }

  test('limits by address are those of the client, whichever proxy connection he comes by', async () => {
    const login = (localAddress) =>
      request({ host: '127.0.0.1', port: ports['send-proxy-v2'], localAddress }, 'POST', '/api/auth/login', { body: { email: 'x@example.org', password: 'wrong' } });
    const got = [];
    for (let i = 0; i < 5; i++) got.push((await login('127.0.0.21')).status);
    assert.deepEqual(got.slice(3), [429, 429]);
    assert.notEqual((await login('127.0.0.22')).status, 429);
  });

  const raw = (bytes, localAddress) =>
    new Promise((done, fail) => {
      const s = net.connect({ host: '127.0.0.1', port: p.where().port, localAddress }, () => s.write(bytes));
      let text = '';
      s.on('data', (d) => (text += d));
      s.on('error', (e) => (e.code === 'ECONNRESET' ? done(text) : fail(e)));
      s.on('close', () => done(text));
    });
  const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

  test('a stranger who sends a header is refused, and without one is himself', async () => {
    assert.match(await raw(`PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n${GET}`, '127.0.0.1'), /^HTTP\/1\.1 400 /);
    assert.equal(await seen(p.where()), '127.0.0.1');
  });

  test('a trusted proxy who sends none, or a wrong one, gets nothing', async () => {
    assert.equal(await raw(GET, PROXY), '');
    assert.equal(await raw(`PROXY TCP4 nowhere 127.0.0.1 1 2\r\n${GET}`, PROXY), '');
    assert.match(await raw(`PROXY UNKNOWN\r\n${GET}`, PROXY), /^HTTP\/1\.1 200 /);
    assert.match(await raw(`PROXY TCP6 2001:db8::5 ::1 1 2\r\n${GET}`, PROXY), /^HTTP\/1\.1 200 /);
  });

  test('a header that comes in pieces is waited for', async () => {
    const s = net.connect({ host: '127.0.0.1', port: p.where().port, localAddress: PROXY });
    let text = '';
    s.on('data', (d) => (text += d));
    const closed = new Promise((done) => s.on('close', done));
    for (const byte of `PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n`) {
      s.write(byte);
      await sleep(2);
    }
    s.write(GET);
    await closed;
    assert.match(text, /^HTTP\/1\.1 200 /);
  });
});
