// The agent role when its disk is full or its database is locked: nothing accepted is lost, what cannot be accepted is
// refused in plain words, and everything goes on by itself.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld, fold } from '../lib/agent_client.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';

const peer = (path) => new ExecPeer(path).open();

// Holds the database's write lock until it is told to let go.
async function lock(path) {
  const script = `
import sqlite3, sys
c = sqlite3.connect(${JSON.stringify(path)}, isolation_level=None, timeout=10)
c.execute("begin immediate")
print("locked", flush=True)
sys.stdin.readline()
c.execute("rollback")`;
  const child = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise((done) => child.stdout.once('data', done));
  return () => new Promise((done) => child.on('close', done).stdin.end('\n'));
}

test('a database that another process locks: new messages get 503, the run under way waits and ends right', { timeout: 60000, skip: process.env.OGENT_TEST_AGENT_DB === 'postgres' && 'of SQLite only' }, async () => {
  const w = await AgentWorld.start({ exec: peer });
  try {
    const idle = await w.conversation();
    const sent = await w.send('run: echo a; sleep 2; echo b', { script: { instant: true } });
    await w.until(sent.id, (e) => e.type === 'call.output');
    const unlock = await lock(join(w.data, 'db', 'langchain_agent.db'));
    const refused = await w.api('POST', `/api/conversations/${idle.id}/messages`, { content: 'hello' });
    assert.equal(refused.status, 503, refused.text);
    assert.equal((await w.ok('GET', `/api/executions/${sent.id}`)).status, 'running');
    await unlock();
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].output, 'a\nb\n');
    assert.equal(w.peer.starts, 1);
    assert.deepEqual(Object.values(fold((await w.events(sent.id)).items).outputs), ['a\nb\n']);
    assert.equal((await w.run('hello', { conversation: idle, script: { instant: true } })).status, 'succeeded');
  } finally {
    await w.stop();
  }
});

const canMount = process.getuid() === 0;

test('a full disk: new messages get 507, the run under way waits for room and ends right', { timeout: 60000, skip: canMount ? false : 'only root may mount the small disk this needs' }, async () => {
  const disk = mkdtempSync(join(tmpdir(), 'ogent-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk]);
  } catch (e) {
    rmSync(disk, { recursive: true });
    throw e;
  }
  const w = await AgentWorld.start({ exec: peer, env: { OGENT_AGENT_DB_URL: `sqlite:${join(disk, 'agent.db')}` } });
  try {
    const idle = await w.conversation();
    const sent = await w.send('run: echo a; sleep 1; echo b', { script: { instant: true } });
    await w.until(sent.id, (e) => e.type === 'call.output');
    const free = statfsSync(disk);
    writeFileSync(join(disk, 'ballast'), Buffer.alloc(free.bavail * free.bsize));
    // What is left of the database's own pages may take one more; soon nothing goes.
    let refused;
    for (let i = 0; i < 200 && refused?.status !== 507; i++)
      refused = await w.api('POST', '/api/agents', { name: 'Large', instructions: 'x'.repeat(90000) });
    assert.equal(refused.status, 507, refused.text);
    const r = await w.api('POST', `/api/conversations/${idle.id}/messages`, { content: 'x'.repeat(100000) });
    assert.equal(r.status, 507, r.text);
    await sleep(1500);
    assert.equal((await w.ok('GET', `/api/executions/${sent.id}`)).status, 'running');
    rmSync(join(disk, 'ballast'));
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].output, 'a\nb\n');
    assert.equal(w.peer.starts, 1);
    assert.equal((await w.run('hello', { conversation: idle, script: { instant: true } })).status, 'succeeded');
  } finally {
    await w.stop();
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  }
});
