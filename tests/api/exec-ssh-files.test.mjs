// Workspaces, files, archives and snapshots on another host: this machine behind a real sshd. What every target does, and what only a
// connection can do wrong.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { filesSuite } from '../lib/files_suite.mjs';
import { Sshd } from '../lib/sshd.mjs';
import { beginUpload } from '../lib/upload.mjs';
import { Target, errand, ogentTarget, run as commandFrame, step } from '../lib/target.mjs';

let sshd, liar;

filesSuite(
  {
    name: 'ssh',
    async start() {
      sshd = await new Sshd().start();
      const fake = join(import.meta.dirname, '../lib/false_target.mjs');
      liar = new Sshd();
      liar.force([process.execPath, fake, ogentTarget, liar.place].join(' '), sshd.identity);
      await liar.start();
      sshd.knowAlso(liar);
      return { ...sshd.env, OGENT_EXEC_SSH_TARGET: `ssh=${sshd.url},liar=${liar.url}` };
    },
    stop: () => Promise.all([sshd.stop(), liar.stop()]),
    place: () => sshd.place,
  },
  (t) => {
    const { api, put, host, make, refused, run, aimed, outside } = t;
    const auth = () => ({ authorization: `Bearer ${t.bob}`, 'content-type': 'application/octet-stream' });

    const begin = (path) => beginUpload(t.exec.where(), aimed(`/api/workspaces${path}`), auth());

    // What the target has of an upload: an open file without a name, or with one for now.
    const isUnderWay = (ws) => {
      const found = execFileSync('sh', ['-c', `ls -l /proc/[0-9]*/fd 2>/dev/null | grep -F '${host(ws)}/' || true`], { encoding: 'utf8' });
      return found !== '' || readdirSync(host(ws)).length > 0;
    };
    async function until(what) {
      for (let i = 0; i < 1200; i++, await sleep(25)) if (await what()) return;
      assert.fail(`waited too long for ${what}`);
    }

    test('a workspace of one name is another one on each target', async () => {
      await make('twice');
      assert.equal((await t.exec.api('POST', '/api/workspaces', { id: 'twice' }, t.bob)).status, 201);
      await put('twice', 'f', 'there');
      refused(await t.exec.api('GET', '/api/workspaces/twice/files/f', undefined, t.bob), 404, 'not_found');
      assert.equal((await api('GET', '/twice/files/f')).text, 'there');
      assert.equal((await t.exec.api('DELETE', '/api/workspaces/twice', undefined, t.bob)).status, 204);
      assert.equal((await api('GET', '/twice/files/f')).text, 'there');
      const { body } = await api('GET', '/twice');
      assert.deepEqual([body.id, body.target], ['twice', 'ssh']);
    });

    test('a workspace that a command made there has files, a copy and an owner of its own', async () => {
      await run('by-command', 'echo hello > f');
      assert.equal((await api('GET', '/by-command/files/f')).text, 'hello\n');
      assert.equal((await api('POST', '/by-command/copy', { id: 'copy-1' })).status, 201);
      refused(await api('POST', '/by-command/copy', { id: 'copy-1' }), 409, 'already_exists');
      refused(await api('POST', '/by-command/copy', { id: 'twice' }, t.eve), 404, 'not_found');
      assert.equal((await run('copy-1', 'cat f; echo more >> f')).output.head, 'hello\n');
      assert.equal((await api('GET', '/by-command/files/f')).text, 'hello\n');
      refused(await api('GET', '/copy-1/files/f', undefined, t.eve), 404, 'not_found');
      if (process.getuid() === 0) assert.notEqual(statSync(host('by-command')).uid, 0);
    });

    test('the connection is lost in the middle of an upload: it is told, nothing is left, the next one works', async () => {
      await make('lost-1');
      const up = begin('/lost-1/files/f');
      up.req.write(Buffer.alloc(600000));
      await until(() => isUnderWay('lost-1'));
      sshd.breakConnections();
      up.req.end(Buffer.alloc(300000));
      const r = await up.answer;
      refused(r, 502, 'target_lost');
      await until(() => !isUnderWay('lost-1'));
      assert.equal((await put('lost-1', 'f', 'again')).status, 201);
      await until(async () => (await api('POST', '/lost-1/snapshots')).status === 201);
    });

    for (const signal of ['SIGKILL', 'SIGTERM'])
      test(`${signal} to exec in the middle of an upload leaves nothing, and nobody holds the workspace`, async () => {
        const ws = `ended-${signal}`;
        await make(ws);
        const up = begin(`/${ws}/files/f`);
        up.req.write(Buffer.alloc(600000));
        await until(() => isUnderWay(ws));
        const ended = t.exec.kill(signal);
        if (signal === 'SIGTERM') up.req.destroy();
        await Promise.all([ended, up.answer]);
        await until(() => !isUnderWay(ws));
        assert.deepEqual(readdirSync(host(ws)), []);
        await t.exec.start();
        await until(async () => (await api('POST', `/${ws}/snapshots`)).status === 201);
        assert.equal((await api('DELETE', `/${ws}`)).status, 204);
        assert.ok(!readdirSync(join(sshd.place, 'locks')).includes(ws));
      });

    test('work that another exec does there is known by the target: all of it is refused while a command runs, and the other way', async () => {
      const helper = [ogentTarget, '--dir', sshd.place];
      await make('shared-1');
      const snapshot = (await api('POST', '/shared-1/snapshots')).body.id;
      const other = new Target(helper).send(commandFrame({ script: 'echo on; sleep 300', workspace: 'shared-1' }));
      await other.until(() => other.out.length > 0);
      refused(await api('POST', `/shared-1/snapshots/${snapshot}/restore`), 409, 'workspace_busy');
      refused(await api('DELETE', '/shared-1'), 409, 'workspace_busy');
      assert.equal((await put('shared-1', 'f', 'x')).status, 201);
      other.child.stdin.end();
      await other.closed;
      const alone = new Target(helper).send(errand({ workspace: 'shared-1', alone: true }), step({ op: 'open', n: 10 }));
      await alone.until(() => alone.done?.length === 1);
      refused(await put('shared-1', 'g', 'x'), 409, 'workspace_busy');
      assert.equal((await api('GET', '/shared-1/files/f')).text, 'x', 'reading waits for nobody');
      const { body: c } = await t.exec.api('POST', '/api/commands', { script: 'true', workspace: 'shared-1', target: 'ssh', wait_ms: 30000 }, t.bob);
      assert.equal(c.status, 'error');
      assert.match(c.reason, /in use/);
      alone.child.stdin.end();
      await alone.closed;
      assert.equal((await run('shared-1', 'echo fine')).output.head, 'fine\n');
    });

    test('a command that exchanges folders and links all the time leads nothing out', async () => {
      await make('race-1');
      const was = readdirSync(outside);
      const { body: c } = await t.exec.api('POST', '/api/commands', {
        script: `mkdir a; ln -s ${outside} b; echo on; while :; do mv -T a x; mv -T b a; mv -T x b; mv -T a x; mv -T b a; mv -T x b; done`, workspace: 'race-1', target: 'ssh', stdin_open: true,
      }, t.bob);
      await until(async () => (await t.exec.api('GET', `/api/commands/${c.id}/output`, undefined, t.bob)).text.includes('on'));
      const seen = new Set();
      for (let i = 0; i < 60; i++) {
        const [up, got, removed] = await Promise.all([put('race-1', `a/new${i}`, 'x', '?parents=1'), api('GET', '/race-1/files/a/secret'), api('DELETE', '/race-1/files/a/secret')]);
        for (const r of [up, got, removed]) seen.add(r.status);
        assert.notEqual(got.status, 200);
      }
      await t.exec.api('POST', `/api/commands/${c.id}/cancel`, undefined, t.bob);
      assert.deepEqual(readdirSync(outside), was);
      assert.ok([...seen].every((s) => [201, 404, 409].includes(s)), [...seen].join());
    });

    test('a full disk there is told', async () => {
      await make('full-1');
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', `size=1m,mode=700,uid=${statSync(host('full-1')).uid}`, 'none', host('full-1')], { stdio: 'ignore' });
      } catch {
        console.log('# not here: no right to mount');
        return;
      }
      try {
        refused(await put('full-1', 'f', Buffer.alloc(3 << 20)), 507, 'storage_full');
        assert.deepEqual(readdirSync(host('full-1')), []);
        assert.equal((await put('full-1', 'f', 'small')).status, 201);
      } finally {
        execFileSync('umount', ['-l', host('full-1')]);
      }
    });

    test('what a target says that was taken over is no answer', async () => {
      const ask = (path) => t.exec.api('GET', `/api/workspaces/liar-1/files/${path}?target=liar`, undefined, t.bob);
      assert.equal((await t.exec.api('POST', '/api/workspaces?target=liar', { id: 'liar-1' }, t.bob)).status, 201);
      for (const path of ['up', 'bytes', 'count', 'many', 'error', 'cut', 'output', 'giant']) {
        const r = await ask(path);
        refused(r, 502, 'target_lost');
        assert.match(r.body.detail, /not that of ogent-target|ended/, path);
      }
      const words = await ask('words');
      assert.equal(words.status, 422, words.text);
      assert.ok(words.text.length < 1500);
      assert.equal((await ask('twice')).status, 200);
      for (const path of ['more', 'less']) {
        const r = await ask(path).catch((e) => ({ status: 0, text: '', e }));
        assert.doesNotMatch(`${r.e}`, /no answer/, 'it is broken off');
        assert.ok(r.text.length <= 10, path);
      }
      assert.equal((await api('GET', '/twice')).status, 200, 'exec goes on');
    });

    test('a host that is down is told as unavailable, and comes back by itself', async () => {
      await sshd.kill();
      refused(await api('GET', '/twice/files'), 503, 'target_unavailable');
      await sshd.start();
      await until(async () => (await api('GET', '/twice/files')).status === 200);
    });
  },
);
