// Another process holds a database's write lock for longer than a write waits: refusals are clear, the run waits, and all
// goes on by itself afterwards.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { ask, assertWhole, ended, eventsOf, newConversation, untilEvent } from '../lib/runs.mjs';

const HELD_MS = 7000; // a write waits 5 s

describe('a locked database', { timeout: 60000 }, () => {
  let p, token;
  const current = () => token;
  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
    await p.setUp();
    token = await p.localToken();
  });
  after(() => p?.stop());

  // Holds the lock; returns what lets it go.
  function hold(file) {
    const path = join(p.data, 'db', file);
    assert.ok(existsSync(path), `no ${path}`);
    const db = new DatabaseSync(path, { timeout: 5000 });
    db.exec('begin exclusive');
    return () => {
      db.exec('rollback');
      db.close();
    };
  }

  function refused(r) {
    assert.equal(r.status, 503, r.text);
    assert.match(r.headers['content-type'], /^application\/problem\+json/);
    assert.equal(r.body.code, 'unavailable');
    assert.match(r.body.detail, /Try again in a moment/);
    assert.ok(Number(r.headers['retry-after']) >= 1, 'no Retry-After');
  }

  test('of the agents: new messages are refused with 503, the run waits and ends right, nothing is lost or doubled', async () => {
    const other = await newConversation(p, current);
    const conversation = await newConversation(p, current);
    const run = await ask(p, current, conversation, 'run: echo begun >> log; echo begun; sleep 1; echo over; wc -l < log');
    await untilEvent(p, current, run.id, (e) => e.type === 'call.output');
    const release = hold('langchain_agent.db');
    const at = Date.now();
    const refusals = [
      p.api('POST', `/api/conversations/${other}/messages`, { content: 'hello' }, token, { 'idempotency-key': 'locked-1' }),
      p.api('POST', '/api/conversations', {}, token),
      p.api('POST', '/api/agents', { name: 'Never' }, token),
    ];
    try {
      // What only reads goes on meanwhile.
      for (const path of ['/api/agents', '/api/executions', `/api/conversations/${conversation}/messages`, '/healthz']) {
        const begun = Date.now();
        assert.equal((await p.api('GET', path, undefined, token)).status, 200, path);
        assert.ok(Date.now() - begun < 2000, `${path} waited for ${Date.now() - begun} ms`);
      }
      for (const r of await Promise.all(refusals)) refused(r);
      const e = await p.api('GET', `/api/executions/${run.id}`, undefined, token);
      assert.equal(e.body.status, 'running');
      await sleep(Math.max(0, at + HELD_MS - Date.now()));
    } finally {
      release();
    }
    const e = await ended(p, current, run.id, 20000);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls.length, 1);
    assert.equal(e.calls[0].output, 'begun\nover\n1\n');
    const events = await eventsOf(p, current, run.id);
    assertWhole(events);
    assert.equal(events.filter((x) => x.type === 'call.output').map((x) => x.data.text).join(''), 'begun\nover\n1\n');
    // The refused left no trace, and sent again with its key it is accepted.
    assert.equal((await p.api('GET', `/api/conversations/${other}/messages`, undefined, token)).body.items.length, 0);
    assert.ok(!(await p.api('GET', '/api/agents', undefined, token)).body.items.some((a) => a.name === 'Never'));
    const again = await ask(p, current, other, 'hello', 'locked-1');
    assert.equal((await ended(p, current, again.id)).status, 'succeeded');
  });

  test('of the accounts: signing in is refused with 503 and works again afterwards; who is signed in works on', async () => {
    const session = await p.login(ADMIN);
    const release = hold('ogent_auth.db');
    const at = Date.now();
    try {
      const refusals = [
        p.api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password }),
        p.api('POST', '/api/auth/refresh', { refresh_token: session.refresh_token }),
        p.api('POST', '/api/users', { name: 'Bob', email: 'bob@example.org', password: ADMIN.password, roles: ['member'] }, token),
      ];
      const e = await ended(p, current, (await ask(p, current, await newConversation(p, current), 'run: echo on')).id);
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      for (const r of await Promise.all(refusals)) refused(r);
      await sleep(Math.max(0, at + HELD_MS - Date.now()));
    } finally {
      release();
    }
    await p.login(ADMIN);
    // The refused refresh used nothing up.
    const r = await p.api('POST', '/api/auth/refresh', { refresh_token: session.refresh_token });
    assert.equal(r.status, 200, r.text);
    const users = (await p.api('GET', '/api/users', undefined, token)).body.items;
    assert.ok(!users.some((u) => u.email === 'bob@example.org'));
  });
});
