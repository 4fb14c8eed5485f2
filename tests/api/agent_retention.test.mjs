// What is deleted is gone: rows and files, by hand and by age.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import { AgentWorld } from '../lib/agent_client.mjs';
import { agentDatabase, psql } from '../lib/databases.mjs';

describe('what is deleted', { timeout: 300000 }, () => {
  let w;
  before(async () => (w = await AgentWorld.start({ exec: 'real', env: { OGENT_CONVERSATION_DAYS: '30' } })));
  after(() => w?.stop());

  async function sql(text) {
    const url = await agentDatabase(w.data);
    if (url) return psql(url, text);
    const db = new DatabaseSync(join(w.data, 'db', 'langchain_agent.db'));
    try {
      return db.prepare(text).all().map((row) => Object.values(row).join('|')).join('\n');
    } finally {
      db.close();
    }
  }
  // Rows that name the conversation or one of its executions.
  async function rows({ conversation_id: c, id }) {
    const counts = {};
    for (const table of ['conversations', 'messages', 'executions', 'execution_events', 'approvals', 'queued_messages', 'context_marks', 'step_snapshots', 'workspace_removals']) {
      const where = { conversations: `id = '${c}'`, execution_events: `execution_id = '${id}'`, workspace_removals: `workspace = '${c}'` }[table] ?? `conversation_id = '${c}'`;
      const n = Number(await sql(`select count(*) from ${table} where ${where}`));
      if (n > 0) counts[table] = n;
    }
    return counts;
  }
  const folders = (c) => ['workspaces', 'owners', 'snapshots'].filter((name) => existsSync(join(w.data, 'exec', name, c)));
  async function gone(e) {
    for (const limit = Date.now() + 60000; ; await sleep(50)) {
      const left = [await rows(e), folders(e.conversation_id)];
      if (Object.keys(left[0]).length + left[1].length === 0) return;
      assert.ok(Date.now() < limit, `still there: ${JSON.stringify(left)}`);
    }
  }

  test('a deleted conversation leaves no row and no file', async () => {
    const e = await w.run('run: echo x > file');
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    const had = await rows(e);
    for (const table of ['conversations', 'messages', 'executions', 'execution_events', 'step_snapshots']) assert.ok(had[table] > 0, table);
    assert.deepEqual(folders(e.conversation_id), ['workspaces', 'owners', 'snapshots']);
    assert.equal((await w.api('DELETE', `/api/conversations/${e.conversation_id}`)).status, 204);
    await gone(e);
  });

  test('a workspace that is in use goes when it is free, also after exec was away', async () => {
    const e = await w.run('run: echo x > file');
    await w.exec.kill('SIGTERM');
    assert.equal((await w.api('DELETE', `/api/conversations/${e.conversation_id}`)).status, 204);
    assert.deepEqual(await rows(e), { workspace_removals: 1 });
    await w.exec.start();
    // The next look is soon after a start.
    await w.agent.kill('SIGTERM');
    await w.agent.start();
    await gone(e);
  });

  test('what nobody used for conversation_days goes by itself, in batches, and the rest stays', async () => {
    const old = [], young = await w.run('run: echo young > file');
    for (let i = 0; i < 25; i++) old.push(await w.run(i === 0 ? 'run: echo old > file' : 'hello'));
    await w.agent.kill('SIGTERM');
    const ids = old.map((e) => `'${e.conversation_id}'`).join(',');
    await sql(`update conversations set updated_at = updated_at - 31 * 86400000000 where id in (${ids})`);
    await w.agent.start();
    for (const e of old) await gone(e);
    assert.equal((await rows(young)).conversations, 1);
    assert.ok(existsSync(join(w.data, 'exec', 'workspaces', young.conversation_id, 'file')));
  });
});
