// Real processes for black-box tests: one role, or the whole platform, on a free port or a Unix socket, with a temporary
// data folder. Node's own modules only.
//
//	const auth = await startRole('auth');            // `ogent auth`, ready, on DATA/run/auth.sock
//	const p = await startPlatform();                 // `ogent up`, ready, on a free port
//	const { status, body } = await p.api('POST', '/api/auth/login', { email, password });
//	await p.stop();                                  // checks that it ended well and that no sanitizer spoke
//
// `p.kill('SIGKILL')` and `p.start()` crash it and bring it back on the same data. With OGENT_DEPLOYMENT set, both are a deployment that
// runs already (deployment.mjs).

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentDatabase, authDatabase, authSql, authText } from './databases.mjs';
import { freePort } from './ports.mjs';

export { freePort };

export const ogent = resolve(process.env.OGENT_BIN ?? join(import.meta.dirname ?? '.', '../../build/ogent'));

const READY_MS = 20000;
const STOP_MS = 15000;
const SANITIZER = /AddressSanitizer|ThreadSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:/;
// TEST_FILE_RUN is how tests/run.mjs finds what a file left behind.
const INHERITED = ['TEST_FILE_RUN', 'PATH', 'HOME', 'LANG', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS', 'TSAN_OPTIONS', 'TMPDIR'];
// Hashes as cheap as they may be: the tests make many.
const DEFAULTS = { OGENT_PASSWORD_MEMORY: '7', OGENT_PASSWORD_TIME: '5', OGENT_LOG_FORMAT: 'json' };

// One HTTP request. where: {socketPath} or {host, port}, with {ca} over TLS. body: an object goes as JSON, a string or Buffer as it is.
// Returns {status, headers, text, body}: body is the parsed JSON, or the text when it is none.
export function request(where, method, path, { body, token, headers = {}, timeout = 30000 } = {}) {
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
  const payload = body === undefined ? undefined : isRaw ? body : JSON.stringify(body);
  const all = { ...headers };
  if (payload !== undefined) {
    all['content-type'] ??= 'application/json';
    all['content-length'] ??= Buffer.byteLength(payload);
  } else if (method === 'POST' || method === 'PATCH' || method === 'PUT') {
    all['content-length'] ??= 0;
  }
  if (token) all.authorization = `Bearer ${token}`;
  return new Promise((done, fail) => {
    const r = (where.ca ? https : http).request({ ...where, method, path, headers: all, agent: false, timeout }, (res) => {
      const chunks = [];
      res.on('data', (c) => chunks.push(c));
      res.on('error', fail);
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        let parsed = text;
        if (text && /json(?!l)/.test(res.headers['content-type'] ?? '')) parsed = JSON.parse(text);
        done({ status: res.statusCode, headers: res.headers, text, body: parsed });
      });
    });
    r.on('timeout', () => r.destroy(new Error(`no answer to ${method} ${path} in ${timeout} ms`)));
    r.on('error', fail);
    r.end(payload);
  });
}

// What a failed test leaves behind goes with the test's process.
const alive = new Set();
process.on('exit', () => {
  for (const r of alive) {
    r.child?.kill('SIGKILL');
    if (r.ownsData) rmSync(r.data, { recursive: true, force: true });
  }
});

class Running {
  constructor(args, where, { data, env = {} }) {
    this.args = args;
    this.where = where;
    this.ownsData = data === undefined;
    this.data = data ?? mkdtempSync(join(tmpdir(), 'ogent-test-'));
    this.env = { ...DEFAULTS, OGENT_DATA: this.data, ...env };
    this.log = '';
    alive.add(this);
  }

  // Whether the process alone keeps the test running: only while its end is waited for.
  hold(on) {
    for (const handle of [this.child, this.child.stdout, this.child.stderr]) on ? handle.ref() : handle.unref();
  }

  // Starts the process and waits until it is ready.
  async start() {
    const database = ['agent', 'up'].includes(this.args[0]) && !('OGENT_AGENT_DB_URL' in this.env || 'OGENT_AGENT_DB_URL_FILE' in this.env) && (await agentDatabase(this.data));
    if (database) this.env.OGENT_AGENT_DB_URL = database;
    const accounts = ['auth', 'up'].includes(this.args[0]) && !('OGENT_AUTH_DB_URL' in this.env) && (await authDatabase(this.data));
    if (accounts) this.env.OGENT_AUTH_DB_URL = accounts;
    const env = { ...this.env };
    for (const name of INHERITED) if (process.env[name] !== undefined) env[name] ??= process.env[name];
    this.child = spawn(ogent, this.args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.on('data', (d) => (this.log += d));
    this.child.stderr.on('data', (d) => (this.log += d));
    this.ended = new Promise((done) => {
      this.child.on('error', (e) => done({ code: -1, signal: e.code }));
      this.child.on('close', (code, signal) => done({ code, signal }));
    });
    this.hold(false);
    const end = { at: null };
    this.ended.then((how) => (end.at = how));
    for (const limit = Date.now() + READY_MS; ; ) {
      if (end.at) throw new Error(`ogent ${this.args.join(' ')} ended: ${JSON.stringify(end.at)}\n${this.log}`);
      const r = await request(this.where(), 'GET', '/readyz', { timeout: 2000 }).catch(() => null);
      if (r?.status === 200) return this;
      if (Date.now() > limit) {
        this.child.kill('SIGKILL');
        throw new Error(`ogent ${this.args.join(' ')} is not ready: ${r?.text}\n${this.log}`);
      }
      await sleep(10);
    }
  }

  // api('POST', '/api/users', {name: …}, token, {headers}) → {status, headers, text, body}
  api(method, path, body, token, headers) {
    return request(this.where(), method, path, { body, token, headers });
  }

  // Ends it at once, as a crash would; start() brings it back.
  async kill(signal = 'SIGKILL') {
    this.hold(true);
    this.child.kill(signal);
    return this.ended;
  }

  // Ends it in order and removes the data folder.
  async stop() {
    this.hold(true);
    this.child.kill('SIGTERM');
    const late = setTimeoutKill(this.child);
    const how = await this.ended;
    clearTimeout(late);
    alive.delete(this);
    if (this.ownsData) rmSync(this.data, { recursive: true, force: true });
    const at = this.log.search(SANITIZER);
    assert.ok(at < 0, `a sanitizer spoke:\n${this.log.slice(Math.max(0, at - 300))}`);
    assert.deepEqual(how, { code: 0, signal: null }, `ogent ${this.args.join(' ')} did not end well:\n${this.log}`);
  }

  // Where each role that is there listens for the others: [[role, where]…].
  roles() {
    const dir = join(this.data, 'run');
    return readdirSync(dir).filter((f) => f.endsWith('.sock')).map((f) => [f.slice(0, -5), { socketPath: join(dir, f) }]);
  }

  secret(name) {
    return readFileSync(join(this.data, 'secrets', name), 'utf8').trim();
  }

  // All that auth has stored, as text.
  stored() {
    return authText(this.data);
  }

  // As if the user had given his password an hour ago.
  age(userId) {
    return authSql(this.data, `update sessions set authenticated_at = authenticated_at - 3600000000 where user_id = '${userId}'`);
  }

  // As if the user's sessions had not been used for too long.
  expire(userId) {
    return authSql(this.data, `update sessions set idle_ends_at = 1 where user_id = '${userId}'`);
  }

  // As if so many sign-ins had failed in a row; and how many have.
  fail(userId, n) {
    return authSql(this.data, `update users set failed_logins = ${n} where id = '${userId}'`);
  }

  async failures(userId) {
    return Number(await authSql(this.data, `select failed_logins from users where id = '${userId}'`));
  }

  // The token of the owner's command line on this machine.
  async localToken() {
    const r = await this.api('POST', '/api/auth/local', { key: this.secret('cli.token') });
    assert.equal(r.status, 200, r.text);
    return r.body.access_token;
  }

  // Uses the set-up link; returns the first administrator's session.
  async setUp(admin = ADMIN) {
    const r = await this.api('POST', '/api/auth/setup', { token: this.secret('setup.token'), ...admin });
    assert.equal(r.status, 201, r.text);
    return r.body;
  }

  async login({ email, password }) {
    const r = await this.api('POST', '/api/auth/login', { email, password });
    assert.equal(r.status, 200, r.text);
    return r.body;
  }
}

function setTimeoutKill(child) {
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  timer.unref();
  return timer;
}

export const ADMIN = { name: 'Ada Admin', email: 'ada@example.org', password: 'correct horse battery staple' };

// One role alone: `ogent auth`. options: {data, env, where}: a data folder of another process, environment such as OGENT_…,
// where it listens when env says so.
export async function startRole(role, options = {}) {
  if (process.env.OGENT_DEPLOYMENT) return (await import('./deployment.mjs')).deployment();
  const socket = role === 'demo-model' ? 'demo.sock' : `${role}.sock`;
  const running = new Running([role], () => options.where ?? { socketPath: join(running.data, 'run', socket) }, options);
  return running.start();
}

// The whole: `ogent up` behind its gateway.
export async function startPlatform(options = {}) {
  if (process.env.OGENT_DEPLOYMENT) return (await import('./deployment.mjs')).deployment();
  const port = await freePort();
  const env = { OGENT_LISTEN: `127.0.0.1:${port}`, ...options.env };
  return new Running(['up'], () => ({ host: '127.0.0.1', port }), { ...options, env }).start();
}
