// A server for the gateway to pass requests to. In this process: `const s = await UpstreamServer.start()`; its `mode` says how it answers.
// As a process of its own that can be killed: `await UpstreamProcess.start()`, which runs this file.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

function acceptWebSocket(req, socket) {
  const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.on('error', () => {});
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.on('data', (d) => socket.write(d)); // frames are bytes to the gateway
}

export class UpstreamServer {
  mode = 'ok'; // ok, a status as a number, reset (after the body), hang, slow (its body in pieces), stall (a piece, then nothing)
  healthy = true;
  requests = 0;
  checks = 0;
  byMethod = {};
  held = [];
  sockets = new Set();

  static async start({ host = '127.0.0.1', port = 0, name = 'upstream' } = {}) {
    const s = new UpstreamServer();
    s.name = name;
    s.server = http.createServer((req, res) => s.answer(req, res));
    s.server.keepAliveTimeout = 60000;
    s.server.on('connection', (socket) => {
      s.sockets.add(socket);
      socket.on('close', () => s.sockets.delete(socket));
    });
    s.server.on('upgrade', (req, socket) => acceptWebSocket(req, socket));
    await new Promise((done, fail) => {
      s.server.once('error', fail);
      s.server.listen(port, host, done);
    });
    s.host = host;
    s.port = s.server.address().port;
    return s;
  }

  get address() {
    return this.host.includes(':') ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
  }

  answer(req, res) {
    if (req.url === '/health') {
      this.checks++;
      res.writeHead(this.healthy ? 200 : 503).end();
      return;
    }
    this.requests++;
    this.byMethod[req.method] = (this.byMethod[req.method] ?? 0) + 1;
    let n = 0;
    req.on('data', (d) => (n += d.length));
    req.on('error', () => {});
    req.on('end', () => this.act(req, res, n));
  }

  act(req, res, n) {
    const { mode } = this;
    if (mode === 'reset') return void req.socket.destroy();
    if (mode === 'hang') return void this.held.push(res);
    if (typeof mode === 'number') return void res.writeHead(mode, { 'content-type': 'text/plain' }).end('no');
    res.setHeader('x-server', this.name);
    res.setHeader('vary', 'Accept-Encoding');
    res.setHeader('access-control-allow-origin', '*');
    res.writeHead(200, { 'content-type': 'application/json' });
    const text = JSON.stringify({ server: this.name, method: req.method, url: req.url, bytes: n, host: req.headers['x-forwarded-host'] });
    if (mode === 'slow' || mode === 'stall') {
      res.write(' ');
      if (mode === 'slow') this.drip(res, text);
    } else res.end(text);
  }

  async drip(res, text) {
    for (let i = 0; i < 100 && !res.destroyed; i++, await sleep(50)) res.write(' ');
    res.end(text);
  }

  // Answers what hangs.
  release() {
    for (const res of this.held.splice(0)) res.writeHead(200).end('{}');
  }

  async stop() {
    const closed = new Promise((done) => this.server.close(done));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

const alive = new Set();
process.on('exit', () => {
  for (const p of alive) p.kill('SIGKILL');
});

export class UpstreamProcess {
  static async start(port = 0) {
    const s = new UpstreamProcess();
    await s.start(port);
    return s;
  }

  async start(port = this.port) {
    this.child = spawn(process.execPath, [fileURLToPath(import.meta.url), String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
    alive.add(this.child);
    this.ended = new Promise((done) => this.child.on('close', done));
    this.port = Number(await new Promise((done) => this.child.stdout.once('data', (d) => done(d.toString()))));
    this.address = `127.0.0.1:${this.port}`;
    this.child.unref();
    this.child.stdout.unref();
  }

  async kill() {
    this.child.ref();
    this.child.kill('SIGKILL');
    await this.ended;
    alive.delete(this.child);
  }
}

// A listener that takes no connection: its process stands still and its backlog is full, so that the kernel drops whoever comes (as a firewall does).
export class DeafListener {
  static async start() {
    const s = new DeafListener();
    const code = "const s = require('net').createServer((c) => c.on('error', () => {}).resume()); s.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port));";
    s.child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    alive.add(s.child);
    s.port = Number(await new Promise((done) => s.child.stdout.once('data', (d) => done(String(d)))));
    s.address = `127.0.0.1:${s.port}`;
    s.child.kill('SIGSTOP');
    // More than the backlog holds; the kernel accepts what it holds at once.
    s.sockets = Array.from({ length: 8 }, () => net.connect(s.port, '127.0.0.1').on('error', () => {}));
    await Promise.race(s.sockets.map((x) => new Promise((done) => x.once('connect', done))));
    return s;
  }

  async stop() {
    for (const x of this.sockets) x.destroy();
    const ended = new Promise((done) => this.child.once('close', done));
    this.child.kill('SIGKILL');
    await ended;
    alive.delete(this.child);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const s = await UpstreamServer.start({ port: Number(process.argv[2]), name: `process-${process.pid}` });
  process.stdout.write(`${s.port}\n`);
}
