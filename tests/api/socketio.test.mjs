// Unmodified clients of Socket.IO and Engine.IO against the whole platform, through the gateway.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Socket as EngineSocket } from 'engine.io-client';
import { io } from 'socket.io-client';

import { withoutPieceTimes } from '../lib/agent_client.mjs';
import { claimsOf, headerOf, signingKey, signed } from '../lib/jws.mjs';
import { startPlatform } from '../lib/platform.mjs';
import { ask, newConversation, rolePids } from '../lib/runs.mjs';

const MEMBER = { name: 'Mia Member', email: 'mia@example.org', password: 'a member asks and is answered' };
const OTHER = { name: 'Otto Other', email: 'otto@example.org', password: 'another one asks something else' };

describe('Socket.IO', { timeout: 240000 }, () => {
  let p, url, admin, member, other, memberId;
  const opened = new Set();
  const asMember = () => member;
  const publish = (room, event) => p.ok202(p.api('POST', '/api/publish', { events: [{ rooms: [room], event }] }, admin));
  const open = (auth, options = {}) => {
    const socket = io(url, { auth, forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100, ...options });
    opened.add(socket);
    return socket;
  };
  const once = (emitter, name, ms = 15000) =>
    new Promise((done, fail) => {
      const late = setTimeout(() => fail(new Error(`no ${name} in ${ms} ms`)), ms);
      emitter.once(name, (...args) => (clearTimeout(late), done(args)));
    });
  const connected = async (auth, options) => {
    const socket = open(auth, options);
    socket.events = [];
    socket.on('event', (m) => socket.events.push(m.event));
    const failed = once(socket, 'connect_error').then(([e]) => Promise.reject(e));
    failed.catch(() => {});
    await Promise.race([once(socket, 'connect'), failed]);
    return socket;
  };
  const until = async (test, ms = 10000) => {
    for (const limit = Date.now() + ms; !test(); await sleep(10)) assert.ok(Date.now() < limit, `${test}`);
  };
  const withTimes = (token, times) => signed(signingKey(p), headerOf(token), { ...claimsOf(token), jti: randomUUID(), ...times });

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
    p.ok202 = async (r) => {
      const { status, text, body } = await r;
      assert.equal(status, 202, text);
      return body;
    };
    const { host, port } = p.where();
    url = `http://${host}:${port}`;
    admin = (await p.setUp()).access_token;
    for (const user of [MEMBER, OTHER]) {
      const made = await p.api('POST', '/api/users', { ...user, roles: ['member'] }, admin);
      assert.equal(made.status, 201, made.text);
      if (user === MEMBER) memberId = made.body.id;
    }
    member = (await p.login(MEMBER)).access_token;
    other = (await p.login(OTHER)).access_token;
  });
  afterEach(() => {
    for (const socket of opened) socket.close();
    opened.clear();
  });
  after(() => p?.stop());

  for (const [what, transports, last] of [
    ['polling only', ['polling'], 'polling'],
    ['WebSocket only', ['websocket'], 'websocket'],
    ['polling, then the upgrade', ['polling', 'websocket'], 'websocket'],
  ])
    test(`${what}: a run is heard live, and what was asked is acknowledged`, async () => {
      const socket = await connected({ token: member }, { transports });
      if (what.includes('upgrade')) await until(() => socket.io.engine.transport.name === 'websocket');
      const conversation = await newConversation(p, asMember);
      const joined = await socket.emitWithAck('join', { room: `conversation:${conversation}` });
      assert.equal(joined.type, 'joined');
      assert.equal(joined.room, `conversation:${conversation}`);
      assert.equal(typeof joined.epoch, 'string');
      const { id } = await ask(p, asMember, conversation, 'What can you do?\ndemo: {"pace_ms": 5}');
      await until(() => socket.events.some((e) => e.execution_id === id && e.type === 'execution.ended'));
      const r = await p.api('GET', `/api/executions/${id}/events`, undefined, member, { accept: 'application/json' });
      assert.deepEqual(withoutPieceTimes(socket.events), withoutPieceTimes(r.body.items), 'in order, each once');
      assert.equal(socket.io.engine.transport.name, last);
      const left = await socket.emitWithAck('leave', `conversation:${conversation}`);
      assert.deepEqual(left, { type: 'left', room: `conversation:${conversation}` });
    });

  test('bytes go both ways, by either transport', async () => {
    for (const transports of [['polling'], ['websocket']]) {
      const socket = await connected({ token: member }, { transports });
      const [text, bytes] = await new Promise((done) => socket.emit('ping', 'ü', Buffer.from([0, 1, 254, 255]), (...args) => done(args)));
      assert.equal(text, 'ü');
      assert.deepEqual([...bytes], [0, 1, 254, 255]);
      socket.emit('ping', { deep: [Buffer.from('abc')] });
      const [{ deep }] = await once(socket, 'pong');
      assert.equal(Buffer.from(deep[0]).toString(), 'abc');
      const refused = await socket.emitWithAck('join', { room: Buffer.from('x') });
      assert.equal(refused.code, 'binary_not_taken');
    }
  });

  test('who has no good token is refused with a reason and does not get in', async () => {
    const now = Math.floor(Date.now() / 1000);
    for (const auth of [undefined, {}, { token: 'garbage' }, { token: withTimes(member, { iat: now - 1200, exp: now - 600 }) }, { token: 7 }]) {
      const socket = open(auth, { reconnection: false });
      const [error] = await once(socket, 'connect_error');
      assert.equal(error.data?.code, 'unauthorized', `${error.message}`);
      assert.ok(error.message.length > 10);
      assert.equal(socket.connected, false);
    }
  });

  test('other namespaces are invalid', async () => {
    const socket = io(`${url}/admin`, { auth: { token: member }, forceNew: true });
    opened.add(socket);
    const [error] = await once(socket, 'connect_error');
    assert.equal(error.message, 'Invalid namespace');
  });

  test('the same rooms are open and closed as at /ws, and errors are acknowledged', async () => {
    const conversation = await newConversation(p, asMember);
    const stranger = await connected({ token: other });
    for (const [request, message, code] of [
      ['join', { room: `conversation:${conversation}` }, 'not_found'],
      ['join', { room: `user:${memberId}` }, undefined],
      ['join', { room: 'nothing' }, 'unknown_room'],
      ['join', [], 'invalid_message'],
      ['fly', {}, 'unknown_type'],
    ]) {
      const r = await stranger.emitWithAck(request, message);
      assert.equal(r.type, 'error', JSON.stringify(r));
      if (code) assert.equal(r.code, code, r.message);
    }
    stranger.emit('fly');
    assert.equal((await once(stranger, 'error'))[0].code, 'unknown_type', 'without an acknowledgement it is an event');
  });

  test('one event reaches a client once, whatever its transport, and volatile ones are taken like others', async () => {
    const sockets = await Promise.all([connected({ token: member }, { transports: ['polling'] }), connected({ token: member }, { transports: ['websocket'] })]);
    const room = `user:${memberId}`;
    for (let n = 0; n < 20; n++) await publish(room, { type: 'test', n });
    for (const socket of sockets) {
      await until(() => socket.events.length >= 20);
      assert.deepEqual(socket.events.map((e) => e.n), [...Array(20).keys()]);
      socket.volatile.emit('ping', 1);
      assert.deepEqual(await once(socket, 'pong'), [1]);
    }
  });

  test('a connection that breaks is recovered: nothing is missed, nothing comes twice', async () => {
    for (const transports of [['websocket'], ['polling']]) {
      const socket = await connected({ token: member }, { transports, reconnectionDelay: 300, reconnectionDelayMax: 300, randomizationFactor: 0 });
      const { id } = socket;
      const conversation = await newConversation(p, asMember);
      await socket.emitWithAck('join', { room: `conversation:${conversation}` });
      const room = `user:${memberId}`;
      assert.equal(socket.recovered, false);
      await publish(room, { type: 'test', n: 0 });
      await until(() => socket.events.length === 1);
      for (let round = 1; round <= 3; round++) {
        const back = once(socket, 'connect');
        socket.io.engine.close();
        for (let n = 0; n < 5; n++) {
          await publish(room, { type: 'test', n: round * 10 + n * 2 });
          await publish(`conversation:${conversation}`, { type: 'test', n: round * 10 + n * 2 + 1 });
        }
        await back;
        assert.equal(socket.recovered, true);
        assert.equal(socket.id, id, 'it is the same');
        await until(() => socket.events.length >= 1 + round * 10);
      }
      await publish(`conversation:${conversation}`, { type: 'test', n: 99 });
      await until(() => socket.events.at(-1).n === 99);
      const expected = [0, ...[1, 2, 3].flatMap((r) => [...Array(10).keys()].map((n) => r * 10 + n)), 99];
      assert.deepEqual(socket.events.map((e) => e.n), expected);
      socket.close();
    }
  });

  test('the place of somebody else cannot be taken, and too much missed begins anew', async () => {
    const socket = await connected({ token: member }, { transports: ['websocket'], reconnection: false });
    await publish(`user:${memberId}`, { type: 'test', n: 1 });
    await until(() => socket.events.length === 1);
    const { _pid: pid, _lastOffset: offset } = socket;
    socket.io.engine.close();
    const thief = open({ token: other, pid, offset }, { reconnection: false });
    const [error] = await once(thief, 'connect_error');
    assert.equal(error.data.code, 'unauthorized');

    const again = await connected({ token: member }, { transports: ['websocket'], reconnectionDelay: 1500, reconnectionDelayMax: 1500, randomizationFactor: 0 });
    const back = once(again, 'connect');
    again.io.engine.close();
    for (let k = 0; k < 4; k++)
      await p.ok202(p.api('POST', '/api/publish', { events: [...Array(100).keys()].map((n) => ({ rooms: [`user:${memberId}`], event: { type: 'test', n } })) }, admin));
    await back;
    assert.equal(again.recovered, false);
    await again.emitWithAck('ping');
    assert.deepEqual(again.events, []);
  });

  test('the server asks for a new token before the old one ends; whoever does not bring one is told and disconnected', async () => {
    const soon = () => withTimes(member, { iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 3 });
    const renews = open({ token: soon() }, { reconnection: false });
    renews.on('token_expiring', (m, ack) => ack({ token: member }));
    await once(renews, 'renewed');
    const lets = open({ token: soon() }, { reconnection: false });
    const gone = once(lets, 'disconnect');
    const ended = once(lets, 'ended');
    const [how] = await ended;
    assert.equal(how.code, 'unauthorized');
    assert.match(how.message, /expired/);
    assert.equal((await gone)[0], 'io server disconnect');
    assert.equal(renews.connected, true);
    assert.equal((await renews.emitWithAck('auth', { token: withTimes(member, {}) })).type, 'renewed');
  });

  test('too many requests end the connection', async () => {
    const socket = await connected({ token: member }, { reconnection: false });
    const gone = once(socket, 'disconnect');
    for (let i = 0; i < 1000; i++) socket.emit('ping');
    await gone;
  });

  test('a session that is signed out is disconnected at once', async () => {
    const session = await p.login(OTHER);
    const socket = await connected({ token: session.access_token }, { reconnection: false });
    const gone = once(socket, 'disconnect');
    assert.equal((await p.api('POST', '/api/auth/logout', undefined, session.access_token)).status, 204);
    assert.equal((await gone)[0], 'io server disconnect');
    const [error] = await once(open({ token: session.access_token }, { reconnection: false }), 'connect_error');
    assert.equal(error.data.code, 'unauthorized');
  });

  test('engine.io-client opens, moves to WebSocket and is heard', async () => {
    const engine = new EngineSocket(url, { path: '/socket.io/' });
    await once(engine, 'open');
    await once(engine, 'upgrade');
    engine.send(`0${JSON.stringify({ token: member })}`);
    const [answer] = await once(engine, 'message');
    assert.match(answer, /^0\{"sid":"[^"]+","pid":"[^"]+"\}$/);
    engine.close();
    await sleep(50);
  });

  test('the service restarts: clients come back by themselves', async () => {
    const socket = await connected({ token: member }, { transports: ['websocket'] });
    const back = once(socket, 'connect', 30000);
    process.kill(rolePids(p).socket, 'SIGTERM');
    await back;
    assert.equal((await socket.emitWithAck('join', { room: `user:${memberId}` })).type, 'joined');
  });
});
