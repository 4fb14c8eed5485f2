// A stand-in for auth that has nothing but a key: `const auth = await startAuthPeer()` serves it at 127.0.0.1:auth.port, and auth.token([…permissions]) is signed with
// it, for two hours. Node's own modules only.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import http from 'node:http';
import { signed } from './jws.mjs';

export async function startAuthPeer() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'peer', use: 'sig', alg: 'EdDSA' }] });
  const server = http.createServer((req, res) => {
    res.statusCode = req.url === '/.well-known/jwks.json' ? 200 : 404;
    res.setHeader('content-type', 'application/json');
    res.end(keys);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  server.unref();
  const token = (permissions) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: 'ogent', aud: 'ogent-api', sub: randomUUID(), sid: randomUUID(), name: 'Peer', permissions, iat: now, exp: now + 7200 };
    return signed(privateKey, { alg: 'EdDSA', typ: 'at+jwt', kid: 'peer' }, claims);
  };
  return { port: server.address().port, token };
}
