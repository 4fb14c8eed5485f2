// Server-sent events as an async iterator: for await (const { event, data } of events(where, 'GET', path, { token })).
// Leaving the loop closes the connection. Node's own modules only.

import http from 'node:http';
import https from 'node:https';

export class Refused extends Error {
  constructor(status, text) {
    super(`${status}: ${text}`);
    this.status = status;
    this.body = JSON.parse(text);
  }
}

function open(where, method, path, { body, token, headers = {} }) {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const all = { accept: 'text/event-stream', ...headers };
  if (payload !== undefined) {
    all['content-type'] = 'application/json';
    all['content-length'] = Buffer.byteLength(payload);
  }
  if (token) all.authorization = `Bearer ${token}`;
  return new Promise((done, fail) => {
    const r = (where.ca ? https : http).request({ ...where, method, path, headers: all, agent: false }, done);
    r.on('error', fail);
    r.end(payload);
  });
}

export async function* events(where, method, path, options = {}) {
  const res = await open(where, method, path, options);
  res.setEncoding('utf8');
  let text = '';
  if (!/event-stream/.test(res.headers['content-type'] ?? '')) {
    for await (const piece of res) text += piece;
    throw new Refused(res.statusCode, text);
  }
  try {
    for await (const piece of res) {
      text += piece;
      for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
        const event = { event: 'message', data: '' };
        for (const line of text.slice(0, end).split('\n')) {
          if (line.startsWith('event: ')) event.event = line.slice(7);
          if (line.startsWith('data: ')) event.data += line.slice(6);
        }
        if (event.data) yield { event: event.event, data: JSON.parse(event.data) };
      }
    }
  } finally {
    res.destroy();
  }
}
