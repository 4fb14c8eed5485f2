// Live events over /ws, through the gateway of the whole platform.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withoutPieceTimes } from '../lib/agent_client.mjs';
import { claimsOf, headerOf, signingKey, signed, strangerKey } from '../lib/jws.mjs';
import { Live } from '../lib/live.mjs';
import { startPlatform } from '../lib/platform.mjs';
import { dial } from '../lib/raw.mjs';
import { ask, ended, newConversation, rolePids } from '../lib/runs.mjs';

const MEMBER = { name: 'Mia Member', email: 'mia@example.org', password: 'a member asks and is answered' };
const OTHER = { name: 'Otto Other', email: 'otto@example.org', password: 'another one asks something else' };
const SLOW = '\ndemo: {"pace_ms": 5}';

describe('the socket', { timeout: 240000 }, () => {
  let p, admin, member, other, memberId;
  const asAdmin = () => admin;
  const asMember = () => member;
  const asOther = () => other;
  const publish = (rooms, event, token = admin) => p.api('POST', '/api/publish', { events: [{ rooms, event }] }, token);
  const opened = new Set();
  // An open connection; it ends with the test at the latest.
  async function open(token) {
    const live = await Live.open(p.where(), token);
    opened.add(live);
    return live;
  }

  // A token with other times, signed by auth's own key.
  const withTimes = (token, times) => signed(signingKey(p), headerOf(token), { ...claimsOf(token), jti: randomUUID(), ...times });

  async function storedEvents(token, id) {
    const r = await p.api('GET', `/api/executions/${id}/events`, undefined, token(), { accept: 'application/json' });
    assert.equal(r.status, 200, r.text);
    return withoutPieceTimes(r.body.items);
  }

  async function runIn(token, conversation, content, live) {
    const { id } = await ask(p, token, conversation, content);
    if (live) await live.next((m) => m.event?.execution_id === id && m.event.type === 'execution.ended', { from: 0 });
    else await ended(p, token, id);
    return id;
  }

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
    admin = (await p.setUp()).access_token;
    for (const user of [MEMBER, OTHER]) {
      const made = await p.api('POST', '/api/users', { ...user, roles: ['member'] }, admin);
      assert.equal(made.status, 201, made.text);
      if (user === MEMBER) memberId = made.body.id;
    }
    member = (await p.login(MEMBER)).access_token;
    other = (await p.login(OTHER)).access_token;
  });
  afterEach(async () => {
    for (const live of opened) await live.close();
    opened.clear();
  });
  after(() => p?.stop());

  test('without Upgrade it is 426', async () => {
    const r = await p.api('GET', '/ws');
    assert.equal(r.status, 426, r.text);
    assert.equal(r.headers.upgrade, 'websocket');
    assert.equal(r.body.code, 'upgrade_required');
  });

  test('the first message is a token; who has none, or a bad one, is closed with 4401', async () => {
    const live = await open(member);
    assert.equal(live.ready.user, memberId);
    assert.match(live.ready.connection, /^[0-9a-f-]{36}$/);
    assert.equal((await live.close()).code, 1005);

    const now = Math.floor(Date.now() / 1000);
    for (const [what, message] of [
      ['garbage', { type: 'auth', token: 'garbage' }],
      ['no token', { type: 'auth' }],
      ['no text', { type: 'auth', token: 7 }],
      ['forged', { type: 'auth', token: signed(strangerKey(), headerOf(member), claimsOf(member)) }],
      ['expired', { type: 'auth', token: withTimes(member, { iat: now - 1200, exp: now - 600 }) }],
      ['another audience', { type: 'auth', token: withTimes(member, { aud: 'socket' }) }],
      ['a join first', { type: 'join', room: `user:${memberId}` }],
    ]) {
      const bad = new Live(p.where());
      await bad.opened;
      bad.send(message);
      assert.equal((await bad.closed).code, 4401, what);
      assert.ok(!bad.messages.some((m) => m.type === 'ready'), what);
    }
  });

  test('who says nothing for 10 s is closed with 4401', async () => {
    const live = new Live(p.where());
    await live.opened;
    const start = performance.now();
    live.send({ type: 'ping' });
    await live.next((m) => m.type === 'pong', { from: 0 });
    assert.equal((await live.closed).code, 4401);
    const took = performance.now() - start;
    assert.ok(took > 9000 && took < 14000, `${took} ms`);
  });

  test('a run is heard live, in order, and is what the log has', async () => {
    const conversation = await newConversation(p, asMember);
    const live = await open(member);
    await live.join(`conversation:${conversation}`);
    const id = await runIn(asMember, conversation, `What can you do?${SLOW}`, live);
    const heard = live.events;
    const seqs = heard.map((e) => e.seq);
    assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b), 'seq rises strictly');
    assert.equal(heard[0].type, 'execution.started');
    assert.equal(heard.at(-1).type, 'execution.ended');
    assert.ok(heard.filter((e) => e.type === 'text.delta').length > 3, 'the text came in pieces');
    assert.deepEqual(withoutPieceTimes(heard), await storedEvents(asMember, id));
    assert.ok(heard.every((e) => e.conversation_id === conversation && e.execution_id === id));
    const text = heard.filter((e) => e.type === 'text.delta').map((e) => e.data.text).join('');
    assert.equal(heard.at(-1).data.output, text);
    await live.close();
  });

  test('a command\'s output is heard while it runs', async () => {
    const conversation = await newConversation(p, asMember);
    const live = await open(member);
    await live.join(`conversation:${conversation}`);
    const { id } = await ask(p, asMember, conversation, 'run: for i in 1 2 3; do echo $i; sleep 0.2; done');
    const first = await live.next((m) => ['call.output', 'call.done'].includes(m.event?.type), { from: 0 });
    assert.equal(first.event.type, 'call.output', JSON.stringify(first));
    const r = await p.api('GET', `/api/executions/${id}`, undefined, member);
    assert.equal(r.body.status, 'running', 'the run goes on');
    await live.next((m) => m.event?.type === 'execution.ended', { from: 0 });
    assert.deepEqual(withoutPieceTimes(live.events), await storedEvents(asMember, id));
    await live.close();
  });

  test('what is not one\'s own cannot be joined, and is not told apart from what is not there', async () => {
    const conversation = await newConversation(p, asMember);
    const id = await runIn(asMember, conversation, 'hello');
    const stranger = await open(other);
    const nothing = '01900000-0000-7000-8000-000000000000';
    const refused = [];
    for (const room of [`conversation:${conversation}`, `execution:${id}`, `conversation:${nothing}`, `execution:${nothing}`]) {
      const r = await stranger.ask({ type: 'join', room });
      assert.equal(r.type, 'error', room);
      refused.push(`${r.code} ${r.message}`);
    }
    assert.equal(new Set(refused).size, 1, `${refused}`);
    for (const room of [`user:${memberId}`, 'conversation:', 'conversation:*', `conversation:${conversation}/../x`, 'admin', '', `execution:${conversation}`, 7]) {
      const r = await stranger.ask({ type: 'join', room });
      assert.equal(r.type, 'error', `${room}`);
    }
    await runIn(asMember, conversation, 'hello again');
    await stranger.settled();
    assert.deepEqual(stranger.events, []);
    await stranger.close();

    const chief = await open(admin);
    await chief.join(`conversation:${conversation}`);
    await runIn(asMember, conversation, 'and once more', chief);
    await chief.close();
  });

  test('two connections get the same, one copy each though in two rooms; who leaves gets no more', async () => {
    const conversation = await newConversation(p, asMember);
    const room = `conversation:${conversation}`;
    // Events of a run go to its user's own room as well, so the one who leaves is somebody else who may read it.
    const [one, two, gone] = await Promise.all([open(member), open(member), open(admin)]);
    for (const live of [one, two, gone]) await live.join(room);
    const first = await runIn(asMember, conversation, 'hello', one);
    await two.join(`execution:${first}`);
    for (const live of [two, gone]) await live.next((m) => m.event?.type === 'execution.ended', { from: 0 });
    assert.deepEqual(await gone.ask({ type: 'leave', room }), { type: 'left', room, id: gone.serial });
    const heard = gone.events.length;

    const sent = await publish([room, `execution:${first}`, `user:${memberId}`], { type: 'test', n: 1 });
    assert.equal(sent.status, 202, sent.text);
    assert.equal(sent.body.delivered, 2, 'one copy each');
    await runIn(asMember, conversation, `Tell me a joke.${SLOW}`, one);
    for (const live of [one, two, gone]) await live.settled();
    assert.deepEqual(one.events, two.events);
    assert.ok(heard > 0);
    assert.equal(gone.events.length, heard);
    assert.ok(one.events.length > heard + 1);
  });

  test('only who may publish does, and what is published is checked whole', async () => {
    const live = await open(member);
    const room = `user:${memberId}`;
    assert.equal((await publish([room], { type: 'test' }, member)).status, 403);
    assert.equal((await p.api('POST', '/api/publish', { events: [] })).status, 401);
    for (const body of [{}, { events: 1 }, { events: [{ rooms: [room] }] }, { events: [{ rooms: [], event: {} }] }, { events: [{ rooms: ['x'.repeat(200)], event: {} }] }, { events: [{ rooms: [room], event: { n: 1 } }, { rooms: [room], event: 'text' }] }]) {
      const r = await p.api('POST', '/api/publish', body, admin);
      assert.ok([400, 422].includes(r.status), r.text);
    }
    await live.settled();
    assert.deepEqual(live.events, [], 'all or nothing');
    assert.deepEqual((await publish([room], { type: 'test', text: 'ü \u{1f600} "quoted"\n' })).body, { delivered: 1 });
    await live.settled();
    assert.deepEqual(live.messages.filter((m) => m.type === 'event').map(({ offset, ...m }) => m), [{ type: 'event', room, event: { type: 'test', text: 'ü \u{1f600} "quoted"\n' } }]);
    assert.deepEqual((await publish(['user:nobody'], { type: 'test' })).body, { delivered: 0 });
    await live.close();
  });

  test('what is no message is answered with an error and does no harm', async () => {
    const live = await open(member);
    for (const [text, code] of [
      ['{"type":', 'invalid_json'],
      ['', 'invalid_json'],
      ['{"type":"ping","type":"ping"}', 'invalid_json'],
      [`${'['.repeat(5000)}`, 'invalid_json'],
      ['[]', 'invalid_message'],
      ['{"type":"ping","id":{}}', 'invalid_message'],
      ['{"type":"fly"}', 'unknown_type'],
      ['{}', 'unknown_type'],
    ]) {
      const from = live.messages.length;
      live.send(text);
      const r = await live.next((m) => m.type === 'error', { from });
      assert.equal(r.code, code, text.slice(0, 40));
      assert.ok(r.message);
    }
    assert.equal((await live.ask({ type: 'fly' })).code, 'unknown_type');
    await live.settled();
    await live.close();
  });

  test('too long, binary, or too many messages end the connection with their code', async () => {
    const long = await open(member);
    long.send({ type: 'ping', id: 'x'.repeat(20000) });
    assert.equal((await long.closed).code, 1009);
    const binary = await open(member);
    binary.send(new Uint8Array([1, 2, 3]));
    assert.equal((await binary.closed).code, 1003);
    const many = await open(member);
    for (let i = 0; i < 1000; i++) many.send({ type: 'ping' });
    assert.equal((await many.closed).code, 1008);
    await (await open(member)).close();
  });

  test('a token that ends closes with 4401, unless it is renewed by the same user', async () => {
    const soon = () => withTimes(member, { iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 2 });
    const [ends, renews] = await Promise.all([open(soon()), open(soon())]);
    const renewed = renews.next((m) => m.type === 'renewed');
    renews.send({ type: 'auth', token: member });
    await renewed;
    assert.equal((await ends.closed).code, 4401);
    await sleep(300);
    await renews.settled();
    renews.send({ type: 'auth', token: other });
    assert.equal((await renews.closed).code, 4401, 'another user takes nothing over');
  });

  // A connection by hand: the head and then frames.
  function byHand(frames) {
    const { host, port } = p.where();
    const socket = dial(p.where());
    socket.write(`GET /ws HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
    for (const f of frames) socket.write(f);
    const got = { bytes: Buffer.alloc(0) };
    socket.on('data', (d) => (got.bytes = Buffer.concat([got.bytes, d])));
    socket.on('error', () => {});
    got.closed = new Promise((done) => socket.on('close', done));
    return Object.assign(got, { socket });
  }
  // A masked frame with a mask of zeros.
  const frame = (op, payload) => {
    const data = Buffer.from(payload);
    const head = data.length < 126 ? [0x80 | op, 0x80 | data.length] : [0x80 | op, 0x80 | 126, data.length >> 8, data.length & 255];
    return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), data]);
  };

  test('frames that break the protocol, and pings of it', async () => {
    const ping = byHand([frame(9, 'are you there'), frame(8, Buffer.from([3, 232]))]);
    await ping.closed;
    const text = ping.bytes.toString('latin1');
    assert.match(text, /^HTTP\/1\.1 101 /);
    assert.match(text, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
    assert.ok(text.includes('\x8a\x0dare you there'), 'a pong with the same');
    assert.ok(text.includes('\x88\x02\x03\xe8'), 'the close is answered');
    for (const [what, bytes, code] of [
      ['not masked', Buffer.from([0x81, 0x02, 0x7b, 0x7d]), 1002],
      ['a reserved bit', Buffer.from([0xc1, 0x80, 0, 0, 0, 0]), 1002],
      ['an unknown opcode', frame(3, ''), 1002],
      ['a long ping', frame(9, 'x'.repeat(126)), 1002],
      ['text that is no UTF-8', frame(1, Buffer.from([0xff])), 1007],
    ]) {
      const bad = byHand([bytes]);
      await bad.closed;
      const split = bad.bytes.indexOf('\r\n\r\n') + 4;
      assert.equal(bad.bytes[split], 0x88, what);
      assert.equal(bad.bytes.readUInt16BE(split + 2), code, what);
    }
  });

  test('who does not read is let go with 1013 and holds up nobody', async () => {
    const slow = byHand([frame(1, JSON.stringify({ type: 'auth', token: member }))]);
    const live = await open(member);
    for (const limit = Date.now() + 5000; !slow.bytes.includes('"ready"'); await sleep(5)) assert.ok(Date.now() < limit);
    slow.socket.pause();
    const room = `user:${memberId}`;
    const fill = 'x'.repeat(500000);
    let delivered = 2;
    for (let n = 0; n < 100 && delivered === 2; n++) {
      delivered = (await publish([room], { type: 'fill', n, fill })).body.delivered;
    }
    assert.equal(delivered, 1, 'the one that does not read is out');
    await live.settled();
    assert.deepEqual(live.events.map((e) => e.n), live.events.map((_, i) => i), 'the other one has got all');
    slow.socket.destroy();
    await live.close();
  });

  test('when the role dies the connection ends, and a new one takes the events up', async () => {
    const conversation = await newConversation(p, asMember);
    const live = await open(member);
    await live.join(`conversation:${conversation}`);
    const { id } = await ask(p, asMember, conversation, 'run: sleep 2; echo late');
    await live.next((m) => m.event?.type === 'call.started', { from: 0 });
    process.kill(rolePids(p).socket, 'SIGKILL');
    await live.closed;
    let again;
    for (const limit = Date.now() + 15000; !again; await sleep(50)) {
      assert.ok(Date.now() < limit, 'the socket is back');
      again = await open(member).catch(() => null);
    }
    await again.join(`execution:${id}`);
    const last = live.events.at(-1).seq;
    const missed = await p.api('GET', `/api/executions/${id}/events?after=${last}`, undefined, member, { accept: 'application/json' });
    await ended(p, asMember, id);
    await again.settled();
    const all = new Map([...live.events, ...missed.body.items, ...again.events].map((e) => [e.seq, e]));
    assert.deepEqual(withoutPieceTimes([...all.values()].sort((a, b) => a.seq - b.seq)), await storedEvents(asMember, id));
    await again.close();
  });

  test('a role that ends in order says 1001', async () => {
    const all = await Promise.all([open(member), open(other)]);
    process.kill(rolePids(p).socket, 'SIGTERM');
    for (const live of all) assert.equal((await live.closed).code, 1001);
  });

  test('a platform that ends says 1001 and does not wait for its connections', async () => {
    let live;
    for (const limit = Date.now() + 15000; !live; await sleep(50)) {
      assert.ok(Date.now() < limit, 'the socket is back');
      live = await open(member).catch(() => null);
    }
    // Frames of each form of length went before.
    for (const size of [1, 1000, 100000]) assert.equal((await publish([`user:${memberId}`], { fill: 'x'.repeat(size) })).status, 202);
    await live.settled();
    assert.equal(live.events.length, 3);
    const start = performance.now();
    const ends = p.stop();
    p = null;
    assert.equal((await live.closed).code, 1001);
    await ends;
    assert.ok(performance.now() - start < 10000);
  });
});
