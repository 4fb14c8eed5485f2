// A DNS server of a test's own whose records can change: `const dns = await Dnsmasq.start()`, then `await dns.set([...])` with lines of
// its configuration, such as `host-record=a.test,127.0.0.1,5` and `srv-host=_a._tcp.test,a.test,9001,10,60`.

import dgram from 'node:dgram';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './ports.mjs';

const program = '/usr/sbin/dnsmasq';
export const hasDnsmasq = existsSync(program);
const READY_MS = 20000;

const alive = new Set();
process.on('exit', () => {
  for (const s of alive) s.remove();
});

export class Dnsmasq {
  static async start(lines = []) {
    const s = new Dnsmasq();
    s.dir = mkdtempSync(join(tmpdir(), 'ogent-dns-'));
    alive.add(s);
    // Somebody may have taken the port meanwhile.
    for (let tries = 5; ; tries--) {
      s.port = await freePort();
      const failed = await s.set(lines).then(() => null, (e) => e);
      if (!failed) return s;
      if (!tries) throw failed;
    }
  }

  get address() {
    return `127.0.0.1:${this.port}`;
  }

  // Starts it anew with these records: srv-host and host-record are read only at its start.
  async set(lines) {
    await this.stop();
    const conf = join(this.dir, 'conf');
    const all = ['no-resolv', 'no-hosts', 'bind-interfaces', 'listen-address=127.0.0.1', `port=${this.port}`, 'user=root', 'pid-file=', 'local=/test/', 'cache-size=0', ...lines];
    writeFileSync(conf, `${all.join('\n')}\n`);
    this.child = spawn(program, ['--no-daemon', '-C', conf], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.log = '';
    this.child.stderr.on('data', (d) => (this.log += d));
    this.child.unref();
    this.child.stderr.unref();
    this.ended = new Promise((done) => this.child.on('close', done));
    let isGone = false;
    this.ended.then(() => (isGone = true));
    for (const limit = Date.now() + READY_MS; !(await this.answers()); )
      if (isGone || Date.now() > limit) throw new Error(`dnsmasq is not ready:\n${this.log}`);
  }

  // Whether it answers anything at all to a question of its own.
  answers() {
    const question = Buffer.from('0001010000010000000000000178047465737400' + '00010001', 'hex'); // x.test A
    return new Promise((done) => {
      const socket = dgram.createSocket('udp4');
      const end = (ok) => {
        clearTimeout(timer);
        socket.close();
        done(ok);
      };
      const timer = setTimeout(() => end(false), 50);
      socket.on('error', () => {});
      socket.on('message', () => end(true));
      socket.connect(this.port, '127.0.0.1', () => socket.send(question, () => {}));
    });
  }

  async stop() {
    if (!this.child) return;
    this.child.ref();
    this.child.kill('SIGKILL');
    await this.ended;
    this.child = null;
  }

  remove() {
    this.child?.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
    alive.delete(this);
  }
}
