// Two socket services on one Redis: each event reaches every client once, with one offset; Redis may die and come back empty.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Live } from '../lib/live.mjs';
import { freePort, startPlatform, startRole } from '../lib/platform.mjs';
import { hasRedis, Redis } from '../lib/redis.mjs';

describe('socket services on one Redis', { timeout: 240000, skip: !hasRedis && 'redis-tools is missing' }, () => {
  let redis, p, two, three, token, admin, member, memberId;
  const opened = new Set();
  let serial = 0;
  const fresh = () => `channel:cluster-${++serial}`;
  const MEMBER = { name: 'Mia Member', email: 'mia@example.org', password: 'a member listens to channels', roles: ['member'] };

  // Another socket service with the same keys.
  async function another(url = redis.url) {
    const port = await freePort();
    const env = { OGENT_SOCKET_LISTEN: `127.0.0.1:${port}`, OGENT_REDIS_URL: url };
    return startRole('socket', { data: p.data, env, where: { host: '127.0.0.1', port } });
  }

  async function open(where, as = token) {
    const live = await Live.open(where, as);
    opened.add(live);
    return live;
  }
  const one = () => p.where();
  const publish = async (node, rooms, event) => {
    const r = await node.api('POST', '/api/publish', { events: [{ rooms: [rooms].flat(), event }] }, token);
    assert.equal(r.status, 202, r.text);
  };
  const numbers = (live) => live.events.map((e) => e.n);
  const has = (live, n) => live.next((m) => m.event?.n === n, { from: 0, ms: 30000 });

  before(async () => {
    redis = await Redis.start();
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_REDIS_URL: redis.url } });
    token = (await p.setUp()).access_token;
    const made = await p.api('POST', '/api/users', MEMBER, token);
    assert.equal(made.status, 201, made.text);
    memberId = made.body.id;
    member = (await p.login(MEMBER)).access_token;
    two = await another();
  });
  afterEach(async () => {
    for (const live of opened) await live.close();
    opened.clear();
  });
  after(async () => {
    await three?.stop();
    await two?.stop();
    await p?.stop();
    await redis?.kill();
    redis?.remove();
  });

  test('what is published at one node reaches the clients of all, once, with the same offsets', async () => {
    const room = fresh();
    const [a, b] = [await open(one()), await open(two.where())];
    const [ja, jb] = [await a.join(room), await b.join(room)];
    assert.equal(ja.epoch, jb.epoch);
    for (let n = 1; n <= 20; n++) await publish(n % 2 ? p : two, room, { n });
    for (const live of [a, b]) {
      for (let n = 1; n <= 20; n++) await has(live, n);
      await live.settled();
    }
    const seen = (live) => live.messages.filter((m) => m.type === 'event').map((m) => `${m.offset} ${m.event.n}`);
    assert.deepEqual(seen(a), seen(b));
    assert.deepEqual(a.messages.filter((m) => m.type === 'event').map((m) => m.offset), Array.from({ length: 20 }, (_, i) => i + 1));
  });

  test('an event of several rooms comes once', async () => {
    const [r1, r2] = [fresh(), fresh()];
    const b = await open(two.where());
    await b.join(r1);
    await b.join(r2);
    await publish(p, [r1, r2], { n: 1 });
    await publish(p, [r2, r1], { n: 2 });
    await has(b, 2);
    await b.settled();
    assert.deepEqual(numbers(b), [1, 2]);
  });

  test('who comes back to another node gets what was missed', async () => {
    const room = fresh();
    const a = await open(one());
    const { epoch } = await a.join(room);
    await publish(p, room, { n: 1 });
    await has(a, 1);
    await a.close();
    for (let n = 2; n <= 5; n++) await publish(p, room, { n });
    const b = await open(two.where());
    const back = await b.ask({ type: 'join', room, epoch, offset: 1 });
    assert.equal(back.recovered, true, JSON.stringify(back));
    await publish(p, room, { n: 6 });
    await has(b, 6);
    await b.settled();
    assert.deepEqual(numbers(b), [2, 3, 4, 5, 6]);
  });

  test('presence is of all nodes, and ends with a node\'s lease', async () => {
    const room = fresh();
    const a = await open(one());
    await a.ask({ type: 'join', room, presence: true });
    three = await another();
    const c = await open(three.where(), member);
    const joined = await c.ask({ type: 'join', room, presence: true });
    assert.equal(joined.members.length, 2, JSON.stringify(joined));
    const came = await a.next((m) => m.type === 'presence', { from: 0 });
    assert.deepEqual([came.event, came.user], ['join', memberId]);
    await three.kill();
    three.stop = async () => {};
    const left = await a.next((m) => m.type === 'presence' && m.event === 'leave', { from: 0, ms: 60000 });
    assert.equal(left.user, memberId);
  });

  test('Redis dies and comes back empty: this node goes on, the others get it afterwards, nothing is lost or doubled', async () => {
    const room = fresh();
    const [a, b] = [await open(one()), await open(two.where())];
    await a.join(room);
    await b.join(room);
    await publish(p, room, { n: 1 });
    await Promise.all([has(a, 1), has(b, 1)]);
    await redis.kill();
    for (let n = 2; n <= 6; n++) await publish(p, room, { n });
    await has(a, 6);
    assert.deepEqual(numbers(a), [1, 2, 3, 4, 5, 6], 'here at once');
    await sleep(3000);
    assert.equal((await two.api('GET', '/readyz')).status, 200);
    await redis.start();
    await has(b, 6);
    await publish(two, room, { n: 7 });
    await Promise.all([has(a, 7), has(b, 7)]);
    for (const live of [a, b]) await live.settled();
    assert.deepEqual(numbers(a), [1, 2, 3, 4, 5, 6, 7]);
    assert.deepEqual(numbers(b), [1, 2, 3, 4, 5, 6, 7]);
    // Each knows its place: who leaves now and comes back to the other node misses and doubles nothing.
    const place = a.messages.filter((m) => m.room === room && m.epoch).at(-1);
    const last = a.messages.filter((m) => m.room === room && m.offset).at(-1).offset;
    await a.close();
    await publish(two, room, { n: 8 });
    await has(b, 8);
    const again = await open(two.where());
    assert.equal((await again.ask({ type: 'join', room, epoch: place.epoch, offset: last })).recovered, true);
    await again.settled();
    assert.deepEqual(numbers(again), [8]);
  });

  test('a node whose subscriptions are back before its commands asks again for what it missed', async () => {
    const room = fresh();
    const door = await redis.door();
    const node = await another(door.url);
    try {
      const [a, c] = [await open(one()), await open(node.where())];
      await a.join(room);
      await c.join(room);
      await publish(p, room, { n: 1 });
      await Promise.all([has(a, 1), has(c, 1)]);
      await redis.kill();
      door.isShut = true;
      for (let n = 2; n <= 4; n++) await publish(p, room, { n });
      await has(a, 4);
      await redis.start();
      for (const limit = Date.now() + 30000; !door.held; await sleep(20)) assert.ok(Date.now() < limit, 'the node is back');
      // Longer than an answer is waited for.
      await sleep(6000);
      door.release();
      await has(c, 4);
      assert.deepEqual(numbers(c), [1, 2, 3, 4]);
    } finally {
      await node.stop();
      door.close();
    }
  });

  test('a Redis that is full gets the events when it has room again; who is here gets them at once', async () => {
    const room = fresh();
    const [a, b] = [await open(one()), await open(two.where())];
    await a.join(room);
    await b.join(room);
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    await publish(p, room, { n: 1 });
    await has(a, 1);
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');
    await publish(p, room, { n: 2 });
    await Promise.all([has(a, 2), has(b, 2)]);
    assert.deepEqual(numbers(a), [1, 2]);
    assert.deepEqual(numbers(b), [1, 2]);
  });
});
