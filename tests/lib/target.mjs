// Speaks to ogent-target as exec does: see services/exec/target/frame.h and wire.h.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';

// Beside the program under test; it is never built with sanitizers.
export const ogentTarget = process.env.OGENT_BIN
  ? join(dirname(resolve(process.env.OGENT_BIN)), 'ogent-target')
  : resolve(import.meta.dirname, '../../build/ogent-target');

const STATUS = ['queued', 'running', 'exited', 'signalled', 'timeout', 'cancelled', 'oom', 'cpu', 'quota', 'lost', 'error'];
export const LEVEL = { landlock: 1, standard: 2, strict: 3 };

const u32 = (n) => {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n >>> 0);
  return b;
};
const u64 = (n) => Buffer.concat([u32(Math.floor(n / 2 ** 32)), u32(n % 2 ** 32)]);
const text = (t) => {
  const b = Buffer.from(t);
  return Buffer.concat([u32(b.length), b]);
};
const texts = (items) => Buffer.concat([u32(items.length), ...items.map(text)]);
export const frame = (type, data = Buffer.alloc(0)) => Buffer.concat([u32(data.length), Buffer.from(type), data]);

export function newId() {
  const h = Date.now().toString(16).padStart(12, '0') + '7' + randomBytes(9).toString('hex').slice(0, 3) + '8' + randomBytes(8).toString('hex').slice(0, 15);
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20, 32)}`;
}

export function run({ argv, script, env = [], cwd = '', workspace = '', input = '', level = 'landlock', shape = 0, network = false, timeout = 20000, memory = 512 << 20, version = 6, pids = 64, fileSize = 0, protect = false, cpuTime = 0, cpuPercent = 0, quota = 0, files = 0, stdinOpen = false, rows = 0, cols = 0, id = newId() }) {
  return frame('R', Buffer.concat([
    u32(version), text(id), u32(LEVEL[level]), u32(shape), u32(network ? 1 : 0), u32(protect ? 1 : 0), u64(timeout), u64(memory), u64(64 << 20), u64(fileSize), u32(pids),
    u64(cpuTime), u32(cpuPercent), u64(quota), u64(files),
    text(workspace), text(cwd), u32(script === undefined ? 0 : 1), texts(script === undefined ? argv : [script]), texts(env), text(input), u32(stdinOpen ? 1 : 0), u32(rows), u32(cols),
  ]));
}
const OPS = ['none', 'make', 'measure', 'open', 'read', 'put', 'write', 'place', 'remove', 'mkdir', 'move', 'pack', 'take', 'unpack', 'list', 'keep', 'restore', 'drop', 'copy', 'erase'];
export const errand = ({ workspace, writes = false, alone = false, version = 6 }) =>
  frame('F', Buffer.concat([u32(version), text(workspace), u32(writes ? 1 : 0), u32(alone ? 1 : 0), u64(1 << 30), u32(10), u32(10)]));
export const step = ({ op, flags = 0, path = '', other = '', mode = 0, offset = 0, n = 0, data = '' }) =>
  frame('D', Buffer.concat([u32(OPS.indexOf(op)), u32(flags), text(path), text(other), u32(mode), u64(offset), u64(n), text(data)]));
export const probe = (version = 6) => frame('P', u32(version));

class Reader {
  constructor(b) {
    this.b = b;
    this.at = 0;
  }
  u32() {
    this.at += 4;
    return this.b.readUInt32BE(this.at - 4);
  }
  i32() {
    return this.u32() | 0;
  }
  u64() {
    return this.u32() * 2 ** 32 + this.u32();
  }
  text() {
    const n = this.u32();
    this.at += n;
    return this.b.toString('utf8', this.at - n, this.at);
  }
}

function readReport(data) {
  const r = new Reader(data);
  const report = { level: r.u32(), abi: r.u32(), cgroup: r.u32(), kill: r.u32(), shape: r.u32(), isRoot: r.u32() === 1, layers: [] };
  const n = r.u32();
  report.controllers = { memory: r.u32(), pids: r.u32(), cpu: r.u32() };
  for (let i = 0; i < n; i++) report.layers.push({ ok: r.u32() === 1, detail: r.text() });
  return report;
}

function readEnd(data) {
  const r = new Reader(data);
  return { status: STATUS[r.u32()], exit_code: r.i32(), signal: r.i32(), cpu_ms: r.u64(), max_rss_kib: r.u64(), reason: r.text() };
}

// One helper process: `command` starts it (the program itself, or ssh to a host where it is the forced command).
export class Target {
  constructor(command, options = {}) {
    this.child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.stdout = [];
    this.stderr = [];
    this.said = '';
    this.buffer = Buffer.alloc(0);
    this.waiting = new Set();
    this.child.stdin.on('error', () => {});
    this.child.stderr.on('data', (d) => (this.said += d));
    this.child.stdout.on('data', (d) => this.take(d));
    this.closed = new Promise((done) => this.child.on('close', (code, signal) => done({ code, signal })));
    this.closed.then(() => {
      this.isClosed = true;
      this.check();
    });
  }

  take(d) {
    this.buffer = Buffer.concat([this.buffer, d]);
    while (this.buffer.length >= 5 && this.buffer.length >= 5 + this.buffer.readUInt32BE(0)) {
      const n = this.buffer.readUInt32BE(0), type = String.fromCharCode(this.buffer[4]), data = this.buffer.subarray(5, 5 + n);
      if (type === 'H') this.hello = new Reader(data).text();
      else if (type === 'S') this.started = true;
      else if (type === 'O') this.stdout.push(data);
      else if (type === 'X') this.stderr.push(data);
      else if (type === 'L') this.report = readReport(data);
      else if (type === 'Z') this.end = readEnd(data);
      else if (type === 'N') (this.done ??= []).push(data);
      else throw new Error(`unknown frame ${type}`);
      this.buffer = this.buffer.subarray(5 + n);
    }
    this.check();
  }

  check() {
    for (const w of [...this.waiting]) w();
  }

  // Until fn() is true; rejects when the process has ended before.
  until(fn) {
    return new Promise((done, fail) => {
      const w = () => {
        if (fn()) done(this);
        else if (this.isClosed) fail(new Error(`ended before: ${this.said}`));
        else return;
        this.waiting.delete(w);
      };
      this.waiting.add(w);
      w();
    });
  }

  send(...frames) {
    this.child.stdin.write(Buffer.concat(frames));
    return this;
  }

  get out() {
    return Buffer.concat(this.stdout);
  }

  get err() {
    return Buffer.concat(this.stderr);
  }
}

export async function runOn(command, request, options) {
  const t = new Target(command, options).send(run(request));
  await t.closed;
  return t;
}
