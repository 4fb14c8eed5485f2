// `ogent exec -- CMD`: as ssh or docker exec.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { cliEnvironment } from '../lib/cli.mjs';
import { ogent, startPlatform } from '../lib/platform.mjs';

const home = mkdtempSync(join(tmpdir(), 'ogent-cli-exec-'));
let p, token;

before(async () => {
  p = await startPlatform();
  token = (await p.setUp()).access_token;
  while (!existsSync(join(p.data, 'run/address'))) await sleep(20);
});
after(async () => {
  await p?.stop();
  rmSync(home, { recursive: true, force: true });
});

const environment = () => cliEnvironment({ HOME: home, OGENT_DATA: p.data, TERM: 'vt100' });

// Returns {code, out: Buffer, err}. input: bytes, a file descriptor, or null for a pipe that stays open (child given to onStarted).
async function exec(args, { input = '', onStarted, program = [ogent, 'exec'] } = {}) {
  const [cmd, ...first] = program;
  const child = spawn(cmd, [...first, ...args], { env: environment(), stdio: [typeof input === 'number' ? input : 'pipe', 'pipe', 'pipe'] });
  const out = [];
  const result = { err: '', shown: () => Buffer.concat(out).toString() };
  child.stdout.on('data', (d) => out.push(d));
  child.stderr.on('data', (d) => (result.err += d));
  child.stdin?.on('error', () => {});
  if (typeof input !== 'number' && input !== null) child.stdin.end(input);
  onStarted?.(child, result);
  result.code = await new Promise((done) => child.on('close', done));
  result.out = Buffer.concat(out);
  assert.doesNotMatch(result.err, /Sanitizer|runtime error:/);
  return result;
}

async function until(what) {
  for (const end = Date.now() + 20000; !(await what()); await sleep(10)) assert.ok(Date.now() < end, `waited too long for ${what}`);
}

test('output, error output and exit code come as they are', async () => {
  const r = await exec(['--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
  assert.deepEqual([r.out.toString(), r.err, r.code], ['out\n', 'err\n', 7]);
});

test('with --session commands share what they leave', async () => {
  const share = (script) => exec(['--session', '--workspace', 'shared', '--', 'sh', '-c', script]);
  assert.equal((await share('echo kept > /tmp/x; sleep 3600 & echo $! > /tmp/pid')).code, 0);
  const r = await share('cat /tmp/x; kill -0 $(cat /tmp/pid) && echo alive');
  assert.deepEqual([r.out.toString(), r.err, r.code], ['kept\nalive\n', '', 0]);
  const apart = await exec(['--workspace', 'shared', '--', 'ls', '/tmp']);
  assert.equal(apart.out.toString(), '');
  const end = await p.api('DELETE', '/api/workspaces/shared/session', undefined, token);
  assert.equal(end.status, 204, end.text);
});

test('arguments arrive as they are', async () => {
  const r = await exec(['--', 'printf', '%s|', 'a b', '$(id)', '--tty', '--']);
  assert.equal(r.out.toString(), 'a b|$(id)|--tty|--|');
});

test('megabytes go through it byte-exact, from a pipe and from a file', async () => {
  const data = randomBytes(3 << 20), file = join(home, 'data');
  writeFileSync(file, data);
  for (const input of [data, openSync(file, 'r')]) {
    const r = await exec(['--', 'cat'], { input });
    assert.equal(r.code, 0, r.err);
    assert.ok(r.out.equals(data));
  }
  const sum = createHash('sha256').update(data).digest('hex');
  assert.match((await exec(['--', 'sha256sum'], { input: data })).out.toString(), new RegExp(sum));
});

test('a command that reads nothing ends though its input does not', async () => {
  const r = await exec(['--', 'echo', 'done'], { input: null });
  assert.equal(r.out.toString(), 'done\n');
  assert.equal(r.code, 0);
});

test('signals go to the command, its end by one is 128 and the number', async () => {
  const r = await exec(['--', 'sh', '-c', 'trap "echo caught; exit 3" TERM; echo on; while :; do sleep 0.05; done'], {
    input: null,
    onStarted: (child, result) => until(() => result.shown().includes('on')).then(() => child.kill('SIGTERM')),
  });
  assert.equal(r.out.toString(), 'on\ncaught\n');
  assert.equal(r.code, 3);
  assert.equal((await exec(['--', 'sh', '-c', 'kill -9 $$'])).code, 137);
});

test('what is wrong is told: the command, the time, the line', async () => {
  const missing = await exec(['--', 'no-such-program']);
  assert.equal(missing.code, 127);
  assert.match(missing.err, /command not found: no-such-program/);
  const slow = await exec(['--timeout-ms', '200', '--', 'sleep', '30']);
  assert.equal(slow.code, 124);
  assert.match(slow.err, /time-out of 200 ms/);
  assert.equal((await exec(['--'])).code, 2);
  assert.equal((await exec(['--workspace', '../x', '--', 'true'])).code, 125);
});

test('a workspace and a working directory are kept', async () => {
  await exec(['--workspace', 'cli-1', '--', 'sh', '-c', 'mkdir d; echo kept > d/f']);
  assert.equal((await exec(['--workspace', 'cli-1', '--cwd', 'd', '--', 'cat', 'f'])).out.toString(), 'kept\n');
});

test('on a terminal: size, name, raw keys, Ctrl-C, a change of size', async () => {
  const line = `stty rows 31 cols 97; exec ${ogent} exec --tty -- sh -c 'stty size; echo $TERM; trap "echo caught" INT; until read x; do :; done; echo "<$x>"; trap "stty size; exit 4" WINCH; while :; do sleep 0.05; done'`;
  const r = await exec([line, '/dev/null'], {
    program: ['script', '-qefc'],
    input: null,
    onStarted: async (child, result) => {
      await until(() => result.shown().includes('vt100'));
      child.stdin.write('\x03');
      await until(() => result.shown().includes('caught'));
      child.stdin.write('hello\r');
      await until(() => result.shown().includes('<hello>'));
      const tty = execFileSync('pgrep', ['-f', `exec --tty -- sh -c stty size`], { encoding: 'utf8' }).trim().split('\n');
      const pid = tty.find((pid) => execFileSync('readlink', [`/proc/${pid}/exe`], { encoding: 'utf8' }).trim() === ogent);
      execFileSync('sh', ['-c', `stty rows 41 cols 101 < /proc/${pid}/fd/0`]);
    },
  });
  const text = r.out.toString();
  assert.match(text, /31 97\r\nvt100\r\n/);
  assert.match(text, /41 101\r\n/);
  assert.equal(r.code, 4);
});

test('a command is gone on with by its id', async () => {
  const { body } = await p.api('POST', '/api/commands', { script: 'echo first; read x; echo "<$x>"; exit 5', stdin_open: true }, token);
  const r = await exec(['--attach', body.id], { input: 'there\n' });
  assert.equal(r.out.toString(), 'first\n<there>\n');
  assert.equal(r.code, 5);
});

test('exec is killed meanwhile: nothing is missing or twice', async () => {
  const kill = () => process.kill(JSON.parse(execFileSync('cat', [join(p.data, 'run/up.json')])).roles.find((r) => r.role === 'exec').pid, 'SIGKILL');
  const r = await exec(['--', 'sh', '-c', 'for i in 1 2 3 4; do read x; echo "$x"; done'], {
    input: null,
    onStarted: async (child, result) => {
      child.stdin.write('one\n');
      await until(() => result.shown().includes('one'));
      kill();
      child.stdin.write('two\nthree\n');
      await until(() => result.shown().includes('three'));
      child.stdin.end('four\n');
    },
  });
  assert.equal(r.out.toString(), 'one\ntwo\nthree\nfour\n');
  assert.equal(r.code, 0);
});

test('without -- it is the role, which takes no words', async () => {
  const r = await exec(['nonsense']);
  assert.equal(r.code, 2);
  assert.match(r.err, /"nonsense" is no option/);
});
