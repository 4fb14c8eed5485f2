// All that is a person's: what of it goes with him, and what he takes along.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { agentDatabase, agentSql, authSql } from '../lib/databases.mjs';

const PASSWORD = 'a password that nobody has';

describe("a person's data", { timeout: 280000 }, () => {
  let w, n = 0;
  before(async () => {
    w = await AgentWorld.start({ exec: 'real' });
    w.token = (await w.auth.setUp()).access_token;
  });
  after(() => w?.stop());

  const until = async (what, test) => {
    for (const limit = Date.now() + 60000; ; await sleep(50)) {
      const value = await test();
      if (value) return value;
      assert.ok(Date.now() < limit, `${what}\n${w.agent.log.slice(-2000)}`);
    }
  };
  async function person(name) {
    const email = `${name.toLowerCase()}${++n}@example.org`;
    const made = await w.auth.api('POST', '/api/users', { name, email, password: PASSWORD, roles: ['admin'] }, w.token);
    assert.equal(made.status, 201, made.text);
    const session = await w.auth.login({ email, password: PASSWORD });
    const p = { id: made.body.id, email, name, token: session.access_token };
    p.api = (method, path, body, headers) => w.api(method, path, body, p.token, headers);
    p.ok = async (method, path, body, status = 200, headers = {}) => {
      const r = await p.api(method, path, body, headers);
      assert.equal(r.status, status, `${method} ${path}: ${r.text}`);
      return r.body;
    };
    p.run = async (content, agent_id, attachments) => {
      const c = await p.ok('POST', '/api/conversations', { agent_id }, 201);
      const files = [];
      for (const [name, bytes] of attachments ?? [])
        files.push((await p.ok('POST', `/api/conversations/${c.id}/attachments?name=${name}`, bytes, 201, { 'content-type': 'application/octet-stream' })).id);
      const e = await p.ok('POST', `/api/conversations/${c.id}/messages`, { content, attachments: files }, 202);
      return until('a run ends', async () => {
        const now = await p.ok('GET', `/api/executions/${e.id}`);
        return now.state === 'ended' && now;
      });
    };
    return p;
  }
  // Something of every kind.
  async function full(name) {
    const p = await person(name);
    const own = await p.ok('POST', '/api/agents', { name: `Own of ${name}`, tools: ['shell'] }, 201);
    const shared = await p.ok('POST', '/api/agents', { name: `Shared of ${name}`, tools: ['shell'] }, 201);
    await p.ok('PUT', `/api/agents/${shared.id}/shares`, { shares: [{ role: '*', rights: ['use'] }] }, 200, { 'if-match': '*' }).catch(async () => p.ok('PUT', `/api/agents/${shared.id}/shares`, { shares: [{ role: '*', rights: ['use'] }] }));
    const e = await p.run(`run: echo secret of ${name} > file; cat file`, own.id, [['note.txt', Buffer.from(`attached by ${name}`)]]);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    await p.ok('PUT', '/api/memory', { scope: 'user', name: 'likes', value: `tea, says ${name}` }, 201);
    const collection = await p.ok('POST', '/api/knowledge/collections', { name: `Papers of ${name}` }, 201);
    const document = await p.api('POST', `/api/knowledge/collections/${collection.id}/documents?name=paper.txt`, Buffer.from(`A paper by ${name}.`), { 'content-type': 'text/plain' });
    assert.ok(document.status < 300, document.text);
    const schedule = await p.ok('POST', '/api/schedules', { name: 'S', agent_id: own.id, message: 'hello', cron: '0 9 1 1 *', timezone: 'UTC' }, 201);
    const hook = await p.ok('POST', '/api/webhooks', { name: 'H', url: 'https://example.org/', events: ['execution.paused'] }, 201);
    const trigger = await p.ok('POST', '/api/webhooks/triggers', { name: 'T', agent_id: own.id, message: '{{body}}' }, 201);
    const batch = await p.ok('POST', '/api/batches', { name: 'B', agent_id: own.id, message: 'hello {{a}}', data: 'a\n1\n', format: 'csv' }, 201);
    const set = await p.ok('POST', '/api/evaluations', { name: `Set of ${name}` }, 201);
    const provider = await p.ok('POST', '/api/models/providers', { provider: 'openai', name: 'P', slug: `p${n}`, key: `sk-very-secret-of-${name}`, shared: false }, 201);
    await until('the batch ends', async () => (await p.ok('GET', `/api/batches/${batch.id}`)).ended_at);
    return { ...p, own, shared, e, collection, schedule, hook: hook.webhook ?? hook, trigger: trigger.trigger ?? trigger, batch, provider, set };
  }

  // Where agent's database has this id, whatever the column.
  async function whereIs(id) {
    const server = await agentDatabase(w.data);
    const columns = server
      ? (await agentSql(w.data, "select table_name || '.' || column_name from information_schema.columns where table_schema = 'public' and data_type in ('character varying', 'text')")).split('\n')
      : (await agentSql(w.data, "select m.name || '.' || p.name from sqlite_master m join pragma_table_info(m.name) p where m.type = 'table' and m.sql not like '%virtual%' and m.name not like '%\\_words%' escape '\\'")).split('\n');
    const found = [];
    const sql = columns.map((c) => c.split('.')).map(([t, c]) => `select '${t}.${c}' from ${t} where ${c} = '${id}'`);
    for (let i = 0; i < sql.length; i += 60) found.push(...(await agentSql(w.data, sql.slice(i, i + 60).join(' union '))).split('\n').filter(Boolean));
    return found.filter((c) => !c.startsWith('account_jobs.') && c !== 'usage_days.agent_id');
  }
  const erasures = async (id) => (await w.ok('GET', `/api/account/erasures?user_id=${id}`)).items;
  const erased = (id) => until('he is erased', async () => (await erasures(id))[0]?.status === 'succeeded' && (await erasures(id))[0]);
  async function isGone(p) {
    for (const id of [p.id, p.own.id, p.e.id, p.e.conversation_id, p.collection.id, p.schedule.id, p.hook.id, p.trigger.id, p.batch.id, p.provider.id, p.set.id]) assert.deepEqual(await whereIs(id), [], id);
    const exec = join(w.data, 'exec');
    for (const folder of ['workspaces', 'owners', 'snapshots']) assert.equal(existsSync(join(exec, folder, p.e.conversation_id)), false, folder);
    const texts = execFileSync('sh', ['-c', `grep -rl -e "secret of ${p.name}" -e ${p.id} ${exec} || true`]).toString();
    assert.equal(texts, '');
    assert.deepEqual(readdirSync(join(exec, 'users')).filter((f) => f.includes(p.id)), []);
  }

  const unpack = (bytes) => {
    const dir = mkdtempSync(join(tmpdir(), 'ogent-export-'));
    try {
      writeFileSync(join(dir, 'a.tar.gz'), bytes);
      const names = execFileSync('tar', ['-tzf', 'a.tar.gz'], { cwd: dir }).toString().trim().split('\n');
      execFileSync('tar', ['-xzf', 'a.tar.gz'], { cwd: dir });
      const text = Object.fromEntries(names.map((n) => [n, readFileSync(join(dir, n), 'utf8')]));
      return { names, text, lines: (kind) => text[`${kind}.jsonl`].trim().split('\n').filter(Boolean).map((l) => JSON.parse(l)) };
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };
  const binary = (path, token) =>
    new Promise((done, fail) => {
      http.get({ ...w.agent.where(), path, headers: { authorization: `Bearer ${token}` } }, (res) => {
        const parts = [];
        res.on('data', (d) => parts.push(d));
        res.on('end', () => done({ status: res.statusCode, headers: res.headers, bytes: Buffer.concat(parts) }));
        res.on('error', fail);
      }).on('error', fail);
    });

  test('a person takes along all that is his and nothing else, without secrets, and a killed process makes it anew', async () => {
    const p = await full('Taker'), other = await full('Other');
    const made = await p.ok('POST', '/api/account/exports', undefined, 202);
    assert.equal((await p.api('POST', '/api/account/exports')).status, 409);
    await w.agent.kill('SIGKILL');
    await w.agent.start();
    const path = `/api/account/exports/${made.id}`;
    const job = await until('the file is made', async () => {
      const e = await p.ok('GET', path);
      return e.ended_at && e;
    });
    assert.deepEqual([job.status, job.error], ['succeeded', null]);
    const got = await binary(`${path}/content`, p.token);
    assert.deepEqual([got.status, got.headers['content-type'], got.bytes.length, Number(got.headers['content-length'])], [200, 'application/gzip', job.size, job.size]);
    const file = unpack(got.bytes);
    const ids = (kind, key = 'id') => file.lines(kind).map((l) => l[key]);
    assert.ok(ids('conversations').includes(p.e.conversation_id) && ids('executions').includes(p.e.id));
    assert.deepEqual(ids('agents').sort(), [p.own.id, p.shared.id].sort());
    assert.deepEqual([ids('schedules'), ids('webhooks'), ids('triggers'), ids('batches'), ids('model_providers'), ids('knowledge_collections')], [[p.schedule.id], [p.hook.id], [p.trigger.id], [p.batch.id], [p.provider.id], [p.collection.id]]);
    assert.ok(file.lines('messages').some((m) => m.role === 'tool' && m.content.includes('secret of Taker') && m.result.exit_code === 0));
    // The events of a run are those that the run itself shows.
    const { items: shown } = await p.ok('GET', `/api/executions/${p.e.id}/events`);
    assert.deepEqual(file.lines('events').filter((e) => e.execution_id === p.e.id), shown);
    assert.ok(shown.some((e) => e.type === 'call.output') && new Set(ids('events', 'execution_id')).size === ids('executions').length);
    assert.deepEqual(file.lines('memories').map((m) => m.value), ['tea, says Taker']);
    assert.deepEqual(file.lines('batch_rows').map((r) => [r.number, r.status]), [[1, 'succeeded']]);
    assert.ok(file.lines('usage').reduce((sum, u) => sum + u.calls, 0) >= 2);
    const [command] = file.lines('commands');
    assert.equal(command.user_id, p.id);
    assert.match(file.text[`recordings/${command.id}.cast`], /secret of Taker/);
    const named = (folder) => file.names.filter((n) => n.startsWith(folder)).map((n) => file.text[n]);
    assert.deepEqual([named('attachments/'), named('documents/')], [['attached by Taker'], ['A paper by Taker.']]);
    const account = JSON.parse(file.text['account.json']);
    assert.deepEqual([account.id, account.email, account.sessions.length > 0], [p.id, p.email, true]);
    const all = Object.values(file.text).join('\n');
    for (const secret of ['sk-very-secret', 'whsec_', 'argon2', PASSWORD, 'key_sealed', 'secret_sealed', other.id, 'says Other', 'by Other']) assert.ok(!all.includes(secret), secret);
    // For him alone, and not for a token of narrower scope.
    for (const token of [other.token, w.token]) {
      assert.equal((await binary(`${path}/content`, token)).status, 404);
      assert.equal((await w.api('GET', path, undefined, token)).status, 404);
      assert.equal((await w.api('DELETE', path, undefined, token)).status, 404);
    }
    const narrow = await w.auth.api('POST', '/api/tokens', { name: 'x', scopes: ['*'], days: 1 }, p.token);
    if (narrow.status === 201) assert.equal((await w.api('GET', '/api/account/exports', undefined, narrow.body.token)).status, 403);
    // A new one takes its place; one that is too old goes.
    const second = await p.ok('POST', '/api/account/exports', undefined, 202);
    assert.equal((await p.api('GET', path)).status, 404);
    await until('the second is made', async () => (await p.ok('GET', `/api/account/exports/${second.id}`)).ended_at);
    await agentSql(w.data, `update account_jobs set expires_at = 1 where id = '${second.id}'`);
    assert.equal((await binary(`/api/account/exports/${second.id}/content`, p.token)).status, 404);
    await until('the old one is gone', async () => (await p.api('GET', `/api/account/exports/${second.id}`)).status === 404);
    assert.equal(Number(await agentSql(w.data, 'select count(*) from account_job_parts')), 0);
  });

  test('an administrator deletes a user: all that was his goes, what others use goes to the administrator, and a killed process goes on', async () => {
    const p = await full('Gone');
    assert.ok((await whereIs(p.id)).length > 10);
    const other = await person('Stays');
    const theirs = await other.run('hello', p.shared.id);
    // A command of his that runs for itself, in a workspace of its own.
    const command = await w.exec.api('POST', '/api/commands', { argv: ['sleep', '600'], workspace: 'of-his-own' }, p.token);
    assert.equal(command.status, 201, command.text);
    assert.equal((await w.auth.api('DELETE', `/api/users/${p.id}?transfer_to=${p.id}`, undefined, w.token)).status, 422);
    assert.equal((await w.auth.api('DELETE', `/api/users/${p.id}?transfer_to=nobody`, undefined, w.token)).status, 422);
    await w.exec.kill('SIGKILL');
    assert.equal((await w.auth.api('DELETE', `/api/users/${p.id}`, undefined, w.token)).status, 204);
    await until('the job is there', async () => (await erasures(p.id)).length);
    await w.agent.kill('SIGKILL');
    await w.agent.start();
    await until('what agent has is gone', async () => !(await whereIs(p.e.conversation_id)).some((c) => c.startsWith('messages.')));
    assert.notEqual((await erasures(p.id))[0].status, 'succeeded', 'exec was not asked yet');
    await w.agent.kill('SIGKILL');
    await w.exec.start();
    await w.agent.start();
    const job = await erased(p.id);
    const me = (await w.auth.api('GET', '/api/auth/me', undefined, w.token)).body.id;
    assert.equal(job.heir_id, me);
    assert.ok(job.counts.conversations >= 2 && job.counts.schedules === 1 && job.counts.providers === 1 && job.counts.documents === 1, JSON.stringify(job));
    assert.equal((await erasures(p.id)).length, 1);
    await isGone(p);
    const shared = await w.ok('GET', `/api/agents/${p.shared.id}`);
    assert.equal(shared.owner_id, me);
    assert.equal((await other.run('hello', p.shared.id)).status, 'succeeded');
    assert.equal((await other.ok('GET', `/api/executions/${theirs.id}`)).status, 'succeeded');
    // The sums of usage stay, as nobody's, and so does the log.
    assert.ok((await w.ok('GET', '/api/usage?group=user')).items.some((i) => i.user === 'deleted' && i.calls >= 2));
    assert.ok(Number(await authSql(w.data, `select count(*) from audit_log where target = 'user:${p.id}'`)) > 0);
  });

  test('a person deletes himself with his password given a short while ago, and the owner cannot', async () => {
    const p = await full('Leaver');
    await authSql(w.data, `update sessions set authenticated_at = 1 where user_id = '${p.id}'`);
    const stale = await w.auth.api('DELETE', '/api/auth/me', undefined, p.token);
    assert.deepEqual([stale.status, stale.body.code], [403, 'reauth_required']);
    p.token = (await w.auth.login({ email: p.email, password: PASSWORD })).access_token;
    assert.equal((await w.auth.api('DELETE', '/api/auth/me', undefined, p.token)).status, 204);
    assert.equal((await w.auth.api('GET', '/api/auth/me', undefined, p.token)).status, 401);
    await erased(p.id);
    await isGone(p);
    assert.equal((await w.ok('GET', `/api/agents/${p.shared.id}`)).owner_id, (await w.auth.api('GET', '/api/auth/me', undefined, w.token)).body.id);
    const owner = await w.auth.api('DELETE', '/api/auth/me', undefined, w.token);
    assert.equal(owner.status, 409, owner.text);
    assert.match(owner.body.code, /owner_account|last_administrator/);
  });
});
