// Commands that one talks to: open stdin, terminals, signals, waiting, jobs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { startRole } from '../lib/platform.mjs';
import { events } from '../lib/sse.mjs';

let auth, exec, admin, bob, eve, operator;

async function member(name, roles = ['member']) {
  const login = { email: `${name}@example.org`, password: 'a quiet river under stones' };
  assert.equal((await auth.api('POST', '/api/users', { name, roles, ...login }, admin)).status, 201);
  return (await auth.login(login)).access_token;
}

before(async () => {
  auth = await startRole('auth');
  exec = await startRole('exec', { data: auth.data });
  admin = (await auth.setUp()).access_token;
  bob = await member('bob');
  eve = await member('eve');
  operator = await member('olga', ['operator']);
});

after(async () => {
  await exec?.stop();
  await auth?.stop();
});

const api = (method, path, body, token = bob, headers) => exec.api(method, `/api/commands${path}`, body, token, headers);
const bytes = { 'content-type': 'application/octet-stream' };

async function start(body, token = bob) {
  const r = await api('POST', '', body, token);
  assert.equal(r.status, 201, r.text);
  return r.body.id;
}

async function until(id, done, token = bob) {
  for (;;) {
    const r = await api('GET', `/${id}?wait_ms=2000`, undefined, token);
    assert.equal(r.status, 200, r.text);
    if (done(r.body)) return r.body;
    assert.equal(r.body.status, 'running', 'it ended before');
  }
}
const ended = (id) => until(id, (c) => c.status !== 'running');
const waiting = (id) => until(id, (c) => c.waiting_for_input);
const output = async (id) => (await api('GET', `/${id}/output`)).text;
// Until the output has the text.
async function shows(id, text) {
  let all = '';
  for await (const { event, data } of events(exec.where(), 'GET', `/api/commands/${id}/stream`, { token: bob })) {
    if (event === 'output') all += data.data;
    if (all.includes(text)) return all;
  }
  assert.fail(`ended without ${text}: ${all}`);
}

function refused(r, status, code) {
  assert.equal(r.status, status, r.text);
  assert.equal(r.body.code, code, r.text);
}

test('stdin is given in pieces, waited for, and ended', async () => {
  const id = await start({ script: 'read a; echo "<$a>"; cat; echo end', stdin_open: true, stdin: 'first\n' });
  assert.equal((await waiting(id)).stdin_open, true);
  const r = await api('POST', `/${id}/stdin`, 'one\n', bob, bytes);
  assert.equal(r.status, 200, r.text);
  assert.equal(r.body.input_bytes, 4);
  await shows(id, 'one\n');
  assert.equal((await api('POST', `/${id}/stdin?close=1`, 'two\n', bob, bytes)).status, 200);
  const c = await ended(id);
  assert.equal(c.exit_code, 0);
  assert.equal(c.waiting_for_input ?? false, false);
  assert.equal(await output(id), '<first>\none\ntwo\nend\n');
  refused(await api('POST', `/${id}/stdin`, 'x', bob, bytes), 409, 'command_ended');
});

test('stdin is EOF unless asked for', async () => {
  const id = await start({ script: 'cat; sleep 0.5' });
  refused(await api('POST', `/${id}/stdin`, 'x', bob, bytes), 409, 'stdin_closed');
  assert.equal((await ended(id)).stdin_open, false);
});

test('an empty request with close=1 ends stdin', async () => {
  const id = await start({ argv: ['cat'], stdin_open: true });
  await waiting(id);
  assert.equal((await api('POST', `/${id}/stdin?close=1`)).status, 200);
  assert.equal((await ended(id)).exit_code, 0);
});

test('megabytes of binary input arrive byte-exact, and come back exact as base64', async () => {
  const data = randomBytes(4 << 20);
  const id = await start({ script: 'tee copy | sha256sum; head -c 100000 copy', stdin_open: true });
  assert.equal((await api('POST', `/${id}/stdin?close=1`, data, bob, bytes)).status, 200);
  const chunks = [];
  for await (const { event, data: d } of events(exec.where(), 'GET', `/api/commands/${id}/stream?encoding=base64`, { token: bob })) {
    if (event === 'output') chunks.push(Buffer.from(d.base64, 'base64'));
  }
  const all = Buffer.concat(chunks), sum = createHash('sha256').update(data).digest('hex');
  assert.equal(all.subarray(0, 64).toString(), sum);
  assert.deepEqual(all.subarray(all.indexOf('\n') + 1), data.subarray(0, 100000));
});

test('input that is not read holds up its sender and not exec, until the command reads or ends', async () => {
  const id = await start({ script: 'sleep 30', stdin_open: true });
  let sent = 0;
  const req = http.request({ ...exec.where(), method: 'POST', path: `/api/commands/${id}/stdin`, headers: { authorization: `Bearer ${bob}`, ...bytes } });
  const answer = new Promise((done, fail) => req.on('response', done).on('error', fail));
  const chunk = Buffer.alloc(64 << 10, 'x');
  while (req.write(chunk) && sent < 64 << 20) sent += chunk.length;
  for (let still = 0, last = -1; still < 5; await new Promise((d) => setTimeout(d, 20))) {
    while (!req.writableNeedDrain && sent < 64 << 20) {
      req.write(chunk);
      sent += chunk.length;
    }
    still = sent === last ? still + 1 : 0;
    last = sent;
  }
  assert.ok(sent < 16 << 20, `${sent} bytes were taken`);
  refused(await api('POST', `/${id}/stdin`, 'x', bob, bytes), 409, 'stdin_busy');
  assert.equal((await api('POST', `/${id}/cancel`)).status, 202);
  assert.equal((await answer).statusCode, 409);
  req.destroy();
});

test('input sent again after a doubt is not taken twice', async () => {
  const id = await start({ argv: ['cat'], stdin_open: true });
  await waiting(id);
  assert.equal((await api('POST', `/${id}/stdin?offset=0`, 'abc', bob, bytes)).body.input_bytes, 3);
  assert.equal((await api('POST', `/${id}/stdin?offset=0`, 'abcdef', bob, bytes)).body.input_bytes, 6);
  refused(await api('POST', `/${id}/stdin?offset=9`, 'x', bob, bytes), 409, 'input_gap');
  await api('POST', `/${id}/stdin?close=1`);
  await ended(id);
  assert.equal(await output(id), 'abcdef');
});

test('signals reach the group or the leader', async () => {
  const script = "trap 'echo got $1' USR1; echo on; while :; do sleep 0.02; done";
  const id = await start({ script });
  await shows(id, 'on\n');
  assert.equal((await api('POST', `/${id}/signal`, { signal: 'USR1', to: 'leader' })).status, 202);
  await shows(id, 'got');
  assert.equal((await api('POST', `/${id}/signal`, { signal: 'KILL' })).status, 202);
  const c = await ended(id);
  assert.equal(c.status, 'signalled');
  assert.equal(c.signal, 9);
  refused(await api('POST', `/${id}/signal`, { signal: 'TERM' }), 409, 'command_ended');
});

test('what is not a signal, a size or a terminal is told', async () => {
  const id = await start({ argv: ['cat'], stdin_open: true });
  refused(await api('POST', `/${id}/signal`, { signal: 'STOP' }), 422, 'invalid_field');
  refused(await api('POST', `/${id}/signal`, { signal: 'INT', to: 'all' }), 422, 'invalid_field');
  refused(await api('POST', `/${id}/resize`, { rows: 0, cols: 80 }), 422, 'invalid_field');
  refused(await api('POST', `/${id}/resize`, { rows: 24, cols: 80 }), 409, 'no_terminal');
  await api('POST', `/${id}/cancel`);
  for (const body of [{ tty: {} }, { tty: { rows: 24 } }, { tty: { rows: 24, cols: 5000 } }, { tty: { rows: 24, cols: 80, term: 'a b' } }, { tty: { rows: 24, cols: 80 }, stdin_open: false }, { tags: ['a b'] }, { tags: [1] }, { tags: Array(17).fill('a') }, { wait_ms: -1 }])
    refused(await api('POST', '', { script: 'true', ...body }), 422, 'invalid_field');
});

test('others neither type into a command nor signal it, also who may look at it', async () => {
  const id = await start({ argv: ['cat'], stdin_open: true });
  refused(await api('POST', `/${id}/stdin`, 'x', eve, bytes), 404, 'not_found');
  refused(await api('POST', `/${id}/signal`, { signal: 'INT' }, eve), 404, 'not_found');
  assert.equal((await api('POST', `/${id}/stdin`, 'x', operator, bytes)).status, 200, 'commands.run_any');
  await api('POST', `/${id}/cancel`);
});

test('a terminal has size, name and line discipline, Ctrl-C reaches the foreground', async () => {
  const id = await start({ script: "stty size; echo $TERM; trap 'echo caught' INT; sleep 60; echo after", tty: { rows: 40, cols: 120, term: 'vt100' } });
  assert.deepEqual((await api('GET', `/${id}`)).body.tty, { rows: 40, cols: 120 });
  await shows(id, 'vt100');
  await new Promise((d) => setTimeout(d, 100));
  assert.equal((await api('POST', `/${id}/stdin`, '\x03', bob, bytes)).status, 200);
  await ended(id);
  assert.equal(await output(id), '40 120\r\nvt100\r\n^Ccaught\r\nafter\r\n');
});

test('a resize is told to the program', async () => {
  const id = await start({ script: "trap 'stty size; exit' WINCH; echo on; while :; do sleep 0.02; done", tty: { rows: 24, cols: 80 } });
  await shows(id, 'on');
  assert.equal((await api('POST', `/${id}/resize`, { rows: 50, cols: 132 })).status, 202);
  await ended(id);
  assert.match(await output(id), /50 132/);
});

test('TIOCSTI is refused on the own terminal', async () => {
  const id = await start({ script: `perl -e '$c = "x"; ioctl(STDIN, 0x5412, $c) or print "no: $!\\n"'`, tty: { rows: 24, cols: 80 } });
  await ended(id);
  assert.equal(await output(id), 'no: Operation not permitted\r\n');
});

test('a terminal session outlives exec: kill -9, what was shown is there, typing goes on, nothing is orphaned', async () => {
  const id = await start({ script: 'echo ready; while read x; do echo "<$x>"; done; sleep 771.5 & ', tty: { rows: 24, cols: 80 } });
  await waiting(id);
  await api('POST', `/${id}/stdin`, 'one\n', bob, bytes);
  await shows(id, '<one>');
  await exec.kill();
  await exec.start();
  const c = await waiting(id);
  assert.equal(c.input_bytes, 4);
  assert.equal((await api('POST', `/${id}/stdin?offset=0`, 'one\ntwo\n', bob, bytes)).body.input_bytes, 8);
  await shows(id, '<two>');
  await api('POST', `/${id}/stdin?close=1`);
  assert.equal((await ended(id)).status, 'exited');
  assert.equal((await output(id)).match(/<one>/g).length, 1);
  assert.throws(() => execFileSync('pgrep', ['-f', 'sleep 771.5']));
});

test('a command that is waited for answers when it has ended, in short', async () => {
  const r = await api('POST', '', { script: 'echo hello; exit 4', wait_ms: 20000 });
  assert.equal(r.status, 200, r.text);
  assert.equal(r.body.exit_code, 4);
  assert.deepEqual(r.body.output, { head: 'hello\n', tail: '', bytes: 6, omitted_bytes: 0 });
});

test('one that takes longer is handed over as it is, and waited for again', async () => {
  const r = await api('POST', '', { script: 'echo early; mkfifo f; read x < f', wait_ms: 300 });
  assert.equal(r.status, 202, r.text);
  assert.equal(r.body.status, 'running');
  assert.equal(r.body.output.head, 'early\n');
  const later = api('GET', `/${r.body.id}?wait_ms=20000&output=100`);
  await api('POST', `/${r.body.id}/cancel`);
  assert.equal((await later).body.status, 'cancelled');
  assert.equal((await later).body.output.head, 'early\n');
});

test('one that asks for input does not keep its caller waiting', async () => {
  const r = await api('POST', '', { script: 'echo "name? "; read x', stdin_open: true, wait_ms: 30000 });
  assert.equal(r.status, 202, r.text);
  assert.equal(r.body.waiting_for_input, true);
  assert.equal(r.body.output.head, 'name? \n');
  await api('POST', `/${r.body.id}/cancel`);
});

test('head and tail of much output, and how much is left out', async () => {
  const r = await api('POST', '?output=1000', { script: 'seq 1 100000', wait_ms: 30000 });
  const { head, tail, bytes: n, omitted_bytes } = r.body.output;
  assert.equal(n, 588895);
  assert.ok(head.startsWith('1\n2\n') && tail.endsWith('99999\n100000\n'));
  assert.equal(head.length + tail.length + omitted_bytes, n);
  assert.equal(head.length + tail.length, 1000);
});

test('lists by tag and by status', async () => {
  const one = await start({ script: 'sleep 60', tags: ['build', 'web'] }), two = await start({ argv: ['true'], tags: ['build'] });
  await ended(two);
  const ids = async (query, token) => (await api('GET', query, undefined, token)).body.items.map((c) => c.id);
  assert.deepEqual(await ids('?tag=build'), [two, one]);
  assert.deepEqual(await ids('?tag=web'), [one]);
  assert.deepEqual(await ids('?tag=build&status=running'), [one]);
  assert.deepEqual(await ids('?tag=build&status=exited'), [two]);
  assert.deepEqual(await ids('?tag=build', eve), []);
  refused(await api('GET', '?status=nonsense'), 400, 'bad_request');
  await exec.kill();
  await exec.start();
  assert.deepEqual(await ids('?tag=build&status=running'), [one], 'jobs survive exec');
  await api('POST', `/${one}/cancel`);
  assert.equal((await ended(one)).status, 'cancelled');
});

test('a waiting command says so in its stream', async () => {
  const id = await start({ script: 'echo q; read x; echo "$x"', stdin_open: true });
  const seen = [];
  for await (const { event, data } of events(exec.where(), 'GET', `/api/commands/${id}/stream`, { token: bob })) {
    seen.push(event);
    if (event === 'waiting') {
      assert.equal(data.offset, 2);
      await api('POST', `/${id}/stdin`, 'a\n', bob, bytes);
    }
  }
  assert.deepEqual(seen, ['started', 'output', 'waiting', 'output', 'ended']);
});

test('a result tells what was used and what was refused', async () => {
  const done = async (script) => (await api('POST', '', { script, wait_ms: 60000 })).body;
  const busy = await done('i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; head -c 2000000 /dev/urandom > f; sync f; true');
  assert.ok(busy.usage.cpu_user_ms > 0 && busy.usage.cpu_ms >= busy.usage.cpu_user_ms);
  assert.equal(busy.usage.cpu_user_ms + busy.usage.cpu_system_ms, busy.usage.cpu_ms);
  assert.ok(busy.usage.pids_peak === null || busy.usage.pids_peak >= 2);
  assert.deepEqual(busy.denials, []);
  const foreign = await done('kill -SYS $$');
  assert.deepEqual(foreign.denials, [{ layer: 'seccomp', what: 'system_call', count: 1 }]);
  const { sandbox } = (await exec.api('GET', '/healthz')).body;
  if (!sandbox.layers.cgroup.ok) return;
  const forks = await done('for i in $(seq 1 400); do sleep 2 & done 2>/dev/null; wait');
  assert.equal(forks.denials[0].what, 'processes', JSON.stringify(forks));
});

test('a command of many sessions has one share of the CPU', async (t) => {
  const { cgroup } = (await exec.api('GET', '/healthz')).body.sandbox.layers;
  if (!cgroup.cpu) return t.skip(`no cgroup keeps shares of the CPU: ${cgroup.detail}`);
  const id = await start({ script: `perl -MPOSIX -e 'for (1 .. 150) { if (!fork) { POSIX::setsid(); 1 while 1 } } print "all\\n"; $| = 1; print "on\\n"; sleep 20'` });
  await shows(id, 'on');
  const times = [];
  for (let i = 0; i < 9; i++) {
    const began = performance.now();
    assert.equal((await api('POST', '?wait_ms=20000', { script: 'true' }, eve)).body.exit_code, 0);
    times.push(performance.now() - began);
  }
  await api('POST', `/${id}/cancel`);
  assert.ok(times.sort((a, b) => a - b)[4] < 400, times.map(Math.round).join(' '));
  assert.equal((await ended(id)).status, 'cancelled');
});

test('nothing is left behind', () => {
  const text = readFileSync(join('/proc', String(exec.child.pid), 'status'), 'utf8');
  assert.ok(Number(/VmRSS:\s+(\d+)/.exec(text)[1]) < 200 * 1024);
});

// ---- Shared sandboxes ----

async function shared(script, more = {}, token = bob) {
  const r = await api('POST', '?wait_ms=20000&output=4000', { script, workspace: 'together', sandbox: 'session', ...more }, token);
  assert.ok([200, 201, 202].includes(r.status), r.text);
  return r.body;
}
const sessionOf = (id, token = bob, method = 'GET') => exec.api(method, `/api/workspaces/${id}/session`, undefined, token);

test('commands of one workspace share a sandbox when they ask for it, across a kill -9 of exec, until it is ended', async () => {
  assert.equal((await shared('true', { sandbox: undefined })).sandbox, 'own');
  assert.equal((await sessionOf('together')).body.live, false);
  const first = await shared('echo kept > /tmp/x; sleep 3600 & echo $! > /tmp/pid');
  assert.equal(first.sandbox, 'session');
  assert.equal(first.status, 'exited');
  assert.equal((await shared('cat /tmp/x; kill -0 $(cat /tmp/pid) && echo alive')).output.head, 'kept\nalive\n');
  assert.equal((await shared('ls /tmp', { sandbox: 'own' })).output.head, '');
  await exec.kill();
  await exec.start();
  assert.equal((await shared('cat /tmp/x; kill -0 $(cat /tmp/pid) && echo alive')).output.head, 'kept\nalive\n');
  const s = (await sessionOf('together')).body;
  assert.deepEqual([s.live, s.running_commands], [true, 0]);
  assert.ok(s.processes >= 1 && s.started_at, JSON.stringify(s));
  const held = await api('POST', '', { script: 'sleep 3600', workspace: 'together', sandbox: 'session' });
  assert.equal(held.status, 201, held.text);
  // One that comes when its sandbox ends begins another.
  for (const limit = Date.now() + 30000; (await sessionOf('together')).body.running_commands !== 1; ) assert.ok(Date.now() < limit, 'it does not begin');
  for (const [method, path] of [['POST', '/snapshots'], ['DELETE', '']]) {
    const r = await exec.api(method, `/api/workspaces/together${path}`, method === 'POST' ? {} : undefined, bob);
    assert.deepEqual([r.status, r.body.code], [409, 'workspace_busy']);
  }
  assert.equal((await sessionOf('together', bob, 'DELETE')).status, 204);
  const end = await ended(held.body.id);
  assert.deepEqual([end.status, end.reason], ['cancelled', 'Its session was ended.']);
  assert.equal((await sessionOf('together')).body.live, false);
  assert.equal((await exec.api('POST', '/api/workspaces/together/snapshots', {}, bob)).status, 201);
  assert.equal((await shared('cat /tmp/x 2>/dev/null || echo new')).output.head, 'new\n');
  assert.equal((await sessionOf('together', bob, 'DELETE')).status, 204);
});

test('a shared sandbox is never another user\'s, and only where the policy allows it', async () => {
  await shared('echo mine > /tmp/x');
  assert.equal((await sessionOf('together', eve)).status, 404);
  assert.equal((await api('POST', '', { script: 'cat /tmp/x', workspace: 'together', sandbox: 'session' }, eve)).body.code, 'workspace_forbidden');
  assert.equal((await shared('cat /tmp/x 2>/dev/null || echo not here', {}, operator)).output.head, 'not here\n');
  assert.equal((await sessionOf('together', operator)).body.live, true);
  const table = [
    [{ policy: 'apart' }, 403, 'policy_denied'],
    [{ workspace: undefined }, 422, 'no_shared_sandbox'],
    [{ sandbox: 'mine' }, 422, 'invalid_field'],
    [{ policy: 'apart', sandbox: undefined }, 201, undefined],
  ];
  const put = await exec.api('PUT', '/api/policies/apart', { default: 'allow', sandbox: 'own' }, admin);
  assert.ok(put.status < 300, put.text);
  for (const [more, status, code] of table) {
    const r = await api('POST', '', { script: 'true', workspace: 'together', sandbox: 'session', ...more });
    assert.deepEqual([r.status, r.body.code], [status, code], JSON.stringify(more));
  }
  assert.equal((await exec.api('PUT', '/api/policies/together', { default: 'allow', sandbox: 'session' }, admin)).status < 300, true);
  assert.equal((await shared('true', { sandbox: undefined, policy: 'together' })).sandbox, 'own', 'contained says either');
  for (const who of [bob, operator]) assert.equal((await sessionOf('together', who, 'DELETE')).status, 204);
});
