// A real sshd on loopback with ogent-target as its forced command, and what exec needs to reach it. As root the account is
// root, otherwise the user who runs the tests.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from './platform.mjs';
import { ogentTarget } from './target.mjs';

const SSHD = '/usr/sbin/sshd';

const keygen = (file) => execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', file]);

// What a failed test leaves behind goes with the test's process.
const alive = new Set();
process.on('exit', () => {
  for (const s of alive) {
    s.child?.kill('SIGKILL');
    rmSync(s.dir, { recursive: true, force: true });
  }
});

export class Sshd {
  // SHLVL: the account's bash would otherwise read its .bashrc, which may be slow.
  // options: {helper: arguments of ogent-target, command: another forced command, config: more lines of sshd_config}
  constructor(options = {}) {
    this.options = options;
    this.dir = mkdtempSync(join(tmpdir(), 'ogent-sshd-'));
    chmodSync(this.dir, 0o755);
    alive.add(this);
    this.place = join(this.dir, 'target');
    this.log = '';
    for (const name of ['host', 'key', 'wrong']) keygen(join(this.dir, name));
    this.user = userInfo().username;
    this.force(options.command ?? [ogentTarget, '--dir', this.place, ...(options.helper ?? [])].join(' '));
  }

  // The command for whoever has that key.
  force(command, key = this.identity) {
    writeFileSync(join(this.dir, 'authorized'), `command="${command}",restrict ${readFileSync(`${key}.pub`, 'utf8')}`);
  }

  // Another host behind the same known_hosts file.
  knowAlso(other) {
    writeFileSync(this.knownHosts, readFileSync(this.knownHosts, 'utf8') + readFileSync(other.knownHosts, 'utf8'));
  }

  get identity() {
    return join(this.dir, 'key');
  }

  get knownHosts() {
    return join(this.dir, 'known_hosts');
  }

  get url() {
    return `ssh://${this.user}@127.0.0.1:${this.port}`;
  }

  // For exec.
  get env() {
    return {
      OGENT_EXEC_SSH_TARGET: this.url, OGENT_EXEC_SSH_IDENTITY: this.identity, OGENT_EXEC_SSH_KNOWN_HOSTS: this.knownHosts,
    };
  }

  writeKnownHosts(keyFile = 'host.pub') {
    writeFileSync(this.knownHosts, `[127.0.0.1]:${this.port} ${readFileSync(join(this.dir, keyFile), 'utf8').split(' ').slice(0, 2).join(' ')}\n`);
  }

  async start(hostKey = 'host') {
    if (!existsSync('/run/sshd') && process.getuid() === 0) mkdirSync('/run/sshd', { mode: 0o755 });
    this.port ??= await freePort();
    writeFileSync(join(this.dir, 'conf'), [
      `Port ${this.port}`, 'ListenAddress 127.0.0.1', `HostKey ${join(this.dir, hostKey)}`, `AuthorizedKeysFile ${join(this.dir, 'authorized')}`,
      'StrictModes no', 'UsePAM no', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no', 'PermitRootLogin forced-commands-only',
      'PidFile none', 'SetEnv SHLVL=2', 'MaxStartups 100', 'LogLevel VERBOSE', ...(this.options.config ?? []), '',
    ].join('\n'));
    if (!existsSync(this.knownHosts)) this.writeKnownHosts();
    this.child = spawn(SSHD, ['-D', '-e', '-f', join(this.dir, 'conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr.on('data', (d) => (this.log += d));
    this.ended = new Promise((done) => this.child.on('close', done));
    this.child.unref();
    this.child.stderr.unref();
    for (const limit = Date.now() + 20000; ; await sleep(10)) {
      if (await this.listens()) return this;
      if (this.child.exitCode !== null || Date.now() > limit) throw new Error(`sshd does not listen:\n${this.log}`);
    }
  }

  listens() {
    return new Promise((done) => {
      const s = net.connect(this.port, '127.0.0.1', () => s.destroy(done(true)));
      s.on('error', () => done(false));
    });
  }

  // sshd's processes for connections: its children, and theirs (which have dropped their rights). Not the commands.
  sessions() {
    const list = execFileSync('ps', ['-eo', 'pid=,ppid=,comm='], { encoding: 'utf8' }).trim().split('\n').map((l) => l.trim().split(/\s+/));
    const found = [];
    for (let of = [String(this.child.pid)]; of.length; ) {
      of = list.filter(([, parent, name]) => of.includes(parent) && name.startsWith('sshd')).map(([pid]) => pid);
      found.push(...of.map(Number));
    }
    return found;
  }

  // Its connections break; the listener stays.
  breakConnections() {
    for (const pid of this.sessions().reverse()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has just ended
      }
    }
  }

  // As a host that goes down: the listener and all connections.
  async kill() {
    const pids = this.sessions();
    this.child.ref();
    this.child.kill('SIGKILL');
    for (const pid of pids.reverse()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has just ended
      }
    }
    await this.ended;
  }

  async stop() {
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    alive.delete(this);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const startSshd = (options) => new Sshd(options).start();
