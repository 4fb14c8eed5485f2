// Tokens made by hand, for what auth would never sign. Node's own modules only.

import { createDecipheriv, createHmac, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';

import { authRows } from './databases.mjs';

const b64 = (data) => Buffer.from(data).toString('base64url');

// The key with which auth signs now: its pair is sealed in the database (lib/base/seal.h). auth: a role or platform of platform.mjs.
export function signingKey(auth) {
  const rows = authRows(auth.data, 'select kid, secret from signing_keys where secret is not null order by active_from desc');
  const now = Date.now() * 1000;
  const [kid, sealed] = rows.length === 1 ? rows[0] : authRows(auth.data, `select kid, secret from signing_keys where active_from <= ${now} order by active_from desc`)[0];
  const der = unseal(Buffer.from(auth.secret('auth-keys.key'), 'base64url'), `signing_keys.secret:${kid}`, sealed);
  /* Ed25519 is PKCS #8, what OpenSSL exports of the others has the form of its kind. */
  for (const type of ['pkcs8', 'sec1']) {
    try {
      return createPrivateKey({ key: der, format: 'der', type });
    } catch {
      continue;
    }
  }
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs1' });
}

// XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key that HChaCha20 makes of the first 16 bytes of the nonce.
export function unseal(key, context, text) {
  const box = Buffer.from(text.slice(3), 'base64url');
  const nonce = Buffer.concat([Buffer.alloc(4), box.subarray(16, 24)]);
  const d = createDecipheriv('chacha20-poly1305', hchacha20(key, box.subarray(0, 16)), nonce, { authTagLength: 16 });
  d.setAAD(Buffer.from(context), { plaintextLength: box.length - 40 });
  d.setAuthTag(box.subarray(-16));
  return Buffer.concat([d.update(box.subarray(24, -16)), d.final()]);
}

function hchacha20(key, nonce) {
  const s = new Uint32Array(16);
  const words = Buffer.concat([Buffer.from('expand 32-byte k'), key, nonce]);
  for (let i = 0; i < 16; i++) s[i] = words.readUInt32LE(i * 4);
  const turn = (a, b, n) => ((s[a] ^= s[b]), (s[a] = (s[a] << n) | (s[a] >>> (32 - n))));
  const quarter = (a, b, c, d) => {
    for (const [n, m] of [[16, 12], [8, 7]]) {
      s[a] += s[b];
      turn(d, a, n);
      s[c] += s[d];
      turn(b, c, m);
    }
  };
  for (let i = 0; i < 10; i++) {
    for (let j = 0; j < 4; j++) quarter(j, j + 4, j + 8, j + 12);
    for (let j = 0; j < 4; j++) quarter(j, 4 + ((j + 1) % 4), 8 + ((j + 2) % 4), 12 + ((j + 3) % 4));
  }
  const out = Buffer.alloc(32);
  [...s.slice(0, 4), ...s.slice(12)].forEach((word, i) => out.writeUInt32LE(word, i * 4));
  return out;
}

export const strangerKey = () => generateKeyPairSync('ed25519').privateKey;

export const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
export const headerOf = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString());

// header and claims: objects, or texts for what no object can say.
export function signed(key, header, claims) {
  const text = (v) => b64(typeof v === 'string' ? v : JSON.stringify(v));
  const input = `${text(header)}.${text(claims)}`;
  return `${input}.${b64(sign(null, Buffer.from(input), key))}`;
}

export function hmacSigned(secret, header, claims) {
  const input = `${b64(JSON.stringify(header))}.${b64(JSON.stringify(claims))}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}
