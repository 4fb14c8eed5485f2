// Bytes as they are over a TCP connection, for what no HTTP client would send. Node's own modules only.

import net from 'node:net';
import tls from 'node:tls';

// A connection to {host, port}, over TLS with {ca}, or to {socketPath}; then() once it can be written to.
export function dial({ host, port, ca, socketPath }, then) {
  if (socketPath) return net.connect(socketPath, then);
  return ca ? tls.connect({ host, port, ca, servername: host }, then) : net.connect(port, host, then);
}

// Sends `bytes` and reads until the other side closes, or for `ms`; once: until one answer with a Content-Length is whole. Returns {status, headers, body, closed, text};
// headers in lower case, of the first answer.
export function sendRaw(where, bytes, { ms = 5000, once = false } = {}) {
  return new Promise((done, fail) => {
    const chunks = [];
    const socket = dial(where, () => socket.write(bytes));
    const finish = (closed) => {
      clearTimeout(late);
      socket.destroy();
      const text = Buffer.concat(chunks).toString('latin1');
      const split = text.indexOf('\r\n\r\n');
      const [line, ...fields] = text.slice(0, split < 0 ? text.length : split).split('\r\n');
      const headers = Object.fromEntries(fields.map((f) => [f.slice(0, f.indexOf(':')).toLowerCase(), f.slice(f.indexOf(':') + 1).trim()]));
      done({ status: Number(line.split(' ')[1]), headers, body: split < 0 ? '' : text.slice(split + 4), closed, text });
    };
    const late = setTimeout(() => finish(false), ms);
    socket.on('data', (d) => {
      chunks.push(d);
      const text = Buffer.concat(chunks).toString('latin1');
      const length = text.match(/\r\ncontent-length: (\d+)/i);
      if (once && length && text.length >= text.indexOf('\r\n\r\n') + 4 + Number(length[1])) finish(false);
    });
    socket.on('end', () => finish(true));
    // A reset behind an answer is a close as well.
    socket.on('error', (e) => (chunks.length ? finish(true) : (clearTimeout(late), fail(e))));
  });
}
