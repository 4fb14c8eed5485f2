// Who exec talks to over SSH, and what it refuses: each case is an exec of its own.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startRole } from '../lib/platform.mjs';
import { events } from '../lib/sse.mjs';
import { Sshd } from '../lib/sshd.mjs';
import { ogentTarget } from '../lib/target.mjs';

const isRoot = process.getuid() === 0;
let auth, token;

before(async () => {
  auth = await startRole('auth');
  token = (await auth.setUp()).access_token;
});

after(() => auth?.stop());

// What a command ends with on an exec with that environment, and the target's state.
async function attempt(env, body = { argv: ['true'] }) {
  const exec = await startRole('exec', { data: auth.data, env });
  let command, output = '';
  for await (const { event, data } of events(exec.where(), 'POST', '/api/commands?stream=1', { token, body: { target: 'ssh', ...body } })) {
    if (event === 'output') output += data.data;
    if (event === 'ended') ({ command } = data);
  }
  const target = (await exec.api('GET', '/api/targets', undefined, token)).body.items.find((i) => i.name === (body.target ?? 'ssh'));
  const { log } = exec;
  await exec.stop();
  return { command, output, target, log };
}

function isRefused({ command, target }, says) {
  assert.equal(command.status, 'error', JSON.stringify(command));
  assert.match(command.reason, says);
  assert.equal(command.started_at, null);
  assert.equal(target.state, 'refused');
  assert.match(target.reason, says);
}

async function withSshd(options, fn) {
  const sshd = await new Sshd(options).start();
  try {
    return await fn(sshd);
  } finally {
    await sshd.stop();
  }
}

test('an unknown host key is refused with its fingerprint', () =>
  withSshd({}, async (sshd) => {
    writeFileSync(sshd.knownHosts, '');
    isRefused(await attempt(sshd.env), /host key is unknown.*SHA256:.*known hosts/);
    isRefused(await attempt({ ...sshd.env, OGENT_EXEC_SSH_KNOWN_HOSTS: join(sshd.dir, 'missing') }), /host key is unknown/);
    assert.doesNotMatch(sshd.log, /Accepted/, 'no key was offered');
  }));

test('a changed host key is refused, also while exec runs', () =>
  withSshd({}, async (sshd) => {
    sshd.writeKnownHosts('wrong.pub');
    isRefused(await attempt(sshd.env), /host key has changed/);
    assert.doesNotMatch(sshd.log, /Accepted/);
    sshd.writeKnownHosts();
    const exec = await startRole('exec', { data: auth.data, env: sshd.env });
    const run = async () => {
      const { body } = await exec.api('POST', '/api/commands', { argv: ['true'], target: 'ssh' }, token);
      for (;;) {
        const r = await exec.api('GET', `/api/commands/${body.id}`, undefined, token);
        if (r.body.status !== 'running') return r.body;
        await sleep(20);
      }
    };
    assert.equal((await run()).exit_code, 0);
    await sshd.kill();
    await sshd.start('wrong');
    const c = await run();
    assert.equal(c.status, 'error');
    assert.match(c.reason, /host key has changed/);
    await exec.stop();
  }));

test('a key that the host does not know is refused', () =>
  withSshd({}, async (sshd) => {
    isRefused(await attempt({ ...sshd.env, OGENT_EXEC_SSH_IDENTITY: join(sshd.dir, 'wrong') }), /does not accept the key/);
    isRefused(await attempt({ ...sshd.env, OGENT_EXEC_SSH_IDENTITY: join(sshd.dir, 'none') }), /private key.*cannot be read/);
    isRefused(await attempt({ ...sshd.env, OGENT_EXEC_SSH_IDENTITY: join(sshd.dir, 'conf') }), /private key.*is none/);
    assert.doesNotMatch(sshd.log, /password|keyboard-interactive/i, 'nothing but the key is tried');
  }));

test('an account without ogent-target is told as such, with what it says', () =>
  withSshd({ command: 'echo this account is closed; false' }, async (sshd) => {
    isRefused(await attempt(sshd.env), /does not start ogent-target.*this account is closed/);
  }));

test('a target below the required level is refused with the missing layer', { skip: !isRoot && 'needs root' }, () =>
  withSshd({ command: `setpriv --reuid=65534 --regid=65534 --clear-groups ${ogentTarget} --dir /tmp/ogent-target-low` }, async (sshd) => {
    const r = await attempt({ ...sshd.env, OGENT_SANDBOX_LEVEL: 'strict' });
    isRefused(r, /the target gives the sandbox level 'standard', and 'strict' is required.*cgroup/);
    assert.equal(r.target.sandbox.layers.cgroup.ok, false);
    const low = await attempt(sshd.env, { script: 'id -u' });
    assert.equal(low.output, '1000\n', JSON.stringify(low.command));
  }));

test('the network is there where the option says so', () =>
  withSshd({}, async (sshd) => {
    const script = `exec 3<>/dev/tcp/127.0.0.1/${sshd.port} && head -c 3 <&3`;
    assert.equal((await attempt({ ...sshd.env, OGENT_EXEC_SSH_NETWORK: 'true' }, { argv: ['bash', '-c', script] })).output, 'SSH');
  }));

test('sshd that allows one session a connection: commands take turns or more connections', () =>
  withSshd({ config: ['MaxSessions 1'] }, async (sshd) => {
    const exec = await startRole('exec', { data: auth.data, env: sshd.env });
    const all = await Promise.all(Array.from({ length: 5 }, () => exec.api('POST', '/api/commands', { script: 'sleep 0.2; echo done', target: 'ssh' }, token)));
    for (const { body } of all) {
      let c = body;
      for (; c.status === 'running'; await sleep(20)) c = (await exec.api('GET', `/api/commands/${body.id}`, undefined, token)).body;
      assert.equal(c.exit_code, 0, JSON.stringify(c));
    }
    await exec.stop();
  }));

test('exec may end at any moment of connecting', () =>
  withSshd({}, async (sshd) => {
    for (const ms of [0, 20, 60, 120, 200]) {
      const exec = await startRole('exec', { data: auth.data, env: sshd.env });
      await sleep(ms);
      await exec.stop(); // in order, and without a leak where a sanitizer looks
    }
  }));

test('several targets have names', () =>
  withSshd({}, async (sshd) => {
    const env = { ...sshd.env, OGENT_EXEC_SSH_TARGET: `one=${sshd.url}, two=${sshd.url}` };
    const r = await attempt(env, { script: 'echo on two', target: 'two' });
    assert.equal(r.output, 'on two\n');
    assert.equal(r.target.state, 'ready');
  }));

for (const [value, says] of [['http://x', /ssh:\/\/USER@HOST/], ['ssh://host', /ssh:\/\/USER@HOST/], ['ssh://u:secret@h', /ssh:\/\/USER@HOST/], ['local=ssh://u@h', /taken/], ['Big=ssh://u@h', /not a name/]])
  test(`an option that is wrong ends exec with a word: ${value}`, async () => {
    await assert.rejects(startRole('exec', { data: auth.data, env: { OGENT_EXEC_SSH_TARGET: value } }), says);
  });
