// `ogent files` and `ogent terminal`: on this machine and on another, on a real terminal, over TLS, through breaks.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';

import { Authority } from '../lib/certificates.mjs';
import { cliEnvironment } from '../lib/cli.mjs';
import { ogent, startPlatform } from '../lib/platform.mjs';
import { startSshd } from '../lib/sshd.mjs';

const home = mkdtempSync(join(tmpdir(), 'ogent-cli-files-'));
const data = randomBytes(1 << 20);
const at = (name) => join(home, name);
let p, token, sshd, authority, front;

before(async () => {
  sshd = await startSshd();
  p = await startPlatform({ env: sshd.env });
  token = (await p.setUp()).access_token;
  while (!existsSync(join(p.data, 'run/address'))) await sleep(20);
  authority = new Authority();
  front = tls.createServer(authority.issue('DNS:localhost,IP:127.0.0.1'), (s) => {
    const to = net.connect(p.where().port, '127.0.0.1');
    s.pipe(to).pipe(s);
    for (const e of [s, to]) e.on('error', () => (s.destroy(), to.destroy()));
  });
  await new Promise((done) => front.listen(0, '127.0.0.1', done));
  writeFileSync(at('data'), data);
});
after(async () => {
  front?.close();
  await p?.stop();
  await sshd?.stop();
  authority?.remove();
  rmSync(home, { recursive: true, force: true });
});

const environment = () => cliEnvironment({ HOME: home, OGENT_DATA: p.data, TERM: 'vt100' });

function start(program, { input, env = {} } = {}) {
  const child = spawn(program[0], program.slice(1), { cwd: home, env: { ...environment(), ...env } });
  const out = [];
  const r = { child, err: '', text: () => Buffer.concat(out).toString(), bytes: () => Buffer.concat(out) };
  child.stdout.on('data', (d) => out.push(d));
  child.stderr.on('data', (d) => (r.err += d));
  child.stdin.on('error', () => {});
  if (input !== undefined) child.stdin.end(input);
  r.ended = new Promise((done) => child.on('close', done)).then((code) => {
    assert.doesNotMatch(r.err + r.text(), /Sanitizer|runtime error:/);
    return (r.code = code);
  });
  return r;
}

async function files(args, { input = '', code = 0 } = {}) {
  const r = start([ogent, 'files', ...args], { input });
  await r.ended;
  assert.equal(r.code, code, r.err + r.text());
  return r;
}

for (const [name, more] of [['this machine', []], ['another', ['--target', 'ssh']]])
  test(`files of a workspace on ${name} go up and down, are listed, moved, removed, packed and unpacked`, async () => {
    const first = await p.api('POST', `/api/workspaces?target=${more[1] ?? 'local'}`, { id: 'cli-f' }, token);
    assert.equal(first.status, 201, first.text);
    await files(['put', 'cli-f', 'data', 'a/b/', ...more]);
    await files(['put', 'cli-f', '-', 'a b/ü', ...more, '--mode', '700'], { input: 'from stdin' });
    assert.ok((await files(['get', 'cli-f', 'a/b/data', '-', ...more])).bytes().equals(data));
    await files(['get', 'cli-f', '/a/b/data', 'copy', ...more]);
    assert.ok(readFileSync(at('copy')).equals(data));
    mkdirSync(at('down'), { recursive: true });
    await files(['get', 'cli-f', 'a b/ü', 'down', ...more]);
    assert.equal(readFileSync(at('down/ü'), 'utf8'), 'from stdin');
    assert.match((await files(['ls', 'cli-f', 'a b', ...more])).text(), /^700 +10 .*ü\n$/);
    assert.deepEqual(JSON.parse((await files(['ls', 'cli-f', '--json', ...more])).text()).map((i) => i.name), ['a', 'a b']);
    await files(['mkdir', 'cli-f', 'x/y', ...more]);
    await files(['mv', 'cli-f', 'a/b/data', 'x/y/z', ...more]);
    assert.match((await files(['rm', 'cli-f', 'x', ...more], { code: 1 })).err, /not empty/);
    await files(['archive', 'cli-f', '--gzip', '--path', 'x', ...more]);
    assert.equal(execFileSync('tar', ['tzf', at('cli-f.tar.gz')], { encoding: 'utf8' }), 'y/\ny/z\n');
    await files(['rm', 'cli-f', 'x', '--recursive', ...more]);
    await files(['mkdir', 'cli-f', 'again', ...more]);
    assert.match((await files(['unpack', 'cli-f', 'cli-f.tar.gz', '--path', 'again', ...more])).err, /2 files and folders/);
    assert.ok((await files(['get', 'cli-f', 'again/y/z', '-', ...more])).bytes().equals(data));
    assert.match((await files(['list', ...more])).text(), /^cli-f/m);
    assert.match((await files(['get', 'cli-f', 'nothing', ...more], { code: 1 })).err, /no such thing/);
    assert.match((await files(['get', 'cli-f', '..', 'copy', ...more], { code: 2 })).err, /names no file/);
    assert.match((await files(['get', 'cli-f', 'a/../../x', ...more], { code: 1 })).err, /./);
    rmSync(at('cli-f.tar.gz'));
    assert.deepEqual(readdirSync(home).filter((n) => /part|nothing/.test(n)), [], 'what does not come whole is not there');
  });

// On a terminal of 31 rows and 97 columns.
const terminal = (args, { env } = {}) => start(['script', '-qefc', `stty rows 31 cols 97; exec ${ogent} terminal ${args}`, '/dev/null'], { env });
const until = async (r, what) => {
  for (const end = Date.now() + 60000; !what.test(r.text()); await sleep(10)) {
    assert.ok(Date.now() < end && r.code === undefined, `waited for ${what}: ${r.text()}${r.err}`);
  }
};
const say = (r, line) => r.child.stdin.write(`${line}\r`);
const newest = async () => (await p.api('GET', '/api/commands?limit=1', undefined, token)).body.items[0];

test('a terminal has the size of this one, is told another, and its exit code is the command\'s', async () => {
  const r = terminal('--workspace cli-t');
  say(r, 'stty size; echo $TERM');
  await until(r, /31 97\r\nvt100\r\n/);
  const id = (await newest()).id;
  assert.equal((await p.api('GET', `/api/commands/${id}`, undefined, token)).body.sandbox, 'session');
  const pid = execFileSync('pgrep', ['-f', `${ogent} terminal --workspace cli-t`], { encoding: 'utf8' }).trim().split('\n')
    .find((n) => execFileSync('readlink', [`/proc/${n}/exe`], { encoding: 'utf8' }).trim() === ogent);
  execFileSync('sh', ['-c', `stty rows 41 cols 101 < /proc/${pid}/fd/0`]);
  for (let i = 0; i < 400 && !/41 101/.test(r.text()); i++) {
    say(r, 'stty size');
    await sleep(50);
  }
  assert.match(r.text(), /41 101/);
  say(r, "sh -c 'echo in the foreground; exec sleep 300'");
  await until(r, /\rin the foreground\r\n/);
  r.child.stdin.write('\x03');
  say(r, 'echo after-$((1+1))');
  await until(r, /after-2/);
  say(r, 'exit 7');
  assert.equal(await r.ended, 7, r.text());
});

test('one that is left goes on, and is come back to; a break in between is not seen', async () => {
  const r = terminal('-- sh');
  say(r, 'x=kept; echo begun-$((1+1))');
  await until(r, /begun-2/);
  r.child.stdin.write('\x1d');
  assert.equal(await r.ended, 0);
  const [, id] = r.text().match(/ogent terminal --attach ([0-9a-f-]{36})/);
  assert.equal((await p.api('GET', `/api/commands/${id}`, undefined, token)).body.status, 'running');
  const again = terminal(`--attach ${id}`);
  await until(again, /begun-2/);
  say(again, 'echo $x-$((2+1))');
  await until(again, /kept-3/);
  process.kill(JSON.parse(readFileSync(join(p.data, 'run/up.json'))).roles.find((x) => x.role === 'exec').pid, 'SIGKILL');
  for (const n of [4, 5, 6]) say(again, `echo after-$((${n}*11))`);
  await until(again, /after-66/);
  assert.deepEqual(again.text().match(/after-\d+/g), ['after-44', 'after-55', 'after-66']);
  say(again, 'exit 3');
  assert.equal(await again.ended, 3, again.text());
  const over = terminal(`--attach ${id}`);
  assert.equal(await over.ended, 3, 'one that has ended shows its output and its end');
  assert.match(over.text(), /after-66/);
  const none = terminal('--attach 01900000-0000-7000-8000-000000000000');
  assert.equal(await none.ended, 125);
});

test('on another host, and over TLS', async () => {
  const made = await p.api('POST', '/api/tokens', { name: 'cli', scopes: ['commands.run', 'commands.read'] }, token);
  assert.equal(made.status, 201, made.text);
  const env = { OGENT_URL: `https://127.0.0.1:${front.address().port}`, OGENT_TOKEN: made.body.token, SSL_CERT_FILE: authority.file };
  const r = terminal('--target ssh -- sh', { env });
  say(r, 'stty size; head -c 300000 /dev/zero | tr "\\0" x; echo; echo all-$((1+1))');
  await until(r, /31 97\r\n[^]*all-2/);
  assert.equal(r.text().match(/x{1000,}/g).join('').length, 300000);
  say(r, 'exit 5');
  assert.equal(await r.ended, 5, r.text());
  const untrusted = terminal('-- true', { env: { ...env, SSL_CERT_FILE: '/dev/null' } });
  assert.equal(await untrusted.ended, 125);
});

test('without a terminal there is none', async () => {
  const r = start([ogent, 'terminal'], { input: '' });
  assert.equal(await r.ended, 2);
  assert.match(r.err, /ogent exec/);
});
