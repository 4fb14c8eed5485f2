// Channels: places in them, rights, publishing, presence, slow readers, windows, coming back; over /ws and SSE.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Live } from '../lib/live.mjs';
import { startPlatform } from '../lib/platform.mjs';
import { dial } from '../lib/raw.mjs';
import { rolePids } from '../lib/runs.mjs';

const USERS = {
  member: { name: 'Mia Member', email: 'mia@example.org', password: 'a member listens to channels', roles: ['member'] },
  speaker: { name: 'Sam Speaker', email: 'sam@example.org', password: 'an operator speaks in channels', roles: ['operator'] },
  viewer: { name: 'Vera Viewer', email: 'vera@example.org', password: 'a viewer has no channels at all', roles: ['viewer'] },
};

// A connection by hand: the head, then a token; nothing is read while the socket is paused.
function byHand(where, messages) {
  const socket = dial(where);
  socket.write(`GET /ws HTTP/1.1\r\nHost: ${where.host}:${where.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
  const got = { socket, bytes: Buffer.alloc(0) };
  got.send = (message) => {
    const data = Buffer.from(JSON.stringify(message));
    const head = data.length < 126 ? [0x81, 0x80 | data.length] : [0x81, 0xfe, data.length >> 8, data.length & 255];
    socket.write(Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), data]));
  };
  socket.on('data', (d) => (got.bytes = Buffer.concat([got.bytes, d])));
  socket.on('error', () => {});
  got.closed = new Promise((done) => socket.on('close', done));
  got.until = async (text) => {
    for (const limit = Date.now() + 20000; !got.bytes.includes(text); await sleep(5)) assert.ok(Date.now() < limit, `no ${text}`);
  };
  // The JSON messages that came, without the close frame.
  got.messages = () => {
    const all = [];
    let at = got.bytes.indexOf('\r\n\r\n') + 4;
    while (at + 2 <= got.bytes.length) {
      const op = got.bytes[at] & 15;
      let n = got.bytes[at + 1];
      let from = at + 2;
      if (n === 126) (n = got.bytes.readUInt16BE(from)), (from += 2);
      else if (n === 127) (n = Number(got.bytes.readBigUInt64BE(from))), (from += 8);
      if (from + n > got.bytes.length) break;
      if (op === 1) all.push(JSON.parse(got.bytes.subarray(from, from + n)));
      at = from + n;
    }
    return all;
  };
  for (const m of messages) got.send(m);
  return got;
}

// An SSE stream whose events can be waited for: [{id, event, data}].
function listen(where, path, token, headers = {}) {
  const st = { events: [], comments: 0, waiting: [] };
  st.opened = new Promise((done, fail) => {
    const r = http.request({ ...where, path, agent: false, headers: { accept: 'text/event-stream', authorization: `Bearer ${token}`, ...headers } }, (res) => {
      st.status = res.statusCode;
      st.headers = res.headers;
      res.setEncoding('utf8');
      let text = '';
      res.on('data', (d) => {
        text += d;
        for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
          const e = {};
          for (const line of text.slice(0, end).split('\n')) {
            const [name, ...rest] = line.split(': ');
            if (name === ':' || name === '') st.comments++;
            else e[name] = rest.join(': ');
          }
          if (e.data) st.events.push({ ...e, data: JSON.parse(e.data) });
        }
        if (st.status !== 200) st.problem = JSON.parse(text);
        for (const w of st.waiting) w();
      });
      st.ended = new Promise((finished) => res.on('close', finished));
      done(st);
    });
    r.on('error', fail);
    r.end();
    st.close = () => r.destroy();
  });
  st.until = (test) => new Promise((done, fail) => {
    const late = setTimeout(() => fail(new Error(`not in ${JSON.stringify(st.events)}`)), 20000);
    const look = () => test(st) && (clearTimeout(late), done(st));
    st.waiting.push(look);
    look();
  });
  return st.opened;
}

describe('channels', { timeout: 240000 }, () => {
  let p, admin;
  const token = {};
  const id = {};
  const opened = new Set();
  let serial = 0;
  const fresh = () => `channel:test-${++serial}`;
  async function open(who) {
    const live = await Live.open(p.where(), token[who] ?? who);
    opened.add(live);
    return live;
  }
  const publish = async (rooms, event, { as = admin, key } = {}) => p.api('POST', '/api/publish', { events: [{ rooms: [rooms].flat(), event, key }] }, as);
  const numbers = (live, room) => live.messages.filter((m) => m.type === 'event' && m.room === room).map((m) => m.event.n);

  before(async () => {
    const env = { OGENT_RATE_LIMIT: '0', OGENT_SOCKET_POLICIES: 'channel:drop=drop,channel:skip=skip,channel:close=close', OGENT_SOCKET_QUEUE_MESSAGES: '50', OGENT_SOCKET_HISTORY_MESSAGES: '20', OGENT_SOCKET_USER_CONNECTIONS: '12' };
    p = await startPlatform({ env });
    admin = (await p.setUp()).access_token;
    token.admin = admin;
    for (const [who, user] of Object.entries(USERS)) {
      const made = await p.api('POST', '/api/users', user, admin);
      assert.equal(made.status, 201, made.text);
      id[who] = made.body.id;
      token[who] = (await p.login(user)).access_token;
    }
  });
  afterEach(async () => {
    for (const live of opened) await live.close();
    opened.clear();
  });
  after(() => p?.stop());

  test('epoch and offset come with the answer to the join, and each event has the next offset', async () => {
    const room = fresh();
    const live = await open('member');
    const first = await live.join(room);
    assert.match(first.epoch, /^[\w-]{11}$/);
    assert.equal(first.offset, 0);
    assert.equal('recovered' in first, false);
    for (let n = 1; n <= 3; n++) assert.equal((await publish(room, { n })).body.delivered, 1);
    await live.settled();
    assert.deepEqual(live.messages.filter((m) => m.type === 'event').map((m) => [m.offset, m.event.n]), [[1, 1], [2, 2], [3, 3]]);
    const other = await open('member');
    const joined = await other.join(room);
    assert.deepEqual([joined.epoch, joined.offset], [first.epoch, 3]);
    await other.settled();
    assert.deepEqual(other.events, [], 'what was before is not sent unasked');
  });

  test('who comes back with epoch and offset gets what was missed, once and in order; else is told that it is lost', async () => {
    const room = fresh();
    const live = await open('member');
    const { epoch } = await live.join(room);
    await publish(room, { n: 1 });
    await live.settled();
    await live.close();
    for (let n = 2; n <= 6; n++) await publish(room, { n });
    const again = await open('member');
    const back = await again.ask({ type: 'join', room, epoch, offset: 1 });
    assert.equal(back.recovered, true);
    assert.equal(back.offset, 6);
    await publish(room, { n: 7 });
    await again.settled();
    const at = again.messages.findIndex((m) => m.type === 'joined');
    assert.ok(at >= 0 && at < again.messages.findIndex((m) => m.type === 'event'), 'the answer comes before the events');
    assert.deepEqual(numbers(again, room), [2, 3, 4, 5, 6, 7]);
    // To join once more gives nothing twice.
    await again.ask({ type: 'join', room, epoch, offset: 1 });
    await again.settled();
    assert.deepEqual(numbers(again, room), [2, 3, 4, 5, 6, 7]);

    for (let n = 8; n <= 40; n++) await publish(room, { n });
    const late = await open('member');
    const lost = await late.ask({ type: 'join', room, epoch, offset: 1 });
    assert.equal(lost.recovered, false, 'the history has 20');
    const stranger = await open('member');
    assert.equal((await stranger.ask({ type: 'join', room, epoch: 'anotherepoc', offset: 40 })).recovered, false);
    for (const one of [late, stranger]) {
      await one.settled();
      assert.deepEqual(one.events, []);
    }
  });

  test('an event of several rooms comes once, live and after coming back, and says where it stands in each', async () => {
    const [a, b] = [fresh(), fresh()];
    const live = await open('member');
    const places = { [a]: await live.join(a), [b]: await live.join(b) };
    await publish([a, b], { n: 1 });
    await live.settled();
    const [m] = live.messages.filter((x) => x.type === 'event');
    assert.deepEqual([m.room, m.offset, m.also], [a, 1, { [b]: 1 }]);
    assert.equal(live.events.length, 1);
    await live.close();
    await publish([a, b], { n: 2 });
    await publish(b, { n: 3 });
    const again = await open('member');
    for (const room of [a, b]) assert.equal((await again.ask({ type: 'join', room, epoch: places[room].epoch, offset: 1 })).recovered, true);
    await again.settled();
    assert.deepEqual(again.events.map((e) => e.n), [2, 3]);
  });

  test('names are plain, and rights are asked at the join and at publishing', async () => {
    const live = await open('viewer');
    assert.equal((await live.ask({ type: 'join', room: 'channel:news' })).code, 'forbidden');
    const member = await open('member');
    for (const room of ['channel:', 'channel:*', 'channel:a b', 'channel:ü', `channel:${'x'.repeat(200)}`, 'other:x'])
      assert.equal((await member.ask({ type: 'join', room })).code, 'unknown_room', room);
    assert.equal((await member.ask({ type: 'publish', room: 'channel:news', event: { n: 1 } })).code, 'forbidden');
    assert.equal((await publish('channel:news', { n: 1 }, { as: token.member })).status, 403);
    assert.equal((await publish(`user:${id.member}`, { n: 1 }, { as: token.speaker })).status, 403);
    assert.equal((await publish(['channel:a', 'channel:b'], { n: 1 }, { as: token.speaker })).status, 403);
    assert.equal((await publish('channel:news', { n: 1 }, { as: token.speaker })).status, 202);
    const speaker = await open('speaker');
    assert.equal((await speaker.ask({ type: 'publish', room: `user:${id.member}`, event: { n: 1 } })).code, 'unknown_room');
    assert.equal((await speaker.ask({ type: 'publish', room: 'channel:news', event: 'text' })).code, 'invalid_message');
  });

  test('what is published by WebSocket or HTTP with a key is published once', async () => {
    const room = fresh();
    const [live, speaker] = [await open('member'), await open('speaker')];
    await live.join(room);
    const ask = (n, key) => speaker.ask({ type: 'publish', room, event: { n }, key });
    assert.deepEqual([(await ask(1, 'a')).delivered, (await ask(1, 'a')).duplicate, (await ask(2, 'b')).duplicate], [1, true, false]);
    assert.deepEqual((await publish(room, { n: 3 }, { key: 'a' })).body, { delivered: 1 }, 'a key is of one publisher');
    assert.deepEqual((await publish(room, { n: 3 }, { key: 'a' })).body, { delivered: 0, duplicates: 1 });
    await live.settled();
    assert.deepEqual(numbers(live, room), [1, 2, 3]);
  });

  test('who is here: members in the answer, joins and leaves after it, a user once', async () => {
    const room = fresh();
    const a = await open('member');
    const first = await a.ask({ type: 'join', room, presence: true });
    assert.deepEqual(first.members, [{ user: id.member, name: 'Mia Member' }]);
    const silent = await open('admin');
    await silent.join(room);
    const b = await open('speaker');
    const second = await b.ask({ type: 'join', room, presence: true });
    assert.deepEqual(second.members.map((m) => m.user).sort(), [id.member, id.speaker].sort());
    const came = await a.next((m) => m.type === 'presence', { from: 0 });
    assert.deepEqual(came, { type: 'presence', room, event: 'join', user: id.speaker, name: 'Sam Speaker' });
    const twice = await open('speaker');
    await twice.ask({ type: 'join', room, presence: true });
    await twice.close();
    await b.ask({ type: 'leave', room });
    const left = await a.next((m) => m.type === 'presence' && m.event === 'leave', { from: 0 });
    assert.equal(left.user, id.speaker);
    await a.settled();
    assert.equal(a.messages.filter((m) => m.type === 'presence').length, 2);
    await silent.settled();
    assert.equal(silent.messages.filter((m) => m.type === 'presence').length, 0);
  });

  // Publishes until the slow one has surely lost something; the other one gets all.
  async function outrun(room) {
    const slow = byHand(p.where(), [{ type: 'auth', token: token.member }, { type: 'join', room, id: 1 }]);
    await slow.until('"joined"');
    slow.socket.pause();
    const fill = 'x'.repeat(100000);
    const live = await open('admin');
    await live.join(room);
    let n = 0;
    for (; n < 150; n++) assert.equal((await publish(room, { n, fill })).status, 202);
    await live.settled();
    assert.deepEqual(numbers(live, room), Array.from({ length: n }, (_, i) => i));
    return { slow, n };
  }

  test('a slow reader under "drop" loses the oldest, and sees it by the offsets', async () => {
    const { slow, n } = await outrun('channel:drop-me');
    slow.socket.resume();
    await slow.until(`"offset":${n},`);
    const got = slow.messages().filter((m) => m.type === 'event').map((m) => m.offset);
    assert.deepEqual(got, [...new Set(got)].sort((a, b) => a - b));
    assert.ok(got.length < n, 'some are missing');
    assert.equal(got.at(-1), n);
    assert.ok(!slow.messages().some((m) => m.type === 'skipped'));
    slow.socket.destroy();
  });

  test('a slow reader under "skip" is told from where to where', async () => {
    const { slow, n } = await outrun('channel:skip-me');
    slow.socket.resume();
    await slow.until(`"offset":${n},`);
    const seen = new Set();
    for (const m of slow.messages()) {
      if (m.type === 'event') seen.add(m.offset);
      if (m.type === 'skipped') for (let o = m.from; o <= m.to; o++) assert.ok(!seen.has(o) && seen.add(o));
    }
    assert.ok(slow.messages().some((m) => m.type === 'skipped'));
    assert.deepEqual([...seen].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i + 1), 'every offset came or was named');
    slow.socket.destroy();
  });

  test('a slow reader under "close" is closed with 1013', async () => {
    const { slow } = await outrun('channel:close-me');
    slow.socket.resume();
    await slow.closed;
    const close = slow.bytes.subarray(slow.bytes.lastIndexOf(Buffer.from([0x03, 0xf5])) - 2);
    assert.equal(close[0], 0x88);
    assert.match(close.subarray(4).toString(), /^too slow: come back/);
  });

  test('a window: not more than it holds is on its way, what waits is joined, what is lost is named', async () => {
    const room = fresh();
    const live = await open('member');
    await live.ask({ type: 'join', room, window: 1024 });
    const piece = (n, stream = 'stdout') => ({ type: 'output', stream, offset: n * 100, data: String(n).padStart(100, '.') });
    for (let n = 0; n < 18; n++) await publish(room, piece(n));
    await live.settled();
    const sent = live.messages.filter((m) => m.type === 'event').length;
    assert.ok(sent > 3 && sent < 12, `${sent} of about 150 bytes each`);
    live.send({ type: 'ack', room, offset: sent });
    await live.settled();
    assert.ok(live.messages.some((m) => m.from > 0 && m.offset > m.from), 'several in one');
    const ack = async () => {
      live.send({ type: 'ack', room, offset: live.messages.filter((m) => m.type === 'event').at(-1).offset });
      await live.settled();
    };
    for (let i = 0; i < 10; i++) await ack();
    const text = live.events.map((e) => e.data).join('');
    assert.equal(text, Array.from({ length: 18 }, (_, n) => String(n).padStart(100, '.')).join(''));
    // Another stream is not joined with the first; and what the history of 20 has lost is named.
    for (let n = 0; n < 60; n++) await publish(room, piece(n, n % 2 ? 'stderr' : 'stdout'));
    for (let i = 0; i < 60; i++) await ack();
    const seen = new Set();
    for (const m of live.messages) {
      if (m.type === 'event') for (let o = m.from ?? m.offset; o <= m.offset; o++) assert.ok(!seen.has(o) && seen.add(o), `${o}`);
      if (m.type === 'skipped') for (let o = m.from; o <= m.to; o++) assert.ok(!seen.has(o) && seen.add(o), `${o}`);
    }
    assert.ok(live.messages.some((m) => m.type === 'skipped'));
    assert.deepEqual([...seen], Array.from({ length: 78 }, (_, i) => i + 1));
    assert.equal((await live.ask({ type: 'ack', room: 'channel:none', offset: 1 })).code, 'no_window');
  });

  test('SSE: the joined place first, then events with ids; Last-Event-ID brings what was missed', async () => {
    const room = fresh();
    const path = `/api/channels/${encodeURIComponent(room)}/events`;
    const st = await listen(p.where(), path, token.member);
    assert.equal(st.status, 200);
    assert.match(st.headers['content-type'], /^text\/event-stream/);
    assert.equal(st.headers['x-accel-buffering'], 'no');
    assert.match(st.headers['cache-control'], /no-transform/);
    await st.until(() => st.events.length === 1);
    const [joined] = st.events;
    assert.equal(joined.event, 'joined');
    assert.equal(joined.id, `${joined.data.epoch}:0`);
    assert.ok(Number(joined.retry) >= 1000, 'a hint when to come back');
    await publish(room, { n: 1, text: 'ü\nline' });
    await st.until(() => st.events.length === 2);
    assert.deepEqual(st.events[1], { id: `${joined.data.epoch}:1`, data: { n: 1, text: 'ü\nline' } });
    st.close();
    await publish(room, { n: 2 });
    await publish(room, { n: 3 });
    const again = await listen(p.where(), path, token.member, { 'last-event-id': st.events[1].id });
    await again.until(() => again.events.length === 3);
    assert.equal(again.events[0].data.recovered, true);
    assert.deepEqual(again.events.slice(1).map((e) => e.data.n), [2, 3]);
    again.close();
    const lost = await listen(p.where(), path, token.member, { 'last-event-id': 'anotherepoc:1' });
    await lost.until(() => lost.events.length === 1);
    assert.equal(lost.events[0].data.recovered, false);
    lost.close();
  });

  test('SSE: refused without the right, without a token, and for what is not there', async () => {
    const get = async (room, as) => (await p.api('GET', `/api/channels/${encodeURIComponent(room)}/events`, undefined, as));
    assert.equal((await get('channel:news', token.viewer)).status, 403);
    assert.equal((await get('channel:news')).status, 401);
    assert.equal((await get('channel:*', token.member)).status, 404);
    const r = await get('conversation:01900000-0000-7000-8000-000000000000', token.member);
    assert.equal(r.status, 404);
    assert.equal(r.body.code, 'not_found');
  });

  test('SSE: a comment comes every 15 s, so that nothing between cuts the stream', async () => {
    const st = await listen(p.where(), `/api/channels/${fresh()}/events`, token.member);
    await st.until(() => st.comments > 0);
    st.close();
  });

  test('pages of other origins may not connect', async () => {
    const { host, port } = p.where();
    const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
    const status = (origin) => new Promise((done, fail) => {
      const r = http.request({ host, port, path: '/ws', headers: { ...upgrade, origin }, agent: false }, (res) => (res.resume(), done(res.statusCode)));
      r.on('upgrade', (res, socket) => (socket.destroy(), done(101)));
      r.on('error', fail);
      r.end();
    });
    assert.equal(await status(`http://${host}:${port}`), 101);
    assert.equal(await status('https://evil.example'), 403);
    assert.equal(await status(`http://${host}:${port}.evil.example`), 403);
    assert.equal(await status('null'), 403);
  });

  test('a user has a limited number of connections', async () => {
    const all = [];
    for (let i = 0; i < 12; i++) all.push(await open('speaker'));
    const one = new Live(p.where());
    await one.opened;
    one.send({ type: 'auth', token: token.speaker });
    const { code, reason } = await one.closed;
    assert.equal(code, 1008);
    assert.match(reason, /too many connections/);
    await (await open('member')).close();
  });

  test('a resume token opens a connection again while auth and agent are away, after a restart too', async () => {
    const made = await p.api('POST', '/api/conversations', {}, token.member);
    assert.equal(made.status, 201, made.text);
    const room = `conversation:${made.body.id}`;
    const live = await open('member');
    const { resume } = await live.join(room);
    assert.ok(resume);
    const stranger = await open('speaker');
    const roles = rolePids(p);
    process.kill(roles.socket, 'SIGKILL');
    await live.closed;
    for (const role of ['auth', 'agent']) process.kill(roles[role], 'SIGSTOP');
    try {
      let again;
      for (const limit = Date.now() + 20000; !again; await sleep(50)) {
        assert.ok(Date.now() < limit, 'the socket is back');
        const one = new Live(p.where());
        again = await one.opened.then(() => one, () => null);
      }
      again.send({ type: 'resume', token: `${resume}x` });
      assert.equal((await again.next((m) => m.type === 'error', { from: 0 })).code, 'not_resumed');
      again.send({ type: 'resume', token: resume });
      const ready = await again.next((m) => m.type === 'ready', { from: 0 });
      assert.equal(ready.user, id.member);
      assert.equal((await again.ask({ type: 'join', room })).type, 'joined', 'the agent service is not asked');
      await again.close();
    } finally {
      for (const role of ['auth', 'agent']) process.kill(roles[role], 'SIGCONT');
    }
    await stranger.closed;
  });

  test('a right that is taken away is dropped at once, without a new token', async () => {
    const room = fresh();
    const live = await open('speaker');
    const { resume } = await live.join(room);
    const changed = await p.api('PATCH', `/api/users/${id.speaker}`, { roles: ['viewer'] }, admin);
    assert.equal(changed.status, 200, changed.text);
    const dropped = await live.next((m) => m.type === 'dropped', { from: 0 });
    assert.equal(dropped.room, room);
    await publish(room, { n: 1 });
    await live.settled();
    assert.deepEqual(numbers(live, room), []);
    assert.equal((await live.ask({ type: 'join', room })).code, 'forbidden');
    // Who comes back with what he had before has the rights of now.
    const again = new Live(p.where());
    opened.add(again);
    await again.opened;
    again.send({ type: 'resume', token: resume });
    await again.next((m) => m.type === 'ready', { from: 0 });
    assert.equal((await again.ask({ type: 'join', room })).code, 'forbidden');
  });

  test('who signs out elsewhere, or is disabled, is closed with 4401, and cannot resume', async () => {
    const session = (await p.login(USERS.member)).access_token;
    const live = await open(session);
    const listens = await listen(p.where(), `/api/channels/${fresh()}/events`, session);
    assert.equal((await p.api('POST', '/api/auth/logout', {}, session)).status < 300, true);
    assert.equal((await live.closed).code, 4401);
    await listens.ended;
    const back = new Live(p.where());
    await back.opened;
    back.send({ type: 'resume', token: live.ready.resume });
    assert.equal((await back.next((m) => m.type === 'error', { from: 0 })).code, 'not_resumed');
    await back.close();
    const other = await open('viewer');
    const disabled = await p.api('PATCH', `/api/users/${id.viewer}`, { disabled: true }, admin);
    assert.equal(disabled.status, 200, disabled.text);
    assert.equal((await other.closed).code, 4401);
  });

  test('connections are told in the close reason when to come back', async () => {
    const all = [await open('member'), await open('admin')];
    process.kill(rolePids(p).socket, 'SIGTERM');
    for (const live of all) {
      const { code, reason } = await live.closed;
      assert.equal(code, 1001);
      assert.match(reason, /come back in \d+ ms$/);
    }
  });
});
