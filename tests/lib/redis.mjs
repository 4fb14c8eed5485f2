// A Redis of a test's own, to kill, stop and start while others work: `const redis = await Redis.start()`, then redis.url.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_MS = 20000;
// Of the package redis-tools: one file, which looks at the name it is called by.
const program = '/usr/bin/redis-check-rdb';
export const hasRedis = existsSync(program);

const alive = new Set();
process.on('exit', () => {
  for (const s of alive) s.remove();
});

export class Redis {
  static async start(args = []) {
    const server = new Redis();
    server.dir = mkdtempSync(join(tmpdir(), 'ogent-redis-'));
    server.args = args;
    alive.add(server);
    await server.start();
    return server;
  }

  get socket() {
    return join(this.dir, 's');
  }

  get url() {
    return `unix:${this.socket}`;
  }

  // Again at the same address, empty.
  async start() {
    this.child = spawn(program, ['--port', '0', '--dir', this.dir, '--save', '', '--appendonly', 'no', '--unixsocket', this.socket, ...this.args], {
      argv0: 'redis-server',
      stdio: 'ignore',
    });
    this.child.unref();
    this.ended = new Promise((done) => this.child.on('close', done));
    for (const limit = Date.now() + READY_MS; !(await this.command('PING').catch(() => '')).startsWith('+PONG'); await sleep(10))
      if (Date.now() > limit) throw new Error('Redis is not ready');
  }

  // One command of plain words; its answer as it comes.
  command(...words) {
    return new Promise((done, fail) => {
      const s = net.connect(this.socket, () => s.write(`${words.join(' ')}\r\n`));
      s.on('data', (d) => s.destroy(done(d.toString())));
      s.on('error', fail);
    });
  }

  async kill(signal = 'SIGKILL') {
    this.child.ref();
    this.child.kill(signal);
    if (!['SIGSTOP', 'SIGCONT'].includes(signal)) await this.ended;
  }

  // Another way in, at door.url, where `door.isShut` keeps back what is sent as commands, and lets subscriptions pass.
  async door() {
    const door = new Door(this.socket, join(this.dir, 'door'));
    await door.open();
    return door;
  }

  remove() {
    this.child?.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
    alive.delete(this);
  }
}

class Door {
  constructor(to, at) {
    Object.assign(this, { to, at, url: `unix:${at}`, isShut: false, held: 0, kept: new Set() });
  }

  open() {
    this.server = net.createServer((from) => this.pass(from));
    this.server.unref();
    return new Promise((done) => this.server.listen(this.at, done));
  }

  pass(from) {
    const to = net.connect(this.to);
    const kept = [];
    let isHeld = false;
    const go = () => {
      isHeld = false;
      for (const d of kept.splice(0)) to.write(d);
    };
    from.on('data', (d) => {
      isHeld ||= this.isShut && /EVAL|PING/.test(d);
      if (!isHeld) return to.write(d);
      kept.push(d);
      this.held++;
      this.kept.add(go);
    });
    to.pipe(from);
    for (const [one, other] of [[from, to], [to, from]]) one.on('error', () => {}).on('close', () => other.destroy());
  }

  release() {
    this.isShut = false;
    for (const go of this.kept) go();
    this.kept.clear();
  }

  close() {
    this.server.close();
  }
}
