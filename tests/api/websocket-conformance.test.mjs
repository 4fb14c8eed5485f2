// RFC 6455 and RFC 7692, case by case as the Autobahn suite orders them, against the echo of the profile protocol-test: what is sent, byte
// by byte, and everything that comes back until the server has closed.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import WebSocket from 'ws';

import { ProtocolServer } from '../lib/protocol.mjs';
import { RawSocket, deflated, frame } from '../lib/ws_raw.mjs';

const close = (code, reason = '') => frame('close', code === undefined ? '' : Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]));
const BYE = close(1000);
const all = (...frames) => Buffer.concat(frames);
const hex = (digits) => Buffer.from(digits, 'hex');

let server;
before(async () => {
  server = await ProtocolServer.start();
});
after(() => server?.stop());

// Sends, closes in order, and compares; every case in one piece, in frames and byte by byte (short ones).
async function check(name, bytes, expected, options) {
  for (const step of bytes.length < 400 ? [Infinity, 1] : [Infinity]) {
    const raw = await RawSocket.open(server.port, options);
    await raw.send(bytes, step);
    assert.deepEqual(await raw.rest(), expected, `${name}, ${step === 1 ? 'byte by byte' : 'at once'}`);
    raw.end();
  }
}

function cases(section, list, options) {
  describe(section, { timeout: 120000 }, () => {
    for (const [name, frames, expected] of list) test(name, () => check(name, all(...[frames].flat()), expected, options));
  });
}

const fail = (...before) => [...before, 'close:1002'];
const fine = (...before) => [...before, 'close:1000'];

cases('1 framing', [
  ...[0, 125, 126, 127, 128, 65535, 65536].flatMap((n, i) => [
    [`1.1.${i + 1} text of ${n} bytes`, [frame('text', '*'.repeat(n)), BYE], fine(`text:${'*'.repeat(n)}`)],
    [`1.2.${i + 1} binary of ${n} bytes`, [frame('binary', 'x'.repeat(n)), BYE], fine(`binary:${'x'.repeat(n)}`)],
  ]),
  ['a length in 16 bits that fits in 7', frame('text', 'hello', { length: 16 }), fail()],
  ['a length in 64 bits that fits in 16', frame('binary', 'x'.repeat(300), { length: 64 }), fail()],
  ['a length above 2^63', hex('82ff800000000000000001020304'), fail()],
  ['a frame that is not masked', frame('text', 'hello', { masked: false }), fail()],
]);

cases('2 pings and pongs', [
  ['2.1 without payload', [frame('ping'), BYE], fine('pong:')],
  ['2.2 with a small payload', [frame('ping', 'Hello, world!'), BYE], fine('pong:Hello, world!')],
  ['2.4 with 125 bytes', [frame('ping', 'x'.repeat(125)), BYE], fine(`pong:${'x'.repeat(125)}`)],
  ['2.5 with 126 bytes', frame('ping', 'x'.repeat(126)), fail()],
  ['2.7 an unsolicited pong', [frame('pong'), BYE], fine()],
  ['2.8 an unsolicited pong with payload', [frame('pong', 'x'), BYE], fine()],
  ['2.9 an unsolicited pong, then a ping', [frame('pong', 'x'), frame('ping', 'ping'), BYE], fine('pong:ping')],
  ['2.10 ten pings', [...Array(10).keys()].map((i) => frame('ping', `payload-${i}`)).concat(BYE), fine(...[...Array(10).keys()].map((i) => `pong:payload-${i}`))],
]);

cases('3 reserved bits', [
  ...[1, 2, 3, 5, 6, 7].map((rsv) => [`RSV=${rsv} on a text`, frame('text', 'Hello', { rsv }), fail()]),
  ['RSV1 that was not agreed on', frame('text', 'Hello', { rsv: 4 }), fail()],
  ['behind a good message', [frame('text', 'Hello'), frame('text', 'Hello', { rsv: 2 }), frame('ping')], fail('text:Hello')],
  ['on a ping', frame('ping', 'Hello', { rsv: 5 }), fail()],
  ['on a close', frame('close', '', { rsv: 7 }), fail()],
]);

cases('4 opcodes', [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((op) => [`4 reserved opcode ${op}, behind a good message`, [frame('text', 'Hello'), frame(op, 'x'), frame('ping')], fail('text:Hello')]));

const part = (op, text, options) => frame(op, text, { fin: false, ...options });
cases('5 fragmentation', [
  ['5.1 a ping in two fragments', [part('ping', 'a'), frame('cont', 'b')], fail()],
  ['5.2 a pong in two fragments', [part('pong', 'a'), frame('cont', 'b')], fail()],
  ['5.3 a text in two', [part('text', 'fragment1'), frame('cont', 'fragment2'), BYE], fine('text:fragment1fragment2')],
  ['5.6 a ping between', [part('text', 'fragment1'), frame('ping', 'ping'), frame('cont', 'fragment2'), BYE], fine('pong:ping', 'text:fragment1fragment2')],
  ['5.9 a continuation of nothing, final', [frame('cont', 'x'), frame('text', 'Hello')], fail()],
  ['5.12 a continuation of nothing', [part('cont', 'x'), frame('text', 'Hello')], fail()],
  ['5.15 a continuation behind the end', [part('text', 'a'), frame('cont', 'b'), part('cont', 'c'), frame('text', 'd')], fail('text:ab')],
  ['5.18 a text within a text', [part('text', 'a'), frame('text', 'b')], fail()],
  ['5.19 five fragments with pings between', [part('text', '1'), part('cont', '2'), frame('ping', 'p1'), part('cont', '3'), part('cont', '4'), frame('ping', 'p2'), frame('cont', '5'), BYE], fine('pong:p1', 'pong:p2', 'text:12345')],
  ['6.1 empty fragments', [part('text', ''), part('cont', 'middle'), frame('cont', ''), BYE], fine('text:middle')],
]);

const valid = ['Hello-µ@ßöäüàá-UTF-8!!', 'κόσμε', '\u0000', '\u0080', 'ࠀ', '\u{10000}', '\u007f', '߿', '￿', '\u{10ffff}', '퟿', '\ue000', '�', '﷐﷯', '\ufeff', '\u{1fffe}', '\u{10fffe}'];
const invalid = [
  'cebae1bdb9cf83cebcceb5eda080656469746564', 'f888808080', 'fc8480808080', 'f7bfbfbf', 'fbbfbfbfbf', 'fdbfbfbfbfbf', '80', 'bf', '80bf', '80bf80', 'c020', 'c0', 'e0', 'e080', 'f0', 'f08080', 'f8', 'f8808080', 'fc',
  'fc80808080', 'c0af', 'e080af', 'f08080af', 'f8808080af', 'fc80808080af', 'c1bf', 'e09fbf', 'f08fbfbf', 'f887bfbfbf', 'fc83bfbfbfbf', 'c080', 'e08080', 'f0808080', 'eda080', 'edadbf', 'edae80', 'edafbf', 'edb080', 'edbe80',
  'edbfbf', 'eda080edb080', 'edafbfedbfbf', 'f4908080', 'fe', 'ff', 'fefeffff', 'c3', 'e1bd', 'ce',
];
cases('6 UTF-8', [
  ...valid.map((text) => [`valid: ${Buffer.from(text).toString('hex')}`, [frame('text', text), ...[...Buffer.from(text)].map((b, i, l) => part(i ? 'cont' : 'text', Buffer.from([b]))), frame('cont', ''), BYE], fine(`text:${text}`, `text:${text}`)]),
  ...invalid.map((digits) => [`invalid: ${digits}`, [frame('text', hex(digits)), BYE], ['close:1007']]),
  ...invalid.slice(0, 12).map((digits) => [`invalid in fragments: ${digits}`, [...hex(digits)].map((b, i) => part(i ? 'cont' : 'text', Buffer.from([b]))).concat(frame('cont', '')), ['close:1007']]),
]);

test('6.4 invalid text fails at once, not at the end of its frame or message', async () => {
  for (const bytes of [part('text', hex('cebaf4908080')), frame('text', Buffer.concat([hex('cebaf4908080'), Buffer.alloc(1000)])).subarray(0, 20)]) {
    const raw = await RawSocket.open(server.port);
    await raw.send(bytes);
    assert.deepEqual(await raw.rest(), ['close:1007']);
  }
});

cases('7 closing', [
  ['7.1.1 a message, then a close', [frame('text', 'Hello'), BYE], fine('text:Hello')],
  ['7.1.2 two closes', [BYE, BYE], fine()],
  ['7.1.3 a ping behind the close', [BYE, frame('ping')], fine()],
  ['7.1.4 a text behind the close', [BYE, frame('text', 'x')], fine()],
  ['7.1.5 a message that is not finished before the close', [part('text', 'x'), BYE, frame('cont', 'y')], fine()],
  ['7.3.1 an empty close', close(), ['close:']],
  ['7.3.2 one byte', frame('close', 'a'), fail()],
  ['7.3.4 with a reason', close(1000, 'Hello World!'), fine()],
  ['7.3.5 with the longest reason', close(1000, '*'.repeat(123)), fine()],
  ['7.3.6 with one that is too long', close(1000, '*'.repeat(124)), fail()],
  ['7.5.1 a reason that is not UTF-8', frame('close', hex('03e8cebae1bdb9cf83cebcceb5eda080656469746564')), ['close:1007']],
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map((code) => [`7.7 valid code ${code}`, close(code), [`close:${code}`]]),
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].map((code) => [`7.9 invalid code ${code}`, close(code), fail()]),
]);

describe('9 limits', { timeout: 120000 }, () => {
  for (const [op, sizes] of [['text', [64, 256, 1024, 4096]], ['binary', [64, 1024, 8192, 16384]]])
    for (const kib of sizes)
      test(`9.1 a ${op} of ${kib} KiB comes back`, async () => {
        const data = Buffer.alloc(kib * 1024, 'abcdefgh');
        const raw = await RawSocket.open(server.port);
        await raw.send(frame(op, data));
        const [echo] = await raw.take();
        assert.equal(echo.op, op);
        assert.ok(echo.data.equals(data));
        raw.end();
      });

  for (const size of [64, 1024, 65536])
    test(`9.3 4 MiB in fragments of ${size} bytes come back`, async () => {
      const n = (4 << 20) / size;
      const pieces = [...Array(n).keys()].map((i) => frame(i ? 'cont' : 'binary', Buffer.alloc(size, i), { fin: i === n - 1 }));
      const raw = await RawSocket.open(server.port);
      await raw.send(all(...pieces));
      const [echo] = await raw.take();
      assert.equal(echo.data.length, 4 << 20);
      assert.equal(echo.data[size], 1);
      raw.end();
    });

  for (const step of [64, 2048])
    test(`9.5 1 MiB in chops of ${step} octets comes back`, async () => {
      const raw = await RawSocket.open(server.port);
      await raw.send(frame('text', 'x'.repeat(1 << 20)), step * 16);
      assert.equal((await raw.take())[0].data.length, 1 << 20);
      raw.end();
    });

  for (const n of [0, 16, 256, 4096])
    test(`9.7 1,000 messages of ${n} bytes come back`, async () => {
      const raw = await RawSocket.open(server.port);
      await raw.send(all(...Array(1000).fill(frame('text', '*'.repeat(n)))));
      const echoes = await raw.take(1000);
      assert.ok(echoes.every((e) => e.op === 'text' && e.data.length === n));
      raw.end();
    });

  test('what is announced, or gathered, above the limit is 1009', async () => {
    for (const bytes of [hex('82ff000000000100000100000000'), all(part('binary', Buffer.alloc(10)), hex('80ff000000000100000000000000'))]) {
      const raw = await RawSocket.open(server.port);
      await raw.send(bytes);
      assert.deepEqual(await raw.rest(), ['close:1009']);
    }
  });
});

test('10.1 an automatic fragmentation by the client comes back whole', async () => {
  const text = '*'.repeat(65536);
  const pieces = [...Array(51).keys()].map((i) => text.slice(i * 1300, (i + 1) * 1300)).filter(Boolean);
  await check('10.1', all(...pieces.map((x, i) => frame(i ? 'cont' : 'text', x, { fin: i === pieces.length - 1 })), BYE), fine(`text:${text}`));
});

describe('12 and 13 compression', { timeout: 120000 }, () => {
  const PLAIN = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
  for (const [offer, accepted] of [
    ['permessage-deflate', PLAIN],
    ['permessage-deflate; client_max_window_bits', PLAIN],
    ['permessage-deflate; client_no_context_takeover; server_no_context_takeover', PLAIN],
    ['permessage-deflate; server_max_window_bits=9; client_max_window_bits=9', `${PLAIN}; server_max_window_bits=9`],
    ['permessage-deflate; server_max_window_bits=15', `${PLAIN}; server_max_window_bits=15`],
    ['permessage-deflate; server_max_window_bits=99, permessage-deflate', PLAIN],
    ['permessage-bzip2', undefined],
    ['permessage-deflate; unknown=1', undefined],
    ['permessage-deflate; server_max_window_bits=7', undefined],
    ['permessage-deflate; server_max_window_bits=9; server_max_window_bits=9', undefined],
  ])
    test(`13 ${offer}: ${accepted ? 'agreed on' : 'declined'}, and messages of all sizes come back`, async () => {
      const raw = await RawSocket.open(server.port, { extensions: offer });
      assert.equal(raw.status, 101);
      assert.equal(raw.accepted, accepted);
      for (const n of [0, 16, 511, 512, 513, 1024, 8192, 32768, 131072]) {
        const text = '{"type":"event","n":'.repeat(n / 20 + 1).slice(0, n);
        await raw.send(accepted ? frame('text', deflated(text), { rsv: 4 }) : frame('text', text));
        const [echo] = await raw.take();
        assert.equal(echo.op, 'text');
        assert.equal(echo.data.toString(), text);
        if (accepted === PLAIN && n >= 512 && n <= 32768) assert.ok(echo.isDeflated && echo.size < n / 2, `${n}: ${echo.size}`);
      }
      raw.end();
    });

  test('12 1,000 compressed messages, some in fragments, come back', async () => {
    const raw = await RawSocket.open(server.port, { extensions: 'permessage-deflate' });
    for (let i = 0; i < 1000; i++) {
      const data = deflated(`message ${i} `.repeat(i % 90));
      raw.send(i % 3 ? frame('binary', data, { rsv: 4 }) : all(part('binary', data.subarray(0, 3), { rsv: 4 }), frame('ping', 'x'), frame('cont', data.subarray(3))));
    }
    const echoes = (await raw.take(1000 + 334)).filter((f) => f.op === 'binary');
    echoes.forEach((e, i) => assert.equal(e.data.toString(), `message ${i} `.repeat(i % 90)));
    raw.end();
  });

  const agreed = { extensions: 'permessage-deflate' };
  for (const [name, bytes, expected] of [
    ['RSV1 on a continuation', all(part('text', deflated('a').subarray(0, 1), { rsv: 4 }), frame('cont', 'x', { rsv: 4 })), 'close:1002'],
    ['RSV1 on a ping', frame('ping', '', { rsv: 4 }), 'close:1002'],
    ['RSV2 beside it', frame('text', deflated('a'), { rsv: 6 }), 'close:1002'],
    ['what is no deflated data', frame('text', hex('ffffff'), { rsv: 4 }), 'close:1007'],
    ['a text that is not UTF-8 once it is inflated', frame('text', deflated(hex('c3')), { rsv: 4 }), 'close:1007'],
    ['a bomb', frame('binary', deflated(Buffer.alloc((16 << 20) + 1)), { rsv: 4 }), 'close:1009'],
  ])
    test(`compressed: ${name} is ${expected}`, () => check(name, bytes, [expected], agreed));
});

test('a second client library opens, sends and closes', async () => {
  const ws = new WebSocket(`ws://127.0.0.1:${server.port}/echo`);
  await new Promise((done) => ws.on('open', done));
  assert.match(ws.extensions, /permessage-deflate/);
  for (const text of ['ü'.repeat(2000), 'short']) {
    ws.send(text);
    assert.equal((await new Promise((done) => ws.once('message', done))).toString(), text);
  }
  ws.close(4000, 'bye');
  assert.equal(await new Promise((done) => ws.on('close', done)), 4000);
});
