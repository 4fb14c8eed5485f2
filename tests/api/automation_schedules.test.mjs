// Schedules: their times against another implementation, firings, policies, what stops them, and a service that is killed.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cron } from 'croner';
import { AgentWorld } from '../lib/agent_client.mjs';
import { agentDatabase, agentSql } from '../lib/databases.mjs';
import { startRole } from '../lib/platform.mjs';
import { ScriptModel } from '../lib/script_model.mjs';

const MINUTE = 60e6;

describe('schedules', { timeout: 300000 }, () => {
  let w, model, agent, held = [];
  before(async () => {
    model = await new ScriptModel().open();
    const play = model.answer;
    // A message with the word "hold" is answered once the test lets it be.
    model.answer = (req, res, body) =>
      JSON.stringify(body.messages).includes('hold') ? held.push(() => play(req, res, body)) : play(req, res, body);
    w = await AgentWorld.start({
      demo: false, env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1' },
    });
    agent = (await w.ok('GET', '/api/agents')).items[0].id;
  });
  after(async () => {
    letGo();
    await w?.stop();
    await model?.close();
  });

  const letGo = () => held.splice(0).forEach((go) => go());
  const make = (body) => w.ok('POST', '/api/schedules', { name: 'A schedule', agent_id: agent, message: 'hello', cron: '0 0 1 1 *', ...body }, 201);
  const firings = async (s) => (await w.ok('GET', `/api/schedules/${s.id}/firings`)).items;
  const get = (s) => w.ok('GET', `/api/schedules/${s.id}`);
  const runNow = (s) => w.ok('POST', `/api/schedules/${s.id}/run`, undefined, 202);
  async function until(what, test, ms = 30000) {
    for (const limit = Date.now() + ms; ; await sleep(50)) {
      const value = await what();
      if (test(value)) return value;
      assert.ok(Date.now() < limit, `it does not come: ${JSON.stringify(value)}`);
    }
  }
  const ended = (s, n = 1) => until(() => firings(s), (all) => all.filter((f) => ['succeeded', 'failed', 'cancelled'].includes(f.status)).length >= n);
  // As if it had been made so many minutes earlier and one: its time is now, and so many were missed.
  const age = (s, minutes) =>
    agentSql(w.data, `update schedules set starts_at = starts_at - ${(minutes + 1) * MINUTE}, next_at = next_at - ${(minutes + 1) * MINUTE} where id = '${s.id}'`);

  test('the times are those of croner over years and zones, clock changes included', async () => {
    const crons = ['* * * * *', '*/15 * * * *', '0 * * * *', '30 2 * * *', '0,30 1-3 * * *', '15 3 * * 0', '0 0 * * *', '59 23 L * *', '0 12 15W * *',
      '0 9 * * mon-fri', '45 1 1,15 * 5', '0 0 * * 5L', '20 2 * * sun#2', '5-59/20 2 * * *', '0 0 29 2 *', '*/30 1,2 * 3,10,11 *', '0 3 LW * *'];
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata', 'America/Sao_Paulo', 'Europe/London', 'Pacific/Auckland'];
    const starts = ['2023-03-25T22:10:00Z', '2024-02-28T12:00:00Z', '2026-10-24T12:34:56Z', '2026-10-31T22:00:00Z', '2026-03-07T20:00:00Z', '2027-04-03T10:00:00Z', '2031-10-04T00:00:00Z'];
    let compared = 0;
    for (const cron of crons)
      for (const timezone of zones)
        for (const from of starts) {
          const { items } = await w.ok('POST', '/api/schedules/preview', { cron, timezone, from, count: 20 });
          const job = new Cron(cron, { timezone, mode: '5-part', fixedTimeRule: 'no-wildcard', paused: true });
          const want = job.nextRuns(20, new Date(from)).map((d) => d.toISOString());
          assert.deepEqual(items.map((i) => new Date(i.at).toISOString()), want, `${cron} in ${timezone} from ${from}`);
          compared += items.length;
        }
    assert.ok(compared > 10000, `only ${compared}`);
  });

  test('what is wrong is told', async () => {
    const wrong = [
      [{ cron: '61 * * * *' }, 'cron_invalid'], [{ cron: '* * * *' }, 'cron_invalid'], [{ timezone: 'Mars/Olympus' }, 'zone_unknown'],
      [{ timezone: '../../etc/passwd' }, 'zone_unknown'], [{ cron: '0 0 30 2 *' }, 'schedule_never'], [{ cron: null, at: '2001-01-01T00:00:00Z' }, 'schedule_never'],
      [{ every_seconds: 5 }, 'invalid_field'], [{ cron: null }, 'invalid_field'], [{ missed: 'maybe' }, 'invalid_field'], [{ ends_at: 'tomorrow' }, 'invalid_field'],
      [{ name: undefined }, 'invalid_field'], [{ agent_id: '019a0000-0000-7000-8000-000000000000' }, 'agent_not_found'],
    ];
    for (const [body, code] of wrong) {
      const r = await w.api('POST', '/api/schedules', { name: 'x', agent_id: agent, message: 'm', cron: '* * * * *', ...body });
      assert.equal(r.body.code, code, JSON.stringify(body));
    }
  });

  test('one at a time begins once, and is over then', async () => {
    const s = await make({ cron: null, at: new Date(Date.now() + 1500).toISOString() });
    const [f] = await ended(s);
    assert.equal(f.status, 'succeeded');
    const e = await w.ok('GET', `/api/executions/${f.execution_id}`);
    assert.equal(e.input, 'hello');
    assert.equal(e.output, 'echo: hello');
    const now = await get(s);
    assert.deepEqual([now.status, now.next_at], ['ended', null]);
    assert.equal((await firings(s)).length, 1);
  });

  test('a kept conversation is the same each time, a new one is new', async () => {
    for (const [conversation, n] of [['keep', 1], ['new', 2]]) {
      const s = await make({ conversation });
      await runNow(s);
      await ended(s, 1);
      await runNow(s);
      const all = await ended(s, 2);
      assert.equal(new Set(all.map((f) => f.conversation_id)).size, n);
    }
  });

  test('changes keep to the version that was read, and pausing stops the clock', async () => {
    const s = await make({ cron: '*/5 * * * *' });
    const old = await w.api('PATCH', `/api/schedules/${s.id}`, { name: 'B' }, w.token, { 'if-match': '"7"' });
    assert.equal(old.status, 412);
    const paused = await w.ok('PATCH', `/api/schedules/${s.id}`, { status: 'paused' });
    assert.deepEqual([paused.status, paused.next_at, paused.version], ['paused', null, 2]);
    const again = await w.ok('PATCH', `/api/schedules/${s.id}`, { status: 'active', every_seconds: 3600 });
    assert.deepEqual([again.status, again.cron, again.every_seconds], ['active', null, 3600]);
    assert.ok(Date.parse(again.next_at) > Date.now());
    await w.ok('DELETE', `/api/schedules/${s.id}`, undefined, 204);
    assert.equal((await w.api('GET', `/api/schedules/${s.id}`)).status, 404);
  });

  // Ten minutes of a schedule of each minute were missed; the eleventh time is now.
  test('what was missed is skipped, made up for once, or made up for one by one', async () => {
    const expected = { skip: [1, 10], once: [1, 10], all: [4, 7] };
    for (const [missed, [runs, left]] of Object.entries(expected)) {
      const s = await make({ every_seconds: 60, cron: null, missed, missed_max: 3 });
      await age(s, 10);
      const all = await until(() => firings(s), (list) => list.filter((f) => f.status === 'succeeded').length >= runs);
      assert.deepEqual(all.filter((f) => f.status === 'missed').map((f) => f.times), [left], `${missed}: ${JSON.stringify(all)}`);
      assert.equal(all.length, runs + 1);
      assert.ok(Date.parse((await get(s)).next_at) > Date.now());
      await w.ok('DELETE', `/api/schedules/${s.id}`, undefined, 204);
    }
  });

  test('while one is on, the next is skipped, waits, or takes its place', async () => {
    for (const overlap of ['skip', 'queue', 'cancel']) {
      const s = await make({ every_seconds: 60, cron: null, message: 'hold', overlap });
      await age(s, 0);
      await until(() => firings(s), (all) => all[0]?.status === 'started' && held.length === 1);
      await agentSql(w.data, `update schedules set next_at = ${Date.now() * 1000} where id = '${s.id}'`);
      const statuses = { skip: 'skipped', queue: 'waiting', cancel: 'started' };
      const all = await until(() => firings(s), (list) => list.length === 2 && list[0].status === statuses[overlap]);
      if (overlap === 'skip') assert.equal(all[0].reason, 'overlap');
      if (overlap === 'cancel') assert.equal(all[1].status, 'cancelled');
      if (overlap === 'queue') {
        letGo();
        await until(() => firings(s), (list) => list[0].status === 'started' && list[1].status === 'succeeded');
      }
      await until(() => (letGo(), firings(s)), (list) => list.every((f) => !['started', 'waiting'].includes(f.status)));
      await w.ok('DELETE', `/api/schedules/${s.id}`, undefined, 204);
    }
  });

  test('after so many failures in a row it stops and says so', async () => {
    const s = await make({ message: 'tell me', max_failures: 2 });
    const play = model.answer;
    model.answer = (req, res) => { res.statusCode = 400; res.end('{"error":{"message":"no","code":"bad"}}'); };
    for (let n = 1; n <= 2; n++) {
      await runNow(s);
      await ended(s, n);
    }
    model.answer = play;
    const now = await until(() => get(s), (x) => x.status === 'stopped');
    assert.deepEqual([now.reason, now.failures], ['failures', 2]);
    assert.equal((await w.ok('PATCH', `/api/schedules/${s.id}`, { status: 'active' })).failures, 0);
  });

  test('it acts for its owner: who is disabled or has lost the right begins nothing', async () => {
    const admin = await w.auth.setUp();
    const person = { name: 'Bo', email: 'bo@example.org', password: 'correct horse battery staple' };
    const user = await w.auth.api('POST', '/api/users', { ...person, roles: ['member'] }, admin.access_token);
    assert.equal(user.status, 201, user.text);
    const { access_token } = await w.auth.login(person);
    const body = { name: 'His', agent_id: agent, message: 'hi', cron: '0 0 1 1 *' };
    const his = (await w.api('POST', '/api/schedules', body, access_token)).body;
    const other = await w.api('POST', '/api/users', { ...person, email: 'cy@example.org', roles: ['member'] }, admin.access_token);
    assert.equal(other.status, 404);
    await w.auth.api('POST', '/api/users', { ...person, email: 'cy@example.org', roles: ['member'] }, admin.access_token);
    const foreign = await w.auth.login({ ...person, email: 'cy@example.org' });
    assert.equal((await w.api('GET', `/api/schedules/${his.id}`, undefined, foreign.access_token)).status, 404);
    assert.equal((await w.api('GET', '/api/schedules', undefined, foreign.access_token)).body.items.length, 0);
    await runNow(his);
    assert.equal((await ended(his))[0].status, 'succeeded');
    const cases = [
      [{ roles: ['viewer'] }, 'right_lost'], [{ roles: ['member'] }, null], [{ disabled: true }, 'user_disabled'],
    ];
    for (const [change, reason] of cases) {
      const r = await w.auth.api('PATCH', `/api/users/${user.body.id}`, change, admin.access_token);
      assert.equal(r.status, 200, r.text);
      await w.ok('PATCH', `/api/schedules/${his.id}`, { status: 'active' });
      const { id } = await runNow(his);
      const fired = await until(() => firings(his), (all) => !['waiting', 'started'].includes(all.find((f) => f.id === id).status));
      assert.deepEqual([fired[0].status, fired[0].reason], reason ? ['refused', reason] : ['succeeded', null]);
      assert.deepEqual([(await get(his)).status, (await get(his)).reason], reason ? ['stopped', reason] : ['active', null]);
    }
  });

  test('killed at any moment, by any of several services: each time begins one run', async () => {
    const all = [];
    for (let i = 0; i < 4; i++) all.push(await make({ cron: null, every_seconds: 1, overlap: 'queue', message: `kill ${i}` }));
    const shared = process.env.OGENT_TEST_AGENT_DB === 'postgres';
    const url = shared && (await agentDatabase(w.data));
    const second = shared && (await startRole('agent', { ...w.options, env: { ...w.options.env, OGENT_AGENT_DB_URL: url, OGENT_AGENT_LISTEN: `unix:${w.data}/run/agent2.sock` }, where: { socketPath: `${w.data}/run/agent2.sock` } }));
    for (let i = 0; i < 6; i++) {
      await sleep(300 + 200 * i);
      await w.agent.kill();
      await w.agent.start();
    }
    for (const s of all) await w.ok('PATCH', `/api/schedules/${s.id}`, { status: 'paused' });
    for (const s of all) {
      const list = await until(() => firings(s), (f) => f.every((x) => !['waiting', 'started'].includes(x.status)));
      const begun = list.filter((f) => f.execution_id);
      assert.ok(begun.length >= 3, `${begun.length} runs`);
      assert.equal(new Set(list.map((f) => f.planned_at)).size, list.length);
      assert.ok(begun.every((f) => f.status === 'succeeded'), JSON.stringify(begun.map((f) => f.status)));
      const runs = (await w.ok('GET', `/api/executions?q=${encodeURIComponent(s.message)}&limit=200`)).items;
      assert.deepEqual(runs.map((e) => e.id).sort(), begun.map((f) => f.execution_id).sort());
    }
    if (second) await second.stop();
  });
});
