// What runs spend and may spend: accounted by day, checked before each call, paused and resumed, across a kill.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';

const PER_CALL = 1003; // what the scripted model counts

describe('budgets and usage', { timeout: 300000 }, () => {
  let w, model, me, made = 0;
  before(async () => {
    model = await new ScriptModel().open();
    model.usage = { prompt_tokens: 1000, completion_tokens: 3 };
    w = await AgentWorld.start({
      demo: false, exec: (path) => new ExecPeer(path).open(),
      env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_RUN_MAX_STEPS: '200' },
    });
    me = (await w.auth.api('GET', '/api/auth/me', undefined, w.token)).body.id;
  });
  after(async () => {
    await w?.stop();
    await model?.close();
  });

  const steps = (n) => [...Array.from({ length: n }, (_, i) => call(['shell', { command: `echo ${i}` }])), say('done')];
  async function begin(budget, n) {
    const a = await w.ok('POST', '/api/agents', { name: `B${++made}`, tools: ['shell'], budget, limits: { max_steps: 100 } }, 201);
    const word = model.script(...steps(n));
    return { agent: a, word, sent: await w.send(word, { conversation: await w.conversation({ agent_id: a.id }) }) };
  }
  async function until(id, status) {
    for (const limit = Date.now() + 30000; ; await sleep(15)) {
      const e = await w.ok('GET', `/api/executions/${id}`);
      if (e.status === status) return e;
      assert.ok(Date.now() < limit && (e.state !== 'ended'), `${id} does not become ${status}: ${JSON.stringify(e)}`);
    }
  }
  const budgetEvents = async (id) => (await w.events(id)).items.filter((e) => e.type.startsWith('budget.'));

  test('what is spent is added up by day, user, agent and model', async () => {
    const { agent, sent } = await begin({}, 2);
    assert.equal((await w.ended(sent.id)).status, 'succeeded');
    const of = async (group) => (await w.ok('GET', `/api/usage?group=${group}&agent_id=${agent.id}`)).items;
    const whole = { calls: 3, input_tokens: 3000, output_tokens: 9, cached_tokens: 0, cost_usd: 0, estimated: false };
    assert.deepEqual(await of('day'), [{ day: new Date().toISOString().slice(0, 10), ...whole }]);
    assert.deepEqual(await of('user'), [{ user: me, ...whole }]);
    assert.deepEqual(await of('agent'), [{ agent: agent.id, agent_name: agent.name, ...whole }]);
    assert.deepEqual(await of('model'), [{ model: 'peer-1', ...whole }]);
    assert.deepEqual((await w.ok('GET', '/api/usage?from=2020-01-01&to=2020-01-31')).items, []);
    for (const q of ['group=mood', 'from=today', 'from=2020-01-01']) assert.equal((await w.api('GET', `/api/usage?${q}`)).status, 400);
    await w.api('DELETE', `/api/conversations/${sent.conversation_id}`);
    assert.equal((await of('day'))[0].calls, 3, 'usage outlives its conversation');
  });

  test('a run warns at 80 and 95 %, pauses before the call that would be too much, outlives a kill, and goes on when told', async () => {
    const { sent, word } = await begin({ run_tokens: 20 * PER_CALL }, 60);
    const e = await until(sent.id, 'paused');
    assert.equal(e.state, 'paused');
    assert.ok(e.usage.input_tokens + e.usage.output_tokens <= 20 * PER_CALL);
    const events = await budgetEvents(sent.id);
    assert.equal(events.at(-1).type, 'budget.paused');
    assert.deepEqual({ ...events.at(-1).data, used: 0 }, { scope: 'run', unit: 'tokens', limit: 20 * PER_CALL, used: 0, until: null });
    assert.deepEqual(events.filter((x) => x.type === 'budget.warning').map((x) => x.data.percent), [80, 95]);
    const requests = model.seen.get(word);
    assert.ok(requests.at(-1).max_tokens < requests[0].max_tokens, 'the answer is limited to what is left');
    assert.equal((await w.api('POST', `/api/conversations/${sent.conversation_id}/messages`, { content: 'x' })).body.code, 'run_active');
    await w.agent.kill();
    await w.agent.start();
    assert.equal((await w.ok('GET', `/api/executions/${sent.id}`)).status, 'paused');
    const n = requests.length;
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/resume`)).status, 202);
    for (const limit = Date.now() + 30000; requests.length === n; await sleep(15)) assert.ok(Date.now() < limit);
    await until(sent.id, 'paused');
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/cancel`)).status, 202);
    assert.equal((await w.ended(sent.id)).status, 'cancelled');
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/resume`)).body.code, 'not_paused');
  });

  test('a run that fits into its budget is not disturbed', async () => {
    const { sent } = await begin({ run_tokens: 100000, run_cost_usd: 5, day_tokens: 1e6, day_cost_usd: 5 }, 3);
    assert.equal((await w.ended(sent.id)).status, 'succeeded');
    assert.deepEqual(await budgetEvents(sent.id), []);
  });

  test('an agent has a budget for the day, over all its runs', async () => {
    const { agent, sent } = await begin({ day_tokens: 6 * PER_CALL }, 1);
    await w.ended(sent.id);
    const word = model.script(...steps(10));
    const next = await w.send(word, { conversation: await w.conversation({ agent_id: agent.id }) });
    await until(next.id, 'paused');
    const { data } = (await budgetEvents(next.id)).at(-1);
    assert.equal(data.scope, 'agent_day');
    assert.match(data.until, /T00:00:00/);
    assert.equal((await w.api('PATCH', `/api/agents/${agent.id}`, { budget: { day_tokens: -1 } }, w.token, { 'if-match': '*' })).status, 422);
    await w.api('POST', `/api/executions/${next.id}/cancel`);
    await w.ended(next.id);
  });

  test('a user has a budget for the day; a greater one lets the run go on', async () => {
    const path = `/api/usage/budgets/${me}`;
    const used = (await w.ok('GET', path)).used_tokens;
    assert.ok(used > 0);
    assert.equal((await w.ok('PUT', path, { day_tokens: used + 3 * PER_CALL })).day_tokens, used + 3 * PER_CALL);
    const { sent } = await begin({}, 6);
    await until(sent.id, 'paused');
    assert.equal((await budgetEvents(sent.id)).at(-1).data.scope, 'user_day');
    await w.ok('PUT', path, { day_tokens: used + 100 * PER_CALL });
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/resume`)).status, 202);
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal((await w.ok('PUT', path, {})).day_tokens, null);
    assert.equal((await w.api('PUT', path, { day_tokens: 'x' })).status, 422);
  });
});
