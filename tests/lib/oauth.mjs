// A program that uses the platform by OAuth, and a user who answers its consent page.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

export const verifier = () => randomBytes(32).toString('base64url');
export const challengeOf = (text) => createHash('sha256').update(text).digest('base64url');

export class Program {
  // client: what registration or an administrator answered.
  constructor(p, client, redirect = client.redirect_uris[0]) {
    Object.assign(this, { p, client, redirect });
  }

  static async register(p, metadata) {
    const r = await p.api('POST', '/oauth/register', { client_name: 'Program', token_endpoint_auth_method: 'none', ...metadata });
    assert.equal(r.status, 201, r.text);
    return new Program(p, r.body);
  }

  // GET /oauth/authorize; what is undefined is left out.
  authorize(params = {}) {
    this.verifier = verifier();
    const all = {
      client_id: this.client.client_id, redirect_uri: this.redirect, response_type: 'code', state: 'a state', scope: 'mcp',
      code_challenge: challengeOf(this.verifier), code_challenge_method: 'S256', ...params,
    };
    const query = new URLSearchParams(Object.entries(all).filter(([, v]) => v !== undefined));
    return this.p.api('GET', `/oauth/authorize?${query}`);
  }

  // The request that the consent page shows.
  async request(params) {
    const r = await this.authorize(params);
    assert.equal(r.status, 303, r.text);
    const to = new URL(r.headers.location);
    assert.equal(to.pathname, '/consent', r.headers.location);
    return new URLSearchParams(to.hash.slice(1)).get('request');
  }

  // The user says yes, or no; returns the address to which the browser goes.
  async answer(token, params, approve = true) {
    const r = await this.p.api('POST', '/api/auth/authorizations/decision', { request: await this.request(params), approve }, token);
    assert.equal(r.status, 200, r.text);
    return new URL(r.body.redirect_to);
  }

  post(path, form, headers = {}) {
    const { client_id, client_secret, token_endpoint_auth_method: method } = this.client;
    const all = { ...form };
    const own = {};
    if (method === 'client_secret_basic') own.authorization = `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`;
    else all.client_id ??= client_id;
    if (method === 'client_secret_post') all.client_secret ??= client_secret;
    return this.p.api('POST', path, new URLSearchParams(all).toString(), undefined, { 'content-type': 'application/x-www-form-urlencoded', ...own, ...headers });
  }

  exchange(code, form = {}) {
    return this.post('/oauth/token', { grant_type: 'authorization_code', code, redirect_uri: this.redirect, code_verifier: this.verifier, ...form });
  }

  refresh(refresh_token, form = {}) {
    return this.post('/oauth/token', { grant_type: 'refresh_token', refresh_token, ...form });
  }

  // The whole way; returns the answer of the token endpoint.
  async tokens(token, params) {
    const r = await this.exchange((await this.answer(token, params)).searchParams.get('code'));
    assert.equal(r.status, 200, r.text);
    return r.body;
  }
}
