// What is true of auth on a server only: several processes on one database, a start that is interrupted, a server that goes
// and comes back, certificates.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { hasMysql, makeMysql, mysql } from '../lib/databases.mjs';
import { MariaDb } from '../lib/mariadb.mjs';
import { ADMIN, freePort, ogent, request, startPlatform, startRole } from '../lib/platform.mjs';
import { newConversation } from '../lib/runs.mjs';

const person = (name) => ({ name, email: `${name}@example.org`, password: 'a quiet river under stones' });
const passwordOf = (url) => decodeURIComponent(new URL(url).password);
let serial = 0;
const newDatabase = (server) => makeMysql(`own_${process.pid}_${++serial}`, server);

async function until(what, limit = 30000) {
  for (const end = Date.now() + limit; ; await sleep(20)) {
    const value = await what();
    if (value) return value;
    assert.ok(Date.now() < end, `waited too long for ${what}`);
  }
}

// A second process of auth with the same keys: `at(method, path, …)` asks it.
async function startSecond(first) {
  const port = await freePort();
  const second = await startRole('auth', {
    data: first.data,
    env: { ...first.env, OGENT_AUTH_LISTEN: `127.0.0.1:${port}` },
  });
  const where = { host: '127.0.0.1', port };
  await until(() => request(where, 'GET', '/readyz').then((r) => r.status === 200, () => false));
  second.ask = (method, path, body, token, headers) => request(where, method, path, { body, token, headers });
  return second;
}

describe('two processes on one database', { skip: !hasMysql }, () => {
  let first, second, ask;
  before(async () => {
    const env = { OGENT_AUTH_DB_URL: await newDatabase() };
    first = await startRole('auth', { env });
    await first.kill('SIGTERM');
    // The keys are there now, and both find an empty database.
    first.env.OGENT_AUTH_DB_URL = await newDatabase();
    [, second] = await Promise.all([first.start(), startSecond(first)]);
    ask = [(...a) => first.api(...a), (...a) => second.ask(...a)];
  });
  after(async () => {
    await second?.stop();
    await first?.stop();
  });
  const all = (n, each) => Promise.all(Array.from({ length: n }, (_, i) => each(ask[i % 2], i)));

  test('make one installation when they start together', async () => {
    const url = new URL(first.env.OGENT_AUTH_DB_URL);
    const counted = await mysql(`${process.env.OGENT_TEST_MYSQL}${url.pathname}`,
      "select count(*) from setup union all select count(*) from users union all select count(*) from roles where name = 'admin'");
    assert.equal(counted, '1\n1\n1');
  });

  test('of many set-ups one wins', async () => {
    const token = first.secret('setup.token');
    const link = await first.api('POST', '/api/auth/setup-link', undefined, await first.localToken());
    assert.equal(link.status, 201, `${link.text} ${token}`);
    const got = await all(10, (at, i) => at('POST', '/api/auth/setup', { ...ADMIN, token: link.body.token, email: `a${i}@example.org` }));
    assert.deepEqual(got.map((r) => r.status).sort(), [201, ...Array(9).fill(410)]);
    first.admin = got.find((r) => r.status === 201).body;
  });

  test('what one revokes is felt at both, and the services hear of it from either', async () => {
    for (const [here, there] of [ask, [...ask].reverse()]) {
      const session = await first.login({ email: first.admin.user.email, password: ADMIN.password });
      assert.equal((await there('GET', '/api/users', undefined, session.access_token)).status, 200);
      assert.equal((await here('POST', '/api/auth/logout', undefined, session.access_token)).status, 204);
      const end = Date.now() + 1000;
      while ((await there('GET', '/api/users', undefined, session.access_token)).status !== 401) assert.ok(Date.now() < end);
    }
  });

  test('fifty refreshes with one token get one successor', async () => {
    const start = await first.login({ email: first.admin.user.email, password: ADMIN.password });
    const got = await all(50, (at) => at('POST', '/api/auth/refresh', { refresh_token: start.refresh_token }));
    for (const r of got) assert.equal(r.status, 200, r.text);
    assert.equal(new Set(got.map((r) => r.body.refresh_token)).size, 1);
  });

  test('one Idempotency-Key makes one user, and all get its answer', async () => {
    const token = first.admin.access_token;
    const got = await all(20, (at) => at('POST', '/api/users', person('carol'), token, { 'idempotency-key': 'one' }));
    for (const r of got) assert.equal(r.status, 201, r.text);
    assert.equal(new Set(got.map((r) => r.body.id)).size, 1);
  });

  test('of two administrators who disable each other one stays', async () => {
    for (let round = 0; round < 5; round++) {
      const people = [];
      for (const name of ['dora', 'emil']) {
        const who = person(`${name}${round}`);
        const made = await first.api('POST', '/api/users', { ...who, roles: ['admin'] }, first.admin.access_token);
        people.push({ ...who, id: made.body.id, token: (await first.login(who)).access_token });
      }
      const got = await Promise.all([0, 1].map((i) =>
        ask[i]('PATCH', `/api/users/${people[1 - i].id}`, { disabled: true }, people[i].token)));
      assert.deepEqual(got.map((r) => r.status).sort(), [200, 401]);
    }
    // The last two, at the same time.
    const twin = person('frida');
    const made = await first.api('POST', '/api/users', { ...twin, roles: ['admin'] }, first.admin.access_token);
    const users = (await first.api('GET', '/api/users?limit=200', undefined, first.admin.access_token)).body.items;
    for (const u of users)
      if (u.roles.includes('admin') && ![made.body.id, first.admin.user.id].includes(u.id))
        await first.api('PATCH', `/api/users/${u.id}`, { disabled: true }, first.admin.access_token);
    const token = (await first.login(twin)).access_token;
    const got = await Promise.all([made.body.id, first.admin.user.id].map((id, i) =>
      ask[i]('PATCH', `/api/users/${id}`, { roles: ['member'] }, token)));
    assert.equal(got.filter((r) => r.status === 200).length, 1, got.map((r) => r.text).join());
    const left = await until(() => ask[1]('GET', '/api/auth/me', undefined, token));
    assert.ok([200, 401].includes(left.status));
  });
});

test('killed again and again while it makes its tables, auth goes on and is whole', { skip: !hasMysql }, async () => {
  const url = await newDatabase();
  const data = mkdtempSync(join(tmpdir(), 'ogent-test-'));
  const env = { PATH: process.env.PATH, OGENT_DATA: data, OGENT_AUTH_DB_URL: url };
  const at = `${process.env.OGENT_TEST_MYSQL}${new URL(url).pathname}`;
  let stopped = 0;
  for (let done = false; !done; ) {
    const child = spawn(ogent, ['auth'], { env, stdio: 'ignore' });
    const ended = new Promise((end, fail) => child.on('close', end).on('error', fail));
    const hasEnded = { yes: false };
    ended.then(() => (hasEnded.yes = true), () => (hasEnded.yes = true));
    const before = await mysql(at, 'show tables');
    // One step further than the last time, wherever that is.
    while ((await mysql(at, 'show tables')) === before && !done && !hasEnded.yes)
      done = await request({ socketPath: join(data, 'run/auth.sock') }, 'GET', '/readyz').then((r) => r.status === 200, () => false);
    assert.ok(!hasEnded.yes, 'auth ended by itself');
    child.kill('SIGKILL');
    await ended;
    stopped++;
  }
  assert.ok(stopped > 2, `killed ${stopped} times`);
  const auth = await startRole('auth', { data, env: { OGENT_AUTH_DB_URL: url } });
  await auth.setUp();
  await auth.login(ADMIN);
  await auth.stop();
  rmSync(data, { recursive: true });
  const fresh = await startRole('auth', { env: { OGENT_AUTH_DB_URL: await newDatabase() } });
  const other = `${process.env.OGENT_TEST_MYSQL}${new URL(fresh.env.OGENT_AUTH_DB_URL).pathname}`;
  const columns = `select table_name, column_name, column_type, is_nullable, collation_name, column_key from
    information_schema.columns where table_schema = database() order by 1, 2`;
  assert.equal(await mysql(at, columns), await mysql(other, columns));
  assert.equal(await mysql(at, 'select count(*) from schema_steps'), '0');
  await fresh.stop();
});

test('`ogent up` on the server: the set-up link, sign-in, a chat, and no password anywhere', { skip: !hasMysql }, async () => {
  const url = await newDatabase();
  const dir = mkdtempSync(join(tmpdir(), 'ogent-test-secret-'));
  const file = join(dir, 'auth_db_url');
  writeFileSync(file, `${url}\n`);
  chmodSync(file, 0o600);
  const p = await startPlatform({ env: { OGENT_AUTH_DB_URL_FILE: file, OGENT_AUTH_DB_URL: '' } });
  const token = (await until(() => /\/setup#token=(\S+)/.exec(p.log)))[1];
  const made = await p.api('POST', '/api/auth/setup', { token, ...ADMIN });
  assert.equal(made.status, 201, made.text);
  const session = await p.login(ADMIN);
  const conversation = await newConversation(p, () => session.access_token);
  const sent = await p.api('POST', `/api/conversations/${conversation}/messages`, { content: 'hello' }, session.access_token);
  assert.equal(sent.status, 202, sent.text);
  const run = () => p.api('GET', `/api/executions/${sent.body.id}`, undefined, session.access_token);
  await until(async () => (await run()).body.status === 'succeeded');
  for (const args of [['help', 'config'], ['config', 'show']]) {
    const out = execFileSync(ogent, args, { env: { PATH: process.env.PATH, OGENT_DATA: p.data, OGENT_AUTH_DB_URL: url }, encoding: 'utf8' });
    assert.ok(!out.includes(new URL(url).password) && !out.includes(passwordOf(url)), args.join(' '));
  }
  assert.ok(!p.log.includes(passwordOf(url)) && !p.log.includes(new URL(url).password));
  await p.stop();
  rmSync(dir, { recursive: true });
});

// The log of a start that must fail.
async function refused(url) {
  const how = await startRole('auth', { env: { OGENT_AUTH_DB_URL: url } }).then(async (a) => (await a.stop(), null), (e) => e.message);
  assert.ok(how, `started with ${url}`);
  assert.match(how, /"code":1/);
  assert.ok(!how.includes(passwordOf(url)) && !how.includes(new URL(url).password), how);
  return how;
}

// With the same secrets each time: the database's keys are sealed with one of them.
const home = mkdtempSync(join(tmpdir(), 'ogent-mysql-home-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));

async function starts(url) {
  const auth = await startRole('auth', { data: home, env: { OGENT_AUTH_DB_URL: url } });
  await auth.stop();
}

test('what is wrong with the address is told without the password', { skip: !hasMysql }, async () => {
  const url = await newDatabase();
  const changed = (change) => {
    const u = new URL(url);
    change(u);
    return u.href;
  };
  assert.match(await refused(changed((u) => (u.password = 'hunter2'))), /Access denied for user/);
  assert.match(await refused(changed((u) => (u.port = '1'))), /127\.0\.0\.1 cannot be used: Can't connect/);
  assert.match(await refused(changed((u) => (u.pathname = '/nothing'))), /nothing/);
  assert.match(await refused(`${url}?sslmode=require`), /the parameters are ssl, /);
});

describe('a server that goes away and comes back', { skip: !hasMysql }, () => {
  let server, auth, session;
  before(async () => {
    server = await MariaDb.start();
    auth = await startRole('auth', { env: { OGENT_AUTH_DB_URL: await newDatabase(server.url) } });
    await auth.setUp();
    session = await auth.login(ADMIN);
  });
  after(async () => {
    await auth?.stop();
    server?.remove();
  });

  for (const signal of ['SIGTERM', 'SIGKILL'])
    test(`${signal}: 503 with Retry-After meanwhile, then everything works again`, async () => {
      const seen = new Map();
      let isOver = false;
      // What a client does all the time; a 503 is tried again with the same token, as its text says.
      const note = (r) => {
        seen.set(r.status, (seen.get(r.status) ?? 0) + 1);
        assert.ok([200, 503].includes(r.status), `${r.status} ${r.text}`);
        if (r.status === 503) assert.match(r.headers['retry-after'], /^\d+$/);
        return r;
      };
      const worker = async (each) => {
        while (!isOver) await each();
      };
      const own = [await auth.login(ADMIN), await auth.login(ADMIN)];
      const work = [
        ...own.map((s) => worker(async () => {
          const r = note(await auth.api('POST', '/api/auth/refresh', { refresh_token: s.refresh_token }));
          if (r.status === 200) s.refresh_token = r.body.refresh_token;
        })),
        worker(async () => note(await auth.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }))),
        worker(async () => note(await auth.api('GET', '/api/users', undefined, session.access_token))),
      ];
      const failing = Promise.all(work);
      await until(() => seen.get(200) > 20);
      await server.stop(signal);
      await until(() => seen.get(503) > 20);
      for (const path of ['/api/users', '/api/auth/me']) {
        const r = await auth.api('GET', path, undefined, session.access_token);
        assert.equal(r.status, 503, r.text);
        assert.equal(r.body.code, 'unavailable');
      }
      const good = seen.get(200);
      await server.start();
      await until(() => seen.get(200) > good + 20);
      isOver = true;
      await failing;
      for (const s of [session, ...own]) {
        const r = await auth.api('POST', '/api/auth/refresh', { refresh_token: s.refresh_token });
        assert.equal(r.status, 200, r.text);
        if (s === session) Object.assign(session, r.body);
      }
    });
});

describe('TLS', { skip: !hasMysql }, () => {
  let server, url;
  // The server's certificate is for localhost, from an authority of its own.
  function certificates(dir) {
    const ssl = (...args) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    for (const name of ['ca', 'other'])
      ssl('req', '-x509', ...key, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/CN=${name}`, '-days', '2');
    writeFileSync(join(dir, 'names'), 'subjectAltName=DNS:localhost');
    ssl('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost');
    ssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'server.pem', '-days', '2', '-extfile', 'names');
    chmodSync(join(dir, 'server.key'), 0o644);
    return [`--ssl-cert=${dir}/server.pem`, `--ssl-key=${dir}/server.key`];
  }
  before(async () => {
    server = await MariaDb.start(certificates);
    url = await newDatabase(server.url);
    await mysql(server.url, `alter user ${new URL(url).username}@'%' require ssl`);
  });
  after(() => server?.remove());
  const at = (host, query) => `${url.replace('@127.0.0.1:', `@${host}:`)}?${query}`;
  const ca = (name) => `ssl_ca=${server.dir}/${name}.pem`;

  test('is used when the server has it, and can be demanded', async () => {
    await starts(at('127.0.0.1', 'ssl=prefer'));
    await starts(at('127.0.0.1', 'ssl=require'));
    assert.match(await refused(at('127.0.0.1', 'ssl=disable')), /Access denied/);
  });

  test('the certificate is checked, and with verify-full its name', async () => {
    await starts(at('localhost', `ssl=verify-full&${ca('ca')}`));
    await starts(at('localhost', `ssl=verify-ca&${ca('ca')}`));
    assert.match(await refused(at('localhost', `ssl=verify-ca&${ca('other')}`)), /certificate/);
    assert.match(await refused(at('localhost', `ssl=verify-full&${ca('other')}`)), /certificate/);
    assert.match(await refused(at('127.0.0.1', `ssl=verify-full&${ca('ca')}`)), /certificate/i);
    assert.match(await refused(at('localhost', 'ssl=verify-full')), /certificate/);
  });

  test('a server without it is refused when it is demanded', async () => {
    const plain = await newDatabase();
    await starts(`${plain}?ssl=prefer`);
    await starts(`${plain}?ssl=disable`);
    if (!(await mysql(process.env.OGENT_TEST_MYSQL, 'select version()')).includes('MariaDB')) return;
    assert.match(await refused(`${plain}?ssl=require`), /SSL|TLS/);
    assert.match(await refused(`${plain}?ssl=verify-full`), /SSL|TLS/);
  });
});
