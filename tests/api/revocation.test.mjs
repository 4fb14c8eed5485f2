// What auth revokes is felt in every service within a second, however good the token still looks.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ADMIN, freePort, request, startPlatform, startRole } from '../lib/platform.mjs';
import { Live } from '../lib/live.mjs';
import { events } from '../lib/sse.mjs';

const LIMIT_MS = 1000;
const BOB = { name: 'Bob', email: 'bob@example.org', password: 'another correct horse battery' };
// A request to each service that a good token of an administrator may make.
const ASKED = { auth: ['GET', '/api/auth/me'], agent: ['GET', '/api/agents'], exec: ['GET', '/api/commands'], socket: ['POST', '/api/publish', { events: [] }] };

describe('a token that is revoked', { timeout: 120000 }, () => {
  let p, admin;
  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: '' } });
    admin = (await p.setUp()).access_token;
  });
  after(() => p?.stop());

  const places = () => {
    const roles = Object.fromEntries(p.roles());
    return Object.entries(ASKED).flatMap(([role, asked]) => [
      { name: `${role} by the gateway`, at: p.where(), asked },
      { name: role, at: roles[role], asked },
    ]);
  };
  const ask = ({ at, asked: [method, path, body] }, token) => request(at, method, path, { body, token });
  const makeBob = async (roles = ['admin']) => {
    const email = `bob${Math.random().toString(36).slice(2)}@example.org`;
    const r = await p.api('POST', '/api/users', { ...BOB, email, roles }, admin);
    assert.equal(r.status, 201, r.text);
    return { id: r.body.id, session: await p.login({ ...BOB, email }), email };
  };
  // Every place has said yes before, and says no in time after `act`; returns the slowest in ms.
  const stopsEverywhere = async (token, act) => {
    for (const place of places()) assert.ok([200, 202].includes((await ask(place, token)).status), place.name);
    await act();
    const from = performance.now();
    let slowest = 0;
    await Promise.all(
      places().map(async (place) => {
        for (;;) {
          const r = await ask(place, token);
          const ms = performance.now() - from;
          if (r.status === 401) {
            assert.equal(r.body.code, 'unauthorized');
            assert.match(r.headers['www-authenticate'], /^Bearer error="invalid_token"/);
            slowest = Math.max(slowest, ms);
            return;
          }
          assert.ok(ms < LIMIT_MS, `${place.name}: still ${r.status} after ${ms} ms`);
          await sleep(5);
        }
      }),
    );
    // And stays refused.
    for (const place of places()) assert.equal((await ask(place, token)).status, 401, place.name);
    return slowest;
  };

  test('by signing out stops in every service, also past the gateway; other sessions go on', async (t) => {
    const bob = await makeBob();
    const other = await p.login({ ...BOB, email: bob.email });
    const slowest = await stopsEverywhere(bob.session.access_token, async () => {
      assert.equal((await p.api('POST', '/api/auth/logout', undefined, bob.session.access_token)).status, 204);
    });
    t.diagnostic(`slowest service: ${slowest.toFixed(1)} ms`);
    for (const place of places()) assert.notEqual((await ask(place, other.access_token)).status, 401, place.name);
  });

  test('by signing out with no session, as the command line has, stops by itself', async () => {
    const token = await p.localToken();
    const other = await p.localToken();
    await stopsEverywhere(token, async () => assert.equal((await p.api('POST', '/api/auth/logout', undefined, token)).status, 204));
    assert.equal((await p.api('GET', '/api/agents', undefined, other)).status, 200);
  });

  test('by disabling its user stops, and works no more when he is enabled again; a new one does', async (t) => {
    const bob = await makeBob();
    const slowest = await stopsEverywhere(bob.session.access_token, async () => {
      assert.equal((await p.api('PATCH', `/api/users/${bob.id}`, { disabled: true }, admin)).status, 200);
    });
    t.diagnostic(`slowest service: ${slowest.toFixed(1)} ms`);
    assert.equal((await p.api('PATCH', `/api/users/${bob.id}`, { disabled: false }, admin)).status, 200);
    assert.equal((await p.api('GET', '/api/agents', undefined, bob.session.access_token)).status, 401);
    const again = await p.login({ ...BOB, email: bob.email });
    for (const place of places()) assert.notEqual((await ask(place, again.access_token)).status, 401, place.name);
  });

  test('by removing its user stops', async () => {
    const bob = await makeBob();
    await stopsEverywhere(bob.session.access_token, async () => {
      assert.equal((await p.api('DELETE', `/api/users/${bob.id}`, undefined, admin)).status, 204);
    });
  });

  test('is good when only the rights of its user have changed, and has those of now within a second', async (t) => {
    const bob = await makeBob();
    const token = bob.session.access_token;
    const rights = async (role, wanted) => {
      assert.equal((await p.api('PATCH', `/api/users/${bob.id}`, { roles: [role] }, admin)).status, 200);
      const from = performance.now();
      for (const place of places()) {
        const status = wanted[place.name.split(' ')[0]];
        for (let r; (r = await ask(place, token)).status !== status; await sleep(5))
          assert.ok(performance.now() - from < LIMIT_MS, `${place.name}: ${r.status} instead of ${status}`);
      }
      t.diagnostic(`${role} everywhere after ${(performance.now() - from).toFixed(1)} ms`);
    };
    for (const place of places()) assert.ok((await ask(place, token)).status < 400, place.name);
    await rights('viewer', { auth: 200, agent: 200, exec: 403, socket: 403 });
    await rights('admin', { auth: 200, agent: 200, exec: 200, socket: 202 });
    await rights('member', { auth: 200, agent: 200, exec: 200, socket: 403 });
    const renewed = await p.api('POST', '/api/auth/refresh', { refresh_token: bob.session.refresh_token });
    assert.equal((await p.api('POST', '/api/publish', { events: [] }, renewed.body.access_token)).status, 403);
  });

  test('by a refresh token that was used twice stops too', async () => {
    const bob = await makeBob();
    const first = bob.session.refresh_token;
    const second = (await p.api('POST', '/api/auth/refresh', { refresh_token: first })).body;
    const third = (await p.api('POST', '/api/auth/refresh', { refresh_token: second.refresh_token })).body;
    await stopsEverywhere(third.access_token, async () => {
      assert.equal((await p.api('POST', '/api/auth/refresh', { refresh_token: first })).status, 401);
    });
  });

  test('opens no connection for live events, and ends an event stream that is open', async () => {
    const bob = await makeBob();
    const token = bob.session.access_token;
    const [agent] = (await p.api('GET', '/api/agents', undefined, token)).body.items;
    const conversation = (await p.api('POST', '/api/conversations', { agent_id: agent.id }, token)).body;
    const run = await p.api('POST', `/api/conversations/${conversation.id}/messages`, { content: 'run: sleep 30' }, token);
    assert.equal(run.status, 202, run.text);
    let isOpen = false;
    const stream = (async () => {
      for await (const e of events(p.where(), 'GET', `/api/executions/${run.body.id}/events`, { token })) isOpen = e !== null;
    })();
    while (!isOpen) await sleep(5);
    assert.equal((await p.api('POST', '/api/auth/logout', undefined, token)).status, 204);
    const late = sleep(5000).then(() => Promise.reject(new Error('the stream goes on')));
    await Promise.race([stream, late]);
    const live = new Live(p.where());
    await live.opened;
    live.send({ type: 'auth', token });
    assert.notEqual((await Promise.race([live.closed, live.next((m) => m.type !== 'ready').then(() => ({ code: 1 }))])).code, 1000);
    assert.ok(!live.messages.some((m) => m.type === 'ready'));
    const again = await p.login({ ...BOB, email: bob.email });
    assert.equal((await p.api('POST', `/api/executions/${run.body.id}/cancel`, undefined, again.access_token)).status, 202);
  });

  test('while auth is away stays refused, and what is revoked when it is back is felt', async () => {
    const [gone, later] = [await makeBob(), await makeBob()];
    await stopsEverywhere(gone.session.access_token, async () => {
      assert.equal((await p.api('POST', '/api/auth/logout', undefined, gone.session.access_token)).status, 204);
    });
    const health = (await request(Object.fromEntries(p.roles()).exec, 'GET', '/healthz')).body;
    assert.ok(health.revocations.newest > 0 && health.revocations.age_ms < 15000, JSON.stringify(health));
    const { pid } = (await request(Object.fromEntries(p.roles()).auth, 'GET', '/healthz')).body;
    process.kill(pid, 'SIGKILL');
    assert.equal((await p.api('GET', '/api/agents', undefined, gone.session.access_token)).status, 401);
    assert.equal((await p.api('GET', '/api/agents', undefined, later.session.access_token)).status, 200);
    for (const limit = Date.now() + 15000; ; await sleep(20)) {
      const r = await request(p.where(), 'GET', '/readyz').catch(() => null);
      if (r?.status === 200) break;
      assert.ok(Date.now() < limit, r?.text);
    }
    await stopsEverywhere(later.session.access_token, async () => {
      assert.equal((await p.api('POST', '/api/auth/logout', undefined, later.session.access_token)).status, 204);
    });
    assert.equal((await p.api('GET', '/api/agents', undefined, gone.session.access_token)).status, 401);
  });

  test('is known to a service that starts later', async () => {
    const bob = await makeBob();
    const token = bob.session.access_token;
    assert.equal((await p.api('POST', '/api/auth/logout', undefined, token)).status, 204);
    const port = await freePort();
    const second = await startRole('gateway', {
      data: p.data,
      env: { OGENT_LISTEN: `127.0.0.1:${port}`, OGENT_GATEWAY_LISTEN: `unix:${p.data}/run/second.sock`, OGENT_GATEWAY_THREADS: '3' },
      where: { host: '127.0.0.1', port },
    });
    const limit = Date.now() + LIMIT_MS;
    while ((await second.api('GET', '/api/agents', undefined, token)).status !== 401) assert.ok(Date.now() < limit);
    // Each of its threads has verdicts of its own.
    const fine = await p.login({ ...BOB, email: bob.email });
    for (let i = 0; i < 20; i++) assert.equal((await second.api('GET', '/api/agents', undefined, fine.access_token)).status, 200);
    await p.api('POST', '/api/auth/logout', undefined, fine.access_token);
    await sleep(LIMIT_MS);
    for (let i = 0; i < 20; i++) assert.equal((await second.api('GET', '/api/agents', undefined, fine.access_token)).status, 401);
    await second.stop();
  });

  test('is told to services only', async () => {
    const { auth } = Object.fromEntries(p.roles());
    assert.equal((await request(auth, 'GET', '/revocations')).status, 401);
    assert.equal((await request(auth, 'GET', '/revocations', { token: admin })).status, 403);
    assert.equal((await p.api('GET', '/revocations', undefined, admin)).status, 404);
  });
});

const onSqlite = process.env.OGENT_TEST_AUTH_DB ? () => {} : describe;

onSqlite('a service that follows', { timeout: 60000 }, () => {
  test('notices that the numbers went back, as after a backup was restored', async () => {
    const auth = await startRole('auth', { env: { OGENT_LOG_FORMAT: 'json' } });
    const exec = await startRole('exec', { data: auth.data });
    const admin = await auth.setUp();
    const end = async () => {
      const session = await auth.login(ADMIN);
      assert.equal((await exec.api('GET', '/api/commands', undefined, session.access_token)).status, 200);
      assert.equal((await auth.api('POST', '/api/auth/logout', undefined, session.access_token)).status, 204);
      const limit = Date.now() + LIMIT_MS;
      while ((await exec.api('GET', '/api/commands', undefined, session.access_token)).status !== 401) assert.ok(Date.now() < limit);
      return session.access_token;
    };
    const tokens = [await end(), await end(), await end()];
    await auth.kill('SIGTERM');
    execFileSync('sqlite3', [join(auth.data, 'db/ogent_auth.db'), 'delete from revocations; update revocation_counter set newest = 0']);
    await auth.start();
    await sleep(1000); // it has found auth again
    tokens.push(await end());
    // What was known stays known.
    for (const token of tokens) assert.equal((await exec.api('GET', '/api/commands', undefined, token)).status, 401);
    assert.equal((await exec.api('GET', '/api/commands', undefined, admin.access_token)).status, 200);
    await exec.stop();
    await auth.stop();
  });
});
