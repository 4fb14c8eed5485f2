// A PUT whose body is sent piece by piece: {req, answer}; answer is {status, body, text}, or {error} when the connection ended.
import http from 'node:http';

export function beginUpload(where, path, headers) {
  const req = http.request({ ...where, method: 'PUT', path, headers });
  const answer = new Promise((done) => {
    req.on('error', (e) => done({ error: e.code }));
    req.on('response', async (res) => {
      let text = '';
      for await (const c of res) text += c;
      done({ status: res.statusCode, body: JSON.parse(text), text });
    });
  });
  return { req, answer };
}
