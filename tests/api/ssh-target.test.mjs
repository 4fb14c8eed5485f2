// ogent-target itself, as sshd starts it: started here by hand, once by a real sshd.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startSshd } from '../lib/sshd.mjs';
import { Target, frame, ogentTarget, probe, run, runOn } from '../lib/target.mjs';

const isRoot = process.getuid() === 0;
const ALL_BYTES = Buffer.from(Array.from({ length: 255 }, (_, i) => i + 1));
const WITHOUT_NAMESPACES = 1 + 16; // the shape of a machine that only has Landlock
const place = mkdtempSync(join(tmpdir(), 'ogent-target-'));
chmodSync(place, 0o755);
const helper = [ogentTarget, '--dir', place];
let shape;

const alive = (text) => {
  try {
    return execFileSync('pgrep', ['-f', text], { encoding: 'utf8' }).trim().split('\n');
  } catch {
    return [];
  }
};

async function gone(text) {
  for (let i = 0; i < 200 && alive(text).length; i++) await sleep(25);
  assert.deepEqual(alive(text), []);
}

before(async () => {
  const t = new Target(helper).send(probe());
  await t.closed;
  assert.equal(t.hello, 'ogent-target');
  assert.ok(t.report.level >= 2, JSON.stringify(t.report));
  assert.equal(t.report.isRoot, isRoot);
  ({ shape } = t.report);
});

after(() => rmSync(place, { recursive: true, force: true }));

test('is one static file', () => {
  assert.match(execFileSync('sh', ['-c', `ldd '${ogentTarget}' 2>&1 || true`], { encoding: 'utf8' }), /not a dynamic executable|statically linked/);
});

for (const [name, how] of [['with all layers', () => ({ shape })], ['without namespaces', () => ({ shape: WITHOUT_NAMESPACES, workspace: 'bare' })]]) {
  describe(`a command ${name}`, () => {
    test('gets its arguments byte for byte', async () => {
      const t = await runOn(helper, { argv: ['printf', '%s', ALL_BYTES], ...how() });
      assert.equal(t.end.status, 'exited', t.end.reason);
      assert.ok(t.out.equals(ALL_BYTES));
    });

    test('has its input, environment, folder and exit code', async () => {
      const t = await runOn(helper, { script: 'cat; echo "$A"; echo err >&2; mkdir -p d; cd d; touch f; exit 7', env: ['A=b c'], input: 'in\n', workspace: 'w1', ...how() });
      assert.equal(t.out.toString(), 'in\nb c\n');
      assert.equal(t.err.toString(), 'err\n');
      assert.equal(t.end.exit_code, 7);
      assert.equal(t.started, true);
    });

    test('has no privileges to gain', async () => {
      const t = await runOn(helper, { script: 'grep -E "NoNewPrivs|Seccomp:|CapBnd|CapEff" /proc/self/status; id -u; ulimit -c; ulimit -u', ...how(), workspace: 'w1' });
      const out = t.out.toString();
      if (/NoNewPrivs/.test(out)) {
        assert.match(out, /NoNewPrivs:\t1/);
        assert.match(out, /Seccomp:\t2/);
        assert.match(out, /CapEff:\t0+\n/);
      }
      assert.doesNotMatch(out, /^0$\n^0$/m, 'not as root');
    });

    test('has no network', async () => {
      const server = net.createServer((s) => s.end('hello\n'));
      await new Promise((done) => server.listen(0, '127.0.0.1', done));
      const script = `exec 3<>/dev/tcp/127.0.0.1/${server.address().port}; cat <&3`;
      const off = await runOn(helper, { argv: ['bash', '-c', script], ...how() });
      const on = await runOn(helper, { argv: ['bash', '-c', script], network: true, ...how() });
      server.close();
      assert.equal(off.out.toString(), '');
      assert.notEqual(off.end.exit_code, 0);
      assert.equal(on.out.toString(), 'hello\n', on.err.toString());
    });

    test('dies with a daemon of its own when the connection ends, and when it is told to', async () => {
      for (const [i, end] of [[1, (t) => t.child.stdin.end()], [2, (t) => t.send(frame('K'))]]) {
        const t = new Target(helper).send(run({ script: `(setsid sh -c 'sleep 88${i}.5 & sleep 88${i}.5') & echo on; sleep 88${i}.5`, ...how() }));
        await t.until(() => t.out.length > 0);
        assert.ok(alive(`sleep 88${i}.5`).length > 0);
        end(t);
        await t.closed;
        await gone(`sleep 88${i}.5`);
        if (i === 2) assert.equal(t.end.status, 'cancelled');
      }
    });

    test('is stopped by its time-out', async () => {
      const t = await runOn(helper, { script: '(setsid sleep 883.5 &); sleep 883.5', timeout: 300, ...how() });
      assert.equal(t.end.status, 'timeout');
      await gone('sleep 883.5');
    });

    test('keeps to its limits: memory, processes, the size of a file', async () => {
      const eater = await runOn(helper, { script: 'exec tail /dev/zero', memory: 64 << 20, ...how() });
      assert.ok(eater.end.status === 'oom' || eater.end.exit_code > 0, JSON.stringify(eater.end));
      if (how().shape & 96) assert.equal(eater.end.status, 'oom');
      const bomb = await runOn(helper, { script: 'f() { f | f & }; f; sleep 886.5', pids: 32, timeout: 700, ...how() });
      assert.notEqual(bomb.end.status, 'error', bomb.end.reason);
      await gone('sleep 886.5');
      const file = await runOn(helper, { script: 'head -c 3000000 /dev/zero > big; stat -c %s big', workspace: 'w1', fileSize: 1 << 20, ...how() });
      assert.match(file.out.toString(), /^1048576$/m);
    });

    test('sends all of its output, however slowly it is read', async () => {
      const t = new Target(helper);
      t.child.stdout.pause();
      t.send(run({ script: 'head -c 20000000 /dev/zero; echo end', ...how() }));
      await sleep(300);
      t.child.stdout.resume();
      await t.closed;
      assert.equal(t.out.length, 20000004);
      assert.equal(t.end.exit_code, 0);
    });
  });
}

test('each workspace has a user id of its own', { skip: !isRoot && 'needs root' }, async () => {
  const owner = (w) => statSync(join(place, 'workspaces', w)).uid;
  await Promise.all(['a', 'b', 'c', 'd'].map((w) => runOn(helper, { argv: ['touch', 'f'], workspace: w, shape })));
  assert.equal(new Set(['a', 'b', 'c', 'd', 'w1'].map(owner)).size, 5);
  const before = owner('a');
  await runOn(helper, { argv: ['touch', 'g'], workspace: 'a', shape });
  assert.equal(owner('a'), before);
  assert.deepEqual(readdirSync(join(place, 'workspaces', 'a')).sort(), ['f', 'g']);
});

test('a level that it cannot give is refused, not lowered', async () => {
  const low = await runOn(helper, { argv: ['true'], level: 'standard', shape: WITHOUT_NAMESPACES });
  assert.equal(low.end.status, 'error');
  assert.match(low.end.reason, /'landlock', and 'standard' is required/);
  assert.ok(!low.started);
  const floor = await runOn([...helper, '--level', 'standard'], { argv: ['true'], shape: WITHOUT_NAMESPACES });
  assert.match(floor.end.reason, /'standard' is required/);
});

test('a lost layer is named', { skip: !isRoot && 'needs root' }, async () => {
  const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', ogentTarget, '--dir', '/tmp/ogent-target-nobody'];
  const t = await runOn(asNobody, { argv: ['true'], shape: 127, level: 'strict' });
  rmSync('/tmp/ogent-target-nobody', { recursive: true, force: true });
  assert.equal(t.end.status, 'error');
  assert.match(t.end.reason, /cgroup/);
});

// A container with the few rights that the target's own has: no CAP_SYS_ADMIN.
test('root without the right to mount gives a command its workspace all the same', { skip: !isRoot && 'needs root' }, async () => {
  const bare = join(place, 'bare');
  const few = ['setpriv', '--bounding-set=-all,+chown,+dac_override,+fowner,+kill,+setfcap,+setgid,+setuid,+sys_chroot', ogentTarget, '--dir', bare];
  const p = new Target(few).send(probe());
  await p.closed;
  assert.ok(p.report.level >= 2, JSON.stringify(p.report));
  for (const script of ['echo kept > f; pwd', 'cat f; cat /etc/hostname']) {
    const t = await runOn(few, { script, workspace: 'w', shape: p.report.shape, level: 'standard' });
    assert.equal(t.end.status, 'exited', t.end.reason);
    assert.equal(t.out.toString(), script.startsWith('cat') ? 'kept\nogent\n' : '/workspace\n');
  }
  assert.notEqual(statSync(join(bare, 'workspaces', 'w')).uid, 0);
});

// What a container engine does to a program: clone3 is not there, the calls that make namespaces neither.
test('in a container without rights the level is landlock, and commands run', { skip: !isRoot && 'needs root' }, async () => {
  const hide = `
import ctypes, os, struct, sys
def stmt(code, k, jt=0, jf=0): return struct.pack('HBBI', code, jt, jf, k)
numbers = {272: 1, 165: 1, 155: 1, 428: 1, 435: 38}
program = stmt(0x20, 0)
for nr, errno in numbers.items(): program += stmt(0x15, nr, 0, 1) + stmt(0x06, 0x00050000 | errno)
program += stmt(0x06, 0x7fff0000)
buffer = ctypes.create_string_buffer(program)
fprog = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(program) // 8, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, fprog, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])`;
  if (process.arch !== 'x64') return;
  const inContainer = ['python3', '-c', hide, ...helper];
  const p = new Target(inContainer).send(probe());
  await p.closed;
  assert.equal(p.report?.level, 1, `${JSON.stringify(p.report)} ${p.said}`);
  const t = await runOn(inContainer, { script: 'echo fine; id -u', shape: p.report.shape });
  assert.match(t.out.toString(), /^fine\n[1-9]\d+\n$/, JSON.stringify(t.end));
  const high = await runOn(inContainer, { argv: ['true'], shape: p.report.shape, level: 'standard' });
  assert.match(high.end.reason, /'standard' is required/);
});

describe('what is no request', () => {
  const cases = [
    ['another version', run({ argv: ['true'], version: 9 }), /another version/],
    ['a cut request', frame('R', Buffer.from([0, 0, 0, 6, 0, 0, 0, 9])), /could not read/],
    ['no program', run({ argv: [''] }), /could not read/],
    ['a workspace elsewhere', run({ argv: ['true'], workspace: '../x' }), /could not read/],
    ['an argument with a NUL', run({ argv: ['a\0b'] }), /could not read/],
    ['an answer', frame('O', Buffer.from('x')), /expects a request/],
    ['text', Buffer.from('GET / HTTP/1.1\r\n\r\n'), /expects a request/],
    ['a giant', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x52]), /expects a request/],
  ];
  for (const [name, bytes, says] of cases) {
    test(name, async () => {
      const t = new Target(helper).send(bytes);
      await t.closed;
      assert.equal(t.end.status, 'error');
      assert.match(t.end.reason, says);
    });
  }

  test('a second request ends the first', async () => {
    const t = new Target(helper).send(run({ script: 'echo on; sleep 884.5', shape }));
    await t.until(() => t.out.length > 0);
    t.send(run({ argv: ['true'] }));
    await t.closed;
    await gone('sleep 884.5');
  });
});

test('a real sshd starts it and arguments stay exact', async () => {
  const sshd = await startSshd();
  try {
    const ssh = ['ssh', '-T', '-F', 'none', '-i', sshd.identity, '-o', 'IdentitiesOnly=yes', '-o', `UserKnownHostsFile=${sshd.knownHosts}`, '-p', String(sshd.port), `${sshd.user}@127.0.0.1`, 'sh -c "echo not this"'];
    const t = await runOn(ssh, { argv: ['printf', '%s', ALL_BYTES] });
    assert.equal(t.end?.status, 'exited', t.said);
    assert.ok(t.out.equals(ALL_BYTES));
  } finally {
    await sshd.stop();
  }
});
