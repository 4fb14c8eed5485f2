// Signing in by another provider: with the certified `oidc-provider`, and with one that lies.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { totp } from '../lib/authenticator.mjs';
import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { LyingProvider, RealProvider, visit } from '../lib/provider.mjs';

const GRACE = { email: 'grace@acme.example', email_verified: true, name: 'Grace Hopper' };
const PEOPLE = {
  grace: GRACE,
  mallory: { email: ADMIN.email, email_verified: true, name: 'Not Ada' },
  unverified: { email: 'una@acme.example', email_verified: false, name: 'Una' },
  stranger: { email: 'stan@elsewhere.example', email_verified: true, name: 'Stan' },
  ada: { email: 'ada@acme.example', email_verified: true, name: 'Ada at Acme' },
};

describe('single sign-on', { timeout: 300000 }, () => {
  let p, base, admin, real, liar, inner;
  const cookieOf = (r) => (r.headers['set-cookie'] ?? []).map((c) => /^ogent_sso=([^;]+)/.exec(c)?.[1]).find(Boolean);
  const start = async (name, path = 'start', token, body) => {
    const r = await p.api('POST', path === 'link' ? '/api/auth/identities' : `/api/auth/sso/${name}/${path}`, path === 'link' ? { provider: name } : body, token);
    return { r, url: r.body.authorization_url, cookie: cookieOf(r) };
  };
  const back = (name, query, cookie, token, headers = {}) =>
    p.api('POST', `/api/auth/sso/${name}/callback`, { query }, token, { ...(cookie ? { cookie: `ogent_sso=${cookie}` } : {}), ...headers });
  // The whole way with the real provider.
  async function way(user, { path = 'start', token, headers } = {}) {
    real.user = user;
    const s = await start('acme', path, token);
    assert.equal(s.r.status, 200, s.r.text);
    const to = await visit(s.url, real.issuer);
    assert.equal(`${to.origin}${to.pathname}`, `${base}/sso/acme/callback`);
    return back('acme', to.search, s.cookie, token, headers);
  }
  // The same with the liar: `lie` bends what its token endpoint answers.
  async function lie(bend = {}, { name = 'liar', query = {}, path, token } = {}) {
    const s = await start(name, path, token);
    assert.equal(s.r.status, 200, s.r.text);
    const asked = new URL(s.url).searchParams;
    const at = { state: asked.get('state'), nonce: asked.get('nonce') };
    liar.tokenAnswer = (json) => {
      if (bend.answer) return bend.answer(json);
      const claims = { ...liar.claims(at.nonce), ...bend.claims };
      const header = { alg: 'EdDSA', kid: 'one', ...bend.header };
      return json({ access_token: 'an-access-token', token_type: 'Bearer', id_token: bend.token?.(claims, header) ?? liar.sign(header, claims, bend.pair) });
    };
    const all = { code: 'code', state: at.state, iss: liar.issuer, ...query };
    return back(name, new URLSearchParams(Object.entries(all).filter(([, v]) => v !== undefined)).toString(), s.cookie, token);
  }
  const refused = (r, status, code) => {
    assert.equal(r.status, status, r.text);
    assert.equal(r.body.code, code, r.text);
  };
  const change = (name, body) => p.api('PATCH', `/api/auth/providers/${name}`, body, admin);

  before(async () => {
    inner = http.createServer((_, res) => {
      inner.hits = (inner.hits ?? 0) + 1;
      res.end('{}');
    });
    await new Promise((done) => inner.listen(0, '127.0.0.2', done));
    liar = await new LyingProvider().start();
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: '', OGENT_OUTBOUND_ALLOW: '127.0.0.1' } });
    base = `http://${p.where().host}:${p.where().port}`;
    admin = (await p.setUp()).access_token;
    real = await new RealProvider(PEOPLE).start(`${base}/sso/acme/callback`);
  });
  after(async () => {
    real?.close();
    liar?.close();
    inner?.close();
    await p?.stop();
  });

  // ---- The administrator's list ----

  test('an administrator adds a provider; its secret is sealed and never shown', async () => {
    const make = (body) => p.api('POST', '/api/auth/providers', body, admin);
    const good = { name: 'acme', label: 'Acme', issuer: real.issuer, client_id: real.client.client_id, client_secret: real.client.client_secret, domains: ['acme.example'] };
    for (const bad of [
      { issuer: 'http://idp.example' }, { issuer: 'https://idp.example/?a=b' }, { issuer: 'not a url' }, { name: 'No Word' }, { name: '-' }, { auth_method: 'private' },
      { scopes: 'email' }, { domains: ['*.example'] }, { client_id: '' }, { extra: 1 }, { client_secret: '', auth_method: 'client_secret_post' },
    ]) assert.equal((await make({ ...good, ...bad })).status, 422, JSON.stringify(bad));
    const r = await make(good);
    assert.equal(r.status, 201, r.text);
    assert.equal(r.body.redirect_uri, `${base}/sso/acme/callback`);
    assert.equal(r.body.has_secret, true);
    assert.equal(r.body.sign_up, false);
    assert.doesNotMatch(r.text + (await p.stored()), /long enough/);
    assert.equal((await make(good)).body.code, 'provider_taken');
    assert.equal((await make({ ...good, name: 'again' })).body.code, 'provider_taken', 'one issuer, one provider');
    assert.equal((await make({ ...good, name: 'roles', issuer: 'https://x.example', default_role: 'nobody' })).status, 422);
    const l = await make({ name: 'liar', issuer: liar.issuer, client_id: 'ogent', client_secret: 's', sign_up: true, default_role: 'viewer' });
    assert.equal(l.status, 201, l.text);
    const tested = await p.api('POST', '/api/auth/providers/acme/test', undefined, admin);
    assert.equal(tested.body.ok, true, tested.text);
    assert.ok(tested.body.keys >= 2);
    assert.deepEqual((await p.api('GET', '/api/auth/sso')).body.items, [{ name: 'acme', label: 'Acme' }, { name: 'liar', label: 'liar' }]);
  });

  // ---- As it is meant ----

  test('nobody gets an account unless the provider may make one, and then with its role', async () => {
    refused(await way('grace'), 403, 'no_account');
    await change('acme', { sign_up: true, default_role: 'viewer' });
    await p.api('PATCH', '/api/auth/settings', { registration: 'closed' }, admin);
    refused(await way('grace'), 403, 'no_account');
    await p.api('PATCH', '/api/auth/settings', { registration: 'invite' }, admin);
    const r = await way('grace', { headers: { 'x-ogent-client': 'web' } });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.body.user.name, GRACE.name);
    assert.equal(r.body.user.email, GRACE.email);
    assert.deepEqual(r.body.user.roles, ['viewer']);
    assert.equal(r.body.refresh_token, undefined, 'the browser has it in a cookie');
    assert.ok(r.headers['set-cookie'].some((c) => /^ogent_session=.+HttpOnly; SameSite=Strict/.test(c)));
    assert.ok(r.headers['set-cookie'].some((c) => /^ogent_sso=;.*Max-Age=0/.test(c)), 'what the way needed is gone');
    const again = await way('grace');
    assert.equal(again.body.user.id, r.body.user.id, 'the same account at the next sign-in');
    const sessions = await p.api('GET', '/api/auth/sessions', undefined, again.body.access_token);
    assert.equal(sessions.body.items.length, 2);
  });

  test('who may not have one: an address that is not verified, of another domain, or of an account that is there', async () => {
    refused(await way('unverified'), 403, 'email_not_verified');
    refused(await way('stranger'), 403, 'domain_not_allowed');
    await change('acme', { domains: [] });
    refused(await way('mallory'), 409, 'email_taken');
    await change('acme', { domains: ['acme.example'] });
    assert.equal((await p.login(ADMIN)).user.name, ADMIN.name, 'and nothing was linked');
  });

  test('an account links a provider from its own session, freshly signed in, and unlinks it', async () => {
    const me = await p.login(ADMIN);
    await p.age(me.user.id);
    refused((await start('acme', 'link', me.access_token)).r, 403, 'reauth_required');
    const token = (await p.login(ADMIN)).access_token;
    const linked = await way('ada', { path: 'link', token });
    assert.equal(linked.status, 200, linked.text);
    assert.deepEqual(linked.body, { linked: 'acme', label: 'Acme' });
    const signedIn = await way('ada');
    assert.equal(signedIn.body.user.id, me.user.id);
    assert.equal(signedIn.body.user.email, ADMIN.email, 'its address stays');
    refused(await way('grace', { path: 'link', token }), 409, 'identity_taken');
    const { body } = await p.api('GET', '/api/auth/identities', undefined, token);
    assert.equal(body.has_password, true);
    assert.equal(body.items[0].email, 'ada@acme.example');
    assert.equal((await p.api('DELETE', `/api/auth/identities/${body.items[0].id}`, undefined, token)).status, 204);
    assert.notEqual((await way('ada')).body.user.id, me.user.id);
    admin = token;
  });

  test('the last way in stays', async () => {
    const token = (await way('grace')).body.access_token;
    const { body } = await p.api('GET', '/api/auth/identities', undefined, token);
    assert.equal(body.has_password, false);
    refused(await p.api('DELETE', `/api/auth/identities/${body.items[0].id}`, undefined, token), 409, 'last_way_in');
  });

  test('who signs in by a provider shows himself again there', async () => {
    const { body } = await way('grace');
    await p.age(body.user.id);
    refused((await start('liar', 'link', body.access_token)).r, 403, 'reauth_required');
    const fresh = await way('grace', { path: 'reauth', token: body.access_token });
    assert.equal(fresh.status, 200, fresh.text);
    assert.equal((await p.api('GET', '/api/auth/me', undefined, body.access_token)).status, 401, 'the session got another id');
    assert.equal((await start('liar', 'link', fresh.body.access_token)).r.status, 200);
  });

  test('a second factor here is asked for, unless the provider is trusted to have done that', async () => {
    const session = (await lie({ claims: { sub: 'two', email: 'two@acme.example', email_verified: true } })).body;
    assert.ok(session.access_token, JSON.stringify(session));
    const asked = (await p.api('POST', '/api/auth/factors/totp', undefined, session.access_token)).body;
    const on = await p.api('POST', '/api/auth/factors/totp/confirm', { ticket: asked.ticket, code: totp(asked.secret) }, session.access_token);
    assert.equal(on.status, 200, on.text);
    const claims = { sub: 'two', amr: ['pwd', 'otp'] };
    const second = await lie({ claims });
    refused(second, 401, 'second_factor_required');
    const done = await p.api('POST', '/api/auth/login/code', { ticket: second.body.ticket, code: on.body.recovery_codes[0] });
    assert.equal(done.status, 200, done.text);
    assert.equal(done.body.user.id, session.user.id);
    await change('liar', { trusts_second_factor: true });
    assert.equal((await lie({ claims })).status, 200);
    refused(await lie({ claims: { ...claims, amr: ['pwd'] } }), 401, 'second_factor_required');
    await change('liar', { trusts_second_factor: false });
  });

  test('two providers that name one subject have two users', async () => {
    const a = await way('grace');
    const b = await lie({ claims: { sub: 'grace', email: 'other@acme.example', email_verified: true } });
    assert.equal(b.status, 200, b.text);
    assert.notEqual(a.body.user.id, b.body.user.id);
    refused(await lie({ claims: { sub: 'same mail', email: GRACE.email, email_verified: true } }), 409, 'email_taken');
  });

  // ---- The browser's part ----

  test('an answer is good in its browser, at its provider, once', async () => {
    real.user = 'grace';
    const one = await start('acme');
    const other = await start('acme');
    const to = await visit(one.url, real.issuer);
    refused(await back('acme', to.search), 401, 'sign_in_expired');
    refused(await back('acme', to.search, other.cookie), 401, 'sign_in_expired');
    refused(await back('acme', to.search, `${one.cookie}x`), 401, 'sign_in_expired');
    refused(await back('liar', to.search, one.cookie), 401, 'sign_in_expired');
    refused(await back('acme', `${to.search}&state=x`, one.cookie), 422, 'invalid_field');
    const cross = await back('acme', to.search, one.cookie, undefined, { 'sec-fetch-site': 'cross-site' });
    refused(cross, 403, 'cross_site');
    const mixed = new URLSearchParams(to.search);
    mixed.set('iss', liar.issuer);
    refused(await back('acme', mixed.toString(), one.cookie), 401, 'provider_refused');
    assert.equal((await back('acme', to.search, one.cookie)).status, 200, 'what was refused before took nothing away');
    const twice = await back('acme', to.search, one.cookie);
    assert.ok(twice.status >= 400, twice.text);
    const url = new URL(one.url).searchParams;
    assert.equal(url.get('code_challenge_method'), 'S256');
    assert.ok(url.get('nonce').length >= 43 && url.get('state').length >= 43);
  });

  test('one answer brought twice at once signs in once', async () => {
    const s = await start('liar');
    const asked = new URL(s.url).searchParams;
    liar.tokenAnswer = (json) => json({ access_token: 'a', id_token: liar.sign({ alg: 'EdDSA', kid: 'one' }, liar.claims(asked.get('nonce'), { sub: 'two' })) });
    const query = new URLSearchParams({ code: 'c', state: asked.get('state'), iss: liar.issuer }).toString();
    const all = await Promise.all([1, 2, 3, 4].map(() => back('liar', query, s.cookie)));
    assert.equal(all.filter((r) => r.body.code === 'second_factor_required').length, 1, all.map((r) => r.text).join('\n'));
    assert.equal(all.filter((r) => r.body.code === 'sign_in_expired').length, 3);
  });

  // ---- A provider that lies ----

  test('what a provider may not say is refused', async () => {
    const stranger = generateKeyPairSync('ed25519');
    const now = Math.floor(Date.now() / 1000);
    const fine = { claims: { sub: 'liar', email: 'liar@acme.example', email_verified: true } };
    assert.equal((await lie(fine)).status, 200);
    const lies = {
      'another issuer': { claims: { iss: `${liar.issuer}/` } },
      'no issuer': { claims: { iss: undefined } },
      'another audience': { claims: { aud: 'other' } },
      'two audiences': { claims: { aud: ['ogent', 'other'] } },
      'another authorized party': { claims: { azp: 'other' } },
      'another nonce': { claims: { nonce: 'x' } },
      'no nonce': { claims: { nonce: undefined } },
      expired: { claims: { iat: now - 600, exp: now - 61 } },
      'from the future': { claims: { iat: now + 120, exp: now + 400 } },
      'no end': { claims: { exp: undefined } },
      'no subject': { claims: { sub: undefined } },
      'alg none': { token: (claims) => liar.none(claims) },
      'HS256 with the secret': { token: (claims) => liar.hmac('s', { alg: 'HS256', kid: 'one' }, claims) },
      'HS256 with the public key': { token: (claims) => liar.hmac(liar.keys[0].x, { alg: 'HS256', kid: 'one' }, claims) },
      'a key that is not in the set': { header: { kid: 'two' }, pair: stranger },
      "another key under the set's name": { pair: stranger },
      'a key in the token': { header: { jwk: liar.jwk(stranger, 'one') }, pair: stranger },
      'keys from elsewhere': { header: { jku: `http://127.0.0.2:${inner.address().port}/` }, pair: stranger },
      'an access token': { header: { typ: 'at+jwt' } },
      'critical things': { header: { crit: ['exp'] } },
      'another hash of the access token': { claims: { at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' } },
    };
    for (const [what, bend] of Object.entries(lies)) {
      const r = await lie({ ...bend, claims: { ...fine.claims, ...bend.claims } });
      assert.equal(r.body.code, 'provider_refused', `${what}: ${r.text}`);
      assert.equal(r.status, 401, what);
    }
    refused(await lie(fine, { query: { iss: 'https://other.example' } }), 401, 'provider_refused');
    refused(await lie(fine, { query: { iss: undefined } }), 401, 'provider_refused');
    refused(await lie(fine, { query: { state: 'x' } }), 401, 'sign_in_expired');
    refused(await lie(fine, { query: { code: undefined, error: 'access_denied' } }), 401, 'provider_refused');
    assert.equal((await lie(fine)).status, 200, 'and an honest answer is taken all the same');
  });

  test('what fails at the provider is told, and nothing inside is asked', async () => {
    const fails = async (answer) => refused(await lie({ answer }), 502, 'provider_failed');
    await fails((json) => json({ error: 'invalid_grant' }, 400));
    await fails((json) => json({ access_token: 'x' }));
    await fails((json) => json({}, 302, { location: `http://127.0.0.2:${inner.address().port}/token` }));
    await fails((json) => json({ id_token: 'x'.repeat(300 * 1024) }));
    liar.userinfo = { sub: 'somebody else', email: 'x@acme.example', email_verified: true };
    refused(await lie({ claims: { sub: 'no mail' } }), 401, 'provider_refused');
    liar.userinfo = { sub: 'no mail', email: 'nomail@acme.example', email_verified: true };
    assert.equal((await lie({ claims: { sub: 'no mail' } })).body.user.email, 'nomail@acme.example');

    liar.userinfo = undefined;

    const tested = async () => (await p.api('POST', '/api/auth/providers/liar/test', undefined, admin)).body;
    for (const [what, bent] of Object.entries({
      'another issuer': { issuer: `${liar.issuer}/x` },
      'an address inside': { jwks_uri: `http://127.0.0.2:${inner.address().port}/keys` },
      'no S256': { code_challenge_methods_supported: ['plain'] },
      'an endpoint without TLS': { token_endpoint: 'http://idp.example/token' },
    })) {
      liar.description = bent;
      assert.equal((await tested()).ok, false, what);
    }
    liar.description = {};
    liar.redirect = `http://127.0.0.2:${inner.address().port}/`;
    assert.equal((await tested()).ok, false, 'a redirect');
    liar.redirect = undefined;
    liar.keys.push({ kty: 'EC', crv: 'P-256', kid: 'off', x: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', y: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' });
    assert.deepEqual(await tested(), { ok: true, error: null, keys: 1, authorization_endpoint: `${liar.issuer}/authorize` });
    assert.equal(inner.hits ?? 0, 0);
  });

  test('a new key of the provider is found by itself', async () => {
    const next = generateKeyPairSync('rsa', { modulusLength: 2048 });
    liar.keys.push(liar.jwk(next, 'next'));
    await sleep(1100);
    const before = liar.asked.filter((a) => a.path === '/keys').length;
    const claims = { sub: 'liar' };
    const { sign } = await import('node:crypto');
    const token = (all) => {
      const input = [{ alg: 'RS256', kid: 'next' }, all].map((o) => Buffer.from(JSON.stringify(o)).toString('base64url')).join('.');
      return `${input}.${sign('sha256', Buffer.from(input), next.privateKey).toString('base64url')}`;
    };
    assert.equal((await lie({ claims, token })).status, 200);
    assert.equal((await lie({ claims, token })).status, 200);
    assert.equal(liar.asked.filter((a) => a.path === '/keys').length, before + 1);
    refused(await lie({ claims, header: { alg: 'EdDSA', kid: 'next' } }), 401, 'provider_refused');
  });

  test('each way for a client to show who it is', async () => {
    const asked = async (body, claims = { sub: 'liar' }) => {
      const r = await change('liar', body);
      assert.equal(r.status, 200, r.text);
      assert.equal((await lie({ claims })).status, 200);
      return liar.asked.filter((a) => a.path === '/token').at(-1);
    };
    const basic = await asked({ client_secret: 'a b:c' });
    assert.equal(basic.headers.authorization, `Basic ${Buffer.from('ogent:a%20b%3Ac').toString('base64')}`);
    assert.ok(new URLSearchParams(basic.body).get('code_verifier').length >= 43);
    assert.equal(new URLSearchParams((await asked({ auth_method: 'client_secret_post' })).body).get('client_secret'), 'a b:c');
    const none = await asked({ auth_method: 'none', client_secret: '' });
    assert.equal(new URLSearchParams(none.body).get('client_id'), 'ogent');
    assert.doesNotMatch(none.body + (none.headers.authorization ?? ''), /secret|Basic/);
  });

  // ---- Ends ----

  test('a provider that is switched off or removed signs nobody in', async () => {
    const s = await start('liar');
    assert.equal((await change('liar', { enabled: false })).status, 200);
    assert.equal((await p.api('GET', '/api/auth/sso')).body.items.length, 1);
    assert.equal((await start('liar')).r.status, 404);
    refused(await back('liar', new URLSearchParams({ code: 'c', state: new URL(s.url).searchParams.get('state'), iss: liar.issuer }).toString(), s.cookie), 403, 'provider_off');
    assert.equal((await p.api('DELETE', '/api/auth/providers/liar', undefined, admin)).status, 204);
    assert.equal((await p.api('GET', '/api/auth/providers/liar', undefined, admin)).status, 404);
  });

  test('a disabled user stays out, a removed one leaves nothing', async () => {
    const { id } = (await way('grace')).body.user;
    assert.equal((await p.api('PATCH', `/api/users/${id}`, { disabled: true }, admin)).status, 200);
    refused(await way('grace'), 403, 'account_disabled');
    assert.equal((await p.api('DELETE', `/api/users/${id}`, undefined, admin)).status, 204);
    const again = await way('grace');
    assert.equal(again.status, 200, again.text);
    assert.notEqual(again.body.user.id, id);
  });

  test('acts and refusals are in the audit log', async () => {
    const { body } = await p.api('GET', '/api/audit?limit=200', undefined, admin);
    const seen = new Set(body.items.map((i) => i.event));
    for (const event of ['provider.created', 'provider.changed', 'provider.removed', 'identity.linked', 'identity.unlinked', 'user.created', 'login.refused']) assert.ok(seen.has(event), event);
    assert.doesNotMatch(p.log, /a%20b|long enough/);
  });
});
