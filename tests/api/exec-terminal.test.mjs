// Terminals by WebSocket, and recordings.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { startPlatform, startRole } from '../lib/platform.mjs';

let auth, exec, admin, bob, eve, watcher, relay, port;

async function member(name, roles = ['member']) {
  const login = { email: `${name}@example.org`, password: 'a quiet river under stones' };
  assert.equal((await auth.api('POST', '/api/users', { name, roles, ...login }, admin)).status, 201);
  return (await auth.login(login)).access_token;
}

before(async () => {
  auth = await startRole('auth');
  exec = await startRole('exec', { data: auth.data });
  // Node's WebSocket speaks TCP only.
  relay = net.createServer((c) => {
    c.unref();
    const to = net.connect(exec.where().socketPath).unref();
    for (const [a, b] of [[c, to], [to, c]]) a.on('error', () => b.destroy()).pipe(b);
  });
  await new Promise((done) => relay.listen(0, '127.0.0.1', done));
  relay.unref();
  ({ port } = relay.address());
  admin = (await auth.setUp()).access_token;
  bob = await member('bob');
  eve = await member('eve');
  // A role that no installation begins with.
  execFileSync('sqlite3', ['-cmd', '.timeout 20000', join(auth.data, 'db/ogent_auth.db'), `insert into roles (id, name, description, built_in, created_at) values ('onlooker', 'onlooker', '', 0, 0);
    insert into role_permissions (role_id, permission) values ('onlooker', 'commands.read'), ('onlooker', 'commands.read_any')`]);
  watcher = await member('wanda', ['onlooker']);
});

after(async () => {
  relay?.close();
  await exec?.stop();
  await auth?.stop();
});

const api = (method, path, body, token = bob) => exec.api(method, `/api/commands${path}`, body, token);

async function start(body) {
  const r = await api('POST', '', { tty: { rows: 24, cols: 80 }, ...body });
  assert.equal(r.status, 201, r.text);
  return r.body.id;
}

// A client of the terminal that remembers all it was sent.
class Terminal {
  constructor(id, { token = bob, offset = 0, auth = true } = {}) {
    this.messages = [];
    this.chunks = [];
    this.bytes = 0;
    this.ws = new WebSocket(`ws://127.0.0.1:${port}/api/commands/${id}/terminal?offset=${offset}`);
    this.ws.binaryType = 'arraybuffer';
    this.waiters = [];
    this.closed = new Promise((done) => (this.ws.onclose = (e) => { this.code = e.code; this.wake(); done(e); }));
    this.ws.onerror = () => {};
    this.ws.onopen = () => auth && this.say({ type: 'auth', token });
    this.ws.onmessage = ({ data }) => {
      if (typeof data === 'string') this.messages.push(JSON.parse(data));
      else {
        this.chunks.push(Buffer.from(data));
        this.bytes += data.byteLength;
      }
      this.wake();
    };
  }
  wake(err) {
    for (const w of this.waiters.splice(0)) w(err);
  }
  get output() {
    return (this.chunks = [Buffer.concat(this.chunks)])[0];
  }
  what() {
    return `${JSON.stringify(this.messages)} ${this.output.subarray(-300)}`;
  }
  say(message) {
    this.ws.send(JSON.stringify(message));
  }
  type(text) {
    this.ws.send(Buffer.from(text));
  }
  async until(done) {
    for (let found; !(found = done()); ) {
      if (this.code !== undefined) assert.fail(`closed with ${this.code}: ${this.what()}`);
      const timer = setTimeout(() => this.wake(new Error(`nothing came: ${this.what()}`)), 15000);
      const err = await new Promise((wake) => this.waiters.push(wake));
      clearTimeout(timer);
      if (err) throw err;
      if ((found = done())) return found;
    }
    return done();
  }
  message(type) {
    return this.until(() => this.messages.find((m) => m.type === type));
  }
  shows(text) {
    return this.until(() => this.output.includes(text));
  }
}

test('a session: typed bytes, output, resize, Ctrl-C, the end', async () => {
  const id = await start({ script: 'stty size; read x; echo "<$x>"; stty size; trap "echo caught" INT; sleep 60; exit 7' });
  const t = new Terminal(id);
  const ready = await t.message('ready');
  assert.equal(ready.offset, 0);
  assert.equal(ready.may_write, true);
  assert.deepEqual(ready.command.tty, { rows: 24, cols: 80 });
  await t.until(() => t.messages.some((m) => m.type === 'waiting' && m.waiting_for_input));
  t.say({ type: 'resize', rows: 33, cols: 99 });
  t.type('hello\n');
  await t.shows('33 99');
  await new Promise((d) => setTimeout(d, 100));
  t.type('\x03');
  const { command } = await t.message('ended');
  assert.equal(command.exit_code, 7);
  assert.equal((await t.closed).code, 1000);
  assert.equal(t.output.toString(), '24 80\r\nhello\r\n<hello>\r\n33 99\r\n^Ccaught\r\n');
});

test('the offset says where to go on, also after kill -9 of exec; nothing is shown twice or missed', async () => {
  const id = await start({ script: 'stty -echo; echo ready; for i in 1 2 3; do read x; echo "got $x"; done; (setsid sleep 771.75 &)' });
  const one = new Terminal(id);
  await one.shows('ready');
  one.type('a\n');
  await one.shows('got a\r\n');
  const at = one.output.length;
  await exec.kill();
  await one.closed;
  await exec.start();
  const two = new Terminal(id, { offset: at });
  assert.equal((await two.message('ready')).input_bytes, 2);
  two.type('b\n');
  await two.shows('got b\r\n');
  two.ws.close();
  const three = new Terminal(id, { offset: at + two.output.length });
  await three.message('ready');
  three.type('c\n');
  await three.message('ended');
  assert.equal(Buffer.concat([one.output, two.output, three.output]).toString(), 'ready\r\ngot a\r\ngot b\r\ngot c\r\n');
  assert.throws(() => execFileSync('pgrep', ['-f', 'sleep 771.75']));
});

test('several look on; who may only look cannot type, resize or signal', async () => {
  const id = await start({ script: 'read x; echo "<$x>"; read y' });
  const mine = new Terminal(id), other = new Terminal(id), onlooker = new Terminal(id, { token: watcher });
  assert.equal((await onlooker.message('ready')).may_write, false);
  await Promise.all([mine.message('ready'), other.message('ready')]);
  onlooker.type('x\n');
  assert.equal((await onlooker.message('error')).code, 'forbidden');
  onlooker.say({ type: 'resize', rows: 5, cols: 5 });
  onlooker.say({ type: 'signal', signal: 'KILL' });
  onlooker.say({ type: 'end' });
  await onlooker.until(() => onlooker.messages.filter((m) => m.type === 'error').length === 4);
  mine.type('mine\n');
  await Promise.all([mine, other, onlooker].map((t) => t.shows('<mine>')));
  other.say({ type: 'signal', signal: 'KILL', to: 'leader' });
  assert.equal((await onlooker.message('ended')).command.signal, 9);
});

test('without a token, with a wrong one, for somebody else: closed with a reason', async () => {
  const id = await start({ script: 'read x' });
  for (const [how, code] of [[{ token: 'nonsense' }, 4401], [{ token: eve }, 4404]]) assert.equal((await new Terminal(id, how).closed).code, code);
  assert.equal((await new Terminal('01900000-0000-7000-8000-000000000000').closed).code, 4404);
  const early = new Terminal(id, { auth: false });
  early.ws.onopen = () => early.type('x');
  assert.equal((await early.closed).code, 4401);
  const renewing = new Terminal(id);
  await renewing.message('ready');
  renewing.say({ type: 'auth', token: bob });
  await renewing.message('renewed');
  renewing.say({ type: 'nonsense' });
  assert.equal((await renewing.message('error')).code, 'unknown_type');
  renewing.say({ type: 'auth', token: eve });
  assert.equal((await renewing.closed).code, 4401);
  const plain = await api('GET', `/${id}/terminal`);
  assert.equal(plain.status, 426);
  await api('POST', `/${id}/cancel`);
});

test('the end of a session ends its terminals', async () => {
  const login = { email: 'rita@example.org', password: 'a quiet river under stones' };
  await auth.api('POST', '/api/users', { name: 'rita', roles: ['member'], ...login }, admin);
  const { access_token: token } = await auth.login(login);
  const { body } = await exec.api('POST', '/api/commands', { script: 'read x', tty: { rows: 24, cols: 80 } }, token);
  const t = new Terminal(body.id, { token });
  await t.message('ready');
  assert.equal((await auth.api('POST', '/api/auth/logout', undefined, token)).status, 204);
  assert.equal((await t.closed).code, 4401);
  await exec.api('POST', `/api/commands/${body.id}/cancel`, undefined, admin);
});

test('a command without a terminal is followed and fed too, and one that has ended is shown', async () => {
  const id = await start({ argv: ['cat'], tty: undefined, stdin_open: true });
  const t = new Terminal(id);
  await t.message('ready');
  t.say({ type: 'resize', rows: 5, cols: 5 });
  assert.equal((await t.message('error')).code, 'no_terminal');
  t.type('bytes \xff');
  t.say({ type: 'end' });
  await t.message('ended');
  const late = new Terminal(id, { offset: 2 });
  assert.equal((await late.message('ended')).command.exit_code, 0);
  assert.equal(late.output.toString(), 'tes ÿ');
});

test('a viewer that reads nothing holds neither the command nor memory', async () => {
  const id = await start({ script: 'read x; head -c 60000000 /dev/zero | tr "\\0" x; echo end', tty: undefined, stdin_open: true });
  const key = Buffer.from('0123456789abcdef').toString('base64');
  const raw = net.connect(port, '127.0.0.1');
  raw.write(`GET /api/commands/${id}/terminal HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nAuthorization: Bearer ${bob}\r\n\r\n`);
  await new Promise((done) => raw.once('data', done));
  raw.pause();
  const t = new Terminal(id);
  await t.message('ready');
  t.type('\n');
  const { command } = await t.message('ended');
  assert.equal(command.exit_code, 0);
  assert.ok(t.output.subarray(-4).equals(Buffer.from('end\n')));
  assert.equal(t.bytes + t.messages.filter((m) => m.type === 'skipped').reduce((n, m) => n + m.bytes, 0), 60000004);
  /* The sanitizer keeps freed memory aside for a while. */
  const most = process.env.ASAN_OPTIONS ? 160 : 96;
  const { rss_kib } = (await exec.api('GET', '/healthz')).body;
  assert.ok(rss_kib < most * 1024, `${rss_kib} KiB`);
  raw.destroy();
});

// [head, ...events] of a recording.
async function recording(id, token = bob) {
  const r = await api('GET', `/${id}/recording`, undefined, token);
  assert.equal(r.status, 200, r.text);
  assert.equal(r.headers['content-type'], 'application/x-asciicast');
  assert.ok(r.text.endsWith('\n'));
  return r.text.trimEnd().split('\n').map((line) => JSON.parse(line));
}

test('a recording has the session in order: output, sizes, and input where it is asked for', async () => {
  for (const record_stdin of [true, false]) {
    const id = await start({ script: 'read x; stty size; read y', record_stdin, tty: { rows: 25, cols: 81, term: 'vt220' } });
    const t = new Terminal(id);
    await t.until(() => t.messages.some((m) => m.type === 'waiting'));
    t.say({ type: 'resize', rows: 40, cols: 100 });
    t.type('secret é\n');
    await t.shows('40 100');
    t.type('\n');
    await t.message('ended');
    const [head, ...events] = await recording(id);
    assert.equal(head.version, 2);
    assert.deepEqual([head.width, head.height, head.command, head.env.TERM], [81, 25, 'read x; stty size; read y', 'vt220']);
    assert.ok(head.duration > 0 && Math.abs(head.timestamp - Date.now() / 1000) < 60);
    assert.deepEqual(events.filter((e) => e[1] === 'r').map((e) => e[2]), ['100x40']);
    assert.equal(events.filter((e) => e[1] === 'i').map((e) => e[2]).join(''), record_stdin ? 'secret é\n\n' : '');
    assert.equal(events.filter((e) => e[1] === 'o').map((e) => e[2]).join(''), 'secret é\r\n40 100\r\n\r\n');
    for (let i = 1; i < events.length; i++) assert.ok(events[i][0] >= events[i - 1][0], 'times never go back');
    assert.ok(events.findIndex((e) => e[1] === 'r') < events.findIndex((e) => e[2].includes('40 100')));
  }
});

test('every command has a recording, with its times; what runs is recorded so far', async () => {
  const id = await start({ script: "echo one; sleep 0.3; echo two >&2; sleep 0.1; printf '\\377'; mkfifo f; read x < f", tty: undefined });
  const t = new Terminal(id);
  await t.shows('two');
  await t.until(() => t.output.length >= 9); // two pipes have no order between them but time
  const [head, ...events] = await recording(id);
  assert.equal(head.width, 80);
  assert.equal(head.duration, undefined);
  assert.equal(events.map((e) => e[2]).join(''), 'one\r\ntwo\r\n\ufffd');
  assert.ok(events.find((e) => e[2].startsWith('two'))[0] - events[0][0] >= 0.25);
  assert.equal((await api('GET', `/${id}/recording`, undefined, eve)).status, 404);
  await api('POST', `/${id}/cancel`);
});

test('a recording says what is not kept', async () => {
  const id = await start({ script: 'head -c 20000000 /dev/zero', tty: undefined });
  const t = new Terminal(id);
  await t.message('ended');
  const events = await recording(id);
  assert.ok(events.some((e) => e[1] === 'm' && /bytes are not kept/.test(e[2])));
});

test('a user who is disabled keeps no terminal, no command, and no shared sandbox; others keep theirs', async () => {
  const login = { email: 'dan@example.org', password: 'a quiet river under stones' };
  const made = await auth.api('POST', '/api/users', { name: 'Dan', roles: ['member'], ...login }, admin);
  assert.equal(made.status, 201, made.text);
  let dan = (await auth.login(login)).access_token;
  const startAs = async (token, body) => {
    const r = await api('POST', '', body, token);
    assert.equal(r.status, 201, r.text);
    return r.body.id;
  };
  const tty = { rows: 24, cols: 80 };
  const mine = { workspace: 'of-dan', sandbox: 'session' };
  const ids = [await startAs(dan, { argv: ['cat'], tty, ...mine }), await startAs(dan, { argv: ['cat'], tty }), await startAs(dan, { argv: ['sleep', '3600'] })];
  const others = await startAs(bob, { argv: ['cat'], tty, workspace: 'of-bob', sandbox: 'session' });
  const left = await api('POST', '?wait_ms=20000', { script: 'sleep 3600 & true', ...mine }, dan);
  assert.equal(left.body.status, 'exited', left.text);
  const terminals = ids.slice(0, 2).map((id) => new Terminal(id, { token: dan }));
  const theirs = new Terminal(others);
  for (const t of [...terminals, theirs]) await t.message('ready');
  const session = (id, token) => exec.api('GET', `/api/workspaces/${id}/session`, undefined, token);
  assert.equal((await session('of-dan', dan)).body.live, true);
  assert.equal((await auth.api('PATCH', `/api/users/${made.body.id}`, { disabled: true }, admin)).status, 200);
  for (const t of terminals) assert.equal((await t.closed).code, 4401);
  for (const id of ids) {
    let c;
    do c = (await api('GET', `/${id}?wait_ms=5000`, undefined, admin)).body;
    while (c.status === 'running');
    assert.equal(c.status, 'cancelled', JSON.stringify(c));
  }
  assert.equal((await auth.api('PATCH', `/api/users/${made.body.id}`, { disabled: false }, admin)).status, 200);
  dan = (await auth.login(login)).access_token;
  for (const until = Date.now() + 30000; (await session('of-dan', dan)).body.live; await new Promise((d) => setTimeout(d, 20))) assert.ok(Date.now() < until, 'it lives on');
  const again = await api('POST', '?wait_ms=20000&output=100', { script: 'echo again', ...mine }, dan);
  assert.equal(again.body.output?.head, 'again\n', again.text);
  theirs.type('still\n');
  await theirs.shows('still\r\nstill\r\n');
  for (const [id, token] of [['of-dan', dan], ['of-bob', bob]]) assert.equal((await exec.api('DELETE', `/api/workspaces/${id}/session`, undefined, token)).status, 204);
});

test('through the gateway, with the token in the first message', async () => {
  const p = await startPlatform();
  const token = (await p.setUp()).access_token, mine = port;
  ({ port } = p.where());
  const { body } = await p.api('POST', '/api/commands', { argv: ['cat'], tty: { rows: 24, cols: 80 } }, token);
  const t = new Terminal(body.id, { token });
  await t.message('ready');
  t.type('hello\n');
  await t.shows('hello\r\nhello\r\n');
  t.say({ type: 'end' });
  const { command } = await t.message('ended');
  assert.equal(command.exit_code, 0, JSON.stringify(command));
  assert.equal((await new Terminal(body.id, { token: 'nonsense' }).closed).code, 4401);
  assert.equal((await p.api('GET', `/api/commands/${body.id}/terminal`)).status, 401, 'without Upgrade the token is asked for at the door');
  port = mine;
  await p.stop();
});
