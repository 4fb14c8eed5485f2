// Tokens made by hand, for what auth would never sign. Node's own modules only.

import { createHmac, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';

const b64 = (data) => Buffer.from(data).toString('base64url');

// An Ed25519 key from the seed that auth keeps in secrets/auth-signing.key.
export function keyFromSeed(text) {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  return createPrivateKey({ key: Buffer.concat([prefix, Buffer.from(text, 'base64url')]), format: 'der', type: 'pkcs8' });
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
