// The data folder on a disk that fills up while the platform works: refusals are clear, runs wait, nothing is lost, and all
// goes on by itself when there is room again. The disk is a small tmpfs, which only root can mount.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { ask, assertWhole, ended, eventsOf, newConversation, untilEvent } from '../lib/runs.mjs';

const SIZE_MB = 24;
const isRoot = process.getuid() === 0;
if (!isRoot) console.error('disk.test.mjs: SKIPPED, nothing about full disks is tested: only root can mount a tmpfs');

describe('a full disk', { timeout: 90000, skip: isRoot ? false : 'only root can mount a tmpfs' }, () => {
  let p, token, disk, admin;
  const current = () => token;

  before(async () => {
    disk = mkdtempSync(join(tmpdir(), 'ogent-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MB}m,mode=0711`, 'ogent-test', disk]);
    p = await startPlatform({ data: disk, env: { OGENT_RATE_LIMIT: '0' } });
    admin = await p.setUp();
    token = await p.localToken();
  });
  after(async () => {
    try {
      await p?.stop();
      for (const name of readdirSync(join(disk, 'db')).filter((n) => n.endsWith('.db'))) {
        const db = new DatabaseSync(join(disk, 'db', name));
        assert.deepEqual({ ...db.prepare('pragma integrity_check').get() }, { integrity_check: 'ok' }, name);
        db.close();
      }
    } finally {
      execFileSync('umount', ['--lazy', disk]);
      rmSync(disk, { recursive: true });
    }
  });

  const room = () => statfsSync(disk).bavail * statfsSync(disk).bsize;

  // Takes all room but so many bytes.
  function fill(left = 0) {
    const fd = openSync(join(disk, 'filler'), 'a');
    const page = Buffer.alloc(4096, 1);
    try {
      while (room() > left) writeSync(fd, page);
    } catch (e) {
      assert.equal(e.code, 'ENOSPC');
    }
    closeSync(fd);
  }
  const free = () => rmSync(join(disk, 'filler'), { force: true });

  function refused(r) {
    assert.equal(r.status, 507, r.text);
    assert.match(r.headers['content-type'], /^application\/problem\+json/);
    assert.equal(r.body.code, 'storage_full');
    assert.match(r.body.detail, /The disk is full\. Make room/);
  }

  // What was allocated before may still take a few writes: those are to be kept.
  async function untilRefused(send) {
    const accepted = [];
    for (let i = 0; i < 50; i++) {
      const r = await send(i);
      if (r.status >= 300) return { accepted, r };
      accepted.push(r.body);
    }
    throw new Error('writes go on and on');
  }

  test('while a run goes on: what is new is refused with 507, the run waits, nothing is lost', async () => {
    const conversation = await newConversation(p, current);
    const others = [];
    for (let i = 0; i < 50; i++) others.push(await newConversation(p, current));
    const lines = [1, 2, 3, 4, 5, 6];
    const run = await ask(p, current, conversation, `run: echo begun >> log; for i in ${lines.join(' ')}; do echo line $i; sleep 0.3; done; wc -l < log`);
    await untilEvent(p, current, run.id, (e) => e.type === 'call.output');
    let sent;
    try {
      fill();
      sent = await untilRefused((i) => {
        fill();
        return p.api('POST', `/api/conversations/${others[i]}/messages`, { content: 'run: echo kept' }, token, { 'idempotency-key': `disk-${i}` });
      });
      refused(sent.r);
      refused(await p.api('POST', '/api/conversations', {}, token));
      refused((await untilRefused(() => p.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }))).r);
      // What only reads goes on.
      for (const path of ['/api/agents', `/api/executions/${run.id}`, `/api/conversations/${conversation}/messages`, '/healthz'])
        assert.equal((await p.api('GET', path, undefined, token)).status, 200, path);
      await sleep(3000);
      fill();
      const e = (await p.api('GET', `/api/executions/${run.id}`, undefined, token)).body;
      assert.equal(e.status, 'running', 'the run ended although its end could not be stored');
    } finally {
      free();
    }
    const e = await ended(p, current, run.id, 30000);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls.length, 1);
    const output = lines.map((i) => `line ${i}\n`).join('') + '1\n';
    const events = await eventsOf(p, current, run.id);
    assertWhole(events);
    assert.equal(e.calls[0].status, 'exited', JSON.stringify(e.calls[0]));
    assert.equal(e.calls[0].exit_code, 0);
    assert.equal(e.calls[0].output, output);
    for (const x of sent.accepted) {
      const other = await ended(p, current, x.id, 30000);
      assert.equal(other.status, 'succeeded', JSON.stringify(other.error));
    }
    // The refused left no trace, and sent again with its key it is accepted.
    const refusedOne = others[sent.accepted.length];
    assert.equal((await p.api('GET', `/api/conversations/${refusedOne}/messages`, undefined, token)).body.items.length, 0);
    const again = await ask(p, current, refusedOne, 'run: echo kept', `disk-${sent.accepted.length}`);
    const done = await ended(p, current, again.id);
    assert.equal(done.status, 'succeeded', JSON.stringify(done.error));
    assert.equal(done.calls[0].output, 'kept\n');
    await p.login(ADMIN);
    assert.ok(admin.access_token);
  });

  // Waits until the command ended; returns it.
  async function over(id) {
    for (const limit = Date.now() + 15000; ; await sleep(30)) {
      const r = await p.api('GET', `/api/commands/${id}`, undefined, token);
      assert.equal(r.status, 200, r.text);
      if (!['queued', 'running'].includes(r.body.status)) return r.body;
      assert.ok(Date.now() < limit, 'the command does not end');
    }
  }

  async function start(script) {
    const r = await p.api('POST', '/api/commands', { script }, token);
    assert.equal(r.status, 201, r.text);
    return r.body.id;
  }

  test('a command that writes more than there is room for ends with its exit code, and says what is missing', async () => {
    try {
      fill(1024 * 1024);
      const id = await start('echo first; sleep 0.3; head -c 6000000 /dev/zero; echo last; exit 3');
      const c = await over(id);
      assert.equal(c.status, 'exited', JSON.stringify(c));
      assert.equal(c.exit_code, 3);
      assert.equal(c.output_bytes, 6 + 6000000 + 5);
      assert.ok(c.truncated_bytes > 4000000, JSON.stringify(c));
      assert.match(c.reason, /Output could not be kept: No space left on device/);
      const stream = (await p.api('GET', `/api/commands/${id}/stream`, undefined, token)).text;
      assert.match(stream, /first/);
      assert.match(stream, /event: ended/);
    } finally {
      free();
    }
  });

  test('a command whose first byte has no room ends with its exit code, too; a new one is refused with 507', async () => {
    try {
      const id = await start('sleep 1; echo unseen; exit 4');
      await sleep(300);
      fill();
      const c = await over(id);
      assert.equal(c.status, 'exited', JSON.stringify(c));
      assert.equal(c.exit_code, 4);
      assert.equal(c.output_bytes, 7);
      assert.equal(c.truncated_bytes, 7);
      assert.match(c.reason, /No space left on device/);
      assert.match((await p.api('GET', `/api/commands/${id}/stream`, undefined, token)).text, /event: ended/);
      refused(await p.api('POST', '/api/commands', { script: 'echo never' }, token));
    } finally {
      free();
    }
    assert.match((await p.api('POST', '/api/commands?stream=1', { script: 'echo again' }, token)).text, /again/);
  });

  test('a kill and a start on the full disk: the waiting run goes on when there is room', async () => {
    const run = await ask(p, current, await newConversation(p, current), 'run: echo begun; sleep 1; echo over');
    await untilEvent(p, current, run.id, (e) => e.type === 'call.output');
    try {
      fill();
      await sleep(1500);
      await p.kill('SIGKILL');
      let told = '';
      await p.start().catch((e) => (told = String(e)));
      // Either it comes up, or it says why not.
      if (told) assert.match(told, /No space left|disk is full|full/);
    } finally {
      free();
    }
    if (p.child.exitCode !== null) await p.start();
    token = await p.localToken();
    const e = await ended(p, current, run.id, 30000);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].output, 'begun\nover\n');
    assertWhole(await eventsOf(p, current, run.id));
  });
});
