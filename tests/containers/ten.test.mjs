// The ten containers from nothing: what they are allowed, the main job through nginx over TLS, and each of them restarted while runs go on.

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // Node's WebSocket takes no certificate of its own

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { assertClean, openBrowser } from '../e2e/browser.mjs';
import { Live } from '../lib/live.mjs';
import { ADMIN } from '../lib/platform.mjs';
import { events } from '../lib/sse.mjs';
import { ask, ended, eventsOf, newConversation, patient } from '../lib/runs.mjs';
import { api, compose, containers, docker, exec, healthy, inspect, secret, TEN, where } from './compose.mjs';

const platform = { api, where: () => where };
let session;
const token = () => session.access_token;

async function logIn() {
  const r = await patient(() => api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }), 60000);
  assert.equal(r.status, 200, r.text);
  session = r.body;
}

before(async () => {
  await compose('down', '-v', '--timeout', '5');
  const start = performance.now();
  await compose('up', '-d');
  const up = performance.now();
  await healthy();
  console.log(`from up to healthy: ${((performance.now() - start) / 1000).toFixed(1)} s (up itself ${((up - start) / 1000).toFixed(1)} s)`);
});

after(async () => {
  if (!session) return;
  const stats = (await docker('stats', '--no-stream', '--format', '{{.Name}}\t{{.MemUsage}}')).split('\n').sort();
  console.log(`memory:\n${stats.join('\n')}`);
  console.log(`images:\n${(await docker('images', '--format', '{{.Repository}}:{{.Tag}}\t{{.Size}}')).split('\n').filter((l) => !l.startsWith('<none>')).sort().join('\n')}`);
});

describe('what each container is allowed', () => {
  const all = () => Promise.all(TEN.map(async (name) => [name, (await inspect(name))[0]]));

  test('all ten are there, on ogent_network, and only nginx is published', async () => {
    for (const [name, c] of await all()) {
      assert.deepEqual(Object.keys(c.NetworkSettings.Networks), ['ogent_network'], name);
      const published = Object.values(c.HostConfig.PortBindings ?? {}).flat().map((p) => Number(p.HostPort)).sort();
      assert.deepEqual(published, name === 'ogent-nginx' ? [443, 80] : [], name);
    }
  });

  test('no rights: read-only root, no capability, no new privilege, an ordinary user, limits', async () => {
    for (const [name, c] of await all()) {
      const h = c.HostConfig;
      assert.equal(h.ReadonlyRootfs, true, name);
      assert.equal(h.Privileged, false, name);
      assert.deepEqual(h.CapDrop, ['ALL'], name);
      assert.ok(h.SecurityOpt.includes('no-new-privileges:true'), name);
      assert.ok(h.Memory > 0 && h.PidsLimit > 0, `${name} has limits`);
      assert.equal(h.RestartPolicy.Name, 'unless-stopped', name);
      if (name === 'ogent-ubuntu-target') continue;
      assert.deepEqual(h.CapAdd ?? [], [], name);
      assert.match(c.Config.User, /^[1-9]\d+:[1-9]\d+$/, name);
    }
  });

  test('no password in an environment, none that is the same elsewhere', async () => {
    const values = readdirSync(process.env.OGENT_SECRETS_DIR).filter((f) => /password|key$|url$/.test(f)).map(secret).filter(Boolean);
    assert.ok(values.length >= 6);
    assert.equal(new Set(values).size, values.length);
    for (const [name, c] of await all()) for (const v of values) assert.ok(!JSON.stringify(c.Config).includes(v), name);
    for (const [name, c] of await all()) assert.ok(!(await docker('logs', c.Id)).includes(secret('mysql_password')), name);
  });

  test('the roles\' images hold the program and its libraries, and no shell', async () => {
    for (const name of ['ogent-auth-service', 'ogent-agent-service', 'ogent-api-gateway', 'ogent-socket-service', 'ogent-command-execution'])
      await assert.rejects(exec(name, '/bin/sh', '-c', 'true'), (e) => e.code === 126 || e.code === 127, name);
  });
});

describe('the main job', () => {
  test('the set-up link of the command line makes the first administrator', async () => {
    const link = await exec('ogent-auth-service', '/ogent', 'setup-link');
    const setup = link.match(/^https:\/\/localhost\/setup#token=(\S+)/)[1];
    const r = await api('POST', '/api/auth/setup', { token: setup, ...ADMIN });
    assert.equal(r.status, 201, r.text);
    assert.match(r.headers['set-cookie']?.[0] ?? '__Host-', /__Host-|^$/);
    await logIn();
  });

  test('every role is ready behind nginx', async () => {
    const r = await api('GET', '/readyz');
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(r.body.roles, { auth: true, agent: true, exec: true, socket: true });
  });

  test('a run\'s command is executed on the target, by a user id of its own, with events on both ways', async () => {
    const conversation = await newConversation(platform, token);
    const live = await Live.open({ ...where, tls: true }, token());
    await live.join(`conversation:${conversation}`);
    const { id } = await ask(platform, token, conversation, 'run: hostname; id -u; test -x /usr/local/bin/ogent-target && echo there; sleep 1; echo late');
    const seen = [];
    for await (const { data } of events(where, 'GET', `/api/executions/${id}/events`, { token: token() })) seen.push({ ...data, at: performance.now() });
    assert.equal(seen.at(-1).type, 'execution.ended');
    assert.ok(seen.every((e, i) => i === 0 || e.seq > seen[i - 1].seq), 'each once and in order');
    const pieces = seen.filter((e) => e.type === 'call.output');
    assert.ok(pieces.at(-1).at - pieces[0].at > 500, 'the output came while the command ran');
    const done = await ended(platform, token, id);
    assert.equal(done.status, 'succeeded', JSON.stringify(done));
    const [hostname, uid, program, late] = done.calls[0].output.split('\n');
    assert.equal(hostname, (await inspect('ogent-ubuntu-target'))[0].Config.Hostname);
    assert.ok(Number(uid) >= 10000, `not root but ${uid}`);
    assert.deepEqual([program, late], ['there', 'late']);
    await live.next((m) => m.type === 'event' && m.event.type === 'execution.ended', { from: 0 });
    await live.close();
  });

  test('the two databases are PostgreSQL and MySQL or what stands in for it', async () => {
    const runs = await exec('ogent-db', 'psql', '-h', '/var/run/postgresql', '-U', 'ogent', '-At', 'langchain_agent', '-c', 'select count(*) from executions');
    assert.ok(Number(runs) >= 1);
    const url = new URL(secret('auth_db_url'));
    const users = await exec('ogent-auth-db', 'mysql', '--no-defaults', '-h', '127.0.0.1', '-u', 'ogent', `-p${url.password}`, 'ogent_auth', '-N', '-e', `select count(*) from users where email = '${ADMIN.email}'`);
    assert.equal(users.split('\n').at(-1), '1');
    await assert.rejects(exec('ogent-db', 'psql', '-h', 'ogent-db', '-U', 'ogent', '-w', 'langchain_agent', '-c', 'select 1'), /no password supplied/);
  });

  test('a viewer is refused what only others may; nothing is known to who is not signed in', async () => {
    const viewer = { name: 'Vera Viewer', email: 'vera@example.org', password: 'another long password here' };
    const made = await api('POST', '/api/users', { ...viewer, roles: ['viewer'] }, token());
    assert.equal(made.status, 201, made.text);
    const s = (await api('POST', '/api/auth/login', { email: viewer.email, password: viewer.password })).body;
    assert.equal((await api('POST', '/api/agents', { name: 'x' }, s.access_token)).status, 403);
    for (const path of ['/api/agents', '/api/users', '/api/commands', '/api/executions']) assert.equal((await api('GET', path)).status, 401, path);
  });

  test('an address made up by a client is not believed', async () => {
    const id = `deploy-test-${process.pid}`;
    await api('GET', '/api/agents', undefined, token(), { 'x-request-id': id, 'x-forwarded-for': '203.0.113.9' });
    const lines = await logsOf('ogent-api-gateway');
    const entry = lines.split('\n').find((l) => l.includes(id) && l.includes('"client"'));
    assert.ok(entry && !entry.includes('203.0.113.9'), entry);
  });
});

async function logsOf(service) {
  return docker('logs', (await containers(service))[0]);
}

describe('in a browser', () => {
  let browser;
  after(() => browser?.close());

  test('sign in, ask, see the command\'s output and the answer, and the same again after a reload', async () => {
    browser = await openBrowser({ ignoreHTTPSErrors: true });
    const { page } = browser;
    await page.goto('https://localhost/');
    await page.getByLabel('E-mail').fill(ADMIN.email);
    await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.waitForURL('https://localhost/chat');
    const message = page.getByRole('textbox', { name: 'Message' });
    await message.fill('run: hostname; for i in 1 2 3; do echo line-$i; sleep 0.3; done');
    await message.press('Enter');
    await page.locator('article.group[data-status="succeeded"]').waitFor();
    const output = page.locator('.command-card .output').last();
    await output.getByText('line-3').waitFor();
    assert.ok((await output.innerText()).includes((await inspect('ogent-ubuntu-target'))[0].Config.Hostname));
    await page.reload();
    await page.locator('article.group[data-status="succeeded"]').waitFor();
    await page.locator('.command-card .output').last().getByText('line-3').waitFor();
    assertClean(browser);
  });
});

describe('restarts', () => {
  const count = 3;

  for (const name of TEN) {
    test(`${name} restarts while runs go on: none is lost, each command is executed once`, { timeout: 240000 }, async (t) => {
      await logIn();
      const runs = await Promise.all(
        Array.from({ length: count }, async () => {
          const conversation = await newConversation(platform, token);
          const { id } = await ask(platform, token, conversation, 'run: echo started >> once; for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done');
          return { conversation, id };
        }),
      );
      await sleep(700);
      const start = performance.now();
      await docker('restart', '-t', '10', ...(await containers(name)));
      await healthy([name], 120000);
      await patient(async () => ((r) => (r.status === 200 ? r : { status: 503, text: r.text }))(await api('GET', '/readyz')), 60000);
      t.diagnostic(`back after ${((performance.now() - start) / 1000).toFixed(1)} s`);
      await logIn();
      const ends = await Promise.all(runs.map(({ id }) => ended(platform, token, id, 120000)));
      t.diagnostic(ends.map((e) => e.status).join(' '));
      // Whose own place goes away takes the running command along: the run says so and goes on.
      for (const e of ends) assert.equal(e.status, 'succeeded', JSON.stringify(e));
      for (const [i, { conversation, id }] of runs.entries()) {
        const all = await eventsOf(platform, token, id);
        assert.equal(all.at(-1).type, 'execution.ended');
        assert.equal(ends[i].calls.length, 1);
        const check = await ask(platform, token, conversation, 'run: wc -l < once');
        const { calls } = await ended(platform, token, check.id);
        assert.equal(calls[0].output.trim(), '1', `executed once: ${JSON.stringify(calls)}`);
      }
    });
  }

  test('a gateway that dies comes back by itself; a second one takes part', async () => {
    const [before] = await inspect('ogent-api-gateway');
    process.kill(before.State.Pid, 'SIGKILL');
    for (const until = Date.now() + 30000; (await inspect('ogent-api-gateway'))[0].RestartCount === before.RestartCount; await sleep(200)) assert.ok(Date.now() < until, 'it is started again');
    await healthy(['ogent-api-gateway']);
    await compose('up', '-d', '--no-recreate', '--scale', 'ogent-api-gateway=2');
    await healthy(['ogent-api-gateway']);
    const addresses = (await inspect('ogent-api-gateway')).map((c) => c.NetworkSettings.Networks.ogent_network.IPAddress);
    assert.equal(addresses.length, 2);
    for (const until = Date.now() + 20000; ; await sleep(500)) {
      await Promise.all(Array.from({ length: 20 }, () => api('GET', '/healthz')));
      const log = (await logsOf('ogent-nginx')).split('\n').slice(-25).join('\n');
      if (addresses.every((a) => log.includes(`"upstream":"${a}:8420"`))) break;
      assert.ok(Date.now() < until, 'nginx uses both');
    }
  });
});
