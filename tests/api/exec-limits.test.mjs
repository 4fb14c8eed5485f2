// Limits by option, as a client sees them: status, reason, denials; and workspaces that the kernel counts.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { startRole } from '../lib/platform.mjs';

const limits = { OGENT_COMMAND_CPU_TIME: '2s', OGENT_COMMAND_CPU_PERCENT: '200', OGENT_WORKSPACE_QUOTA: '24M', OGENT_WORKSPACE_FILES_MAX: '500' };
const place = mkdtempSync(join(tmpdir(), 'ogent-quota-'));
let auth, exec, token;

before(async () => {
  auth = await startRole('auth');
  exec = await startRole('exec', { data: auth.data, env: limits });
  token = (await auth.setUp()).access_token;
});

after(async () => {
  await exec?.stop();
  await auth?.stop();
  rmSync(place, { recursive: true, force: true });
});

async function run(body, on = exec) {
  const r = await on.api('POST', '/api/commands', { wait_ms: 30000, ...body }, token);
  assert.equal(r.status, 200, r.text);
  return r.body;
}

test('CPU time, bytes and files end a command with their own status and a reason that says what to do', async () => {
  const cpu = await run({ script: 'while :; do :; done' });
  assert.equal(cpu.status, 'cpu', JSON.stringify(cpu));
  assert.match(cpu.reason, /2000 ms of CPU time/);
  const bytes = await run({ script: 'while :; do i=$((i+1)); head -c 3000000 /dev/zero > f$i; done', workspace: 'bytes' });
  assert.equal(bytes.status, 'quota', JSON.stringify(bytes));
  assert.match(bytes.reason, /24 MiB.*Remove files/);
  const files = await run({ script: 'while :; do for j in {1..100}; do i=$((i+1)); : > f$i; done; sleep 0.01; done', workspace: 'files' });
  assert.equal(files.status, 'quota', JSON.stringify(files));
  assert.match(files.reason, /500 files/);
  const list = await exec.api('GET', '/api/commands?status=quota', undefined, token);
  assert.equal(list.body.items.length, 2);
});

test('what keeps which limit is told', async () => {
  const { cgroup } = (await exec.api('GET', '/healthz')).body.sandbox.layers;
  for (const c of ['memory', 'pids', 'cpu']) {
    assert.ok([0, 1, 2].includes(cgroup[c]), c);
    assert.match(cgroup.detail, new RegExp(`${c}: ${cgroup[c] ? `cgroup version ${cgroup[c]}` : '(rlimit|no quota)'}`));
  }
  assert.equal(cgroup.ok, cgroup.memory > 0 && cgroup.pids > 0);
});

// A file system that counts by project, in a file.
function quotaPlace() {
  const image = join(place, 'image');
  const at = join(place, 'data');
  writeFileSync(image, '');
  execFileSync('truncate', ['-s', '300M', image]);
  mkdirSync(at);
  const made = spawnSync('mkfs.ext4', ['-q', '-O', 'quota,project', '-E', 'quotatype=prjquota', image], { encoding: 'utf8' });
  const mounted = made.status === 0 && spawnSync('mount', ['-o', 'loop,prjquota', image, at], { encoding: 'utf8' });
  return mounted && mounted.status === 0 ? { at } : { why: `${made.stderr}${mounted?.stderr ?? ''}` };
}

test('where the file system has project quotas, the kernel counts: also what is deleted and open', async (t) => {
  const { at, why } = process.getuid() === 0 ? quotaPlace() : { why: 'not root' };
  if (!at) return t.skip(`no file system with project quotas can be mounted here: ${why}`);
  const data = join(at, 'ogent');
  execFileSync('cp', ['-a', auth.data, data]);
  rmSync(join(data, 'exec'), { recursive: true, force: true });
  const other = await startRole('exec', { data, env: limits });
  try {
    const r = await run({ script: 'exec 3>f; rm f; head -c 30000000 /dev/zero >&3; echo "rc $?"; sleep 20', workspace: 'counted', output: 1000 }, other);
    assert.equal(r.status, 'quota', JSON.stringify(r));
    const next = await run({ script: 'echo fine > f; cat f', workspace: 'counted', output: 100 }, other);
    assert.equal(next.output.head, 'fine\n', JSON.stringify(next));
  } finally {
    await other.stop();
    execFileSync('umount', [at]);
  }
});
