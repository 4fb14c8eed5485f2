// A PostgreSQL server of a test's own, to stop and start while others work: `const server = await Postgres.start()`.

import { execFile, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from './platform.mjs';

const NOBODY = 65534;
const READY_MS = 60000;
const isRoot = process.getuid() === 0;
// It refuses to run as root.
const user = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
const versions = () => readdirSync('/usr/lib/postgresql').sort((a, b) => b - a);
const program = (name) => join('/usr/lib/postgresql', versions()[0], 'bin', name);

const alive = new Set();
process.on('exit', () => {
  for (const s of alive) s.remove();
});

export class Postgres {
  constructor() {
    this.log = '';
    this.dir = mkdtempSync(join(tmpdir(), 'ogent-postgres-'));
    chmodSync(this.dir, 0o755);
    if (isRoot) chownSync(this.dir, NOBODY, NOBODY);
    alive.add(this);
  }

  // auth: how it checks who comes over TCP; settings: of postgresql.conf, or a function that makes them from the folder.
  static async start({ auth = 'trust', settings = {} } = {}) {
    const server = new Postgres();
    const init = ['-D', join(server.dir, 'data'), '-U', 'ogent', '--auth-local=trust', `--auth-host=${auth}`, '-E', 'UTF8', '--locale=C', '--no-sync'];
    await promisify(execFile)(program('initdb'), init, user);
    const all = { fsync: 'off', ...(typeof settings === 'function' ? settings(server.dir) : settings) };
    server.args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    server.port = await freePort();
    await server.start();
    return server;
  }

  url({ host = '127.0.0.1', password = '', query = '' } = {}) {
    return `postgres://ogent${password && ':'}${encodeURIComponent(password)}@${host}:${this.port}/postgres${query}`;
  }

  // Again on the same data and port.
  async start() {
    const args = ['-D', join(this.dir, 'data'), '-k', this.dir, '-h', '127.0.0.1', '-p', String(this.port), ...this.args];
    this.child = spawn(program('postgres'), args, { ...user, stdio: ['ignore', 'pipe', 'pipe'] });
    let hasEnded = false;
    this.ended = new Promise((done) => this.child.on('close', done));
    this.ended.then(() => (hasEnded = true));
    for (const out of [this.child.stdout, this.child.stderr]) {
      out.on('data', (d) => (this.log += d));
      out.unref();
    }
    this.child.unref();
    for (const limit = Date.now() + READY_MS; !(await this.isReady()); await sleep(50))
      if (hasEnded || Date.now() > limit) throw new Error(`PostgreSQL is not ready:\n${this.log}`);
  }

  isReady() {
    return promisify(execFile)(program('pg_isready'), ['-q', '-h', this.dir, '-p', String(this.port)]).then(() => true, () => false);
  }

  // SQL as its owner, over the Unix socket.
  async sql(text) {
    return (await promisify(execFile)('psql', ['-X', '-q', '-At', '-h', this.dir, '-p', String(this.port), '-U', 'ogent', '-d', 'postgres', '-c', text])).stdout.trimEnd();
  }

  // SIGINT: at once, in order. SIGQUIT: as a crash.
  async stop(signal = 'SIGINT') {
    this.child.ref();
    this.child.kill(signal);
    await this.ended;
  }

  async end() {
    await this.stop();
    this.remove();
    alive.delete(this);
  }

  remove() {
    this.child?.kill('SIGQUIT');
    rmSync(this.dir, { recursive: true, force: true });
  }
}
