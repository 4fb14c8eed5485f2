// Agents as people manage them: templates, what changed between versions, variables, one file out and in, sharing.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ScriptModel, say } from '../lib/script_model.mjs';

const PASSWORD = 'correct horse battery staple';

describe('managing agents', { timeout: 300000 }, () => {
  let w, model, admin;
  const tokens = {}, ids = {};
  before(async () => {
    model = await new ScriptModel().open();
    w = await AgentWorld.start({ exec: 'real', demo: false, env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1' } });
    admin = w.token = (await w.auth.setUp()).access_token;
    const writers = await w.auth.api('POST', '/api/roles', { name: 'writers', permissions: ['agents.read', 'agents.write', 'conversations.use', 'executions.read', 'models.read'] }, admin);
    assert.equal(writers.status, 201, writers.text);
    for (const [name, roles] of [['ann', ['member']], ['ben', ['member']], ['wendy', ['writers']]]) {
      const email = `${name}@example.org`;
      const r = await w.auth.api('POST', '/api/users', { name, email, password: PASSWORD, roles }, admin);
      assert.equal(r.status, 201, r.text);
      ids[name] = r.body.id;
      tokens[name] = (await w.auth.login({ email, password: PASSWORD })).access_token;
    }
  });
  after(async () => {
    await w?.stop();
    await model?.close();
  });
  const as = (who, method, path, body, headers) => w.api(method, path, body, tokens[who] ?? admin, headers);
  const good = async (status, promise) => {
    const r = await promise;
    assert.equal(r.status, status, r.text);
    return r.body;
  };

  // ---- Templates ----

  test('each template makes an agent that can be talked to', async () => {
    const { items } = await good(200, as('ann', 'GET', '/api/agents/templates'));
    assert.deepEqual(items.map((t) => t.id), ['operations-helper', 'coder', 'data-analyst', 'summariser', 'classifier', 'extractor', 'translator', 'document-answers']);
    for (const t of items) {
      assert.ok(t.instructions.length > 300, `${t.id} has good instructions`);
      const a = await good(201, as('ann', 'POST', '/api/agents', { template: t.id }));
      for (const key of ['name', 'description', 'instructions', 'tools', 'approval', 'limits']) assert.deepEqual(a[key], t[key], `${t.id}: ${key}`);
      assert.deepEqual(a.variables, t.variables ?? []);
      const c = await good(201, as('ann', 'POST', '/api/conversations', { agent_id: a.id }));
      assert.equal(c.agent_id, a.id);
    }
  });

  test('what is said besides the template wins, and an unknown template is told', async () => {
    const a = await good(201, as('ann', 'POST', '/api/agents', { template: 'translator', name: 'French', limits: { max_steps: 5 } }));
    assert.equal(a.name, 'French');
    assert.deepEqual(a.limits, { max_steps: 5, max_seconds: 600, max_output_tokens: 4096 });
    assert.match(a.instructions, /You translate/);
    assert.equal((await good(422, as('ann', 'POST', '/api/agents', { template: 'nothing' }))).code, 'template_not_found');
    assert.equal((await as('ann', 'POST', '/api/agents', { template: 7 })).status, 422);
  });

  // ---- Versions ----

  test('two versions are compared field by field, and their instructions line by line', async () => {
    const a = await good(201, as('ann', 'POST', '/api/agents', { name: 'Vera', instructions: 'One.\nTwo.\nThree.', tools: ['shell'] }));
    const patch = (body) => good(200, as('ann', 'PATCH', `/api/agents/${a.id}`, body, { 'if-match': '*' }));
    await patch({ instructions: 'One.\n2.\nThree.', limits: { max_steps: 7 }, approval: { tools: { shell: 'always' } } });
    await patch({ name: 'Vera II', tools: [] });
    const d = await good(200, as('ann', 'GET', `/api/agents/${a.id}/versions/2/diff`));
    assert.deepEqual([d.from, d.to, d.agent_id], [1, 2, a.id]);
    assert.deepEqual(Object.fromEntries(d.fields.map((f) => [f.name, [f.from, f.to]])), {
      instructions: ['One.\nTwo.\nThree.', 'One.\n2.\nThree.'], 'approval.tools.shell': [null, 'always'], 'limits.max_steps': [25, 7],
    });
    assert.equal(d.instructions_diff, '@@ -1,3 +1,3 @@\n One.\n-Two.\n+2.\n Three.\n\\ No newline at end of file\n');
    const whole = await good(200, as('ann', 'GET', `/api/agents/${a.id}/versions/1/diff?from=3`));
    assert.deepEqual(whole.fields.map((f) => f.name).sort(), ['approval.tools.shell', 'instructions', 'limits.max_steps', 'name', 'tools']);
    const same = await good(200, as('ann', 'GET', `/api/agents/${a.id}/versions/3/diff?from=2`));
    assert.equal(same.instructions_diff, null);
    for (const path of ['9/diff', 'x/diff', '1/diff?from=9']) assert.equal((await as('ann', 'GET', `/api/agents/${a.id}/versions/${path}`)).status, 404, path);
    assert.equal((await as('ann', 'GET', `/api/agents/${a.id}/versions/1/diff?from=x`)).status, 400);
  });

  // ---- Variables ----

  test('instructions get the values of their variables', async () => {
    const instructions = 'You speak with {{user.name}} on {{date}} about {{topic}} in {{city}}. \\{{city}} stays.';
    const a = await good(201, as('ann', 'POST', '/api/agents', { name: 'Var', instructions, variables: [{ name: 'topic', description: 'What about' }, { name: 'city', default: 'Bonn' }] }));
    assert.equal((await good(422, as('ann', 'POST', '/api/conversations', { agent_id: a.id }))).code, 'variable_missing');
    const other = await good(422, as('ann', 'POST', '/api/conversations', { agent_id: a.id, variables: { topic: 'tea', colour: 'red' } }));
    assert.equal(other.code, 'unknown_variable');
    const c = await good(201, as('ann', 'POST', '/api/conversations', { agent_id: a.id, variables: { topic: 'tea' } }));
    assert.deepEqual(c.variables, { topic: 'tea' });
    w.token = tokens.ann;
    const word = model.script(say('hi'));
    const told = async () => {
      assert.equal((await w.run(`hello ${word}`, { conversation: c })).status, 'succeeded');
      return model.seen.get(word).at(-1).messages[0].content;
    };
    const today = new Date().toISOString().slice(0, 10);
    assert.equal(await told(), `You speak with ann on ${today} about tea in Bonn. {{city}} stays.`);
    const changed = await good(200, as('ann', 'PATCH', `/api/conversations/${c.id}`, { variables: { topic: 'coffee', city: '{{user.id}}' } }));
    assert.deepEqual(changed.variables, { topic: 'coffee', city: '{{user.id}}' });
    assert.equal(await told(), `You speak with ann on ${today} about coffee in {{user.id}}. {{city}} stays.`);
    // The agent asks for more than the conversation has.
    await good(200, as('ann', 'PATCH', `/api/agents/${a.id}`, { variables: [{ name: 'topic' }, { name: 'city' }, { name: 'year' }], instructions: '{{topic}} {{city}} {{year}}' }, { 'if-match': '*' }));
    const e = await w.run('hello', { conversation: c });
    assert.deepEqual([e.status, e.error.code], ['failed', 'variable_missing']);
    assert.match(e.error.message, /"year"/);
    w.token = admin;
  });

  test('a name that nobody knows is refused when it is saved', async () => {
    const r = await good(422, as('ann', 'POST', '/api/agents', { name: 'Bad', instructions: 'Hello {{user.nam}}.' }));
    assert.equal(r.code, 'unknown_variable');
    assert.match(r.detail, /\{\{user\.nam\}\}.*user\.name/);
    const a = await good(201, as('ann', 'POST', '/api/agents', { name: 'Good', instructions: 'A {{x}}.', variables: [{ name: 'x' }] }));
    const patch = (body) => as('ann', 'PATCH', `/api/agents/${a.id}`, body, { 'if-match': '*' });
    assert.equal((await good(422, patch({ variables: [] }))).code, 'unknown_variable');
    await good(200, patch({ variables: [], instructions: 'A.' }));
    for (const variables of [[{}], [{ name: 'date' }], [{ name: 'A' }], [{ name: 'a' }, { name: 'a' }], ['x']]) assert.equal((await patch({ variables })).status, 422, JSON.stringify(variables));
  });

  // ---- One file ----

  test('an agent goes out and in as one file, without a secret', async () => {
    const a = await good(201, as('ann', 'POST', '/api/agents', { template: 'coder', name: 'Mover', policy: 'guarded', budget: { run_tokens: 5000 } }));
    const r = await as('ann', 'GET', `/api/agents/${a.id}/export`);
    assert.equal(r.status, 200, r.text);
    assert.match(r.headers['content-disposition'], /mover\.ogent\.json/);
    const file = r.body;
    assert.deepEqual([file.format, file.schema_version], ['ogent-agent', 1]);
    assert.deepEqual(file.references.map((ref) => [ref.kind, ref.name]), [['tool', 'shell'], ['tool', 'files'], ['tool', 'ask_human'], ['policy', 'guarded']]);
    assert.match(file.references[0].sha256, /^[0-9a-f]{64}$/);
    for (const key of ['owner_id', 'shares', 'rights', 'id', 'created_at']) assert.ok(!(key in file.agent), key);
    const dry = await good(200, as('ben', 'POST', '/api/agents/import?dry_run=true', file));
    assert.deepEqual([dry.can_import, dry.missing], [true, []]);
    assert.equal((await good(200, as('ben', 'GET', '/api/agents'))).items.length, 1, 'a dry run makes nothing');
    const b = await good(201, as('ben', 'POST', '/api/agents/import?name=Moved', file));
    assert.deepEqual([b.name, b.slug, b.owner_id, b.version], ['Moved', 'moved', ids.ben, 1]);
    for (const key of ['instructions', 'tools', 'limits', 'budget', 'policy', 'approval', 'model']) assert.deepEqual(b[key], a[key], key);
  });

  test('a dry run tells what is missing or different, and an import without it leaves that out', async () => {
    const a = await good(201, as('ann', 'POST', '/api/agents', { template: 'coder', name: 'Lacking' }));
    const file = await good(200, as('ann', 'GET', `/api/agents/${a.id}/export`));
    delete file.sha256;
    Object.assign(file.agent, { tools: ['shell', 'time_machine'], policy: 'house-rules', target: 'far-away' });
    file.references[0].sha256 = '0'.repeat(64);
    const dry = await good(200, as('ann', 'POST', '/api/agents/import?dry_run=true', file));
    assert.equal(dry.can_import, false);
    assert.deepEqual(dry.missing.map((m) => [m.kind, m.name, m.state]), [
      ['tool', 'shell', 'different'], ['tool', 'time_machine', 'missing'], ['policy', 'house-rules', 'missing'], ['target', 'far-away', 'missing'],
    ]);
    const refused = await good(422, as('ann', 'POST', '/api/agents/import', file));
    assert.equal(refused.code, 'references_missing');
    assert.match(refused.detail, /time_machine.*far-away/);
    const made = await good(201, as('ann', 'POST', '/api/agents/import?skip_missing=true', file));
    assert.deepEqual([made.tools, made.policy, made.target], [['shell'], null, 'local']);
  });

  test('a file that is none, damaged or of a newer version is refused', async () => {
    const a = await good(201, as('ann', 'POST', '/api/agents', { name: 'File' }));
    const file = await good(200, as('ann', 'GET', `/api/agents/${a.id}/export`));
    const code = async (change) => (await good(422, as('ann', 'POST', '/api/agents/import', { ...structuredClone(file), ...change }))).code;
    assert.equal(await code({ agent: { ...file.agent, name: 'Changed' } }), 'checksum');
    assert.equal(await code({ format: 'other' }), 'not_an_agent');
    assert.equal(await code({ schema_version: 2 }), 'schema_version');
    assert.equal(await code({ extra: 1 }), 'invalid_field');
    assert.equal(await code({ sha256: undefined, agent: { ...file.agent, api_key: 'x' } }), 'invalid_field');
  });

  // ---- Sharing ----

  test('an agent is its owner\'s until it is shared, and cannot be told from none', async () => {
    const a = await good(201, as('ann', 'POST', '/api/agents', { name: 'Private' }));
    assert.deepEqual([a.shared, a.shares, a.rights], ['private', [], ['use', 'edit', 'share']]);
    const path = `/api/agents/${a.id}`;
    const tries = [
      ['GET', path], ['GET', `${path}/versions`], ['GET', `${path}/versions/1/diff`], ['GET', `${path}/export`], ['DELETE', path], ['POST', `${path}/versions/1/restore`],
      ['PATCH', path, { name: 'x' }, { 'if-match': '*' }], ['PUT', `${path}/shares`, { shares: [] }], ['POST', '/api/conversations', { agent_id: a.id }], ['POST', '/api/conversations', { agent: 'private' }],
    ];
    for (const [method, where, body, headers] of tries) assert.equal((await as('ben', method, where, body, headers)).status, 404, `${method} ${where}`);
    assert.ok(!(await good(200, as('ben', 'GET', '/api/agents'))).items.some((i) => i.id === a.id));
    assert.equal((await as('admin', 'GET', path)).status, 200, 'who may agents.write_any sees it');
  });

  test('rights are given by role: to use, to edit, to share', async () => {
    const a = await good(201, as('ann', 'POST', '/api/agents', { name: 'Team' }));
    const path = `/api/agents/${a.id}`;
    const share = (who, shares) => as(who, 'PUT', `${path}/shares`, { shares });
    const patch = (who) => as(who, 'PATCH', path, { description: who }, { 'if-match': '*' });
    assert.equal((await good(200, share('ann', [{ role: 'writers', rights: ['use'] }]))).shared, 'roles');
    assert.deepEqual((await good(200, as('wendy', 'GET', path))).rights, ['use']);
    assert.equal((await as('ben', 'GET', path)).status, 404, 'another role sees nothing');
    const c = await good(201, as('wendy', 'POST', '/api/conversations', { agent_id: a.id }));
    for (const r of [await patch('wendy'), await share('wendy', [])]) assert.equal(r.status, 403);
    await good(200, share('ann', [{ role: 'writers', rights: ['edit', 'share'] }]));
    assert.deepEqual((await good(200, patch('wendy'))).rights, ['use', 'edit', 'share']);
    assert.equal((await as('wendy', 'DELETE', path)).status, 403, 'only its owner archives it');
    await good(200, share('wendy', [{ role: 'writers', rights: ['edit', 'share'] }, { role: '*', rights: ['use'] }]));
    assert.equal((await good(200, as('ben', 'GET', path))).shared, 'everyone');
    // Nobody gives what he lacks.
    await good(200, share('ann', [{ role: 'writers', rights: ['share'] }]));
    assert.equal((await share('wendy', [{ role: '*', rights: ['edit'] }])).status, 403);
    // Taken back: what was begun stays to be read, and cannot go on.
    await good(200, share('ann', []));
    const late = await as('wendy', 'POST', `/api/conversations/${c.id}/messages`, { content: 'hello' });
    assert.deepEqual([late.status, late.body.code], [403, 'agent_not_shared']);
    assert.equal((await as('wendy', 'GET', `/api/conversations/${c.id}`)).status, 200);
    for (const shares of [[{ role: 'x' }], [{ role: 'x', rights: ['own'] }], [{ role: 'x', rights: ['use'] }, { role: 'x', rights: ['use'] }], 'all'])
      assert.equal((await share('ann', shares)).status, 422, JSON.stringify(shares));
  });

  test('a personal access token sees by the roles of its user', async () => {
    const a = await good(201, as('ann', 'POST', '/api/agents', { name: 'By token' }));
    await good(200, as('ann', 'PUT', `/api/agents/${a.id}/shares`, { shares: [{ role: 'writers', rights: ['use'] }] }));
    const token = await w.auth.api('POST', '/api/tokens', { name: 't', scopes: ['agents.read'] }, tokens.wendy);
    assert.equal(token.status, 201, token.text);
    assert.equal((await w.api('GET', `/api/agents/${a.id}`, undefined, token.body.token)).status, 200);
  });
});
