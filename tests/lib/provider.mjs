// Providers by which people sign in at the platform: the certified `oidc-provider`, and one that lies.

import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import http from 'node:http';

import { Provider } from 'oidc-provider';

const listen = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));

// A browser without pages: it follows redirects at one provider until they lead elsewhere.
export async function visit(url, issuer) {
  const jar = new Map();
  for (let i = 0; i < 20; i++) {
    if (!url.startsWith(issuer)) return new URL(url);
    const r = await fetch(url, { redirect: 'manual', headers: { cookie: [...jar].map(([k, v]) => `${k}=${v}`).join('; ') } });
    for (const line of r.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      jar.set(name, value);
    }
    assert.ok(r.status === 302 || r.status === 303, `${url}: ${r.status} ${await r.text()}`);
    url = new URL(r.headers.get('location'), url).href;
  }
  throw new Error('too many redirects');
}

// `oidc-provider`. people: {id: {email, …}}. Who signs in is `user`; with `asks` a page asks first.
export class RealProvider {
  constructor(people) {
    Object.assign(this, { people, user: Object.keys(people)[0], asks: false });
  }

  async start(redirect, client = {}) {
    this.server = http.createServer((req, res) => this.answer(req, res));
    const port = await listen(this.server);
    this.issuer = `http://127.0.0.1:${port}`;
    const jwk = (pair, more) => ({ ...pair.privateKey.export({ format: 'jwk' }), ...more });
    this.client = { client_id: 'ogent', client_secret: 'a secret of the client, long enough', redirect_uris: [redirect], id_token_signed_response_alg: 'ES256', ...client };
    const configuration = {
      clients: [this.client],
      jwks: { keys: [jwk(generateKeyPairSync('rsa', { modulusLength: 2048 }), { kid: 'rsa' }), jwk(generateKeyPairSync('ec', { namedCurve: 'P-256' }), { kid: 'ec' })] },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...this.people[id] }) }),
      claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
      interactions: { url: (_, i) => `/interaction/${i.uid}` },
      features: { devInteractions: { enabled: false } },
      cookies: { keys: [randomBytes(16).toString('hex')] },
      pkce: { required: () => true },
      ttl: { AccessToken: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
    };
    const { warn, info } = console;
    console.warn = console.info = () => {};
    this.provider = new Provider(this.issuer, configuration);
    this.handle = this.provider.callback();
    Object.assign(console, { warn, info });
    return this;
  }

  async answer(req, res) {
    if (req.url === '/favicon.ico') return res.writeHead(204).end();
    if (!req.url.startsWith('/interaction/')) return this.handle(req, res);
    if (this.asks && req.method === 'GET') {
      res.writeHead(200, { 'content-type': 'text/html' });
      return res.end('<!doctype html><title>Acme</title><h1>Acme</h1><form method="post"><button>I am Grace</button></form>');
    }
    const { prompt, params, session } = await this.provider.interactionDetails(req, res);
    if (prompt.name === 'login') return this.provider.interactionFinished(req, res, { login: { accountId: this.user } }, { mergeWithLastSubmission: false });
    const grant = new this.provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    return this.provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
  }

  close() {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}

const b64 = (v) => Buffer.from(typeof v === 'string' ? v : JSON.stringify(v)).toString('base64url');

// One whose every answer a test can bend: `description`, `keys`, `tokenAnswer`, `userinfo` are what it says next.
export class LyingProvider {
  async start() {
    this.asked = [];
    this.pair = generateKeyPairSync('ed25519');
    this.keys = [this.jwk(this.pair, 'one')];
    this.server = http.createServer((req, res) => {
      const chunks = [];
      req.on('data', (c) => chunks.push(c));
      req.on('end', () => this.answer(req, Buffer.concat(chunks).toString(), res));
    });
    this.issuer = `http://127.0.0.1:${await listen(this.server)}`;
    return this;
  }

  jwk(pair, kid) {
    return { ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig' };
  }

  answer(req, body, res) {
    const json = (value, status = 200, headers = {}) => res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
    this.asked.push({ path: req.url, body, headers: req.headers });
    switch (req.url) {
      case '/.well-known/openid-configuration':
        if (this.redirect) return json({}, 302, { location: this.redirect });
        return json({
          issuer: this.issuer, authorization_endpoint: `${this.issuer}/authorize`, token_endpoint: `${this.issuer}/token`, jwks_uri: `${this.issuer}/keys`,
          userinfo_endpoint: `${this.issuer}/userinfo`, authorization_response_iss_parameter_supported: true, ...this.description,
        });
      case '/keys': return json({ keys: this.keys });
      case '/token': return this.tokenAnswer(json);
      case '/userinfo': return json(this.userinfo ?? {}, this.userinfo ? 200 : 404);
      default: return json({}, 404);
    }
  }

  claims(nonce, more) {
    const now = Math.floor(Date.now() / 1000);
    return { iss: this.issuer, sub: 'someone', aud: 'ogent', iat: now, exp: now + 300, nonce, ...more };
  }

  // pair, header and claims as given; what is undefined is left out.
  sign(header, claims, pair = this.pair) {
    const input = `${b64(header)}.${b64(claims)}`;
    return `${input}.${sign(null, Buffer.from(input), pair.privateKey).toString('base64url')}`;
  }

  hmac(secret, header, claims) {
    const input = `${b64(header)}.${b64(claims)}`;
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  }

  none(claims) {
    return `${b64({ alg: 'none' })}.${b64(claims)}.`;
  }

  close() {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}
