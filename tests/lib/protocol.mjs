// The socket role in the profile protocol-test: it echoes, without tokens, by Socket.IO at /socket.io/, Engine.IO at /engine.io/ and
// WebSocket at /echo.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort, ogent, request } from './platform.mjs';

function run(address) {
  const data = mkdtempSync(join(tmpdir(), 'ogent-protocol-'));
  const child = spawn(ogent, ['socket', '--profile', 'protocol-test', '--socket-listen', address], {
    env: { ...process.env, OGENT_DATA: data, OGENT_LOG_FORMAT: 'json' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const running = { child, log: '' };
  child.stderr.on('data', (d) => (running.log += d));
  running.ended = new Promise((done) => child.on('close', (code, signal) => {
    rmSync(data, { recursive: true, force: true });
    done({ code, signal });
  }));
  return running;
}

export class ProtocolServer {
  static async start() {
    const port = await freePort();
    const server = Object.assign(new ProtocolServer(), { port, running: run(`127.0.0.1:${port}`) });
    process.on('exit', () => server.running.child.kill('SIGKILL'));
    for (const limit = Date.now() + 20000; ; await sleep(10)) {
      const r = await request({ host: '127.0.0.1', port }, 'GET', '/healthz', { timeout: 2000 }).catch(() => null);
      if (r?.status === 200) return server;
      assert.ok(Date.now() < limit && server.running.child.exitCode === null, server.running.log);
    }
  }

  // How it ends on an address that it does not take.
  static async refused(address) {
    const running = run(address);
    return { ...(await running.ended), log: running.log };
  }

  get pid() {
    return this.running.child.pid;
  }

  async stop() {
    this.running.child.kill('SIGTERM');
    const how = await this.running.ended;
    assert.ok(!/Sanitizer|runtime error:/.test(this.running.log), this.running.log);
    assert.deepEqual(how, { code: 0, signal: null }, this.running.log);
  }
}
