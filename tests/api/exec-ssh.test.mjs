// exec with commands on another host: what every target does, and what only a connection can do wrong. The host is this
// machine behind a real sshd.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { execSuite } from '../lib/exec_suite.mjs';
import { events } from '../lib/sse.mjs';
import { Sshd } from '../lib/sshd.mjs';

let sshd;

async function targetState(exec, token, name = 'ssh') {
  const r = await exec.api('GET', '/api/targets', undefined, token);
  assert.equal(r.status, 200, r.text);
  return r.body.items.find((t) => t.name === name);
}

async function untilState(exec, token, state) {
  for (let i = 0; i < 400; i++, await sleep(25)) if ((await targetState(exec, token)).state === state) return;
  assert.fail(`the target does not become ${state}: ${JSON.stringify(await targetState(exec, token))}`);
}

execSuite(
  {
    name: 'ssh',
    async start() {
      sshd = await new Sshd().start();
      // exec's memory is looked at, and libssh allocates for each packet: AddressSanitizer would keep 256 MiB of what was freed.
      return { ...sshd.env, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=8` };
    },
    stop: () => sshd.stop(),
  },
  (t) => {
    const { post, get, run, ended, alive, refused, aimed } = t;
    const targets = () => targetState(t.exec, t.bob);

    // A command that has begun: its id, once its first output is there.
    async function begin(script, key) {
      const { body } = await post({ script: `echo on; ${script}` }, { key });
      for await (const { event } of events(t.exec.where(), 'GET', `/api/commands/${body.id}/stream`, { token: t.bob })) if (event === 'output') break;
      return body.id;
    }

    async function gone(text) {
      for (let i = 0; i < 400 && alive(text).length; i++) await sleep(25);
      assert.deepEqual(alive(text), []);
    }

    test('targets are listed with state and layers, without secrets', async () => {
      const r = await t.exec.api('GET', '/api/targets', undefined, t.bob);
      assert.deepEqual(r.body.items.map((i) => [i.name, i.kind, i.default, i.state]), [['local', 'local', true, 'ready'], ['ssh', 'ssh', false, 'ready']]);
      assert.equal(r.body.items[1].sandbox.layers.seccomp.ok, true);
      assert.doesNotMatch(r.text, new RegExp(`${sshd.dir}|PRIVATE|ssh://`));
      refused(await t.exec.api('GET', '/api/targets'), 401, 'unauthorized');
    });

    const octets = { 'content-type': 'application/octet-stream' };
    const tell = (id, what, body, headers) => t.exec.api('POST', `/api/commands/${id}/${what}`, body, t.bob, headers);
    async function until(id, done) {
      for (;;) {
        const { body } = await get(`/${id}?wait_ms=2000`);
        if (done(body)) return body;
        assert.equal(body.status, 'running', JSON.stringify(body));
      }
    }
    const outputOf = async (id) => (await get(`/${id}/output`)).text;
    async function shows(id, text) {
      let all = '';
      for await (const { event, data } of events(t.exec.where(), 'GET', `/api/commands/${id}/stream`, { token: t.bob })) {
        if (event === 'output') all += data.data;
        if (all.includes(text)) return;
      }
      assert.fail(`it ended without ${text}: ${all}`);
    }

    test('open stdin is waited for, taken byte by byte however much, and ended', async () => {
      const { body: c } = await post({ script: 'read a; echo "<$a>"; cat | sha256sum; cat', stdin_open: true, stdin: 'first\n' });
      await shows(c.id, '<first>');
      await until(c.id, (b) => b.waiting_for_input);
      const bytes = randomBytes(700000);
      const r = await tell(c.id, 'stdin', bytes, octets);
      assert.equal(r.body.input_bytes, bytes.length, r.text);
      assert.equal((await tell(c.id, 'stdin?close=1', '', octets)).status, 200);
      const end = await until(c.id, (b) => b.status !== 'running');
      assert.equal(end.exit_code, 0);
      assert.equal(await outputOf(c.id), `<first>\n${createHash('sha256').update(bytes).digest('hex')}  -\n`);
      assert.equal((await tell(c.id, 'stdin', 'x', octets)).status, 409);
    });

    test('a terminal has its size, another one when told, Ctrl-C for its foreground, and is the controlling one', async () => {
      const { body: c } = await post({ argv: ['bash', '--norc', '-i'], tty: { rows: 33, cols: 77 }, env: { PS1: 'ready> ' }, record_stdin: true });
      await shows(c.id, 'ready> ');
      await tell(c.id, 'stdin', 'stty size; tty < /dev/tty\n', octets);
      await shows(c.id, '33 77');
      await shows(c.id, '/dev/tty\r');
      assert.equal((await tell(c.id, 'resize', { rows: 40, cols: 100 })).status, 202);
      /* The foreground is its own once it says something. */
      await tell(c.id, 'stdin', "stty size; sh -c 'echo in the foreground; exec sleep 300'; echo code $?\n", octets);
      await shows(c.id, '40 100');
      await shows(c.id, 'in the foreground\r\n');
      await tell(c.id, 'stdin', '\x03', octets);
      await tell(c.id, 'stdin', 'echo after-$((1+1))\n', octets);
      await shows(c.id, 'after-2');
      await tell(c.id, 'stdin', 'exit 9\n', octets);
      assert.equal((await until(c.id, (b) => b.status !== 'running')).exit_code, 9);
      const cast = (await get(`/${c.id}/recording`)).text.split('\n').filter(Boolean).map((l) => JSON.parse(l));
      assert.ok(cast.some((e) => e[1] === 'r' && e[2] === '100x40') && cast.some((e) => e[1] === 'i'), 'resizes and what is typed');
    });

    test('signals go to the group or to the leader, and the second connection of a terminal goes on by offset', async () => {
      const { body: c } = await post({ script: 'trap "echo got usr1" USR1; echo on; while :; do sleep 0.05; done' });
      await shows(c.id, 'on');
      assert.equal((await tell(c.id, 'signal', { signal: 'USR1', to: 'leader' })).status, 202);
      await shows(c.id, 'got usr1');
      assert.equal((await get(`/${c.id}/output?offset=3`)).text.startsWith('got usr1'), true);
      assert.equal((await tell(c.id, 'signal', { signal: 'TERM' })).status, 202);
      assert.equal((await until(c.id, (b) => b.status !== 'running')).status, 'signalled');
      t.refused(await tell(c.id, 'signal', { signal: 'INT' }), 409, 'command_ended');
    });

    test('a terminal whose connection breaks is lost, and says so', async () => {
      const { body: c } = await post({ argv: ['cat'], tty: { rows: 24, cols: 80 } });
      await tell(c.id, 'stdin', 'half', octets);
      await shows(c.id, 'half');
      for (const pid of sshd.sessions()) process.kill(pid, 'SIGKILL');
      const end = await until(c.id, (b) => b.status !== 'running');
      assert.equal(end.status, 'lost');
      assert.match(end.reason, /connection to the target broke/);
      assert.match(await outputOf(c.id), /half/);
    });

    test('a target that is not there is refused by name', async () => {
      const r = await t.exec.api('POST', '/api/commands', { argv: ['true'], target: 'mars' }, t.bob);
      refused(r, 422, 'unknown_target');
      assert.match(r.body.detail, /"mars"/);
    });

    test('the command says where it runs', async () => {
      assert.equal((await run({ argv: ['true'] })).command.target, 'ssh');
      const local = await t.exec.api('POST', '/api/commands', { argv: ['true'], target: 'local' }, t.bob);
      assert.equal(local.body.target, 'local');
      await ended(local.body.id);
    });

    test('every character arrives as an argument, quotes and all', async () => {
      const all = Array.from({ length: 255 }, (_, i) => String.fromCodePoint(i + 1)).join('') + `'"$(id)\`id\`\\ üñ😀`;
      const { body } = await post({ argv: ['printf', '%s', all] });
      await ended(body.id);
      assert.equal((await get(`/${body.id}/output`)).text, all);
    });

    test('two commands at once share one connection', async () => {
      const both = await Promise.all([begin('sleep 0.7; echo a'), begin('sleep 0.7; echo b')]);
      // One process with rights for the connection; as root there is no other.
      const sessions = sshd.sessions();
      const before = (sshd.log.match(/Accepted publickey/g) ?? []).length;
      for (const id of both) assert.equal((await ended(id)).exit_code, 0);
      assert.equal((sshd.log.match(/Accepted publickey/g) ?? []).length, before);
      assert.ok(sessions.length >= 1);
      const port = /Starting session: forced-command.*? port (\d+) id/g;
      const ports = [...sshd.log.matchAll(port)].slice(-2).map((m) => m[1]);
      assert.equal(ports[0], ports[1]);
    });

    test('there is no network', async () => {
      const server = net.createServer((s) => s.end('hello\n'));
      await new Promise((done) => server.listen(0, '127.0.0.1', done));
      const r = await run({ argv: ['bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${server.address().port} && cat <&3`] });
      server.close();
      assert.notEqual(r.command.exit_code, 0);
      assert.doesNotMatch(r.output, /hello/);
    });

    test('cancel kills a daemon that left its session', async () => {
      const id = await begin(`(setsid sh -c 'setsid sleep 774.25 & exec sleep 774.25' </dev/null >/dev/null 2>&1 &); sleep 774.25`);
      for (let i = 0; i < 200 && alive('sleep 774.25').length < 3; i++) await sleep(10);
      await t.exec.api('POST', `/api/commands/${id}/cancel`, undefined, t.bob);
      assert.equal((await ended(id)).status, 'cancelled');
      assert.deepEqual(alive('sleep 774.25'), []);
    });

    test('a connection that breaks: the command is lost and dead, the next one has a new connection', async () => {
      const id = await begin('(setsid sleep 775.25 &); sleep 775.25', 'ssh-broken');
      sshd.breakConnections();
      const c = await ended(id);
      assert.equal(c.status, 'lost');
      assert.match(c.reason, /connection/);
      assert.equal(c.output_bytes, 3);
      await gone('sleep 775.25');
      const again = await post({ script: 'echo on; (setsid sleep 775.25 &); sleep 775.25' }, { key: 'ssh-broken' });
      assert.equal(again.body.status, 'lost', 'it is not run again');
      assert.equal((await run({ script: 'echo back' })).output, 'back\n');
    });

    test('sshd goes down and comes back', async () => {
      const id = await begin('sleep 776.25');
      await sshd.kill();
      assert.equal((await ended(id)).status, 'lost');
      await gone('sleep 776.25');
      const { command } = await run({ argv: ['true'] });
      assert.equal(command.status, 'error');
      assert.match(command.reason, /cannot be reached: Connection refused/);
      assert.equal(command.started_at, null);
      assert.equal((await targets()).state, 'unreachable');
      assert.match((await t.exec.api('GET', '/metrics')).text, /^ogent_target_up\{target="ssh"\} 0$/m);
      await sshd.start();
      assert.equal((await run({ script: 'echo back' })).output, 'back\n');
      await untilState(t.exec, t.bob, 'ready');
      assert.equal((await targets()).reason, null);
      assert.match((await t.exec.api('GET', '/metrics')).text, /^ogent_target_up\{target="ssh"\} 1$/m);
    });

    test('kill -9 of exec in the middle of a command: it is dead and lost, never run again', async () => {
      const body = { script: 'echo on; (setsid sleep 777.25 &); sleep 777.25' };
      const { body: c } = await post(body, { key: 'ssh-kill' });
      for await (const { event } of events(t.exec.where(), 'GET', `/api/commands/${c.id}/stream`, { token: t.bob })) if (event === 'output') break;
      await t.exec.kill();
      await gone('sleep 777.25');
      await t.exec.start();
      const end = await ended(c.id);
      assert.equal(end.status, 'lost');
      assert.match(end.reason, /exec ended/);
      assert.equal(end.output_bytes, 3);
      assert.equal((await post(body, { key: 'ssh-kill' })).body.status, 'lost');
      assert.deepEqual(alive('sleep 777.25'), []);
    });

    test('SIGTERM of exec: what runs on the target is lost and dead', async () => {
      const id = await begin('sleep 778.25');
      const how = await t.exec.kill('SIGTERM');
      assert.equal(how.code, 0, t.exec.log.slice(-3000));
      await gone('sleep 778.25');
      await t.exec.start();
      assert.equal((await ended(id)).status, 'lost');
    });

    test('kill -9 at any moment of starting: no key runs twice', async () => {
      let ran = 0;
      for (let i = 0; i < 8; i++) {
        const body = aimed({ script: 'echo ran >> log; wc -l < log', workspace: `ssh-fault-${i}` });
        const key = `ssh-fault-${i}`;
        const first = post(body, { key }).catch(() => null);
        await sleep(i * 8);
        await t.exec.kill();
        await first;
        await t.exec.start();
        const r = await run(body, { key });
        assert.ok(['exited', 'lost'].includes(r.command.status), JSON.stringify(r.command));
        const log = await run({ script: 'cat log 2>/dev/null', workspace: `ssh-fault-${i}` });
        assert.ok(log.output === 'ran\n' || (log.output === '' && r.command.status === 'lost'), `${r.command.status}: ${log.output}`);
        if (r.command.status === 'exited') assert.equal(r.output, '1\n');
        ran += r.command.status === 'exited' ? 1 : 0;
      }
      assert.ok(ran > 0, 'a command that was accepted and not begun runs after the restart');
    });
  },
);
