// Who is measured beside auth: a Node stack and Laravel, each a process of its own with a fresh SQLite database, the same user and the
// same cost of a hash. A party has {pid, post(path, body), get(path, token), stop()}.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';

import { ADMIN, freePort, request } from '../../lib/platform.mjs';

const READY_MS = 30000;

// One request on kept connections: the body as JSON; what is no 200 is an error.
export function asker(where, connections) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const ask = (method, path, body, token) =>
    new Promise((done, fail) => {
      const text = body && JSON.stringify(body);
      const headers = { accept: 'application/json', ...(text && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }), ...(token && { authorization: `Bearer ${token}` }) };
      const r = http.request({ ...where, agent, method, path, headers }, (res) => {
        let all = '';
        res.on('data', (d) => (all += d));
        res.on('end', () => (res.statusCode === 200 ? done(JSON.parse(all)) : fail(new Error(`${method} ${path}: ${res.statusCode} ${all}`))));
      });
      r.on('error', fail);
      r.end(text);
    });
  return { post: (path, body) => ask('POST', path, body), get: (path, token) => ask('GET', path, undefined, token), end: () => agent.destroy() };
}

async function begin(command, args, env, folder, port, connections) {
  const child = spawn(command, args, { env: { PATH: process.env.PATH, HOME: folder, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.on('data', (d) => (log += d));
  const ended = new Promise((done, fail) => child.on('close', done).on('error', fail));
  ended.catch(() => {});
  const where = { host: '127.0.0.1', port: port ?? Number(await new Promise((done) => createInterface({ input: child.stdout }).once('line', done))) };
  const asks = asker(where, connections);
  for (const end = Date.now() + READY_MS; ; await new Promise((next) => setTimeout(next, 20))) {
    if (await request(where, 'GET', '/me', { headers: { accept: 'application/json' } }).catch(() => null)) break;
    if (child.exitCode !== null || Date.now() > end) throw new Error(`${command} does not answer: ${log}`);
  }
  return {
    pid: child.pid,
    ...asks,
    async stop() {
      asks.end();
      child.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function nodeStack(connections) {
  const folder = mkdtempSync(join(tmpdir(), 'ogent-bench-node-'));
  return begin(process.execPath, [join(import.meta.dirname, 'node_stack.mjs'), join(folder, 'db')], {}, folder, undefined, connections);
}

// PHP's own server has one process; `hash` is the user's, of any party, as argon2 writes it.
export async function laravel(hash) {
  const folder = mkdtempSync(join(tmpdir(), 'ogent-bench-laravel-'));
  mkdirSync(join(folder, 'logs'));
  const db = new DatabaseSync(join(folder, 'db'));
  db.exec('pragma journal_mode = wal; create table users (id integer primary key, email text unique, password text); create table personal_access_tokens (id integer primary key, user_id integer, token text, last_used_at text)');
  db.prepare('insert into users (email, password) values (?, ?)').run(ADMIN.email, hash);
  db.close();
  const port = await freePort();
  return begin('php', ['-d', 'opcache.enable_cli=1', '-S', `127.0.0.1:${port}`, join(import.meta.dirname, 'laravel/server.php')], { DB: join(folder, 'db') }, folder, port, 1);
}
