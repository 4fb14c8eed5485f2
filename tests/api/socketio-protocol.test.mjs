// Engine.IO 4 and Socket.IO 5 on the wire, against the profile protocol-test: the cases of the two public suites (25 and 32), and what
// they leave out. The suites' names are kept, so that they can be compared.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import WebSocket from 'ws';

import { ProtocolServer } from '../lib/protocol.mjs';

const PING_INTERVAL = 300;
const PING_TIMEOUT = 200;

// A WebSocket whose messages and end can be waited for, whether they came before or come later.
class Client {
  constructor(url) {
    Object.assign(this, { messages: [], waiting: [] });
    this.ws = new WebSocket(url);
    this.ws.on('message', (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      this.waiting.length ? this.waiting.shift().done(message) : this.messages.push(message);
    });
    this.opened = new Promise((done) => this.ws.on('open', () => done(true)));
    this.closed = new Promise((done) => this.ws.on('close', (code) => done(code)));
    this.closed.then(() => this.waiting.splice(0).forEach((w) => w.fail(new Error('closed'))));
    this.failed = new Promise((done) => this.ws.on('error', done));
    this.failed.catch(() => {});
  }

  send(data) {
    this.ws.send(data);
  }

  next() {
    if (this.messages.length) return Promise.resolve(this.messages.shift());
    return new Promise((done, fail) => this.waiting.push({ done, fail }));
  }

  // The next one that is no ping.
  async packet() {
    for (;;) {
      const message = await this.next();
      if (message !== '2') return message;
      this.send('3');
    }
  }

  close() {
    this.ws.close();
    return this.closed;
  }
}

for (const path of ['/engine.io/', '/socket.io/'])
  describe(`Engine.IO protocol at ${path}`, { timeout: 120000 }, () => {
    let server, url, wsUrl;
    before(async () => {
      server = await ProtocolServer.start();
      url = `http://127.0.0.1:${server.port}${path}`;
      wsUrl = url.replace('http', 'ws');
    });
    after(() => server?.stop());

    const polling = (sid) => `${url}?EIO=4&transport=polling${sid ? `&sid=${sid}` : ''}`;
    const poll = (sid) => fetch(polling(sid));
    const post = (sid, body, headers) => fetch(polling(sid), { method: 'POST', body, headers });
    const open = async () => JSON.parse((await (await poll()).text()).slice(1)).sid;
    const connect = (query = 'EIO=4&transport=websocket') => new Client(`${wsUrl}?${query}`);
    const move = (sid) => connect(`EIO=4&transport=websocket&sid=${sid}`);
    const isRefused = async (response, code, message) => {
      assert.equal(response.status, 400);
      assert.deepEqual(await response.json(), { code, message });
    };

    test('handshake, HTTP long-polling: opens a session', async () => {
      const r = await poll();
      assert.equal(r.status, 200);
      assert.match(r.headers.get('content-type'), /^text\/plain; *charset=utf-8$/i);
      assert.equal(r.headers.get('access-control-allow-origin'), '*');
      const text = await r.text();
      assert.equal(text[0], '0');
      const { sid, ...rest } = JSON.parse(text.slice(1));
      assert.match(sid, /^[\w-]{20}$/);
      assert.deepEqual(rest, { upgrades: ['websocket'], pingInterval: PING_INTERVAL, pingTimeout: PING_TIMEOUT, maxPayload: 1000000 });
    });

    test("handshake, HTTP long-polling: fails with an invalid 'EIO' parameter", async () => {
      await isRefused(await fetch(`${url}?transport=polling`), 5, 'Unsupported protocol version');
      await isRefused(await fetch(`${url}?EIO=abc&transport=polling`), 5, 'Unsupported protocol version');
      await isRefused(await fetch(`${url}?EIO=3&transport=polling`), 5, 'Unsupported protocol version');
    });

    test("handshake, HTTP long-polling: fails with an invalid 'transport' parameter", async () => {
      await isRefused(await fetch(`${url}?EIO=4`), 0, 'Transport unknown');
      for (const name of ['abc', 'constructor', 'webtransport']) await isRefused(await fetch(`${url}?EIO=4&transport=${name}`), 0, 'Transport unknown');
      await isRefused(await fetch(`${url}?EIO=4&transport=websocket`), 3, 'Bad request');
    });

    test('handshake, HTTP long-polling: fails with an invalid request method', async () => {
      for (const method of ['POST', 'PUT', 'DELETE']) await isRefused(await fetch(polling(), { method }), 2, 'Bad handshake method');
      const sid = await open();
      await isRefused(await fetch(polling(sid), { method: 'PUT' }), 3, 'Bad request');
      await isRefused(await poll('nobody'), 1, 'Session ID unknown');
      await isRefused(await fetch(`${url}?EIO=3&transport=polling&sid=${sid}`), 3, 'Bad request');
      await isRefused(await fetch(`${url}?EIO=4&transport=websocket&sid=${sid}`), 3, 'Bad request');
      const preflight = await fetch(polling(), { method: 'OPTIONS' });
      assert.equal(preflight.status, 204);
      assert.equal(preflight.headers.get('access-control-allow-origin'), '*');
    });

    test('handshake, WebSocket: opens a session', async () => {
      const c = connect();
      const text = await c.next();
      const { sid, ...rest } = JSON.parse(text.slice(1));
      assert.equal(text[0], '0');
      assert.deepEqual(rest, { upgrades: [], pingInterval: PING_INTERVAL, pingTimeout: PING_TIMEOUT, maxPayload: 1000000 });
      await isRefused(await poll(sid), 3, 'Bad request');
      await c.close();
      await sleep(20);
      await isRefused(await poll(sid), 1, 'Session ID unknown');
    });

    test("handshake, WebSocket: fails with an invalid 'EIO' or 'transport' parameter, or an unknown session", async () => {
      for (const query of ['transport=websocket', 'EIO=abc&transport=websocket', 'EIO=4', 'EIO=4&transport=abc', 'EIO=4&transport=polling', 'EIO=4&transport=websocket&sid=nobody']) {
        const c = connect(query);
        assert.match((await c.failed).message, /400/, query);
        await c.closed;
      }
    });

    test('heartbeat, HTTP long-polling: sends ping packets and takes pongs', async () => {
      const sid = await open();
      for (let i = 0; i < 3; i++) {
        const r = await poll(sid);
        assert.equal(r.status, 200);
        assert.equal(await r.text(), '2');
        assert.equal((await post(sid, '3')).status, 200);
      }
    });

    test('heartbeat, HTTP long-polling: closes the session upon ping timeout', async () => {
      const sid = await open();
      await sleep(PING_INTERVAL + PING_TIMEOUT);
      await isRefused(await poll(sid), 1, 'Session ID unknown');
    });

    test('heartbeat, WebSocket: sends ping packets and takes pongs', async () => {
      const c = connect();
      await c.next();
      for (let i = 0; i < 3; i++) {
        assert.equal(await c.next(), '2');
        c.send('3');
      }
      await c.close();
    });

    test('heartbeat, WebSocket: closes the session upon ping timeout', async () => {
      const c = connect();
      const start = performance.now();
      await c.closed;
      assert.ok(performance.now() - start >= PING_INTERVAL + PING_TIMEOUT - 20);
    });

    test('heartbeat: a ping from the client ends the session', async () => {
      const c = connect();
      await c.next();
      c.send('2');
      await c.closed;
    });

    test('close, HTTP long-polling: forcefully closes the session', async () => {
      const sid = await open();
      const waiting = poll(sid);
      await sleep(10);
      const [r] = await Promise.all([waiting, post(sid, '1')]);
      assert.equal(r.status, 200);
      assert.equal(await r.text(), '6');
      assert.equal((await poll(sid)).status, 400);
    });

    test('close, WebSocket: forcefully closes the session', async () => {
      const c = connect();
      await c.next();
      c.send('1');
      await c.closed;
    });

    test('closes the session upon duplicate poll requests', async () => {
      const sid = await open();
      const first = poll(sid);
      await sleep(10);
      const second = await poll(sid);
      assert.equal(second.status, 400);
      assert.equal(await (await first).text(), '1');
      assert.equal((await poll(sid)).status, 400);
    });

    test('closes the session upon duplicate data requests', async () => {
      const sid = await open();
      const slow = net.connect(server.port, '127.0.0.1');
      slow.on('error', () => {});
      slow.write(`POST ${path}?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n4`);
      await sleep(20);
      assert.equal((await post(sid, '3')).status, 400);
      assert.equal((await poll(sid)).status, 400);
      slow.destroy();
    });

    test('closes the session upon cancelled polling request', async () => {
      const sid = await open();
      const control = new AbortController();
      fetch(polling(sid), { signal: control.signal }).catch(() => {});
      await sleep(20);
      control.abort();
      await sleep(20);
      await isRefused(await poll(sid), 1, 'Session ID unknown');
    });

    test('closes the session upon an invalid packet, by either transport', async () => {
      for (const body of ['abc', '', '3\x1e', 'b!', Buffer.from([0x34, 0xff])]) {
        const sid = await open();
        assert.equal((await post(sid, body)).status, 400, `${body}`);
        assert.equal((await poll(sid)).status, 400, `${body}`);
      }
      const c = connect();
      await c.next();
      c.send('abc');
      assert.equal(await c.closed, 1002);
    });

    test('refuses bytes as a body and what is larger than maxPayload', async () => {
      let sid = await open();
      assert.equal((await post(sid, '4a', { 'content-type': 'application/octet-stream' })).status, 400);
      assert.equal((await poll(sid)).status, 400);
      sid = await open();
      assert.equal((await post(sid, `4${'x'.repeat(1000000)}`).catch(() => ({ status: 413 }))).status, 413);
      assert.equal((await poll(sid)).status, 400);
      const c = connect();
      await c.next();
      c.send(`4${'x'.repeat(1000000)}`);
      assert.equal(await c.closed, 1009);
    });

    test('upgrade: moves from HTTP long-polling to WebSocket', async () => {
      const sid = await open();
      const c = move(sid);
      await c.opened;
      c.send('2probe');
      assert.equal(await c.next(), '3probe');
      const r = await poll(sid);
      assert.equal(r.status, 200);
      assert.equal(await r.text(), '6'); // lets the last poll go
      c.send('5');
      assert.equal(await c.next(), '2');
      await c.close();
    });

    test('upgrade: a poll that waits is let go by the probe', async () => {
      const sid = await open();
      const waiting = poll(sid);
      const c = move(sid);
      await c.opened;
      await sleep(10);
      c.send('2probe');
      assert.equal(await (await waiting).text(), '6');
      assert.equal(await c.next(), '3probe');
      await c.close();
      assert.equal((await poll(sid)).status, 200, 'the session polls on');
    });

    test('upgrade: ignores HTTP requests with the same sid after it', async () => {
      const sid = await open();
      const c = move(sid);
      await c.opened;
      c.send('2probe');
      await c.next();
      c.send('5');
      await sleep(20);
      await isRefused(await poll(sid), 3, 'Bad request');
      assert.equal(await c.next(), '2', 'the session goes on');
      await c.close();
    });

    test('upgrade: ignores a WebSocket connection with the same sid after it, or beside it', async () => {
      const sid = await open();
      const c = move(sid);
      await c.opened;
      const beside = move(sid);
      await beside.opened;
      await beside.closed;
      c.send('2probe');
      await c.next();
      c.send('5');
      const behind = move(sid);
      assert.equal(await behind.opened, true, 'closed, not refused');
      await behind.closed;
      assert.equal(await c.next(), '2');
      await c.close();
    });

    test('upgrade: who sends something else on the new connection loses it', async () => {
      const sid = await open();
      const c = move(sid);
      await c.opened;
      c.send('4hello');
      await c.closed;
      assert.equal(await (await poll(sid)).text(), '2');
    });
  });

describe('Engine.IO messages', { timeout: 60000 }, () => {
  let server, url;
  before(async () => {
    server = await ProtocolServer.start();
    url = `http://127.0.0.1:${server.port}/engine.io/?EIO=4&transport=`;
  });
  after(() => server?.stop());

  const open = async () => JSON.parse((await (await fetch(`${url}polling`)).text()).slice(1)).sid;
  const back = async (body) => {
    const sid = await open();
    const r = await fetch(`${url}polling&sid=${sid}`, { method: 'POST', body });
    assert.equal(r.status, 200);
    assert.equal(await r.text(), 'ok');
    return (await fetch(`${url}polling&sid=${sid}`)).text();
  };
  const connect = async () => {
    const c = new Client(`${url.replace('http', 'ws')}websocket`);
    await c.next();
    return c;
  };

  for (const [what, payload] of [
    ['one plain text packet', '4hello'],
    ['several plain text packets', '4test1\x1e4test2\x1e4test3'],
    ['plain text and binary packets', '4hello\x1ebAQIDBA=='],
    ['text beyond ASCII', '4€ \u{1f600}\x1e4ü'],
  ])
    test(`HTTP long-polling: sends and receives a payload of ${what}`, async () => assert.equal(await back(payload), payload));

  test('WebSocket: sends and receives a plain text packet', async () => {
    const c = await connect();
    c.send('4hello');
    assert.equal(await c.next(), '4hello');
    await c.close();
  });

  test('WebSocket: sends and receives a binary packet', async () => {
    const c = await connect();
    c.send(Uint8Array.from([1, 2, 3, 4]));
    assert.deepEqual([...(await c.next())], [1, 2, 3, 4]);
    await c.close();
  });

  test('what waits for a poll goes by the new way after the upgrade, text and bytes in order', async () => {
    const sid = await open();
    const c = new Client(`${url.replace('http', 'ws')}websocket&sid=${sid}`);
    await c.opened;
    c.send('2probe');
    await c.next();
    await fetch(`${url}polling&sid=${sid}`, { method: 'POST', body: '4one\x1ebAQID\x1e4two' });
    c.send('5');
    assert.equal(await c.next(), '4one');
    assert.deepEqual([...(await c.next())], [1, 2, 3]);
    assert.equal(await c.next(), '4two');
    c.send('4hello');
    assert.equal(await c.next(), '4hello');
    await c.close();
  });
});

describe('Socket.IO protocol', { timeout: 120000 }, () => {
  let server;
  before(async () => {
    server = await ProtocolServer.start();
  });
  after(() => server?.stop());

  const connect = async () => {
    const c = new Client(`ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket`);
    await c.next();
    return c;
  };
  const connected = async () => {
    const c = await connect();
    c.send('40');
    await c.packet();
    assert.equal(await c.packet(), '42["auth",{}]');
    return c;
  };

  for (const [what, sent, prefix, auth] of [
    ['the main namespace', '40', '40', '42["auth",{}]'],
    ['the main namespace with a payload', '40{"token":"123"}', '40', '42["auth",{"token":"123"}]'],
    ['a custom namespace', '40/custom,', '40/custom,', '42/custom,["auth",{}]'],
    ['a custom namespace with a payload', '40/custom,{"token":"abc"}', '40/custom,', '42/custom,["auth",{"token":"abc"}]'],
  ])
    test(`connect: allows connection to ${what}`, async () => {
      const c = await connect();
      c.send(sent);
      const answer = await c.packet();
      assert.ok(answer.startsWith(prefix));
      assert.deepEqual(Object.keys(JSON.parse(answer.slice(prefix.length))), ['sid']);
      assert.equal(await c.packet(), auth);
      await c.close();
    });

  test('connect: disallows connection to an unknown namespace', async () => {
    const c = await connect();
    c.send('40/random');
    assert.equal(await c.packet(), '44/random,{"message":"Invalid namespace"}');
    await c.close();
  });

  for (const [what, sent] of [
    ['an invalid handshake', '4abc'],
    ['an event before it', '42["message",1]'],
    ['a handshake that is no object', '40[]'],
    ['bytes before it', Buffer.from([1])],
  ])
    test(`connect: disallows connection with ${what}`, async () => {
      const c = await connect();
      c.send(sent);
      await c.closed;
    });

  test('connect: closes the connection if no handshake is received', async () => {
    const c = await connect();
    const start = performance.now();
    await assert.rejects(async () => { for (;;) await c.packet(); });
    assert.ok(performance.now() - start > 900, 'pongs do not count as one');
  });

  test('connect: twice to one namespace closes the connection', async () => {
    const c = await connected();
    c.send('40');
    await c.closed;
  });

  test('disconnect: from the main namespace', async () => {
    const c = await connected();
    c.send('41');
    assert.equal(await c.next(), '2');
    await c.close();
  });

  test('disconnect: connects to, then disconnects from a custom namespace', async () => {
    const c = await connected();
    c.send('40/custom');
    await c.packet();
    await c.packet();
    c.send('41/custom');
    c.send('42["message","message to main namespace"]');
    assert.equal(await c.packet(), '42["message-back","message to main namespace"]');
    await c.close();
  });

  test('message: sends a plain-text packet', async () => {
    const c = await connected();
    c.send('42["message",1,"2",{"3":[true]}]');
    assert.equal(await c.packet(), '42["message-back",1,"2",{"3":[true]}]');
    await c.close();
  });

  const two = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
  for (const [what, sent, answer] of [
    ['a packet with binary attachments', `452-["message",${two}]`, `452-["message-back",${two}]`],
    ['a packet with binary attachments and an ack', `452-789["message-with-ack",${two}]`, `462-789[${two}]`],
  ])
    test(`message: sends ${what}`, async () => {
      const c = await connected();
      c.send(sent);
      c.send(Uint8Array.from([1, 2, 3]));
      c.send(Uint8Array.from([4, 5, 6]));
      assert.equal(await c.packet(), answer);
      assert.deepEqual([...(await c.packet())], [1, 2, 3]);
      assert.deepEqual([...(await c.packet())], [4, 5, 6]);
      await c.close();
    });

  test('message: sends a plain-text packet with an ack', async () => {
    const c = await connected();
    c.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    assert.equal(await c.packet(), '43456[1,"2",{"3":[false]}]');
    await c.close();
  });

  for (const [what, ...sent] of [
    ['unknown packet type', '4abc'],
    ['invalid payload format', '42{}'],
    ['invalid ack id', '42abc["message-with-ack",1,"2",{"3":[false]}]'],
    ['no name', '42[]'],
    ['a reserved name', '42["disconnect"]'],
    ['text instead of an attachment', '451-["message",{"_placeholder":true,"num":0}]', '42["message",1]'],
    ['bytes that no packet announced', Buffer.from([1])],
    ['an attachment that is not there', '451-["message",{"_placeholder":true,"num":1}]', Buffer.from([1])],
    ['too many attachments', '4511-["message"]'],
  ])
    test(`message: closes the connection upon invalid format (${what})`, async () => {
      const c = await connected();
      for (const packet of sent) c.send(packet);
      await c.closed;
    });
});

test('the profile is refused on an address that others can reach', { timeout: 30000 }, async () => {
  const { code, log } = await ProtocolServer.refused('0.0.0.0:0');
  assert.equal(code, 1);
  assert.match(log, /only for this machine/);
});
