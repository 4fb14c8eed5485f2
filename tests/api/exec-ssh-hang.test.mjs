// A host that stops answering in the middle: real sshds, or the program that they started, are stopped by SIGSTOP. Every request ends in
// bounded time with an error that says so, and the next one has a new connection.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startRole } from '../lib/platform.mjs';
import { Sshd } from '../lib/sshd.mjs';
import { beginUpload } from '../lib/upload.mjs';

const NAMES = ['upload', 'archive', 'idle', 'greeting', 'program', 'cancel'];
// A silent host is asked after 10 s and given up after as long again; a step of work has 30 s, twice while its bytes move; a connection 15 s.
const BOUND_MS = 90000;
const hosts = {}, stopped = new Set();
let auth, exec, token;

before(async () => {
  await Promise.all(NAMES.map(async (name) => (hosts[name] = await new Sshd().start())));
  const first = hosts[NAMES[0]];
  for (const name of NAMES.slice(1)) {
    first.knowAlso(hosts[name]);
    hosts[name].force(readForced(hosts[name]), first.identity);
  }
  auth = await startRole('auth');
  exec = await startRole('exec', { data: auth.data, env: { ...first.env, OGENT_EXEC_SSH_TARGET: NAMES.map((n) => `${n}=${hosts[n].url}`).join(',') } });
  token = (await auth.setUp()).access_token;
});

after(async () => {
  for (const pid of stopped) signal(pid, 'SIGCONT');
  await exec?.stop();
  await auth?.stop();
  await Promise.all(Object.values(hosts).map((h) => h.stop()));
});

const readForced = (h) => readFileSync(join(h.dir, 'authorized'), 'utf8').match(/command="([^"]*)"/)[1];

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended
  }
}

function stop(...pids) {
  assert.ok(pids.length > 0);
  for (const pid of pids) {
    stopped.add(pid);
    signal(pid, 'SIGSTOP');
  }
}

const api = (name, method, path, body, headers) => exec.api(method, `/api/workspaces${path}${path.includes('?') ? '&' : '?'}target=${name}`, body, token, headers);
const octets = { 'content-type': 'application/octet-stream' };

async function make(name) {
  let r;
  for (let i = 0; i < 5; i++) if ((r = await api(name, 'POST', '', { id: name })).status !== 503) break;
  assert.equal(r.status, 201, r.text);
}

function refused(r, status, code) {
  assert.equal(r.status, status, r.text);
  assert.equal(r.body.code, code, r.text);
  assert.match(r.body.detail, /not answer/);
}

async function within(what, promise) {
  const since = Date.now(), r = await Promise.race([promise, sleep(BOUND_MS, null, { ref: false })]);
  assert.ok(r, `${what}: no answer after ${BOUND_MS} ms`);
  console.log(`# ${what}: ${Date.now() - since} ms`);
  return r;
}

async function until(what) {
  for (let i = 0; i < 1200; i++, await sleep(25)) if (await what()) return;
  assert.fail(`waited too long for ${what}`);
}

// The processes of ogent-target that work in that host's folder.
const programs = (h) => readdirSync('/proc').filter((p) => {
  try {
    const line = readFileSync(`/proc/${p}/cmdline`, 'utf8');
    return line.startsWith('/') && line.includes('ogent-target\0') && line.includes(h.place);
  } catch {
    return false;
  }
}).map(Number);

const begin = (name, path) => beginUpload(exec.where(), `/api/workspaces${path}?target=${name}`, { authorization: `Bearer ${token}`, ...octets });

const isUnderWay = (h, ws) => execFileSync('sh', ['-c', `ls -l /proc/[0-9]*/fd 2>/dev/null | grep -F '${join(h.place, 'workspaces', ws)}/' || true`], { encoding: 'utf8' }) !== '';

describe('a host stops answering', { concurrency: true }, () => {
  test('in the middle of an upload', async () => {
    const h = hosts.upload;
    await make('upload');
    const up = begin('upload', '/upload/files/f');
    up.req.write(Buffer.alloc(600000));
    await until(() => isUnderWay(h, 'upload'));
    stop(...h.sessions());
    up.req.end(Buffer.alloc(9 << 20));
    refused(await within('upload', up.answer), 502, 'target_lost');
    assert.equal((await within('after the upload', api('upload', 'PUT', '/upload/files/g', 'x', octets))).status, 201);
  });

  test('in the middle of an archive: it is broken off', async () => {
    const h = hosts.archive;
    await make('archive');
    assert.equal((await api('archive', 'PUT', '/archive/files/f', randomBytes(12 << 20), octets)).status, 201);
    const res = await new Promise((done, fail) => http.get({ ...exec.where(), path: '/api/workspaces/archive/archive?target=archive', headers: { authorization: `Bearer ${token}` } }, done).on('error', fail));
    assert.equal(res.statusCode, 200);
    stop(...h.sessions());
    const end = new Promise((done) => res.on('error', () => done('broken')).on('end', () => done('whole')).resume());
    assert.equal(await within('archive', end), 'broken');
    assert.equal((await within('after the archive', api('archive', 'GET', '/archive/files'))).status, 200);
  });

  test('while nobody asks it: the request gets a new connection', async () => {
    const h = hosts.idle;
    await make('idle');
    stop(...h.sessions());
    const r = await within('on a dead connection', api('idle', 'GET', '/idle/files'));
    assert.equal(r.status, 200, r.text);
  });

  test('before it greets: the host is unavailable, and comes back', async () => {
    const h = hosts.greeting;
    await make('greeting');
    stop(h.child.pid, ...h.sessions());
    const r = await within('without a greeting', api('greeting', 'GET', '/greeting/files'));
    refused(r, 503, 'target_unavailable');
    for (const pid of stopped) if (pid === h.child.pid) signal(pid, 'SIGCONT');
    await until(async () => (await api('greeting', 'GET', '/greeting/files')).status === 200);
  });

  test('its program hangs and its sshd does not: the request ends, the connection stays', async () => {
    const h = hosts.program;
    await make('program');
    const up = begin('program', '/program/files/f');
    up.req.write(Buffer.alloc(600000));
    await until(() => isUnderWay(h, 'program'));
    stop(...programs(h));
    const before = h.sessions();
    up.req.end(Buffer.alloc(9 << 20));
    refused(await within('program', up.answer), 502, 'target_lost');
    assert.equal((await within('after the program', api('program', 'GET', '/program/files'))).status, 200);
    assert.deepEqual(h.sessions(), before);
  });

  test('while a command is cancelled: it is lost, and the next one runs', async () => {
    const h = hosts.cancel;
    const post = (script) => exec.api('POST', '/api/commands', { script, target: 'cancel', wait_ms: 60000 }, token);
    await make('cancel');
    const { body: c } = await exec.api('POST', '/api/commands', { script: 'echo on; sleep 300', target: 'cancel' }, token);
    await until(async () => (await exec.api('GET', `/api/commands/${c.id}/output`, undefined, token)).text.includes('on'));
    stop(...h.sessions());
    await exec.api('POST', `/api/commands/${c.id}/cancel`, undefined, token);
    const ended = async () => {
      for (;;) {
        const r = await exec.api('GET', `/api/commands/${c.id}?wait_ms=5000`, undefined, token);
        if (r.body.status !== 'running') return r;
      }
    };
    const [lost, next] = await Promise.all([within('cancel', ended()), within('the next command', post('echo fine'))]);
    assert.equal(lost.body.status, 'lost', lost.text);
    assert.equal(next.body.status, 'exited', next.text);
  });
});
