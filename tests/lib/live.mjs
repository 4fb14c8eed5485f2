// A client of /ws for tests, on Node's own WebSocket: messages are kept in order and can be waited for.

import assert from 'node:assert/strict';

export class Live {
  // Over TLS with {tls: true}; the process must trust the certificate.
  constructor({ host, port, tls = false }) {
    this.messages = [];
    this.waiting = [];
    this.ws = new WebSocket(`${tls ? 'wss' : 'ws'}://${host}:${port}/ws`);
    this.ws.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.opened = new Promise((done, fail) => {
      this.ws.onopen = done;
      this.ws.onerror = (e) => fail(new Error(e.message || 'the connection broke off'));
    });
    this.closed = new Promise((done) => (this.ws.onclose = ({ code, reason }) => done({ code, reason })));
    this.closed.then((how) => {
      for (const w of this.waiting.splice(0)) w.fail(new Error(`closed: ${how.code} ${how.reason}`));
    });
  }

  // A connection with its token accepted.
  static async open(where, token) {
    const live = new Live(where);
    await live.opened;
    live.send({ type: 'auth', token });
    live.ready = await live.next((m) => m.type === 'ready');
    return live;
  }

  take(message) {
    this.messages.push(message);
    const due = this.waiting.filter((w) => w.test(message));
    this.waiting = this.waiting.filter((w) => !due.includes(w));
    for (const w of due) w.done(message);
  }

  send(message) {
    this.ws.send(typeof message === 'string' || message instanceof Uint8Array ? message : JSON.stringify(message));
  }

  // The first message of which test says yes, among those that are there from `from` on or to come.
  next(test, { ms = 15000, from = this.messages.length } = {}) {
    const there = this.messages.slice(from).find(test);
    if (there) return Promise.resolve(there);
    return new Promise((done, fail) => {
      const late = setTimeout(() => fail(new Error(`no such message in ${ms} ms: ${JSON.stringify(this.messages.slice(-5))}`)), ms);
      const w = { test };
      w.done = (m) => (clearTimeout(late), done(m));
      w.fail = (e) => (clearTimeout(late), fail(e));
      this.waiting.push(w);
    });
  }

  // Sends with an id and returns the answer to it.
  ask(message) {
    const id = (this.serial = (this.serial ?? 0) + 1);
    this.send({ ...message, id });
    return this.next((m) => m.id === id);
  }

  async join(room) {
    const r = await this.ask({ type: 'join', room });
    assert.equal(r.type, 'joined', JSON.stringify(r));
    assert.equal(r.room, room);
    return r;
  }

  // Waits until all that was sent to us before is here.
  async settled() {
    this.send({ type: 'ping' });
    await this.next((m) => m.type === 'pong');
  }

  get events() {
    return this.messages.filter((m) => m.type === 'event').map((m) => m.event);
  }

  async close() {
    this.ws.close();
    return this.closed;
  }
}
