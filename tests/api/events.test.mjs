// Security events by webhook: signed, retried, not lost by a crash, never to addresses inside.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ADMIN, startPlatform } from '../lib/platform.mjs';

const ERIN = { name: 'Erin Event', email: 'erin@example.org', password: 'clouds over a green valley' };

// Standard Webhooks, by its own words.
function signatureOf(secret, id, timestamp, body) {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

describe('security events by webhook', { timeout: 300000 }, () => {
  let p, admin, site, hook, answer;
  const got = [];
  const until = async (what, fn) => {
    for (const limit = Date.now() + 60000; ; await sleep(20)) {
      const value = await fn();
      if (value) return value;
      assert.ok(Date.now() < limit, what);
    }
  };
  const heard = (type, more = () => true) => until(type, () => got.find((g) => g.body.type === type && more(g)));
  const deliveries = async (id = hook.id) => (await p.api('GET', `/api/auth/webhooks/${id}/deliveries?limit=200`, undefined, admin)).body.items;

  before(async () => {
    answer = (res) => res.writeHead(204).end();
    site = http.createServer((req, res) => {
      const chunks = [];
      req.on('data', (c) => chunks.push(c));
      req.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        got.push({ headers: req.headers, text, body: JSON.parse(text) });
        answer(res);
      });
    });
    await new Promise((done) => site.listen(0, '127.0.0.1', done));
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: '', OGENT_OUTBOUND_ALLOW: '127.0.0.1' } });
    admin = (await p.setUp()).access_token;
  });
  after(async () => {
    site?.closeAllConnections();
    site?.close();
    await p?.stop();
  });

  test('an administrator names an address; the secret is shown once and kept sealed', async () => {
    const make = (body) => p.api('POST', '/api/auth/webhooks', body, admin);
    for (const bad of [{ url: 'ftp://a.example' }, { url: 'http://a.example' }, { url: 'https://169.254.169.254/' }, { url: 'https://[::ffff:10.0.0.1]/' }, { url: 'https://u:p@a.example/' }, { events: ['Bad Name'] }, { extra: 1 }])
      assert.equal((await make({ url: 'https://a.example/', ...bad })).status, 422, JSON.stringify(bad));
    const r = await make({ url: `http://127.0.0.1:${site.address().port}/events`, description: 'The watch' });
    assert.equal(r.status, 201, r.text);
    hook = r.body;
    assert.match(hook.secret, /^whsec_/);
    assert.doesNotMatch((await p.api('GET', '/api/auth/webhooks', undefined, admin)).text, /whsec_/);
    assert.ok(!(await p.stored()).includes(hook.secret.slice(6)));
    assert.ok(!p.log.includes(hook.secret.slice(6)));
  });

  test('what happens to accounts is told, signed, without secrets', async () => {
    const made = await p.api('POST', '/api/users', { ...ERIN, roles: ['member'] }, admin);
    const { body: told, headers, text } = await heard('user.created');
    assert.equal(told.data.target, `user:${made.body.id}`);
    assert.equal(told.data.actor.kind, 'user');
    assert.equal(headers['webhook-signature'], signatureOf(hook.secret, headers['webhook-id'], headers['webhook-timestamp'], text));
    assert.ok(Math.abs(Date.now() / 1000 - headers['webhook-timestamp']) < 300);
    assert.equal((await p.api('POST', '/api/auth/login', { email: ERIN.email, password: 'a wrong one' })).status, 401);
    await heard('login.refused');
    await p.login(ERIN);
    await p.api('POST', '/api/auth/login', ERIN && { email: ERIN.email, password: ERIN.password }, undefined, { 'user-agent': 'a device not seen before', 'x-forwarded-for': '203.0.113.7' });
    await heard('session.started');
    const erin = (await p.login(ERIN)).access_token;
    assert.equal((await p.api('POST', '/api/tokens', { name: 'ci', scopes: ['agents.read'] }, erin)).status, 201);
    await heard('token.created');
    assert.equal((await p.api('POST', '/api/auth/password', { current_password: ERIN.password, new_password: 'another quiet river under stones' }, erin)).status, 204);
    await heard('password.changed');
    assert.equal((await p.api('PATCH', `/api/users/${made.body.id}`, { disabled: true }, admin)).status, 200);
    await heard('user.changed');
    assert.equal((await p.api('POST', '/api/auth/keys/rotate', {}, admin)).status, 200);
    await heard('key.rotated');
    for (const g of got) assert.doesNotMatch(g.text, /river|ogp_|ogr_/);
    assert.equal(new Set(got.map((g) => g.headers['webhook-id'])).size, got.length, 'each once');
  });

  test('a test event, and what came of it in the log', async () => {
    assert.equal((await p.api('POST', `/api/auth/webhooks/${hook.id}/test`, undefined, admin)).status, 202);
    const { headers } = await heard('webhook.test');
    const item = await until('the log', async () => (await deliveries()).find((d) => d.id === headers['webhook-id'] && d.state === 'delivered'));
    assert.deepEqual([item.event, item.status, item.tries, item.error], ['webhook.test', 204, 1, null]);
  });

  test('only what is wanted, nothing while it is off', async () => {
    const change = (body) => p.api('PATCH', `/api/auth/webhooks/${hook.id}`, body, admin);
    const act = (name) => p.api('POST', '/api/roles', { name, description: 'x', permissions: [] }, admin);
    assert.equal((await change({ events: ['user.*'] })).status, 200);
    const before = (await deliveries()).length;
    assert.equal((await act('quiet')).status, 201);
    assert.equal((await change({ enabled: false, events: [] })).status, 200);
    assert.equal((await act('off')).status, 201);
    assert.equal((await deliveries()).length, before);
    assert.equal((await change({ enabled: true })).status, 200);
    assert.equal((await act('loud')).status, 201);
    await heard('role.created', (g) => /loud/.test(g.text));
  });

  test('a redirect inwards is not followed, a failure is tried again, 410 ends it', async () => {
    let hits = 0;
    const inner = http.createServer((_, res) => res.end(String(hits++)));
    await new Promise((done) => inner.listen(0, '127.0.0.2', done));
    answer = (res) => res.writeHead(302, { location: `http://127.0.0.2:${inner.address().port}/` }).end();
    await p.api('POST', `/api/auth/webhooks/${hook.id}/test`, undefined, admin);
    const waiting = await until('a failed try', async () => (await deliveries()).find((d) => d.state === 'waiting' && d.status === 302));
    assert.equal(waiting.tries, 1);
    assert.ok(waiting.next_at > waiting.created_at);
    assert.equal(hits, 0);
    inner.close();
    answer = (res) => res.writeHead(204).end();
    await until('the second try', async () => (await deliveries()).find((d) => d.id === waiting.id)?.state === 'delivered');
    answer = (res) => res.writeHead(410).end();
    await p.api('POST', `/api/auth/webhooks/${hook.id}/test`, undefined, admin);
    await until('the end', async () => (await deliveries())[0].state === 'failed');
    assert.equal((await p.api('GET', '/api/auth/webhooks', undefined, admin)).body.items[0].enabled, false);
    await p.api('PATCH', `/api/auth/webhooks/${hook.id}`, { enabled: true }, admin);
  });

  test('a crash loses nothing: what was under way comes with the same id', async () => {
    const held = [];
    answer = (res) => held.push(res); // no answer
    assert.equal((await p.api('POST', `/api/auth/webhooks/${hook.id}/test`, undefined, admin)).status, 202);
    await until('it is asked', () => held.length > 0);
    const id = got.at(-1).headers['webhook-id'];
    await p.kill('SIGKILL');
    answer = (res) => res.writeHead(200).end('{}');
    await p.start();
    await until('it comes again', () => got.filter((g) => g.headers['webhook-id'] === id).length === 2);
    admin = (await p.login(ADMIN)).access_token;
    await until('it is delivered', async () => (await deliveries()).find((d) => d.id === id)?.state === 'delivered');
  });

  test('who may not change settings gets nothing, and a removed webhook is gone', async () => {
    assert.equal((await p.api('DELETE', `/api/auth/webhooks/${hook.id}`, undefined, admin)).status, 204);
    assert.equal((await p.api('GET', `/api/auth/webhooks/${hook.id}/deliveries`, undefined, admin)).status, 404);
    assert.equal((await p.api('GET', '/api/auth/webhooks')).status, 401);
  });
});
