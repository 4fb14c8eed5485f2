// A MariaDB server of a test's own, to stop and start while others work: `const server = await MariaDb.start()`, then
// `await makeMysql('name', server.url)`.

import { execFile, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { freePort } from './platform.mjs';

const READY_MS = 60000;
const NOBODY = 65534;
const isRoot = process.getuid() === 0;
// It refuses to run as root.
const user = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

const alive = new Set();
process.on('exit', () => {
  for (const s of alive) s.remove();
});

export class MariaDb {
  constructor() {
    this.log = '';
    this.dir = mkdtempSync(join(tmpdir(), 'ogent-mariadb-'));
    chmodSync(this.dir, 0o755);
    if (isRoot) chownSync(this.dir, NOBODY, NOBODY);
    alive.add(this);
  }

  // args: more of its options, or a function that makes them from the folder.
  static async start(args = []) {
    const server = new MariaDb();
    const data = `--datadir=${server.dir}/data`;
    const install = ['--no-defaults', data, '--auth-root-authentication-method=normal', '--skip-test-db'];
    await promisify(execFile)('mariadb-install-db', install, { ...user, env });
    server.args = typeof args === 'function' ? await args(server.dir) : args;
    server.port = await freePort();
    await server.start();
    return server;
  }

  get url() {
    return `mysql://root@127.0.0.1:${this.port}`;
  }

  // Again on the same data and port.
  async start() {
    const fixed = ['--no-defaults', `--datadir=${this.dir}/data`, `--socket=${this.dir}/s`, `--pid-file=${this.dir}/pid`,
      '--bind-address=127.0.0.1', `--port=${this.port}`, '--innodb-buffer-pool-size=64M'];
    this.child = spawn('mariadbd', [...fixed, ...this.args], { ...user, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.ended = new Promise((done) => this.child.on('close', done));
    let hasEnded = false;
    this.ended.then(() => (hasEnded = true));
    for (const out of [this.child.stdout, this.child.stderr]) {
      out.on('data', (d) => (this.log += d));
      out.unref();
    }
    this.child.unref();
    for (const limit = Date.now() + READY_MS; !(await this.greets()); await sleep(20))
      if (hasEnded || Date.now() > limit) throw new Error(`MariaDB is not ready:\n${this.log}`);
  }

  // The port may be open before it is ready.
  greets() {
    return new Promise((done) => {
      const s = net.connect(this.port, '127.0.0.1');
      s.on('data', () => s.destroy(done(true)));
      s.on('error', () => done(false));
      s.on('close', () => done(false));
    });
  }

  async stop(signal = 'SIGTERM') {
    this.child.ref();
    this.child.kill(signal);
    await this.ended;
  }

  remove() {
    this.child?.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
    alive.delete(this);
  }
}
