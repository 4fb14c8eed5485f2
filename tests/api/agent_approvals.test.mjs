// What waits for a person: durable, decided once, bound to what was shown; with the real exec and a scripted model.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { totp } from '../lib/authenticator.mjs';
import { startRole } from '../lib/platform.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';

describe('approvals', { timeout: 300000 }, () => {
  let w, model;
  const users = {};
  before(async () => {
    model = await new ScriptModel().open();
    w = await AgentWorld.start({
      exec: 'real', demo: false,
      env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_APPROVAL_SECONDS: '3600' },
    });
    w.token = (await w.auth.setUp()).access_token;
    for (const [name, roles] of [['mem', ['member']], ['other', ['member']], ['oper', ['operator']]]) {
      const email = `${name}@example.org`, password = 'correct horse battery staple';
      const r = await w.auth.api('POST', '/api/users', { name, email, password, roles }, w.token);
      assert.equal(r.status, 201, r.text);
      users[name] = (await w.auth.login({ email, password })).access_token;
    }
  });
  after(async () => {
    await w?.stop();
    await model?.close();
  });

  let made = 0;
  const agent = (body) => w.ok('POST', '/api/agents', { name: `A${++made}`, tools: ['shell', 'ask_human'], ...body }, 201);
  // Begins a run whose model is answered so; resolves with the execution.
  async function begin(body, ...steps) {
    const a = await agent(body);
    const conversation = await w.conversation({ agent_id: a.id });
    return w.send(`please ${model.script(...steps)}`, { conversation });
  }
  async function waiting(id, n = 1) {
    for (const limit = Date.now() + 30000; ; await sleep(15)) {
      const { items } = await w.ok('GET', `/api/approvals?execution_id=${id}&status=pending`);
      const e = await w.ok('GET', `/api/executions/${id}`);
      if (items.length === n && e.status === 'waiting') return items.reverse();
      assert.ok(Date.now() < limit && e.state !== 'ended', `nothing waits: ${JSON.stringify(e)}`);
    }
  }
  const decide = (approval, body, token = w.token) => w.agent.api('POST', `/api/approvals/${approval.id}`, body, token);
  async function decided(approval, body, token) {
    const r = await decide(approval, body, token);
    assert.equal(r.status, 200, r.text);
    return r.body;
  }
  const toolMessages = async (e) => (await w.ok('GET', `/api/conversations/${e.conversation_id}/messages`)).items.filter((m) => m.role === 'tool');

  test('a call that needs leave waits; approved, it runs once', async () => {
    const sent = await begin({ approval: { default: 'always' } }, call(['shell', { command: 'echo x >> log; wc -l < log' }]), say('done'));
    const [a] = await waiting(sent.id);
    const parked = await w.ok('GET', `/api/executions/${sent.id}`);
    assert.equal(parked.status, 'waiting');
    assert.equal(parked.state, 'approving');
    assert.equal(parked.calls[0].status, 'waiting');
    assert.deepEqual([a.kind, a.tool, a.summary, a.status], ['call', 'shell', 'echo x >> log; wc -l < log', 'pending']);
    assert.deepEqual(a.arguments, { command: 'echo x >> log; wc -l < log' });
    assert.ok(Date.parse(a.expires_at) - Date.parse(a.created_at) === 3600000);
    const clicks = await Promise.all(Array.from({ length: 8 }, () => decide(a, { decision: 'approve', hash: a.hash })));
    for (const r of clicks) assert.equal(r.status, 200, r.text);
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].output.trim(), '1');
    const { items } = await w.events(sent.id);
    assert.deepEqual(items.filter((x) => x.type.startsWith('approval.')).map((x) => x.type), ['approval.requested', 'approval.decided']);
    assert.equal(items.find((x) => x.type === 'approval.requested').data.approval_id, a.id);
    assert.equal(items.find((x) => x.type === 'approval.decided').data.status, 'approved');
    assert.equal((await decide(a, { decision: 'reject' })).body.code, 'approval_decided');
  });

  test('a rejection is told to the model with its words, and nothing is run', async () => {
    const sent = await begin({ approval: { tools: { shell: 'always' } } }, call(['shell', { command: 'touch never' }]), say('as you wish'));
    const [a] = await waiting(sent.id);
    await decided(a, { decision: 'reject', message: 'Use the other file.' });
    const e = await w.ended(sent.id);
    assert.equal(e.calls[0].status, 'rejected');
    const [m] = await toolMessages(e);
    assert.match(m.content, /rejected.*not made.*Use the other file\./);
    assert.equal((await w.exec.api('GET', `/api/commands?workspace=${e.conversation_id}`, undefined, w.token)).body.items.filter((c) => c.workspace === e.conversation_id).length, 0);
  });

  test('changed arguments are what runs, and the model is told', async () => {
    const sent = await begin({ approval: { default: 'always' } }, call(['shell', { command: 'echo wrong' }]), say('ok'));
    const [a] = await waiting(sent.id);
    assert.match((await decide(a, { decision: 'edit', arguments: { cmd: 1 } })).body.detail, /arguments/);
    assert.equal((await decide(a, { decision: 'edit' })).status, 422);
    await decided(a, { decision: 'edit', arguments: { command: 'echo right' } });
    const e = await w.ended(sent.id);
    assert.equal(e.calls[0].output, 'right\n');
    const [m] = await toolMessages(e);
    assert.match(m.content, /A person changed the arguments.*echo right/);
    const started = (await w.events(sent.id)).items.filter((x) => x.type === 'call.started');
    assert.equal(started.at(-1).data.command, 'echo right');
  });

  test('a question waits for its answer, which is the result', async () => {
    const sent = await begin({}, call(['ask_human', { question: 'Which colour?' }]), (body) => say(`It is ${body.messages.at(-1).content}.`));
    const [a] = await waiting(sent.id);
    assert.deepEqual([a.kind, a.summary], ['question', 'Which colour?']);
    assert.match((await decide(a, { decision: 'approve', hash: a.hash })).body.detail, /question/);
    assert.equal((await decide(a, { decision: 'answer' })).status, 422);
    await decided(a, { decision: 'answer', message: 'green' });
    assert.equal((await w.ended(sent.id)).output, 'It is green.');
  });

  test('what exec\'s policy asks about waits; approved, exactly that command runs once', async () => {
    const sent = await begin({ policy: 'guarded' }, call(['shell', { command: "sh -c 'touch made; ls'" }]), say('ok'));
    const [a] = await waiting(sent.id);
    assert.equal(a.kind, 'command');
    assert.ok(a.reason);
    await decided(a, { decision: 'approve', hash: a.hash });
    const e = await w.ended(sent.id);
    assert.equal(e.calls[0].status, 'exited', JSON.stringify(e.calls));
    assert.match(e.calls[0].output, /made/);
    assert.deepEqual((await w.exec.api('GET', '/api/policies/approvals', undefined, w.token)).body.items.filter((x) => x.approved_by), []);
  });

  test('who confirms his approvals needs his second factor for each that is risky, and it is good for no other', async () => {
    const email = 'careful@example.org', password = 'correct horse battery staple';
    assert.equal((await w.auth.api('POST', '/api/users', { name: 'Careful', email, password, roles: ['operator'] }, w.token)).status, 201);
    const token = (await w.auth.login({ email, password })).access_token;
    const begun = (await w.auth.api('POST', '/api/auth/factors/totp', {}, token)).body;
    const on = await w.auth.api('POST', '/api/auth/factors/totp/confirm', { ticket: begun.ticket, code: totp(begun.secret, Date.now() - 30000) }, token);
    assert.equal(on.status, 200, on.text);
    const codes = on.body.recovery_codes;
    const confirm = async (refused) => {
      assert.deepEqual([refused.status, refused.body.code], [403, 'confirmation_required'], refused.text);
      assert.deepEqual(refused.body.methods, ['totp', 'recovery_code']);
      const r = await w.auth.api('POST', '/api/auth/confirmations', { act: refused.body.act, code: codes.pop() }, token);
      assert.equal(r.status, 201, r.text);
      return r.body.confirmation;
    };
    assert.equal((await w.auth.api('PATCH', '/api/auth/factors', { confirm_approvals: true }, token)).status, 204);

    const asks = { approval: { default: 'always' } };
    const sent = await begin(asks, call(['shell', { command: 'echo x >> seen; wc -l < seen' }]), say('done'));
    const [a] = await waiting(sent.id);
    const approve = (row, more = {}) => decide(row, { decision: 'approve', hash: row.hash, ...more }, token);
    const given = await confirm(await approve(a));
    const other = await begin(asks, call(['shell', { command: 'echo other' }]), say('done'));
    const [b] = await waiting(other.id);
    assert.equal((await approve(b, { confirmation: given })).body.code, 'confirmation_required');
    assert.equal((await decide(a, { decision: 'edit', arguments: { command: 'id' }, confirmation: given }, token)).body.code, 'confirmation_required');
    assert.equal((await approve(a, { confirmation: 'made up' })).body.code, 'confirmation_required');
    await decided(a, { decision: 'approve', hash: a.hash, confirmation: given }, token);
    assert.equal((await w.ended(sent.id)).calls[0].output.trim(), '1');
    await decided(b, { decision: 'reject' }, token);
    await w.ended(other.id);

    const ruled = await begin({ policy: 'guarded' }, call(['shell', { command: "sh -c 'touch made; ls'" }]), say('ok'));
    const [c] = await waiting(ruled.id);
    const forExec = await confirm(await approve(c));
    await decided(c, { decision: 'approve', hash: c.hash, confirmation: forExec }, token);
    assert.match((await w.ended(ruled.id)).calls[0].output, /made/);

    const question = await begin({}, call(['ask_human', { question: 'Now?' }]), say('fine'));
    const [d] = await waiting(question.id);
    await decided(d, { decision: 'answer', message: 'yes' }, token);
    await w.ended(question.id);
  });

  test('risky means what the policy guarded asks about: reading runs by itself', async () => {
    const sent = await begin({ approval: { default: 'risky' } }, call(['shell', { command: 'ls' }]), call(['shell', { command: "sh -c 'touch b'" }]), say('ok'));
    const [a] = await waiting(sent.id);
    assert.equal(a.summary, "sh -c 'touch b'");
    assert.equal((await w.ok('GET', `/api/executions/${sent.id}`)).calls[0].status, 'exited');
    await decided(a, { decision: 'reject' });
    assert.equal((await w.ended(sent.id)).status, 'succeeded');
  });

  test('what changed since it was shown is not run: approved B never runs A', async () => {
    const sent = await begin({ policy: 'guarded' }, call(['shell', { command: 'ls' }]), call(['shell', { command: 'sh script.sh' }]), say('ok'));
    const [a] = await waiting(sent.id);
    assert.equal((await decide(a, { decision: 'approve' })).status, 422);
    assert.equal((await decide(a, { decision: 'approve', hash: '0'.repeat(64) })).body.code, 'approval_changed');
    // The file that it names is another one by the time it is approved.
    const put = await w.exec.api('PUT', `/api/workspaces/${sent.conversation_id}/files/script.sh`, 'echo evil > proof', w.token);
    assert.ok(put.status < 300, put.text);
    await decided(a, { decision: 'approve', hash: a.hash });
    const [again] = await waiting(sent.id);
    assert.notEqual(again.id, a.id);
    await decided(again, { decision: 'reject' });
    const e = await w.ended(sent.id);
    assert.equal((await w.exec.api('GET', `/api/workspaces/${sent.conversation_id}/files/proof`, undefined, w.token)).status, 404);
    assert.equal(e.calls[1].status, 'rejected');
  });

  test('calls beside one that waits run; several are decided one by one', async () => {
    const sent = await begin(
      { approval: { default: 'always', tools: { ask_human: 'never' } } },
      call(['shell', { command: 'echo a' }], ['ask_human', { question: 'Why?' }], ['shell', { command: 'echo c' }], ['none', {}]), say('ok'),
    );
    const [a, q, c] = await waiting(sent.id, 3);
    await decided(c, { decision: 'approve', hash: c.hash });
    for (const limit = Date.now() + 20000; (await w.ok('GET', `/api/executions/${sent.id}`)).calls[2].status !== 'exited'; await sleep(15))
      assert.ok(Date.now() < limit);
    await waiting(sent.id, 2);
    await Promise.all([decided(a, { decision: 'reject' }), decided(q, { decision: 'answer', message: 'So.' })]);
    const e = await w.ended(sent.id);
    assert.deepEqual(e.calls.map((x) => x.status), ['rejected', 'done', 'exited', 'error']);
    const messages = await toolMessages(e);
    assert.deepEqual(messages.map((m) => m.tool_call_id), ['call_0_0', 'call_0_1', 'call_0_2', 'call_0_3']);
  });

  test('a cancel ends a parked run, and what waited is no longer to be decided', async () => {
    const sent = await begin({ approval: { default: 'always' } }, call(['shell', { command: 'echo a' }]), say('ok'));
    const [a] = await waiting(sent.id);
    assert.equal((await w.api('POST', `/api/executions/${sent.id}/cancel`)).status, 202);
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'cancelled');
    assert.equal((await w.ok('GET', `/api/approvals/${a.id}`)).status, 'cancelled');
    assert.equal((await decide(a, { decision: 'approve', hash: a.hash })).body.code, 'approval_decided');
  });

  test('members decide on their own runs, operators on all, others on none', async () => {
    const a = await w.agent.api('POST', '/api/agents', { name: 'Mine', tools: ['ask_human'] }, users.mem);
    const c = await w.agent.api('POST', '/api/conversations', { agent_id: a.body.id }, users.mem);
    const ask = async () => {
      const r = await w.agent.api('POST', `/api/conversations/${c.body.id}/messages`, { content: model.script(call(['ask_human', { question: 'Q?' }])) }, users.mem);
      assert.equal(r.status, 202, r.text);
      return (await waiting(r.body.id))[0];
    };
    const q = await ask();
    assert.equal((await decide(q, { decision: 'answer', message: 'no' }, users.other)).status, 404);
    assert.deepEqual((await w.agent.api('GET', '/api/approvals', undefined, users.other)).body.items, []);
    assert.equal((await w.agent.api('GET', '/api/approvals?status=pending', undefined, users.mem)).body.items.length, 1);
    assert.equal((await decide(q, { decision: 'answer', message: 'mine' }, users.mem)).body.decided_by, q.user_id);
    assert.equal((await decide({ id: randomUUID() }, { decision: 'reject' })).status, 404);
    const next = await waiting(q.execution_id);
    await decided(next[0], { decision: 'reject' }, users.oper);
    await w.api('POST', `/api/executions/${q.execution_id}/cancel`, undefined, users.mem);
    await w.ended(q.execution_id);
  });

  test('a member cannot approve past exec: its word needs commands.approve', async () => {
    const a = await w.agent.api('POST', '/api/agents', { name: 'Guarded', tools: ['shell'], policy: 'guarded' }, users.mem);
    const c = await w.agent.api('POST', '/api/conversations', { agent_id: a.body.id }, users.mem);
    const r = await w.agent.api('POST', `/api/conversations/${c.body.id}/messages`, { content: model.script(call(['shell', { command: "sh -c 'touch a'" }]), say('ok')) }, users.mem);
    const [q] = await waiting(r.body.id);
    const refused = await decide(q, { decision: 'approve', hash: q.hash }, users.mem);
    assert.equal(refused.status, 403);
    assert.match(refused.body.detail, /commands\.approve/);
    await decided(q, { decision: 'approve', hash: q.hash }, users.oper);
    assert.equal((await w.ended(r.body.id)).calls[0].status, 'exited');
  });

  test('what nobody decides expires, and the model is told', async () => {
    await w.agent.stop();
    w.agent = await startRole('agent', { data: w.data, env: { ...w.options.env, OGENT_APPROVAL_SECONDS: '1' } });
    const sent = await begin({}, call(['ask_human', { question: 'Anybody?' }]), say('alone'));
    const e = await w.ended(sent.id, 30000);
    assert.equal(e.status, 'succeeded');
    assert.match((await toolMessages(e))[0].content, /Nobody answered in time/);
    const { items } = await w.ok('GET', `/api/approvals?execution_id=${sent.id}`);
    assert.equal(items[0].status, 'expired');
    assert.equal((await decide(items[0], { decision: 'answer', message: 'late' })).body.code, 'approval_decided');
  });

  test('what is wrong with the modes of an agent is told', async () => {
    for (const approval of [{ default: 'often' }, { tools: { rm: 'always' } }, { tools: { shell: 1 } }, { mode: 'never' }])
      assert.equal((await w.api('POST', '/api/agents', { name: 'X', approval })).status, 422);
  });
});
