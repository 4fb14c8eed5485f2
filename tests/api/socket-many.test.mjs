// Many at once: 10,000 connections that each get every event, and more than may come in a second.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { freePort, startPlatform, startRole } from '../lib/platform.mjs';
import { sendRaw } from '../lib/raw.mjs';

const CONNECTIONS = 10000;
const files = Number(execFileSync('sh', ['-c', 'ulimit -Hn']).toString().replace('unlimited', '1000000'));
const UPGRADE = 'Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

function frame(text) {
  const data = Buffer.from(text);
  const head = data.length < 126 ? [0x81, 0x80 | data.length] : [0x81, 0xfe, data.length >> 8, data.length & 255];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), data]).toString('latin1');
}

describe('many at once', { timeout: 240000 }, () => {
  let p, token, dir;
  async function node(env) {
    const port = await freePort();
    return startRole('socket', { data: p.data, where: { host: '127.0.0.1', port }, env: { OGENT_SOCKET_LISTEN: `127.0.0.1:${port}`, ...env } });
  }
  const file = (name, text) => {
    writeFileSync(join(dir, name), Buffer.from(text, 'latin1'));
    return join(dir, name);
  };

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ogent-many-'));
    p = await startPlatform();
    token = (await p.setUp()).access_token;
  });
  after(async () => {
    await p?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('10,000 connections: each gets every event', { skip: files < CONNECTIONS + 200 && `only ${files} files may be open` }, async () => {
    const program = join(dir, 'subscribers');
    execFileSync('cc', ['-O2', '-D_GNU_SOURCE', '-o', program, join(import.meta.dirname, '../bench/subscribers.c')]);
    const many = await node({ OGENT_SOCKET_USER_CONNECTIONS: '20000', OGENT_SOCKET_ACCEPT_RATE: '0' });
    const body = JSON.stringify({ events: [{ rooms: ['channel:many'], event: { t: '#'.repeat(18) } }] });
    const publish = `POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const hello = [`GET /ws HTTP/1.1\r\n${UPGRADE}`, frame(JSON.stringify({ type: 'auth', token })), frame('{"type":"join","room":"channel:many","id":1}')];
    const args = [many.where().port, CONNECTIONS, file('hello', hello.join('\n----\n')), file('ready', '101 Switching\n"ready"\n"id":1}'), file('publisher', 'GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n'), file('publisher-ready', 'HTTP/1.1 200'), file('message', publish), 5, 1];
    const child = spawn(program, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
    const line = () => new Promise((done, fail) => {
      child.stdout.once('data', (d) => done(String(d).trim()));
      child.once('close', () => fail(new Error('the load ended')));
    });
    assert.equal(await line(), 'ready');
    const metrics = (await many.api('GET', '/metrics')).text;
    assert.match(metrics, new RegExp(`^ogent_socket_connections ${CONNECTIONS}$`, 'm'));
    child.stdin.write('\n');
    assert.equal((await line()).split(' ')[0], String(5 * CONNECTIONS));
    await many.stop();
  });

  test('more than may come in a second are told to come back, each at another time', async () => {
    const few = await node({ OGENT_SOCKET_ACCEPT_RATE: '5' });
    const answers = await Promise.all(Array.from({ length: 40 }, () => sendRaw(few.where(), `GET /ws HTTP/1.1\r\n${UPGRADE}`, { once: true, ms: 3000 })));
    const refused = answers.filter((r) => r.status === 503);
    assert.ok(answers.some((r) => r.status === 101) && refused.length >= 20, `${refused.length} refused`);
    assert.ok(refused.every((r) => Number(r.headers['retry-after']) >= 1));
    assert.ok(new Set(refused.map((r) => r.body.match(/Come back in (\d+) ms/)?.[1])).size > 10, 'hints differ');
    await few.stop();
  });
});
