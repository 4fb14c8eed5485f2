// A stand-in for the exec role that can be told to misbehave: it runs scripts with sh in its own process group, attaches by
// Idempotency-Key, streams as docs/openapi.yaml says, and counts. It has no sandbox and is for tests of the agent role alone.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import { dirname } from 'node:path';

export class ExecPeer {
  constructor(socketPath) {
    this.socketPath = socketPath;
    this.byKey = new Map();
    this.byId = new Map();
    this.bodies = [];
    this.attached = 0;
    this.refuse = null; // {status, code, times}
    this.breakAfter = null; // bytes of output over one attachment, then the connection is cut
    this.hold = false; // answers nothing
    this.held = []; // "METHOD target" of the requests that got no answer
  }

  async open() {
    mkdirSync(dirname(this.socketPath), { recursive: true });
    rmSync(this.socketPath, { force: true });
    this.server = http.createServer((req, res) => this.handle(req, res));
    await new Promise((done) => this.server.listen(this.socketPath, done));
    return this;
  }

  // The socket goes away, as when the process has died; commands go on.
  async close() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  async end() {
    await this.close();
    for (const c of this.byId.values()) this.kill(c, 'cancelled');
  }

  get starts() {
    return this.byId.size;
  }

  view(c) {
    return {
      id: c.id, status: c.status, exit_code: c.exitCode, signal: c.signal, reason: null, output_bytes: c.bytes,
      truncated_bytes: 0, workspace: c.body.workspace, user_id: null, started_at: null, ended_at: null, duration_ms: null,
    };
  }

  start(body, key) {
    const c = { id: randomUUID(), body, key, status: 'running', exitCode: null, signal: null, bytes: 0, pieces: [], watchers: new Set() };
    this.byId.set(c.id, c);
    if (key) this.byKey.set(key, c);
    c.child = spawn('sh', ['-c', body.script], { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of ['stdout', 'stderr'])
      c.child[stream].on('data', (d) => {
        c.pieces.push({ stream, offset: c.bytes, data: d.toString('utf8') });
        c.bytes += d.length;
        for (const w of [...c.watchers]) w();
      });
    c.timer = setTimeout(() => this.kill(c, 'timeout'), body.timeout_ms ?? 60000);
    c.child.on('close', (code, signal) => {
      clearTimeout(c.timer);
      c.exitCode = code;
      c.signal = signal;
      c.status = c.killed ?? (signal ? 'signalled' : 'exited');
      for (const w of [...c.watchers]) w();
    });
    return c;
  }

  kill(c, why) {
    if (c.status !== 'running') return;
    c.killed = why;
    try {
      process.kill(-c.child.pid, 'SIGKILL');
    } catch {
      // it has just ended
    }
  }

  stream(res, c, offset) {
    let next = 0, sent = 0;
    const write = (type, data) => res.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
    const pump = () => {
      for (; next < c.pieces.length; next++) {
        const p = c.pieces[next];
        if (p.offset + p.data.length <= offset) continue;
        write('output', p);
        sent += p.data.length;
        if (this.breakAfter !== null && sent >= this.breakAfter) {
          c.watchers.delete(pump);
          return setTimeout(() => res.destroy(), 10); // what was written goes out first
        }
      }
      if (c.status === 'running') return undefined;
      write('ended', { command: this.view(c) });
      c.watchers.delete(pump);
      return res.end();
    };
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    write('started', { command: this.view(c) });
    c.watchers.add(pump);
    res.on('close', () => c.watchers.delete(pump));
    pump();
  }

  problem(res, status, code) {
    res.writeHead(status, { 'content-type': 'application/problem+json' });
    res.end(JSON.stringify({ status, code, title: code, detail: `told to answer ${code}` }));
  }

  async handle(req, res) {
    const url = new URL(req.url, 'http://exec');
    const chunks = [];
    for await (const c of req) chunks.push(c);
    if (this.hold) {
      this.held.push(`${req.method} ${req.url}`);
      return undefined;
    }
    if (this.refuse && this.refuse.times-- > 0) return this.problem(res, this.refuse.status, this.refuse.code);
    const [, , , id, what] = url.pathname.split('/');
    if (req.method === 'POST' && !id) {
      const body = JSON.parse(Buffer.concat(chunks));
      const key = req.headers['idempotency-key'];
      this.attached += this.byKey.has(key) ? 1 : 0;
      this.bodies.push(body);
      return this.stream(res, this.byKey.get(key) ?? this.start(body, key), 0);
    }
    if (!id) {
      const found = this.byKey.get(url.searchParams.get('key'));
      res.writeHead(200, { 'content-type': 'application/json' });
      return res.end(JSON.stringify({ items: found?.status === 'running' ? [this.view(found)] : [], next: null }));
    }
    const c = this.byId.get(id);
    if (!c) return this.problem(res, 404, 'not_found');
    if (what === 'stream') {
      this.attached++;
      return this.stream(res, c, Number(url.searchParams.get('offset') ?? 0));
    }
    if (what === 'cancel') this.kill(c, 'cancelled');
    res.writeHead(202, { 'content-type': 'application/json' });
    return res.end(JSON.stringify(this.view(c)));
  }
}
