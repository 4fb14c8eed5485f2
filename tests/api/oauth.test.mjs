// OAuth 2.1 and OpenID Connect: the platform as a provider, with the unmodified clients openid-client and oauth4webapi, and what must be refused.

import assert from 'node:assert/strict';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';

import { Authority } from '../lib/certificates.mjs';
import { claimsOf, headerOf } from '../lib/jws.mjs';
import { Program, challengeOf, verifier } from '../lib/oauth.mjs';
import { ADMIN, startPlatform, startRole } from '../lib/platform.mjs';

const VIEWER = { name: 'Vera Viewer', email: 'vera@example.org', password: 'a viewer looks and does not touch' };
const LOOPBACK = { redirect_uris: ['http://127.0.0.1/callback'] };
const WEB = { redirect_uris: ['https://app.example/cb'] };
const onMysql = process.env.OGENT_TEST_AUTH_DB === 'mysql';

// An answer in the words of OAuth.
function refused(r, status, error) {
  assert.equal(r.status, status, r.text);
  assert.equal(r.body.error, error, r.text);
  assert.equal(r.headers['cache-control'], 'no-store');
}

async function until(what, fn) {
  for (const limit = Date.now() + 30000; ; await sleep(20)) {
    if (await fn()) return;
    assert.ok(Date.now() < limit, what);
  }
}

describe('OAuth', { timeout: 300000 }, () => {
  let p, base, admin, viewer, viewerId, authority, documents, site;
  const insecure = { [oauth.allowInsecureRequests]: true };
  const form = (path, fields) => p.api('POST', path, new URLSearchParams(fields).toString(), undefined, { 'content-type': 'application/x-www-form-urlencoded' });
  const userinfo = (token) => p.api('GET', '/oauth/userinfo', undefined, token);

  before(async () => {
    authority = new Authority();
    documents = new Map();
    const { key, cert } = authority.issue('DNS:localhost,IP:127.0.0.1');
    site = https.createServer({ key, cert }, (req, res) => {
      site.asked = (site.asked ?? 0) + 1;
      (documents.get(req.url) ?? ((r) => r.writeHead(404).end()))(res);
    });
    await new Promise((done) => site.listen(0, '127.0.0.1', done));
    site.url = `https://localhost:${site.address().port}`;
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: '', OGENT_OAUTH_INNER_NETWORKS: '127.0.0.0/8,::1', SSL_CERT_FILE: authority.file } });
    base = `http://${p.where().host}:${p.where().port}`;
    admin = (await p.setUp()).access_token;
    viewerId = (await p.api('POST', '/api/users', { ...VIEWER, roles: ['viewer'] }, admin)).body.id;
    viewer = (await p.login(VIEWER)).access_token;
  });
  after(async () => {
    site?.close();
    site?.closeAllConnections();
    await p?.stop();
  });

  // ---- As it is meant ----

  test('openid-client finds the provider, signs a user in, reads who it is, refreshes and revokes', async () => {
    const registered = await openid.dynamicClientRegistration(new URL(base), { client_name: 'Openid', ...LOOPBACK, token_endpoint_auth_method: 'none' }, openid.None(), { execute: [openid.allowInsecureRequests] });
    const program = new Program(p, registered.clientMetadata());
    const pkce = openid.randomPKCECodeVerifier();
    const url = openid.buildAuthorizationUrl(registered, {
      redirect_uri: 'http://127.0.0.1:49152/callback', scope: 'openid profile email', state: 'st', nonce: 'no', code_challenge_method: 'S256',
      code_challenge: await openid.calculatePKCECodeChallenge(pkce),
    });
    const back = await program.answer(admin, Object.fromEntries(url.searchParams));
    assert.equal(back.origin, 'http://127.0.0.1:49152', 'any port of the own machine');
    assert.equal(back.searchParams.get('iss'), base);
    const tokens = await openid.authorizationCodeGrant(registered, back, { pkceCodeVerifier: pkce, expectedState: 'st', expectedNonce: 'no', idTokenExpected: true, maxAge: 3600 });
    const claims = tokens.claims();
    assert.equal(claims.name, ADMIN.name);
    assert.equal(claims.email, ADMIN.email);
    assert.equal(headerOf(tokens.id_token).typ, 'JWT');
    assert.equal((await openid.fetchUserInfo(registered, tokens.access_token, claims.sub)).name, ADMIN.name);
    const next = await openid.refreshTokenGrant(registered, tokens.refresh_token);
    assert.equal(next.claims().sub, claims.sub);
    await openid.tokenRevocation(registered, next.refresh_token);
    await until('revoked', async () => (await userinfo(next.access_token)).status === 401);
    await assert.rejects(openid.refreshTokenGrant(registered, next.refresh_token), { error: 'invalid_grant' });
    assert.equal((await p.api('GET', '/api/agents', undefined, tokens.id_token)).status, 401, 'an ID token is no access token');
  });

  for (const method of ['client_secret_basic', 'client_secret_post'])
    test(`oauth4webapi with a secret (${method}): code, refresh, introspection`, async () => {
      const issuer = new URL(base);
      const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }));
      const made = await p.api('POST', '/api/auth/clients', { client_name: 'Web', ...WEB, token_endpoint_auth_method: method }, admin);
      assert.equal(made.status, 201, made.text);
      const program = new Program(p, made.body);
      const client = { client_id: made.body.client_id };
      const auth = method === 'client_secret_basic' ? oauth.ClientSecretBasic(made.body.client_secret) : oauth.ClientSecretPost(made.body.client_secret);
      const back = await program.answer(admin, { scope: 'openid agents.read' });
      const params = oauth.validateAuthResponse(as, client, back, 'a state');
      const tokens = await oauth.processAuthorizationCodeResponse(as, client, await oauth.authorizationCodeGrantRequest(as, client, auth, params, program.redirect, program.verifier, insecure));
      assert.equal(tokens.scope, 'openid agents.read');
      const seen = await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, tokens.access_token, insecure));
      assert.equal(seen.active, true);
      assert.equal(seen.client_id, client.client_id);
      const next = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, insecure));
      const gone = await oauth.revocationRequest(as, client, auth, next.access_token, insecure);
      await oauth.processRevocationResponse(gone);
      await until('the access token alone is revoked', async () => !(await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, next.access_token, insecure))).active);
      assert.equal((await program.refresh(next.refresh_token)).status, 200);
    });

  test('an MCP client comes from the 401 to a token that is good at /mcp alone', async () => {
    const r = await p.api('POST', '/mcp', {});
    assert.equal(r.status, 401);
    const metadata = /resource_metadata="([^"]+)"/.exec(r.headers['www-authenticate'])[1];
    const resource = (await p.api('GET', new URL(metadata).pathname)).body;
    assert.equal(resource.resource, `${base}/mcp`);
    assert.deepEqual(resource.authorization_servers, [base]);
    const server = (await p.api('GET', '/.well-known/oauth-authorization-server')).body;
    assert.equal(server.issuer, base);
    const program = await Program.register(p, LOOPBACK);
    const tokens = await program.tokens(admin, { resource: resource.resource, scope: undefined });
    assert.equal(tokens.scope, 'mcp');
    assert.equal(claimsOf(tokens.access_token).aud, `${base}/mcp`);
    assert.notEqual((await p.api('POST', '/mcp', {}, tokens.access_token)).status, 401);
    for (const path of ['/api/agents', '/api/auth/me', '/api/users']) assert.equal((await p.api('GET', path, undefined, tokens.access_token)).status, 401, path);
    const api = await program.tokens(admin, { resource: `${base}/api` });
    assert.equal((await p.api('GET', '/api/agents', undefined, api.access_token)).status, 200);
    assert.equal((await p.api('POST', '/mcp', {}, api.access_token)).status, 401);
  });

  // ---- What a program may ask ----

  test('an answer goes to no address but one of its own', async () => {
    const program = await Program.register(p, { redirect_uris: ['https://app.example/cb', 'http://127.0.0.1:8000/cb', 'com.example.app:/cb'] });
    const table = [
      'https://app.example/cb/more', 'https://app.example/cb?x=1', 'https://app.example:443/cb', 'https://app.example:8443/cb', 'https://user@app.example/cb',
      'https://app.example/%63b', 'https://app.example/c', 'https://app.example/cb/../cb', 'https://app.example/cb%2e', 'https://APP.example/cb', 'HTTPS://app.example/cb',
      'https://app.example.evil.example/cb', 'http://app.example/cb', 'https://app.example/cb#f', 'https://app.example/cb ', 'http://127.0.0.1:8000/other',
      'http://127.0.0.1.evil.example/cb', 'http://localhost:8000/cb', 'http://127.0.0.1:8000@evil.example/cb', 'https://127.0.0.1:8000/cb', 'com.example.app:/cb2', 'javascript:alert(1)', '',
    ];
    for (const redirect_uri of table) {
      const r = await program.authorize({ redirect_uri });
      assert.equal(r.status, 400, redirect_uri);
      assert.equal(r.headers.location, undefined, redirect_uri);
      assert.match(r.headers['content-type'], /^text\/html/);
      assert.match(r.headers['content-security-policy'], /default-src 'none'/);
    }
    assert.equal((await program.authorize({ redirect_uri: undefined })).status, 400);
    assert.equal((await program.authorize({ client_id: 'nobody' })).status, 400);
    for (const redirect_uri of program.client.redirect_uris) assert.equal((await program.authorize({ redirect_uri })).status, 303, redirect_uri);
    assert.equal((await program.authorize({ redirect_uri: 'http://127.0.0.1:9999/cb' })).status, 303, 'the port is free on the own machine');
    const twice = await p.api('GET', `/oauth/authorize?client_id=${program.client.client_id}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&redirect_uri=https%3A%2F%2Fevil.example`);
    assert.equal(twice.status, 400);
  });

  test('what else is wrong goes back to the program, with state and iss', async () => {
    const program = await Program.register(p, WEB);
    const table = [
      [{ response_type: 'token' }, 'unsupported_response_type'], [{ response_type: 'id_token' }, 'unsupported_response_type'], [{ response_type: undefined }, 'invalid_request'],
      [{ code_challenge: undefined }, 'invalid_request'], [{ code_challenge_method: 'plain' }, 'invalid_request'], [{ code_challenge_method: undefined }, 'invalid_request'],
      [{ code_challenge: 'short' }, 'invalid_request'], [{ response_mode: 'fragment' }, 'invalid_request'], [{ scope: 'nothing.known' }, 'invalid_scope'],
      [{ resource: 'https://elsewhere.example/mcp' }, 'invalid_target'], [{ resource: `${base}.evil.example/mcp` }, 'invalid_target'], [{ prompt: 'none' }, 'login_required'],
      [{ request: 'x' }, 'request_not_supported'], [{ request_uri: 'https://x.example' }, 'request_uri_not_supported'],
    ];
    for (const [params, error] of table) {
      const r = await program.authorize(params);
      assert.equal(r.status, 303, JSON.stringify(params));
      const to = new URL(r.headers.location);
      assert.equal(to.origin + to.pathname, WEB.redirect_uris[0]);
      assert.equal(to.searchParams.get('error'), error, JSON.stringify(params));
      assert.equal(to.searchParams.get('state'), 'a state');
      assert.equal(to.searchParams.get('iss'), base);
      assert.equal(r.headers['cache-control'], 'no-store');
    }
  });

  test('registrations that would do harm are refused', async () => {
    for (const uri of ['javascript:alert(1)', 'data:text/html,x', 'http://app.example/cb', 'https://app.example/cb#x', 'https://u:p@app.example/cb', 'file:///etc/passwd', 'app:cb', 'https://a.example/../b', 'ftp://a.example/', 'https://', 7, 'https://a.example/\r\nX: y'])
      refused(await p.api('POST', '/oauth/register', { redirect_uris: [uri] }), 400, 'invalid_redirect_uri');
    for (const more of [{ client_name: 'a‮b' }, { client_name: 'x'.repeat(101) }, { client_name: 5 }, { client_name: 'a\nb' }, { client_uri: 'javascript:1' }, { token_endpoint_auth_method: 'tls_client_auth' }, { grant_types: ['password'] }, { grant_types: ['implicit'] }, { response_types: ['token'] }])
      refused(await p.api('POST', '/oauth/register', { ...WEB, ...more }), 400, 'invalid_client_metadata');
    for (const uris of [undefined, [], 'x', Array.from({ length: 21 }, () => 'https://a.example/')])
      refused(await p.api('POST', '/oauth/register', { redirect_uris: uris }), 400, 'invalid_redirect_uri');
  });

  // ---- Codes ----

  test('a code is good once; a second use ends what the first began', async () => {
    const program = await Program.register(p, WEB);
    const code = (await program.answer(admin, { scope: 'openid agents.read' })).searchParams.get('code');
    const first = await program.exchange(code);
    assert.equal(first.status, 200, first.text);
    assert.equal(first.headers['cache-control'], 'no-store');
    assert.equal((await p.api('GET', '/api/agents', undefined, first.body.access_token)).status, 200);
    const stranger = await Program.register(p, WEB);
    stranger.verifier = program.verifier;
    refused(await stranger.exchange(code), 400, 'invalid_grant');
    assert.equal((await userinfo(first.body.access_token)).status, 200, 'a stranger ends nothing');
    refused(await program.exchange(code), 400, 'invalid_grant');
    await until('the token is dead', async () => (await p.api('GET', '/api/agents', undefined, first.body.access_token)).status === 401);
    refused(await program.refresh(first.body.refresh_token), 400, 'invalid_grant');
  });

  test('of twenty who bring one code at once, one at the most keeps tokens', async () => {
    const program = await Program.register(p, WEB);
    const code = (await program.answer(admin)).searchParams.get('code');
    const all = await Promise.all(Array.from({ length: 20 }, () => program.exchange(code)));
    assert.equal(all.filter((r) => r.status === 200).length, 1);
  });

  test('a code is bound to client, address and verifier', async () => {
    const program = await Program.register(p, WEB);
    const other = await Program.register(p, WEB);
    const fresh = async () => (await program.answer(admin)).searchParams.get('code');
    refused(await program.exchange(await fresh(), { code_verifier: verifier() }), 400, 'invalid_grant');
    refused(await program.exchange(await fresh(), { code_verifier: '' }), 400, 'invalid_grant');
    refused(await program.exchange(await fresh(), { redirect_uri: 'https://app.example/other' }), 400, 'invalid_grant');
    refused(await program.exchange(await fresh(), { client_id: other.client.client_id }), 400, 'invalid_grant');
    refused(await program.exchange(await fresh(), { client_id: 'nobody' }), 401, 'invalid_client');
    refused(await program.exchange(await fresh(), { resource: 'https://elsewhere.example' }), 400, 'invalid_target');
    refused(await program.exchange('ogc_never', {}), 400, 'invalid_grant');
    const challenge = challengeOf(verifier());
    const code = (await program.answer(admin, { code_challenge: challenge })).searchParams.get('code');
    refused(await program.exchange(code, { code_verifier: challenge }), 400, 'invalid_grant');
  });

  test('a code older than a minute is nothing', { skip: onMysql }, async () => {
    const { DatabaseSync } = await import('node:sqlite');
    const program = await Program.register(p, WEB);
    const code = (await program.answer(admin)).searchParams.get('code');
    const db = new DatabaseSync(join(p.data, 'db', 'ogent_auth.db'));
    const left = Number(db.prepare('select max(expires_at) as at from oauth_codes').get().at) / 1000 - Date.now();
    assert.ok(left > 0 && left <= 60000, `${left} ms`);
    db.exec(`update oauth_codes set expires_at = expires_at - 60000000`);
    db.close();
    refused(await program.exchange(code), 400, 'invalid_grant');
  });

  test('grants and forms that are none are refused with their own codes', async () => {
    for (const grant_type of ['password', 'implicit', 'client_credentials', 'urn:ietf:params:oauth:grant-type:device_code'])
      refused(await form('/oauth/token', { grant_type, username: 'a', password: 'b' }), 400, 'unsupported_grant_type');
    refused(await form('/oauth/token', {}), 400, 'invalid_request');
    refused(await form('/oauth/token', { grant_type: 'authorization_code' }), 400, 'invalid_request');
    refused(await form('/oauth/token', { grant_type: 'authorization_code', code: 'x' }), 401, 'invalid_client');
    refused(await p.api('POST', '/oauth/token', { grant_type: 'authorization_code' }), 400, 'invalid_request');
    const raw = (body) => p.api('POST', '/oauth/token', body, undefined, { 'content-type': 'application/x-www-form-urlencoded' });
    refused(await raw('grant_type=refresh_token&grant_type=refresh_token&refresh_token=x'), 400, 'invalid_request');
    refused(await raw('grant_type=%zz'), 400, 'invalid_request');
    refused(await raw('grant_type=a%00b'), 400, 'invalid_request');
    refused(await raw('a=1&'.repeat(100)), 400, 'invalid_request');
    assert.equal((await raw('x'.repeat(20000))).status, 413);
  });

  // ---- Clients ----

  test('a secret is needed where there is one, in the one way that is agreed', async () => {
    const { body } = await p.api('POST', '/oauth/register', { ...WEB, client_name: 'Secret' });
    assert.match(body.client_secret, /^ogs_[\w-]{43}$/);
    const program = new Program(p, body);
    const code = (await program.answer(admin)).searchParams.get('code');
    const wrong = [{ ...body, client_secret: 'no' }, { ...body, token_endpoint_auth_method: 'none' }, { ...body, token_endpoint_auth_method: 'client_secret_post' }];
    for (const client of wrong) {
      program.client = client;
      const r = await program.exchange(code);
      refused(r, 401, 'invalid_client');
      assert.match(r.headers['www-authenticate'], /^Basic/);
    }
    program.client = body;
    assert.equal((await program.exchange(code)).status, 200);
  });

  test('revocation and introspection ask who it is, and end and tell nothing of others', async () => {
    const mine = await Program.register(p, WEB);
    const other = new Program(p, (await p.api('POST', '/oauth/register', { ...WEB, client_name: 'Other' })).body);
    const tokens = await mine.tokens(admin, { scope: 'openid' });
    for (const path of ['/oauth/revoke', '/oauth/introspect']) {
      refused(await form(path, { token: tokens.access_token }), 401, 'invalid_client');
      refused(await form(path, { token: tokens.access_token, client_id: 'nobody' }), 401, 'invalid_client');
    }
    refused(await mine.post('/oauth/introspect', { token: tokens.access_token }), 401, 'invalid_client');
    assert.deepEqual((await other.post('/oauth/introspect', { token: tokens.access_token })).body, { active: false });
    for (const token of [tokens.access_token, tokens.refresh_token, 'junk']) assert.equal((await other.post('/oauth/revoke', { token })).status, 200);
    assert.equal((await userinfo(tokens.access_token)).status, 200, 'nothing happened');
    assert.deepEqual((await other.post('/oauth/introspect', { token: admin })).body, { active: false });
    const resource = new Program(p, (await p.api('POST', '/api/auth/clients', { client_name: 'Resource server', ...WEB }, admin)).body);
    const seen = (await resource.post('/oauth/introspect', { token: tokens.access_token })).body;
    assert.equal(seen.active, true, 'one that an administrator made sees all');
    assert.equal(seen.iss, base);
    assert.equal((await mine.post('/oauth/revoke', { token: tokens.refresh_token })).status, 200);
    await until('inactive', async () => !(await resource.post('/oauth/introspect', { token: tokens.access_token })).body.active);
  });

  // ---- Refreshing ----

  test('fifty refreshes at once get one successor; a token that was copied ends the family', async () => {
    const program = await Program.register(p, LOOPBACK);
    const first = await program.tokens(admin, { scope: 'agents.read commands.read' });
    const all = await Promise.all(Array.from({ length: 50 }, () => program.refresh(first.refresh_token)));
    assert.deepEqual([...new Set(all.map((r) => r.status))], [200]);
    assert.equal(new Set(all.map((r) => r.body.refresh_token)).size, 1);
    const less = await program.refresh(all[0].body.refresh_token, { scope: 'agents.read' });
    assert.equal(less.body.scope, 'agents.read');
    assert.deepEqual(claimsOf(less.body.access_token).permissions, ['agents.read']);
    refused(await program.refresh(less.body.refresh_token, { scope: 'users.manage' }), 400, 'invalid_scope');
    refused(await program.refresh(less.body.refresh_token, { resource: `${base}/api/x` }), 400, 'invalid_target');
    const stranger = await Program.register(p, LOOPBACK);
    refused(await stranger.refresh(less.body.refresh_token), 400, 'invalid_grant');
    refused(await program.refresh(first.refresh_token), 400, 'invalid_grant');
    refused(await program.refresh(less.body.refresh_token), 400, 'invalid_grant');
    await until('dead everywhere', async () => (await p.api('GET', '/api/agents', undefined, less.body.access_token)).status === 401);
  });

  test("a person's refresh token and a program's are not each other's", async () => {
    const program = await Program.register(p, LOOPBACK);
    const tokens = await program.tokens(admin);
    assert.equal((await p.api('POST', '/api/auth/refresh', { refresh_token: tokens.refresh_token })).status, 401);
    refused(await program.refresh((await p.login(ADMIN)).refresh_token), 400, 'invalid_grant');
    assert.equal((await program.refresh(tokens.refresh_token)).status, 200, 'and neither try ended it');
  });

  // ---- Rights ----

  test('a token may what its scope and its user may, and no more than either', async () => {
    const program = await Program.register(p, LOOPBACK);
    const narrow = await program.tokens(admin, { scope: 'agents.read' });
    assert.equal((await p.api('GET', '/api/agents', undefined, narrow.access_token)).status, 200);
    for (const path of ['/api/users', '/api/conversations', '/api/auth/clients', '/api/commands']) assert.equal((await p.api('GET', path, undefined, narrow.access_token)).status, 403, path);
    assert.equal((await userinfo(narrow.access_token)).status, 403, 'no openid');
    const wide = await program.tokens(viewer, { scope: 'agents.read agents.write users.manage' });
    assert.equal(wide.scope, 'agents.read', 'what the user may not is not granted');
    assert.equal((await p.api('POST', '/api/agents', { name: 'x' }, wide.access_token)).status, 403);
    // More rights of the user are not the token's; less are less.
    await p.api('PATCH', `/api/users/${viewerId}`, { roles: ['viewer', 'member'] }, admin);
    await until('the viewer may write', async () => (await p.api('POST', '/api/agents', { name: 'y' }, (viewer = (await p.login(VIEWER)).access_token))).status === 201);
    assert.equal((await p.api('POST', '/api/agents', { name: 'z' }, wide.access_token)).status, 403);
    assert.equal((await p.api('GET', '/api/agents', undefined, wide.access_token)).status, 200);
    await p.api('PATCH', `/api/users/${viewerId}`, { roles: [] }, admin);
    await until('nothing is left', async () => (await p.api('GET', '/api/agents', undefined, wide.access_token)).status === 403);
    await p.api('PATCH', `/api/users/${viewerId}`, { roles: ['viewer'] }, admin);
    viewer = (await p.login(VIEWER)).access_token;
  });

  test('a program cannot let another one in, nor do what only its user may', async () => {
    const program = await Program.register(p, LOOPBACK);
    const { access_token: token } = await program.tokens(admin, { scope: 'openid agents.read users.manage settings.manage' });
    const request = await program.request({ scope: 'users.manage' });
    assert.equal((await p.api('POST', '/api/auth/authorizations', { request }, token)).status, 403);
    assert.equal((await p.api('POST', '/api/auth/authorizations/decision', { request, approve: true }, token)).status, 403);
    for (const path of ['/api/auth/me', '/api/auth/consents']) assert.equal((await p.api('GET', path, undefined, token)).status, 403, path);
    assert.equal((await p.api('POST', '/api/auth/authorizations/decision', { request, approve: true }, await p.localToken())).status, 403, 'nor a token without a sign-in');
    assert.equal((await p.api('POST', '/api/auth/authorizations/decision', { request, approve: true })).status, 401);
    const foreign = await p.api('POST', '/api/auth/authorizations/decision', { request, approve: true }, admin, { origin: 'https://evil.example' });
    assert.equal(foreign.body.code, 'cross_site');
  });

  // ---- Consent ----

  test('the consent page is told who asks for what; no is an answer too', async () => {
    const program = await Program.register(p, { ...LOOPBACK, client_name: 'Pocket <b>calculator</b>', client_uri: 'https://calc.example/' });
    const request = await program.request({ scope: 'openid agents.read', resource: `${base}/mcp` });
    const shown = (await p.api('POST', '/api/auth/authorizations', { request }, viewer)).body;
    assert.equal(shown.client.name, 'Pocket <b>calculator</b>');
    assert.equal(shown.client.answers_go_to, 'this computer');
    assert.equal(shown.client.is_proven, false);
    assert.deepEqual(shown.scopes.map((s) => s.name), ['openid', 'agents.read']);
    const back = await program.answer(viewer, {}, false);
    assert.equal(back.searchParams.get('error'), 'access_denied');
    assert.equal(back.searchParams.get('iss'), base);
    assert.equal(back.searchParams.has('code'), false);
    for (const bad of ['', 'x', `${request}x`, request.slice(0, -1), request.replace(/.$/, (c) => (c === 'A' ? 'B' : 'A'))]) {
      const r = await p.api('POST', '/api/auth/authorizations', { request: bad }, viewer);
      assert.equal(r.status, 422, r.text);
    }
  });

  test('a consent is remembered for a program that no other can pose as, is listed, and can be taken back', async () => {
    const remembered = async (program, params) => (await p.api('POST', '/api/auth/authorizations', { request: await program.request(params) }, viewer)).body.is_remembered;
    const web = await Program.register(p, { ...WEB, client_name: 'Remembered' });
    const local = await Program.register(p, { ...LOOPBACK, client_name: 'Local' });
    for (const program of [web, local]) {
      assert.equal(await remembered(program, { scope: 'agents.read' }), false);
      program.given = await program.tokens(viewer, { scope: 'agents.read' });
    }
    assert.equal(await remembered(web, { scope: 'agents.read' }), true);
    assert.equal(await remembered(web, { scope: 'agents.read', prompt: 'consent' }), false);
    assert.equal(await remembered(web, { scope: 'agents.read models.read' }), false, 'more is asked');
    assert.equal(await remembered(local, { scope: 'agents.read' }), false, 'anybody on the machine could say so');
    const { items } = (await p.api('GET', '/api/auth/consents', undefined, viewer)).body;
    const consent = items.find((i) => i.name === 'Remembered');
    assert.deepEqual(consent.scopes, ['agents.read']);
    assert.equal((await p.api('DELETE', `/api/auth/consents/${consent.id}`, undefined, admin)).status, 404, 'not somebody else');
    assert.equal((await p.api('DELETE', `/api/auth/consents/${consent.id}`, undefined, viewer)).status, 204);
    await until('its tokens are dead', async () => (await p.api('GET', '/api/agents', undefined, web.given.access_token)).status === 401);
    refused(await web.refresh(web.given.refresh_token), 400, 'invalid_grant');
    assert.equal((await p.api('GET', '/api/agents', undefined, local.given.access_token)).status, 200);
    assert.equal(await remembered(web, { scope: 'agents.read' }), false);
  });

  test('who must sign in anew is told so', async () => {
    const program = await Program.register(p, WEB);
    const request = await program.request({ prompt: 'login' });
    const ask = (token) => p.api('POST', '/api/auth/authorizations', { request }, token);
    assert.equal((await ask(viewer)).body.must_sign_in, true);
    const r = await p.api('POST', '/api/auth/authorizations/decision', { request, approve: true }, viewer);
    assert.equal(r.body.code, 'reauth_required');
    assert.equal((await ask((await p.login(VIEWER)).access_token)).body.must_sign_in, false);
  });

  test('an administrator removes a client: its tokens end', async () => {
    const program = await Program.register(p, WEB);
    const tokens = await program.tokens(admin, { scope: 'agents.read' });
    const { items } = (await p.api('GET', '/api/auth/clients', undefined, admin)).body;
    assert.ok(items.some((i) => i.client_id === program.client.client_id && i.used_at));
    assert.equal((await p.api('GET', '/api/auth/clients', undefined, viewer)).status, 403);
    assert.equal((await p.api('DELETE', `/api/auth/clients/${program.client.client_id}`, undefined, admin)).status, 204);
    await until('dead', async () => (await p.api('GET', '/api/agents', undefined, tokens.access_token)).status === 401);
    refused(await program.refresh(tokens.refresh_token), 401, 'invalid_client');
    assert.equal((await program.authorize()).status, 400);
  });

  // ---- Clients by document ----

  test('a client may be a document at an https address', async () => {
    const id = `${site.url}/client.json`;
    const json = (value) => (res) => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    documents.set('/client.json', json({ client_id: id, client_name: 'By document', redirect_uris: ['http://127.0.0.1/cb'], token_endpoint_auth_method: 'none' }));
    const program = new Program(p, { client_id: id, token_endpoint_auth_method: 'none', redirect_uris: ['http://127.0.0.1:1234/cb'] });
    const tokens = await program.tokens(admin, { scope: 'agents.read' });
    assert.equal((await p.api('GET', '/api/agents', undefined, tokens.access_token)).status, 200);
    assert.equal((await program.refresh(tokens.refresh_token)).status, 200);
    assert.equal(site.asked, 1, 'read once');

    const good = (name) => ({ client_id: `${site.url}/${name}`, redirect_uris: ['http://127.0.0.1/cb'] });
    const table = {
      'another.json': json({ ...good('another.json'), client_id: id }),
      'secret.json': json({ ...good('secret.json'), client_secret: 'x' }),
      'method.json': json({ ...good('method.json'), token_endpoint_auth_method: 'client_secret_basic' }),
      'large.json': json({ ...good('large.json'), more: 'x'.repeat(20000) }),
      'moved.json': (res) => res.writeHead(302, { location: id }).end(),
      'gone.json': (res) => res.writeHead(404).end(),
      'html.json': (res) => res.writeHead(200).end('<html>'),
      'double.json': (res) => res.writeHead(200).end(`{"client_id":"x","client_id":"${site.url}/double.json","redirect_uris":["http://127.0.0.1/cb"]}`),
      'redirect.json': json({ ...good('redirect.json'), redirect_uris: ['javascript:alert(1)'] }),
      'cut.json': (res) => { res.writeHead(200, { 'content-length': 500 }); res.write('{'); setTimeout(() => res.destroy(), 10); },
    };
    for (const [name, answer] of Object.entries(table)) {
      documents.set(`/${name}`, answer);
      const r = await program.authorize({ client_id: `${site.url}/${name}`, redirect_uri: 'http://127.0.0.1/cb' });
      assert.equal(r.status, 400, `${name}: ${r.text}`);
      assert.equal(r.headers.location, undefined, name);
    }
    for (const client_id of [site.url, `${site.url}/`, `https://u@localhost/x`, `${site.url}/a/../b`, `${site.url}/x#y`, 'https://', `https://localhost/${'x'.repeat(600)}`])
      assert.equal((await program.authorize({ client_id, redirect_uri: 'http://127.0.0.1/cb' })).status, 400, client_id);
  });

  // ---- Traces ----

  test('no secret is in the log or in the database', async () => {
    const program = new Program(p, (await p.api('POST', '/oauth/register', { ...WEB, client_name: 'Traces' })).body);
    const back = await program.answer(admin, { state: 'state-that-is-mine' });
    const code = back.searchParams.get('code');
    const tokens = (await program.exchange(code)).body;
    const next = (await program.refresh(tokens.refresh_token)).body;
    await p.kill('SIGTERM');
    const stored = await p.stored();
    for (const secret of [code, program.verifier, program.client.client_secret, tokens.access_token, tokens.refresh_token, next.refresh_token, 'state-that-is-mine']) {
      assert.ok(!p.log.includes(secret), 'in the log');
      assert.ok(!stored.includes(secret), 'in the database');
    }
    assert.ok(stored.includes('consent.given'), 'the audit log has it');
  });
});

describe('OAuth, as an administrator wants it', () => {
  test('registration can be off and is limited; documents are read from public addresses only; without an address there is nothing', async () => {
    const env = { OGENT_PUBLIC_URL: 'https://ogent.example', OGENT_OAUTH_CLIENTS_MAX: '3' };
    let asked = 0;
    const listener = https.createServer({}, () => asked++);
    listener.on('connection', () => asked++);
    await new Promise((done) => listener.listen(0, '127.0.0.1', done));
    const auth = await startRole('auth', { env });
    try {
      for (let i = 0; i < 3; i++) assert.equal((await auth.api('POST', '/oauth/register', WEB)).status, 201);
      const full = await auth.api('POST', '/oauth/register', WEB);
      refused(full, 503, 'temporarily_unavailable');
      assert.ok(full.headers['retry-after']);
      for (let i = 0; i < 110; i++) await auth.api('POST', '/oauth/register', WEB);
      refused(await auth.api('POST', '/oauth/register', WEB), 429, 'temporarily_unavailable');
      const port = listener.address().port;
      for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, '10.0.0.1', '169.254.169.254', '[fd00::1]', '0.0.0.0', '[::ffff:127.0.0.1]', '100.64.0.1']) {
        const query = new URLSearchParams({ client_id: `https://${host}/client.json`, redirect_uri: 'http://127.0.0.1/cb', response_type: 'code' });
        const r = await auth.api('GET', `/oauth/authorize?${query}`);
        assert.equal(r.status, 400, host);
        assert.match(r.text, /not on the Internet|no address/, `${host}: ${r.text}`);
      }
      assert.equal(asked, 0, 'nobody was asked');
      const metadata = (await auth.api('GET', '/.well-known/openid-configuration')).body;
      assert.equal(metadata.issuer, 'https://ogent.example');
    } finally {
      listener.close();
      await auth.stop();
    }
    const closed = await startRole('auth', { env: { OGENT_LISTEN: '0.0.0.0:8420', OGENT_OAUTH_REGISTRATION: 'false' } });
    assert.equal((await closed.api('GET', '/.well-known/oauth-authorization-server')).body.code, 'oauth_off');
    await closed.stop();
    const off = await startRole('auth', { env: { OGENT_PUBLIC_URL: 'https://ogent.example/', OGENT_OAUTH_REGISTRATION: 'false' } });
    assert.equal((await off.api('GET', '/.well-known/oauth-authorization-server')).body.registration_endpoint, undefined);
    refused(await off.api('POST', '/oauth/register', WEB), 403, 'access_denied');
    await off.stop();
  });
});
