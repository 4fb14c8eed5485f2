// An authenticator in software: passkeys as a browser would answer for them, in the JSON form of WebAuthn level 3. And an app for codes by
// time. Both on Node's own crypto.

import { createHash, createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const sha256 = (data) => createHash('sha256').update(data).digest();
const b64 = (data) => Buffer.from(data).toString('base64url');

// Just enough CBOR: whole numbers, bytes, text, and maps as arrays of pairs.
function cbor(v) {
  const head = (major, n) => {
    if (n < 24) return Buffer.from([(major << 5) | n]);
    if (n < 256) return Buffer.from([(major << 5) | 24, n]);
    return Buffer.from([(major << 5) | 25, n >> 8, n & 255]);
  };
  if (typeof v === 'number') return v >= 0 ? head(0, v) : head(1, -1 - v);
  if (typeof v === 'string') return Buffer.concat([head(3, Buffer.byteLength(v)), Buffer.from(v)]);
  if (Buffer.isBuffer(v)) return Buffer.concat([head(2, v.length), v]);
  return Buffer.concat([head(5, v.length), ...v.flat().map(cbor)]);
}

const KINDS = {
  ES256: {
    make: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    cose: (j) => [[1, 2], [3, -7], [-1, 1], [-2, Buffer.from(j.x, 'base64url')], [-3, Buffer.from(j.y, 'base64url')]],
    hash: 'sha256',
  },
  EdDSA: { make: () => generateKeyPairSync('ed25519'), cose: (j) => [[1, 1], [3, -8], [-1, 6], [-2, Buffer.from(j.x, 'base64url')]], hash: null },
  RS256: {
    make: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    cose: (j) => [[1, 3], [3, -257], [-1, Buffer.from(j.n, 'base64url')], [-2, Buffer.from(j.e, 'base64url')]],
    hash: 'sha256',
  },
};

export class Authenticator {
  constructor(origin, kind = 'ES256') {
    Object.assign(this, { origin, kind, id: randomBytes(16), counter: 0, flags: 0x05, user: null });
    this.keys = KINDS[kind].make();
  }

  clientData(type, challenge, more = {}) {
    return Buffer.from(JSON.stringify({ type, challenge, origin: this.origin, crossOrigin: false, ...more }));
  }

  authData(rpId, withKey) {
    const count = Buffer.alloc(4);
    count.writeUInt32BE((this.counter += 1));
    const parts = [sha256(rpId), Buffer.from([this.flags | (withKey ? 0x40 : 0)]), count];
    if (withKey) {
      const jwk = createPublicKey(this.keys.publicKey.export({ type: 'spki', format: 'pem' })).export({ format: 'jwk' });
      parts.push(Buffer.alloc(16), Buffer.from([0, this.id.length]), this.id, cbor(KINDS[this.kind].cose(jwk)));
    }
    return Buffer.concat(parts);
  }

  // navigator.credentials.create()
  create(options, change = {}) {
    this.user = options.user.id;
    const authData = this.authData(change.rpId ?? options.rp.id, true);
    const attestation = cbor([['fmt', 'none'], ['attStmt', []], ['authData', authData]]);
    return {
      id: b64(this.id),
      rawId: b64(this.id),
      type: 'public-key',
      clientExtensionResults: {},
      response: { clientDataJSON: b64(this.clientData('webauthn.create', options.challenge, change.client)), attestationObject: b64(attestation) },
    };
  }

  // navigator.credentials.get()
  get(options, change = {}) {
    const authData = this.authData(change.rpId ?? options.rpId, false);
    const client = this.clientData('webauthn.get', change.challenge ?? options.challenge, change.client);
    const signature = sign(KINDS[this.kind].hash, Buffer.concat([authData, sha256(client)]), this.keys.privateKey);
    return {
      id: b64(this.id),
      rawId: b64(this.id),
      type: 'public-key',
      clientExtensionResults: {},
      response: { clientDataJSON: b64(client), authenticatorData: b64(authData), signature: b64(signature), userHandle: this.user },
    };
  }
}

// RFC 6238, from the base32 text that people type.
export function totp(secret, at = Date.now()) {
  const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(at / 30000)));
  const mac = createHmac('sha1', key).update(step).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1000000).padStart(6, '0');
}
