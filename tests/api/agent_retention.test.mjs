// What is deleted is gone: rows and files, by hand and by age.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import { AgentWorld } from '../lib/agent_client.mjs';
import { agentDatabase, psql, withPackedIds } from '../lib/databases.mjs';

describe('what is deleted', { timeout: 300000 }, () => {
  let w;
  before(async () => (w = await AgentWorld.start({ exec: 'real', env: { OGENT_CONVERSATION_DAYS: '30' } })));
  after(() => w?.stop());

  async function sql(text) {
    const url = await agentDatabase(w.data);
    if (url) return psql(url, text);
    const db = new DatabaseSync(join(w.data, 'db', 'langchain_agent.db'));
    try {
      return db.prepare(withPackedIds(text)).all().map((row) => Object.values(row).join('|')).join('\n');
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

  test('what nobody used for conversation_days goes by itself, and the rest stays', async () => {
    const old = [], young = await w.run('run: echo young > file');
    for (let i = 0; i < 5; i++) old.push(await w.run(i === 0 ? 'run: echo old > file' : 'hello'));
    await w.agent.kill('SIGTERM');
    const ids = old.map((e) => `'${e.conversation_id}'`).join(',');
    await sql(`update conversations set updated_at = updated_at - 31 * 86400000000 where id in (${ids})`);
    await w.agent.start();
    for (const e of old) await gone(e);
    assert.equal((await rows(young)).conversations, 1);
    assert.ok(existsSync(join(w.data, 'exec', 'workspaces', young.conversation_id, 'file')));
  });

  const aDay = 86400000;
  const idOf = (ms) => {
    const hex = Math.floor(ms).toString(16).padStart(12, '0');
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${Math.floor(Math.random() * 2 ** 48).toString(16).padStart(12, '0')}`;
  };
  // The age of a run is in its id too.
  async function aged(e, days) {
    const id = idOf(parseInt(e.id.replaceAll('-', '').slice(0, 12), 16) - days * aDay);
    for (const [table, column] of [['executions', 'id'], ['execution_events', 'execution_id'], ['messages', 'execution_id'], ['step_snapshots', 'execution_id']])
      await sql(`update ${table} set ${column} = '${id}' where ${column} = '${e.id}'`);
    await sql(`update conversations set last_execution_id = '${id}' where last_execution_id = '${e.id}'`);
    await sql(`update executions set ended_at = ended_at - ${Math.round(days * aDay) * 1000} where id = '${id}'`);
    return { ...e, id };
  }
  const until = async (test) => {
    for (const limit = Date.now() + 60000; !(await test()); await sleep(50)) assert.ok(Date.now() < limit, `${test}\n${w.agent.log.slice(-3000)}`);
  };
  const preview = async (query = '') => Object.fromEntries((await w.ok('GET', `/api/retention${query}`)).items.map((i) => [i.kind, i]));

  test('results, events and runs go before their conversation, sooner for an agent that says so, and never what is kept', async () => {
    const metric = async (kind) => Number((await w.api('GET', '/metrics')).text.match(new RegExp(`ogent_retention_deleted_total\\{kind="${kind}"\\} (\\d+)`))[1]);
    const retention = { execution_days: 4, result_days: 3, event_days: 2 };
    const strict = await w.ok('POST', '/api/agents', { name: 'Strict', tools: ['shell'], retention }, 201);
    assert.deepEqual(strict.retention, retention);
    assert.equal((await w.api('POST', '/api/agents', { name: 'x', retention: { event_days: -1 } })).status, 422);
    assert.equal((await w.api('POST', '/api/agents', { name: 'x', retention: { days: 1 } })).status, 422);
    const runOf = async (agent_id) => w.run('run: echo told > file; cat file', { conversation: await w.conversation({ agent_id }) });
    const had = [await runOf(strict.id), await runOf(strict.id), await runOf(strict.id), await runOf(strict.id), await runOf(), await runOf(strict.id)];
    const tool = async (e) => (await w.ok('GET', `/api/conversations/${e.conversation_id}/messages`)).items.find((m) => m.role === 'tool');
    const commands = async (e) => (await w.exec.api('GET', '/api/commands?limit=200', undefined, w.token)).body.items.filter((c) => c.workspace === e.conversation_id).length;
    for (const e of had) assert.equal(await commands(e), 1);
    const kept = await w.ok('PATCH', `/api/conversations/${had[3].conversation_id}`, { kept: true });
    assert.equal(kept.kept, true);
    await w.agent.kill('SIGTERM');
    const [whole, resultless, eventless, held, other, young] = [await aged(had[0], 5), await aged(had[1], 3.5), await aged(had[2], 2.5), await aged(had[3], 5), await aged(had[4], 5), had[5]];
    await w.agent.start();
    await until(async () => !(await rows(whole)).executions && !(await rows(eventless)).execution_events && (await tool(resultless)).result === null);
    // Exec has been asked for what began before the run ended; here that was changed, so nothing had.
    await until(async () => !(await rows(whole)).workspace_removals && !(await rows(resultless)).workspace_removals);
    assert.deepEqual(Object.keys(await rows(whole)), ['conversations', 'messages']);
    const conversation = await w.ok('GET', `/api/conversations/${whole.conversation_id}`);
    assert.equal(conversation.last_execution, null);
    assert.match((await tool(whole)).content, /told/);
    assert.equal((await tool(resultless)).result, null);
    assert.match((await tool(resultless)).content, /not kept any longer/);
    assert.match((await tool(eventless)).content, /told/);
    assert.deepEqual((await w.ok('GET', `/api/executions/${resultless.id}/events`)).items, []);
    for (const e of [held, other, young]) assert.ok((await rows(e)).executions && (await rows(e)).execution_events && (await commands(e)) === 1);
    assert.ok((await metric('executions')) >= 1 && (await metric('events')) >= 1 && (await metric('results')) >= 1);
    // The conversation goes on.
    const next = await w.run('hello', { conversation: { id: resultless.conversation_id } });
    assert.equal(next.status, 'succeeded', JSON.stringify(next.error));
    const clear = async (e, query = '') => (await w.exec.api('DELETE', `/api/commands?workspace=${e.conversation_id}${query}`, undefined, w.token)).status;
    assert.equal(await clear(resultless, `&before=${new Date(Date.now() - aDay).toISOString()}`), 204);
    assert.equal(await commands(resultless), 1);
    assert.equal(await clear(resultless), 204);
    assert.deepEqual([await commands(resultless), await commands(other)], [0, 1]);
    for (const q of ['', '?workspace=..', `?workspace=${other.conversation_id}&before=x`]) assert.equal((await w.exec.api('DELETE', `/api/commands${q}`, undefined, w.token)).status, 400);
    // A rule that is only tried says what would go, and nothing does.
    const tried = await preview('?execution_days=1&event_days=4');
    assert.deepEqual([tried.executions.days, tried.executions.tried, tried.conversations.tried, tried.executions.agents], [1, true, false, 1]);
    assert.equal(tried.executions.count, 3, JSON.stringify(tried));
    assert.ok(Date.parse(tried.executions.oldest_at) < Date.now() - 4.9 * aDay);
    assert.equal((await preview()).executions.count, 0);
    assert.ok((await rows(other)).executions);
    for (const q of ['event_days=-1', 'event_days=x', 'usage_days=', 'batch_days=40000']) assert.equal((await w.api('GET', `/api/retention?${q}`)).status, 400, q);
    // Kept no longer, it goes.
    await w.ok('PATCH', `/api/conversations/${held.conversation_id}`, { kept: false });
    await w.agent.kill('SIGTERM');
    await w.agent.start();
    await until(async () => !(await rows(held)).executions);
  });

  test('histories, deliveries, batches and the days of usage go by options of their own', async () => {
    const now = Date.now(), us = (days) => Math.round(now - days * aDay) * 1000, day = Math.floor(now / aDay), me = (await w.ok('GET', `/api/conversations/${(await w.conversation()).id}`)).user_id;
    const count = async (table, where = '1 = 1') => Number(await sql(`select count(*) from ${table} where ${where}`));
    const [f1, f2, f3, d1, d2, b1, b2] = [40, 40, 5, 40, 5, 40, 40].map((days) => idOf(now - days * aDay));
    const schedule = idOf(now), hook = idOf(now);
    await w.agent.kill('SIGTERM');
    for (const [id, status, at] of [[f1, 'succeeded', 40], [f2, 'waiting', 40], [f3, 'succeeded', 5]])
      await sql(`insert into schedule_firings (id, schedule_id, firing_key, planned_at, at, status, times, is_late) values ('${id}', '${schedule}', '${id}', 1, ${us(at)}, '${status}', 1, 0)`);
    for (const [id, at] of [[d1, 40], [d2, 5]]) {
      await sql(`insert into webhook_deliveries (id, webhook_id, event, body, status, tries, next_at, claimed_until, created_at, ended_at) values ('${id}', '${hook}', 'x', '{}', 'delivered', 1, 0, 0, ${us(at)}, ${us(at)})`);
      await sql(`insert into webhook_tries (delivery_id, number, at, duration_ms) values ('${id}', 1, 1, 1)`);
    }
    for (const [id, ended] of [[b1, us(40)], [b2, 'null']]) {
      await sql(`insert into batches (id, user_id, agent_id, agent_name, name, message, columns, n_rows, concurrency, max_failures, failures, status, created_at, updated_at, ended_at) values ('${id}', '${me}', '${hook}', 'A', 'B', 'x', '[]', 1, 1, 0, 0, '${ended === 'null' ? 'paused' : 'succeeded'}', 1, 1, ${ended})`);
      await sql(`insert into batch_rows (batch_id, number, data, status, attempt) values ('${id}', 1, '{}', 'succeeded', 0)`);
    }
    for (const [back, shard] of [[400, 0], [400, 1], [399, 0], [1, 0]])
      await sql(`insert into usage_days (day, user_id, agent_id, provider, model, shard, calls, input_tokens, output_tokens, cached_tokens, cost_nano, estimated) values (${day - back}, '${me}', '${hook}', 'p', 'm-kept', ${shard}, 1, 10, 100, 0, 7, ${shard})`);
    const sums = () => sql("select sum(calls), sum(input_tokens), sum(output_tokens), sum(cost_nano), max(estimated) from usage_days where model = 'm-kept'");
    const before = await sums();
    Object.assign(w.agent.env, { OGENT_SCHEDULE_HISTORY_DAYS: '30', OGENT_DELIVERY_DAYS: '30', OGENT_BATCH_DAYS: '30', OGENT_USAGE_DAYS: '90' });
    await w.agent.start();
    await until(async () => (await count('usage_days', "model = 'm-kept' and shard < 0")) > 0 && (await count('batch_rows')) === 1);
    assert.deepEqual([await count('schedule_firings', `id in ('${f2}', '${f3}')`), await count('schedule_firings', `id = '${f1}'`)], [2, 0]);
    assert.deepEqual([await count('webhook_deliveries', `id = '${d1}'`), await count('webhook_tries', `delivery_id = '${d1}'`), await count('webhook_deliveries', `id = '${d2}'`)], [0, 0, 1]);
    assert.deepEqual([await count('batches', `id = '${b1}'`), await count('batches', `id = '${b2}'`)], [0, 1]);
    await until(async () => (await count('usage_days', `model = 'm-kept' and shard >= 0`)) === 1);
    assert.equal(await sums(), before);
    const after = await preview();
    for (const kind of ['schedule_firings', 'webhook_deliveries', 'batches', 'usage_days']) assert.equal(after[kind].count, 0, kind);
    assert.equal(after.usage_days.days, 90);
  });
});
