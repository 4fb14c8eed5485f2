// The containers' nginx for tests: the configuration of deploy/nginx as it is, with paths and ports of the test put in.
// OGENT_NGINX names the program, if it is not the system's.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from '../lib/platform.mjs';

const program = process.env.OGENT_NGINX ?? '/usr/sbin/nginx';
const deploy = resolve(import.meta.dirname, '../../deploy/nginx');
const dist = resolve(import.meta.dirname, '../../web/dist');

export class Nginx {
  // change: [[from, to]…] in nginx.conf, each of which must be there. env: what 10-ogent.sh reads.
  static async start({ gateways, change = [], env = {} }) {
    const n = new Nginx();
    n.dir = mkdtempSync(join(tmpdir(), 'ogent-nginx-'));
    chmodSync(n.dir, 0o755);
    for (const name of ['tls', 'tmp']) mkdirSync(join(n.dir, name));
    cpSync(dist, join(n.dir, 'www'), { recursive: true });
    const openssl = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    execFileSync('openssl', [...openssl, '-keyout', join(n.dir, 'tls/key.pem'), '-out', join(n.dir, 'tls/certificate.pem')], { stdio: 'ignore' });
    n.ca = readFileSync(join(n.dir, 'tls/certificate.pem'));
    [n.plainPort, n.ownPort, n.port] = [await freePort(), await freePort(), await freePort()];
    n.env = { PATH: process.env.PATH, OGENT_GATEWAYS: gateways.join(' '), OGENT_NGINX_TMP: join(n.dir, 'tmp'), OGENT_NGINX_TLS: join(n.dir, 'tls'), ...env };
    n.configure([
      [/(\/etc\/nginx\/ogent|\/srv\/www|\/tmp|\/tls|\/dev\/stdout)\b/g, (path) => join(n.dir, { '/dev/stdout': 'access.log', '/etc/nginx/ogent': 'ogent' }[path] ?? path.split('/').at(-1))],
      [/\b8080\b/g, n.plainPort],
      [/\b8081\b/g, n.ownPort],
      [/\b8443\b/g, n.port],
      ...change,
    ]);
    n.output = openSync(join(n.dir, 'log'), 'a');
    await n.prepare();
    n.child = spawn(program, ['-p', n.dir, '-e', 'stderr', '-c', join(n.dir, 'nginx.conf'), '-g', 'daemon off;'], { stdio: ['ignore', n.output, n.output] });
    n.child.unref();
    n.ended = new Promise((done) => n.child.on('close', done));
    process.on('exit', () => n.kill());
    await n.listens();
    return n;
  }

  configure(change) {
    mkdirSync(join(this.dir, 'ogent'));
    for (const name of ['nginx.conf', 'ogent/forwarded.conf', 'ogent/pass.conf', 'ogent/problems.conf']) {
      let text = readFileSync(join(deploy, name.replace('ogent/', '')), 'utf8');
      for (const [from, to] of change) {
        if (name === 'nginx.conf') assert.ok(text.search(from) >= 0, `nginx.conf has ${from}`);
        text = text.replace(from, to);
      }
      writeFileSync(join(this.dir, name), text);
    }
  }

  // The script that the container runs first; its watch goes on beside nginx.
  async prepare() {
    this.watch = spawn(join(deploy, '10-ogent.sh'), { env: this.env, stdio: ['ignore', this.output, this.output], detached: true });
    const code = await new Promise((done) => this.watch.on('exit', done));
    assert.equal(code, 0, this.log);
  }

  get log() {
    return readFileSync(join(this.dir, 'log'), 'utf8');
  }

  async listens() {
    const until = Date.now() + 10000;
    for (let r; r !== 'open'; await sleep(10)) {
      assert.ok(this.child.exitCode === null && Date.now() < until, `nginx does not listen:\n${this.log}`);
      r = await new Promise((done) => {
        const s = net.connect(this.port, '127.0.0.1', () => (s.destroy(), done('open'))).on('error', () => done('closed'));
      });
    }
  }

  where() {
    return { host: '127.0.0.1', port: this.port, ca: this.ca };
  }

  // Each line of its access log so far; the last one may be half written.
  requests() {
    return readFileSync(join(this.dir, 'access.log'), 'utf8').split('\n').slice(0, -1).map((l) => JSON.parse(l));
  }

  kill() {
    if (this.isStopped) return;
    try {
      process.kill(-this.watch.pid, 'SIGKILL');
    } catch {}
    this.child?.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }

  async stop() {
    this.isStopped = true;
    process.kill(-this.watch.pid, 'SIGKILL');
    this.child.ref();
    this.child.kill('SIGTERM');
    await this.ended;
    assert.doesNotMatch(this.log, /\[(emerg|alert|crit)\]/, this.log);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

// nginx -t over the configuration; returns what it says.
export function checkConfiguration(n) {
  return execFileSync('sh', ['-c', `exec "$0" -t -p "$1" -e stderr -c "$1/nginx.conf" 2>&1`, program, n.dir], { encoding: 'utf8' });
}
