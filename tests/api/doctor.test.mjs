// `ogent doctor`: each layer on or off, why, and how to get it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { ogent } from '../lib/platform.mjs';

const data = mkdtempSync(join(tmpdir(), 'ogent-doctor-'));
after(() => rmSync(data, { recursive: true, force: true }));

const run = (command, ...args) =>
  spawnSync(command[0], [...command.slice(1), ogent, 'doctor', '--data', data, ...args], { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: data } });

test('it shows the layers that a command would have, and says whether one may run', () => {
  const r = run(['env'], '--json');
  assert.equal(r.status, 0, r.stderr);
  const report = JSON.parse(r.stdout);
  assert.equal(report.ok, true);
  assert.equal(report.required, 'standard');
  for (const layer of ['userns', 'pidns', 'mountns', 'netns', 'root', 'capabilities', 'no_new_privs', 'rlimits', 'seccomp']) {
    assert.equal(report.layers[layer].ok, true, layer);
    assert.equal(report.layers[layer].advice, undefined);
  }
  const text = run(['env']);
  assert.match(text.stdout, /^level +\w+, required standard: commands run$/m);
  assert.match(text.stdout, /^on +seccomp +\d+ instructions$/m);
});

test('an unknown level is refused', () => {
  const r = run(['env'], '--level', 'none');
  assert.equal(r.status, 1);
  assert.match(r.stderr, /strict, standard or landlock/);
});

// Where making namespaces is refused, as Ubuntu and container engines do.
test('without namespaces it says that nothing runs, and how to get them', { skip: process.arch !== 'x64' && 'the filter is of x86-64' }, () => {
  const hide = `
import ctypes, os, struct, sys
def stmt(code, k, jt=0, jf=0): return struct.pack('HBBI', code, jt, jf, k)
program = stmt(0x20, 0)
for nr in (272, 165, 155, 308, 428): program += stmt(0x15, nr, 0, 1) + stmt(0x06, 0x00050001)
program += stmt(0x15, 435, 0, 1) + stmt(0x06, 0x00050026) + stmt(0x06, 0x7fff0000)
buffer = ctypes.create_string_buffer(program)
fprog = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(program) // 8, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, fprog, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])`;
  const r = run(['python3', '-c', hide]);
  assert.equal(r.status, 1, r.stdout + r.stderr);
  assert.match(r.stdout, /^level +(landlock|none), required standard: commands do NOT run$/m);
  assert.match(r.stdout, /^OFF +root /m);
  assert.match(r.stdout, /^To get .*apparmor_restrict_unprivileged_userns=0/m);
});
