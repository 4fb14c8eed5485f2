// What is true of the agent on PostgreSQL only: several processes on one queue, a server that goes and comes back,
// certificates and passwords.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld, fold, withoutPieceTimes } from '../lib/agent_client.mjs';
import { Authority } from '../lib/certificates.mjs';
import { hasPostgres, makePostgres, psql } from '../lib/databases.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';
import { freePort, ogent, startRole } from '../lib/platform.mjs';
import { Postgres } from '../lib/postgres.mjs';

const peer = (path) => new ExecPeer(path).open();
const without = (events, ...types) => events.filter((e) => !types.includes(e.type));
let serial = 0;

async function until(what, ms = 30000) {
  for (const end = Date.now() + ms; ; await sleep(20)) {
    const value = await what();
    if (value) return value;
    assert.ok(Date.now() < end, `waited too long for ${what}`);
  }
}

// One more agent process on the world's folder and database: the same world, asked through it.
async function another(w) {
  const port = await freePort();
  const v = Object.create(w);
  v.agent = await startRole('agent', {
    data: w.data,
    env: { ...w.options.env, OGENT_AGENT_LISTEN: `127.0.0.1:${port}` },
    where: { host: '127.0.0.1', port },
  });
  return v;
}

describe('three agent processes on one database', { skip: !hasPostgres, timeout: 300000 }, () => {
  let url, w, v, third;
  before(async () => {
    url = await makePostgres(`three_${process.pid}`);
    w = await AgentWorld.start({ exec: peer, env: { OGENT_AGENT_DB_URL: url } });
    [v, third] = [await another(w), await another(w)];
  });
  after(async () => {
    await v?.agent.stop();
    await third?.agent.stop();
    await w?.stop();
  });

  const owner = (id) => psql(url, `select owner from executions where id = '${id}'`);
  const starts = (run) => [...w.peer.byKey.keys()].filter((key) => key.startsWith(run.id)).length;

  test('there is one agent at first, whoever was there first', async () => {
    assert.equal((await v.ok('GET', '/api/agents')).items.length, 1);
  });

  test('a run of one is followed through another, live, without a gap or a double', async () => {
    const sent = await w.send('run: for i in 1 2 3 4 5 6; do echo line $i; sleep 0.2; done', { script: { pace_ms: 10 } });
    const seenAt = {};
    const [here, there] = await Promise.all([
      w.follow(sent.id),
      v.follow(sent.id, { onEvent: (e) => (seenAt[e.seq] = Date.now()) }),
    ]);
    assert.deepEqual(withoutPieceTimes(there), withoutPieceTimes(here));
    assert.deepEqual(withoutPieceTimes(there), withoutPieceTimes((await third.events(sent.id)).items));
    assert.equal(fold(there).last, there.at(-1).seq);
    assert.equal(there.at(-1).type, 'execution.ended');
    // Shown while it went on, not when it had ended.
    const early = there.filter((e) => e.type === 'call.output' && seenAt[e.seq] < seenAt[there.at(-1).seq] - 200);
    assert.ok(early.length > 0, 'everything came at the end');
  });

  test('a stream is taken up again through another process', async () => {
    const sent = await w.send('run: for i in 1 2 3 4 5 6; do echo line $i; sleep 0.1; done');
    const first = await w.follow(sent.id, { until: (e) => e.type === 'call.output' });
    const rest = await v.follow(sent.id, { after: first.at(-1).seq });
    assert.deepEqual(withoutPieceTimes([...first, ...rest]), withoutPieceTimes((await w.events(sent.id)).items));
  });

  test("a cancel reaches another process's run", async () => {
    const sent = await w.send('run: echo begun; sleep 60');
    await w.until(sent.id, (e) => e.type === 'call.output');
    await v.ok('POST', `/api/executions/${sent.id}/cancel`, undefined, 202);
    assert.equal((await v.ended(sent.id, 10000)).status, 'cancelled');
    await until(() => [...w.peer.byId.values()].at(-1).status !== 'running');
  });

  test("a conversation deleted through another process ends its run", async () => {
    const conversation = await w.conversation();
    await w.send('run: echo begun; sleep 60', { conversation });
    const started = w.peer.starts;
    await until(() => w.peer.starts > started || [...w.peer.byId.values()].at(-1)?.status === 'running');
    assert.equal((await v.api('DELETE', `/api/conversations/${conversation.id}`)).status, 204);
    await until(() => [...w.peer.byId.values()].at(-1).status !== 'running');
    assert.equal((await w.api('GET', `/api/conversations/${conversation.id}`)).status, 404);
    for (const table of ['executions', 'messages'])
      assert.equal(await psql(url, `select count(*) from ${table} where conversation_id = '${conversation.id}'`), '0');
  });

  test('of messages to one conversation at the same time one is taken', async () => {
    for (let i = 0; i < 5; i++) {
      const c = await w.conversation();
      const all = await Promise.all(
        [w, v, third, w, v, third].map((x) => x.api('POST', `/api/conversations/${c.id}/messages`, { content: 'hello' })),
      );
      assert.deepEqual(all.map((r) => r.status).sort(), [202, 409, 409, 409, 409, 409], all.map((r) => r.text).join('\n'));
      assert.ok(all.every((r) => r.status === 202 || r.body.code === 'run_active'));
      assert.equal((await v.ended(all.find((r) => r.status === 202).body.id)).status, 'succeeded');
    }
  });

  test('the same Idempotency-Key through all of them makes one execution', async () => {
    for (let i = 0; i < 5; i++) {
      const c = await w.conversation();
      const key = randomUUID();
      const all = await Promise.all(
        [w, v, third].map((x) => x.api('POST', `/api/conversations/${c.id}/messages`, { content: 'hello' }, x.token, { 'idempotency-key': key })),
      );
      assert.deepEqual(all.map((r) => r.status), [202, 202, 202], all.map((r) => r.text).join('\n'));
      assert.equal(new Set(all.map((r) => r.body.id)).size, 1);
      await w.ended(all[0].body.id);
    }
  });

  test('agents of one name made at the same time have slugs of their own', async () => {
    const all = await Promise.all([w, v, third, w, v, third].map((x) => x.ok('POST', '/api/agents', { name: 'Same Name' }, 201)));
    assert.equal(new Set(all.map((a) => a.slug)).size, 6);
  });

  test('one is killed in the middle of thirty runs: every one ends right, each command was started once', async () => {
    const send = (_, i) => [w, v, third][i % 3].send(`run: echo run-${i}; sleep 2`, { script: { pace_ms: 5 } });
    const runs = await Promise.all(Array.from({ length: 30 }, send));
    // Followed through a process that stays, across the takeover.
    const streams = runs.map((r) => w.follow(r.id));
    await v.until(runs[28].id, (e) => e.type === 'call.started');
    const killed = Date.now();
    await v.agent.kill('SIGKILL');
    const left = await psql(url, `select count(*) from executions where owner like '%:${v.agent.where().port}'`);
    assert.ok(Number(left) > 0, 'it had ended all of its runs before it was killed');
    for (const [i, r] of runs.entries()) {
      const e = await w.ended(r.id, 30000);
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      assert.match(e.output, new RegExp(`run-${i}\\b`));
      assert.equal(starts(r), 1, `run ${i}`);
    }
    // Within seconds: the lease, a sweep, and the runs themselves.
    assert.ok(Date.now() - killed < 20000, `${Date.now() - killed} ms`);
    for (const [i, events] of (await Promise.all(streams)).entries()) {
      fold(events);
      assert.equal(events.at(-1).type, 'execution.ended');
      const stored = (await third.events(runs[i].id)).items;
      assert.deepEqual(withoutPieceTimes(events), withoutPieceTimes(stored), `run ${i} as it was followed`);
    }
    await v.agent.start();
  });

  test('one that ends in order hands its runs over at once', async () => {
    const sent = await v.send('run: echo a; sleep 3; echo b');
    await v.until(sent.id, (e) => e.type === 'call.output');
    await v.agent.stop();
    const before = Date.now();
    await until(async () => !(await owner(sent.id)).includes(String(v.agent.where().port)));
    assert.ok(Date.now() - before < 4000, 'the lease was waited for');
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded');
    assert.equal(starts(sent), 1);
    v = await another(w);
  });

  test('one that was frozen lets go of what was taken over', async () => {
    const sent = await v.send('run: echo a; sleep 9; echo b');
    await v.until(sent.id, (e) => e.type === 'call.output');
    v.agent.child.kill('SIGSTOP');
    await until(async () => !(await owner(sent.id)).includes(String(v.agent.where().port)));
    v.agent.child.kill('SIGCONT');
    const e = await v.ended(sent.id);
    assert.equal(e.status, 'succeeded');
    assert.equal(starts(sent), 1);
    const { items } = await w.events(sent.id);
    fold(items);
    assert.equal(items.filter((x) => x.type === 'execution.ended').length, 1);
    await until(() => /is left: another process has taken it over/.test(v.agent.log), 10000);
  });

  test('what they wrote has no hole and no double in any conversation', async () => {
    assert.equal(await psql(url, 'select count(*) from (select conversation_id from messages group by conversation_id having max(seq) <> count(*)) x'), '0');
    assert.equal(await psql(url, "select count(*) from executions where status in ('queued', 'running')"), '0');
    assert.equal(await psql(url, 'select count(*) from executions where owner is not null'), '0');
  });
});

describe('a server that goes away and comes back', { skip: !hasPostgres, timeout: 180000 }, () => {
  let server, w;
  before(async () => {
    server = await Postgres.start();
    w = await AgentWorld.start({ exec: peer, env: { OGENT_AGENT_DB_URL: server.url() } });
  });
  after(async () => {
    await w?.stop();
    await server?.end();
  });

  for (const [how, signal] of [['is restarted', 'SIGINT'], ['crashes', 'SIGQUIT']])
    test(`it ${how} while runs go on: 503 meanwhile, nothing accepted is lost`, async () => {
      const runs = [];
      for (let i = 0; i < 6; i++) runs.push(await w.send(`run: echo run-${i}; sleep ${i % 3}`, { script: { pace_ms: 40 } }));
      const c = await w.conversation();
      await server.stop(signal);
      const refused = await until(async () => {
        const r = await w.api('POST', `/api/conversations/${c.id}/messages`, { content: 'hello' });
        return r.status === 503 && r;
      });
      assert.match(refused.headers['retry-after'], /^\d+$/);
      assert.equal(refused.body.code, 'unavailable');
      assert.equal((await w.api('GET', `/api/executions/${runs[0].id}`)).status, 503);
      await sleep(1500);
      await server.start();
      await until(async () => (await w.api('GET', '/api/agents')).status === 200);
      for (const [i, r] of runs.entries()) {
        const e = await w.ended(r.id);
        assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
        assert.match(e.output, new RegExp(`run-${i}\\b`));
        fold((await w.events(r.id)).items);
      }
      assert.equal(w.peer.starts, new Set(w.peer.byKey.keys()).size);
      assert.equal((await w.run('hello', { conversation: c })).status, 'succeeded');
    });

  test('its connections are cut at random moments of twenty runs', async () => {
    const runs = [];
    for (let i = 0; i < 20; i++) {
      const c = await until(async () => {
        const r = await w.api('POST', '/api/conversations', {});
        return r.status === 201 && r.body;
      });
      const key = randomUUID();
      const sent = until(async () => {
        const r = await w.api('POST', `/api/conversations/${c.id}/messages`, { content: `run: echo run-${i}` }, w.token, { 'idempotency-key': key });
        assert.ok([202, 503].includes(r.status), r.text);
        return r.status === 202 && r.body;
      });
      if (i % 2) await server.sql('select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = \'client backend\'');
      runs.push(await sent);
    }
    for (const [i, r] of runs.entries()) {
      const e = await until(async () => {
        const a = await w.api('GET', `/api/executions/${r.id}`);
        return a.status === 200 && a.body.state === 'ended' && a.body;
      });
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      assert.match(e.output, new RegExp(`run-${i}\\b`));
    }
    assert.equal(await server.sql('select count(*) from executions where owner is not null'), '0');
  });
});

describe('certificates and passwords', { skip: !hasPostgres, timeout: 120000 }, () => {
  const PASSWORD = "p@ss:w/o?r#d%&é'";
  let authority, server, folder;
  before(async () => {
    authority = new Authority();
    const { key, cert } = authority.issue('DNS:localhost');
    server = await Postgres.start({
      auth: 'scram-sha-256',
      settings: (dir) => {
        for (const [name, text] of [['key.pem', key], ['cert.pem', cert]]) {
          writeFileSync(join(dir, name), text, { mode: 0o600 });
          if (process.getuid() === 0) chownSync(join(dir, name), 65534, 65534);
        }
        return { ssl: 'on', ssl_key_file: join(dir, 'key.pem'), ssl_cert_file: join(dir, 'cert.pem') };
      },
    });
    await server.sql(`alter role ogent password '${PASSWORD.replaceAll("'", "''")}'`);
    folder = mkdtempSync(join(tmpdir(), 'ogent-pgtls-'));
  });
  after(async () => {
    await server?.end();
    authority?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  // How a start with this address ends, and what is said.
  async function refused(address) {
    const child = spawn(ogent, ['agent'], { env: { ...process.env, OGENT_DATA: folder, OGENT_AGENT_DB_URL: address } });
    let said = '';
    child.stdout.on('data', (d) => (said += d));
    child.stderr.on('data', (d) => (said += d));
    const code = await new Promise((done) => child.on('close', done));
    assert.notEqual(code, 0, said);
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), 'w/o?r', 'r#d']) assert.ok(!said.includes(secret), said);
    return said;
  }

  const verify = (host, ca = authority.file) => server.url({ host, password: PASSWORD, query: `?sslmode=verify-full&sslrootcert=${ca}` });

  test('a certificate that is right is taken, and the connection is encrypted', async () => {
    const w = await AgentWorld.start({ exec: peer, env: { OGENT_AGENT_DB_URL: verify('localhost') } });
    try {
      assert.equal((await w.run('hello')).status, 'succeeded');
      assert.equal(await server.sql("select bool_and(s.ssl) from pg_stat_ssl s join pg_stat_activity a using (pid) where a.application_name = 'ogent'"), 't');
    } finally {
      await w.stop();
    }
  });

  test('a certificate for another name, or of somebody else, is refused in words', async () => {
    assert.match(await refused(verify('127.0.0.1')), /certificate/);
    const other = new Authority();
    try {
      assert.match(await refused(verify('localhost', other.file)), /certificate verify failed/);
    } finally {
      other.remove();
    }
  });

  test('a wrong password, a wrong address and a wrong database are told, never the password', async () => {
    assert.match(await refused(server.url({ password: `${PASSWORD}x` })), /password authentication failed/);
    assert.match(await refused(`postgres://ogent:${PASSWORD}@127.0.0.1:${server.port}/postgres`), /%40/);
    assert.match(await refused(`${server.url({ password: PASSWORD }).replace(/\/postgres$/, '/nothing')}`), /nothing\\?" does not exist/);
    assert.match(await refused(`postgres://ogent:${encodeURIComponent(PASSWORD)}@127.0.0.1:1/postgres`), /refused/);
  });

  test('an address can come from a file, which nobody else reads', async () => {
    const file = join(folder, 'url');
    writeFileSync(file, `${server.url({ password: PASSWORD })}\n`, { mode: 0o600 });
    const w = await AgentWorld.start({ exec: peer, env: { OGENT_AGENT_DB_URL_FILE: file } });
    assert.equal((await w.ok('GET', '/api/agents')).items.length, 1);
    await w.stop();
  });
});
