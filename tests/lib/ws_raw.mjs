// WebSocket by the byte: frames that no library would send, and what comes back, inflated where it is compressed.

import { randomBytes } from 'node:crypto';
import net from 'node:net';
import zlib from 'node:zlib';

export const OPS = { cont: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
const NAMES = Object.fromEntries(Object.entries(OPS).map(([name, op]) => [op, name]));

// One frame. options: fin, rsv (the three bits, 4 = RSV1), masked, length (a form that is longer than it need be: 16 or 64).
export function frame(op, payload = '', { fin = true, rsv = 0, masked = true, length } = {}) {
  const data = Buffer.from(payload);
  const n = data.length;
  const form = length ?? (n < 126 ? 7 : n < 65536 ? 16 : 64);
  const head = Buffer.alloc(2 + (form === 16 ? 2 : form === 64 ? 8 : 0) + (masked ? 4 : 0));
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | (OPS[op] ?? op);
  head[1] = (masked ? 0x80 : 0) | (form === 7 ? n : form === 16 ? 126 : 127);
  if (form === 16) head.writeUInt16BE(n, 2);
  if (form === 64) head.writeBigUInt64BE(BigInt(n), 2);
  if (!masked) return Buffer.concat([head, data]);
  const mask = randomBytes(4);
  mask.copy(head, head.length - 4);
  const body = Buffer.allocUnsafe(n);
  for (let i = 0; i < n; i++) body[i] = data[i] ^ mask[i & 3];
  return Buffer.concat([head, body]);
}

export const deflated = (payload) => zlib.deflateRawSync(payload, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
const inflated = (data) => zlib.inflateRawSync(Buffer.concat([data, Buffer.from([0, 0, 0xff, 0xff])]), { finishFlush: zlib.constants.Z_SYNC_FLUSH });

export class RawSocket {
  // extensions: what to offer; `accepted` says what the server took.
  static async open(port, { path = '/echo', extensions, headers = {} } = {}) {
    const raw = new RawSocket();
    const fields = { Host: 'localhost', Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': randomBytes(16).toString('base64'), ...headers };
    if (extensions) fields['Sec-WebSocket-Extensions'] = extensions;
    raw.socket = net.connect(port, '127.0.0.1');
    raw.socket.setNoDelay(true);
    raw.socket.write(`GET ${path} HTTP/1.1\r\n${Object.entries(fields).map(([k, v]) => `${k}: ${v}\r\n`).join('')}\r\n`);
    await raw.handshake();
    return raw;
  }

  // Resolves once the answer's head is here; takes frames from then on.
  handshake() {
    Object.assign(this, { bytes: Buffer.alloc(0), frames: [], wake: () => {}, ended: false });
    return new Promise((done, fail) => {
      let isOpen = false;
      this.socket.on('error', () => {});
      this.socket.on('close', () => {
        this.ended = true;
        this.wake();
        fail(new Error('closed'));
      });
      this.socket.on('data', (d) => {
        this.bytes = this.bytes.length ? Buffer.concat([this.bytes, d]) : d;
        if (!isOpen) {
          const end = this.bytes.indexOf('\r\n\r\n');
          if (end < 0) return;
          const head = this.bytes.subarray(0, end).toString();
          this.bytes = this.bytes.subarray(end + 4);
          this.status = Number(head.split(' ')[1]);
          this.accepted = head.match(/^sec-websocket-extensions: (.*)$/im)?.[1];
          isOpen = true;
          done();
        }
        this.parse();
        this.wake();
      });
    });
  }

  parse() {
    while (this.bytes.length >= 2) {
      const short = this.bytes[1] & 0x7f;
      const head = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (this.bytes.length < head) return;
      const n = short === 126 ? this.bytes.readUInt16BE(2) : short === 127 ? Number(this.bytes.readBigUInt64BE(2)) : short;
      if (this.bytes.length < head + n) return;
      const isDeflated = Boolean(this.bytes[0] & 0x40);
      const data = this.bytes.subarray(head, head + n);
      if (this.bytes[1] & 0x80) throw new Error('a server must not mask');
      this.frames.push({ op: NAMES[this.bytes[0] & 0x0f], data: isDeflated ? inflated(data) : Buffer.from(data), isDeflated, size: n });
      this.bytes = this.bytes.subarray(head + n);
    }
  }

  // Sends in pieces of this many bytes, each in a packet of its own as far as the kernel likes.
  async send(bytes, step = Infinity) {
    for (let at = 0; at < bytes.length; at += step) {
      if (this.ended) return;
      this.socket.write(bytes.subarray(at, Math.min(at + step, bytes.length)));
      if (step < bytes.length) await new Promise(setImmediate);
    }
  }

  async until(test, ms = 20000) {
    const limit = Date.now() + ms;
    while (!test() && !this.ended) {
      const left = limit - Date.now();
      if (left <= 0) throw new Error(`nothing more in ${ms} ms: ${this.frames.length} frames`);
      let late;
      await new Promise((done) => {
        this.wake = done;
        late = setTimeout(done, left);
      });
      clearTimeout(late);
    }
  }

  // The next n frames.
  async take(n = 1) {
    await this.until(() => this.frames.length >= n);
    return this.frames.splice(0, n);
  }

  // Everything until the server has closed: ["text:hello", …, "close:1000"].
  async rest() {
    await this.until(() => false);
    return this.frames.map(({ op, data }) => `${op}:${op === 'close' ? (data.length ? data.readUInt16BE(0) : '') : data.toString()}`);
  }

  end() {
    this.socket.destroy();
  }
}
