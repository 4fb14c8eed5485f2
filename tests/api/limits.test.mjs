// Rate limits from outside: named ones, what has an allowance of its own, and two gateways that share a Redis.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort, request, startPlatform, startRole } from '../lib/platform.mjs';
import { hasRedis, Redis } from '../lib/redis.mjs';

const NOWHERE = '01932b7c-5c2e-7a3e-8b1f-1234567890ab';

describe('named rate limits', { timeout: 60000 }, () => {
  let p;
  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '1', OGENT_RATE_BURST: '5', OGENT_RATE_LIMITS: 'login=3/1h/address,stop=20/1h/user' } });
  });
  after(() => p?.stop());

  test('stopping has an allowance of its own, so that who has used up his can still end what he began', async () => {
    const token = await p.localToken();
    const reads = await Promise.all(Array.from({ length: 30 }, () => p.api('GET', '/api/agents', undefined, token)));
    assert.ok(reads.some((r) => r.status === 200) && reads.some((r) => r.status === 429));
    for (const path of [`/api/executions/${NOWHERE}/cancel`, `/api/commands/${NOWHERE}/cancel`]) {
      const r = await p.api('POST', path, undefined, token);
      assert.equal(r.status, 404, r.text);
      assert.match(r.headers.ratelimit, /^"stop";r=1\d;t=\d+$/);
      assert.equal(r.headers['ratelimit-policy'], '"stop";q=20;w=3600');
    }
    const out = await p.api('POST', '/api/auth/logout', undefined, token);
    assert.notEqual(out.status, 429);
  });

  test('signing in has a limit by address besides the default; both are told', async () => {
    await sleep(2500);
    const first = await p.api('POST', '/api/auth/login', { email: 'nobody@example.org', password: 'wrong' });
    assert.equal(first.status, 401, first.text);
    assert.equal(first.headers['ratelimit-policy'], '"login";q=3;w=3600, "default";q=5;w=5');
    assert.match(first.headers.ratelimit, /^"login";r=2;t=\d+, "default";r=\d;t=\d$/);
    const more = await Promise.all(Array.from({ length: 5 }, () => p.api('POST', '/api/auth/login', { email: 'nobody@example.org', password: 'wrong' })));
    const refused = more.filter((r) => r.status === 429);
    assert.ok(refused.length >= 3, more.map((r) => r.status).join(' '));
    // By `login`, for long, or by the default, for a moment.
    assert.ok(refused.some((r) => Number(r.headers['retry-after']) > 600), refused.map((r) => r.headers['retry-after']).join(' '));
  });
});

const withRedis = hasRedis ? describe : () => {};

withRedis('gateways that share a Redis', { timeout: 120000 }, () => {
  const LIMIT = 20;
  let redis, p, second;
  before(async () => {
    redis = await Redis.start();
    const env = { OGENT_REDIS_URL: redis.url, OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: `login=${LIMIT}/1h/address`, OGENT_GATEWAY_THREADS: '2' };
    p = await startPlatform({ env });
    const port = await freePort();
    second = await startRole('gateway', {
      data: p.data,
      env: { ...env, OGENT_LISTEN: `127.0.0.1:${port}`, OGENT_GATEWAY_LISTEN: `unix:${p.data}/run/second.sock` },
      where: { host: '127.0.0.1', port },
    });
  });
  after(async () => {
    await second?.stop();
    await p?.stop();
    redis?.remove();
  });

  const ask = async (gateway) => {
    const from = performance.now();
    const r = await gateway.api('POST', '/api/auth/setup', { token: 'x', name: 'x', email: 'x@example.org', password: 'correct horse battery staple' });
    assert.ok([403, 410, 429].includes(r.status), `${r.status} ${r.text}`);
    return { passed: r.status !== 429, ms: performance.now() - from };
  };
  const shared = async (gateway, value) => {
    for (const limit = Date.now() + 20000; ; await sleep(20)) {
      const [, at] = p.roles().find(([role]) => role === (gateway === p ? 'gateway' : 'second'));
      const text = (await request(at, 'GET', '/metrics')).text;
      if (new RegExp(`^ogent_gateway_limits_shared ${value}$`, 'm').test(text)) return text;
      assert.ok(Date.now() < limit, text);
    }
  };

  test('let through no more than the limit in total', async () => {
    await shared(p, 1);
    await shared(second, 1);
    const answers = [];
    for (let i = 0; i < LIMIT; i++) answers.push(...(await Promise.all([ask(p), ask(second)])));
    const passed = answers.filter((a) => a.passed).length;
    assert.ok(passed <= LIMIT && passed >= LIMIT - 2, `${passed} of ${answers.length}`);
    assert.match(await shared(p, 1), /^ogent_gateway_limit_calls_total [1-9]/m);
  });

  test('go on by their own numbers while Redis is away, and share again when it is back', async () => {
    await redis.kill();
    const answers = [];
    for (const end = Date.now() + 3000; Date.now() < end; await sleep(25)) answers.push(...(await Promise.all([ask(p), ask(second)])));
    // Each has let through half of its own allowance before.
    const passed = answers.filter((a) => a.passed).length;
    assert.ok(passed >= LIMIT - 4 && passed <= LIMIT + 2, `${passed} of ${answers.length}`);
    await shared(p, 0);
    await shared(second, 0);
    await redis.start();
    await shared(p, 1);
    await shared(second, 1);
  });

  test('wait for a Redis that hangs once, and not again', async () => {
    await redis.kill('SIGSTOP');
    await Promise.all(Array.from({ length: 10 }, () => ask(p)));
    const later = [];
    for (let i = 0; i < 20; i++) later.push((await ask(p)).ms);
    later.sort((a, b) => a - b);
    assert.ok(later[10] < 40, `${later}`);
    await redis.kill('SIGCONT');
    await shared(p, 1);
  });
});
