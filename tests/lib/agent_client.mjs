// The agent role with what it needs, for black-box tests, and a client for conversations and events.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRole } from './platform.mjs';

export class AgentWorld {
  // exec: 'real' or a function that is given the socket's path and returns a stand-in; a deployment has its own.
  static async start({ env = {}, exec = null, demo = true } = {}) {
    const w = new AgentWorld();
    w.data = mkdtempSync(join(tmpdir(), 'ogent-agent-'));
    w.options = { data: w.data, env };
    try {
      w.auth = await startRole('auth', w.options);
      if (demo) w.demo = await startRole('demo-model', w.options);
      if (exec === 'real') w.exec = await startRole('exec', w.options);
      else if (exec && !process.env.OGENT_DEPLOYMENT) w.peer = await exec(join(w.data, 'run', 'exec.sock'));
      w.agent = await startRole('agent', w.options);
      w.token = await w.auth.localToken();
    } catch (e) {
      await w.stop();
      throw e;
    }
    return w;
  }

  async stop() {
    for (const role of ['agent', 'exec', 'demo', 'auth']) if (this[role]) await this[role].stop();
    await this.peer?.end();
    rmSync(this.data, { recursive: true, force: true });
  }

  api(method, path, body, token = this.token, headers = {}) {
    return this.agent.api(method, path, body, token, headers);
  }

  async ok(method, path, body, status = 200) {
    const r = await this.api(method, path, body);
    assert.equal(r.status, status, `${method} ${path}: ${r.text}`);
    return r.body;
  }

  conversation(body = {}) {
    return this.ok('POST', '/api/conversations', body, 201);
  }

  // A script of the demo model goes in a line of its own.
  async send(content, { script, conversation } = {}) {
    const c = conversation ?? (await this.conversation());
    const text = script ? `${content}\ndemo: ${JSON.stringify(script)}` : content;
    return this.ok('POST', `/api/conversations/${c.id}/messages`, { content: text }, 202);
  }

  async ended(id, ms = 20000) {
    for (const limit = Date.now() + ms; ; await sleep(15)) {
      const e = await this.ok('GET', `/api/executions/${id}`);
      if (e.state === 'ended') return e;
      assert.ok(Date.now() < limit, `execution ${id} does not end: ${JSON.stringify(e)}`);
    }
  }

  async run(content, options) {
    return this.ended((await this.send(content, options)).id);
  }

  events(id, after = 0) {
    return this.ok('GET', `/api/executions/${id}/events?after=${after}`);
  }

  async until(id, test, ms = 10000) {
    for (const limit = Date.now() + ms; ; await sleep(10)) {
      const { items } = await this.events(id);
      if (items.some(test)) return items;
      assert.ok(Date.now() < limit, `no such event: ${items.map((e) => e.type)}`);
    }
  }

  // Follows the stream; resolves with all events once it closes, or when `until` says so.
  follow(id, { after, token = this.token, until = () => false, onEvent = () => {} } = {}) {
    return new Promise((done, fail) => {
      const headers = { accept: 'text/event-stream', authorization: `Bearer ${token}` };
      if (after !== undefined) headers['last-event-id'] = String(after);
      const where = this.agent.where();
      const req = (where.ca ? https : http).request({ ...where, path: `/api/executions/${id}/events`, headers, agent: false }, (res) => {
        const events = [];
        let text = '';
        if (res.statusCode !== 200) return fail(new Error(`status ${res.statusCode}`));
        res.setEncoding('utf8');
        res.on('data', (d) => {
          text += d;
          for (let at; (at = text.indexOf('\n\n')) >= 0; text = text.slice(at + 2)) {
            const e = parseEvent(text.slice(0, at));
            if (!e) continue;
            events.push(e);
            onEvent(e);
            if (until(e)) {
              req.destroy();
              return done(events);
            }
          }
          return undefined;
        });
        res.on('end', () => done(events));
        res.on('error', (e) => fail(e));
        return undefined;
      });
      req.on('error', (e) => fail(e));
      req.end();
    });
  }
}

function parseEvent(frame) {
  const fields = Object.fromEntries(
    frame.split('\n').filter((l) => l && !l.startsWith(':')).map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 2)]),
  );
  if (!fields.data) return null;
  const e = JSON.parse(fields.data);
  assert.equal(fields.id, String(e.seq));
  assert.equal(fields.event, e.type);
  return e;
}

// The events without the times of pieces of text: once an execution has ended these lie evenly between the first and the last.
export const withoutPieceTimes = (events) => events.map((e) => (e.type === 'text.delta' ? { ...e, at: null } : e));

// What a client shows after these events: the texts of the messages and the outputs of the calls, checked on the way.
export function fold(events) {
  const texts = {}, outputs = {}, done = {}, calls = {};
  let last = 0;
  for (const { seq, type, data } of events) {
    assert.ok(seq > last, `the numbers do not rise: ${last}, ${seq}`);
    last = seq;
    if (type === 'text.delta') {
      const before = texts[data.message_id] ?? '';
      assert.equal(data.offset, Buffer.byteLength(before));
      texts[data.message_id] = before + data.text;
    } else if (type === 'text.reset') {
      texts[data.message_id] = '';
    } else if (type === 'message.done') {
      if (texts[data.message_id] !== undefined) assert.equal(texts[data.message_id], data.content);
      done[data.message_id] = data;
    } else if (type === 'call.output') {
      const before = outputs[data.call_id] ?? '';
      assert.equal(data.offset, Buffer.byteLength(before), 'the output has a gap or a double');
      outputs[data.call_id] = before + data.text;
    } else if (type === 'call.done') {
      assert.equal(calls[data.call_id], undefined, 'a call ended twice');
      calls[data.call_id] = data;
    }
  }
  return { texts, outputs, done, calls, last };
}
