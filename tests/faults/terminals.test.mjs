// exec is killed in the middle of what its clients do: terminals go on, files and snapshots are whole or not there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startPlatform, startRole } from '../lib/platform.mjs';

let p, token;
before(async () => {
  p = await startPlatform();
  token = (await p.setUp()).access_token;
});
after(() => p?.stop());

const execPid = () => JSON.parse(readFileSync(join(p.data, 'run/up.json'), 'utf8')).roles.find((r) => r.role === 'exec').pid;
const api = (method, path, body, headers) => p.api(method, path, body, token, headers);

async function kill() {
  const pid = execPid();
  process.kill(pid, 'SIGKILL');
  for (;;) {
    const r = execPid() !== pid && (await api('GET', '/api/targets').catch(() => null));
    if (r && r.status === 200) return;
    await sleep(20);
  }
}

// Connects until it is let in; resolves when it has seen the text, with the bytes seen.
function look(id, offset, text, typed) {
  return new Promise((done, fail) => {
    const { host, port } = p.where();
    const ws = new WebSocket(`ws://${host}:${port}/api/commands/${id}/terminal?offset=${offset}`);
    let seen = '';
    ws.onopen = () => ws.send(JSON.stringify({ type: 'auth', token }));
    ws.onclose = (e) => fail(new Error(`closed ${e.code}: ${seen}`));
    ws.onerror = () => {};
    ws.onmessage = async ({ data }) => {
      if (typeof data === 'string') {
        if (JSON.parse(data).type === 'ready' && typed) ws.send(Buffer.from(typed));
        return;
      }
      seen += Buffer.from(await data.arrayBuffer()).toString();
      if (!seen.includes(text)) return;
      ws.onclose = null;
      done(seen);
      ws.close();
    };
  });
}

test('a terminal goes on through kills of exec: nothing typed or shown is lost or twice, nothing is orphaned', async () => {
  const script = 'stty -echo; echo ready; while read x; do echo "<$x>"; [ "$x" = bye ] && exit; done; (setsid sleep 778.5 &)';
  const { body: c } = await api('POST', '/api/commands', { script, tty: { rows: 24, cols: 80 } });
  let all = await look(c.id, 0, 'ready');
  for (const word of ['one', 'two', 'three', 'bye']) {
    await kill();
    all += await look(c.id, all.length, `<${word}>`, `${word}\n`);
  }
  for (let i = 0; i < 5 && !all.endsWith('<bye>\r\n'); i++) all += await look(c.id, all.length, '\n');
  assert.equal(all, 'ready\r\n<one>\r\n<two>\r\n<three>\r\n<bye>\r\n');
  assert.equal((await api('GET', `/api/commands/${c.id}?wait_ms=20000`)).body.exit_code, 0);
  assert.throws(() => execFileSync('pgrep', ['-f', 'sleep 778.5']));
});

test('uploads, snapshots and restores that are cut off leave nothing half', async () => {
  // On its own, so that no supervisor waits between its starts.
  const auth = await startRole('auth'), exec = await startRole('exec', { data: auth.data }), mine = (await auth.setUp()).access_token;
  const api = (method, path, body, headers) => exec.api(method, path, body, mine, headers);
  const files = { 'content-type': 'application/octet-stream' };
  const old = Buffer.alloc(2 << 20, 'a'), fresh = Buffer.alloc(2 << 20, 'b');
  await api('POST', '/api/workspaces', { id: 'cut' });
  assert.equal((await api('PUT', '/api/workspaces/cut/files/f', old, files)).status, 201);
  const { body: first } = await api('POST', '/api/workspaces/cut/snapshots', {});
  for (let i = 0; i < 6; i++) {
    const under = [
      api('PUT', '/api/workspaces/cut/files/f', i % 2 ? old : fresh, files),
      api('POST', '/api/workspaces/cut/snapshots', {}),
      api('POST', `/api/workspaces/cut/snapshots/${first.id}/restore`),
    ].map((r) => r.catch(() => null));
    await sleep(i * 4);
    await exec.kill();
    await exec.start();
    await Promise.all(under);
    const { text } = await api('GET', '/api/workspaces/cut/files/f');
    assert.ok(text === old.toString() || text === fresh.toString(), 'the file is one or the other');
    const { items } = (await api('GET', '/api/workspaces/cut/files')).body;
    assert.deepEqual(items.map((f) => f.name), ['f']);
    for (const s of (await api('GET', '/api/workspaces/cut/snapshots')).body.items) assert.equal(s.bytes, old.length);
  }
  const clean = () => readdirSync(join(exec.data, 'exec/workspaces')).every((n) => !n.startsWith('.trash')) &&
    readdirSync(join(exec.data, 'exec/snapshots/cut')).every((id) => readdirSync(join(exec.data, 'exec/snapshots/cut', id)).includes('meta.json'));
  for (let i = 0; i < 200 && !clean(); i++) await sleep(20);
  assert.ok(clean());
  await exec.stop();
  await auth.stop();
});
