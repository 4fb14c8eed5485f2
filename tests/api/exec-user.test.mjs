// exec as an ordinary user, where the tests run as root: a wrapper drops the rights.

import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

const NOBODY = 65534;
const isRoot = process.getuid() === 0;
const bin = resolve(process.env.OGENT_BIN ?? join(import.meta.dirname ?? '.', '../../build/ogent'));
const place = mkdtempSync(join(tmpdir(), 'ogent-user-'));
const data = join(place, 'data');

if (isRoot) {
  const wrapper = join(place, 'ogent');
  writeFileSync(wrapper, `#!/bin/sh\nexec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups '${bin}' "$@"\n`);
  chmodSync(wrapper, 0o755);
  chownSync(place, NOBODY, NOBODY);
  process.env.OGENT_BIN = wrapper;
}
const { startRole } = await import('../lib/platform.mjs');
const { events } = await import('../lib/sse.mjs');

let auth, token;

before(async () => {
  auth = await startRole('auth', { data });
  token = (await auth.setUp()).access_token;
});

after(async () => {
  await auth?.stop();
  rmSync(place, { recursive: true, force: true });
});

async function output(exec, script) {
  let text = '';
  for await (const { event, data: d } of events(exec.where(), 'POST', '/api/commands?stream=1', { token, body: { script, workspace: 'w' } })) {
    if (event === 'output') text += d.data;
    if (event === 'ended') text += `[${d.command.status} ${d.command.exit_code}]`;
  }
  return text;
}

test('an ordinary user has sandboxes of level standard', async () => {
  const exec = await startRole('exec', { data });
  const { sandbox } = (await exec.api('GET', '/healthz')).body;
  assert.ok(['standard', 'strict'].includes(sandbox.level), JSON.stringify(sandbox));
  assert.equal(await output(exec, 'id -u; echo x > f; cat f; ls /home; exit 4'), "1000\nx\nls: cannot access '/home': No such file or directory\n[exited 4]");
  await exec.stop();
});

test('below the required level no command runs', async (t) => {
  const exec = await startRole('exec', { data, env: { OGENT_SANDBOX_LEVEL: 'strict' } });
  const { sandbox } = (await exec.api('GET', '/healthz')).body;
  const r = await exec.api('POST', '/api/commands', { script: 'true' }, token);
  if (sandbox.level === 'strict') {
    t.diagnostic('this machine gives an ordinary user the level strict');
    assert.equal(r.status, 201);
  } else {
    assert.equal(r.status, 503, r.text);
    assert.equal(r.body.code, 'sandbox_unavailable');
    assert.match(r.body.detail, /'standard', and 'strict' is required.*cgroup/);
    assert.equal(sandbox.ok, false);
  }
  await exec.stop();
});
