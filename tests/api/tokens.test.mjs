// Personal access tokens, service accounts, and what other libraries make of the tokens that auth signs: on one platform.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { constants, createHash, createHmac, createPublicKey, sign } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { createVerifier } from 'fast-jwt';
import * as jose from 'jose';
import jsonwebtoken from 'jsonwebtoken';

import { authRows } from '../lib/databases.mjs';
import { claimsOf, headerOf, signed, signingKey } from '../lib/jws.mjs';
import { ogent, request, startPlatform, startRole } from '../lib/platform.mjs';

const PASSWORD = 'nobody guesses this long phrase';

// Until it is so; a bound that no slow machine reaches.
async function until(what, probe) {
  for (const limit = Date.now() + 30000; ; ) {
    const r = await probe();
    if (r) return r;
    assert.ok(Date.now() < limit, what);
  }
}

describe('access tokens for programs', { timeout: 240000 }, () => {
  let p, admin, bob;
  const make = (body, token = admin) => p.api('POST', '/api/tokens', { name: 'ci', scopes: ['agents.read'], ...body }, token);
  const status = async (path, token, where) => (where ? await request(where, 'GET', path, { token }) : await p.api('GET', path, undefined, token)).status;

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: '' } });
    admin = (await p.setUp()).access_token;
    const made = await p.api('POST', '/api/users', { name: 'Bob', email: 'bob@example.org', password: PASSWORD, roles: ['member'] }, admin);
    assert.equal(made.status, 201, made.text);
    bob = { id: made.body.id, token: (await p.login({ email: 'bob@example.org', password: PASSWORD })).access_token };
  });
  after(() => p?.stop());

  test('a token may what its scopes say and its user may, at every service; only its hash is stored', async () => {
    const made = await make({ scopes: ['agents.*', 'commands.read'], expires_in_days: 7 });
    assert.equal(made.status, 201, made.text);
    const { token, id, expires_at } = made.body;
    assert.match(token, /^ogp_[0-9a-f]{32}[0-9A-Za-z]{36}$/);
    assert.ok(Math.abs(Date.parse(expires_at) - Date.now() - 7 * 86400e3) < 60e3);
    assert.equal(await status('/api/agents', token), 200);
    assert.equal(await status('/api/conversations', token), 403);
    assert.equal(await status('/api/users', token), 403);
    for (const [role, path, want] of [['agent', '/api/agents', 200], ['exec', '/api/commands', 200], ['auth', '/api/users', 403], ['gateway', '/api/gateway/routes', 403]]) {
      const where = p.roles().find(([name]) => name === role)[1];
      assert.equal(await status(path, token, where), want, role);
    }
    const stored = await p.stored();
    assert.ok(!stored.includes(token) && !stored.includes(token.slice(36, 66)));
    assert.deepEqual(authRows(p.data, `select hash from access_tokens where id = '${id}'`), [[createHash('sha256').update(token).digest('hex')]]);
    assert.ok(!p.log.includes(token), 'not in the log');
    const mine = await until('its use is noted', async () => {
      const item = (await p.api('GET', '/api/tokens', undefined, admin)).body.items.find((t) => t.id === id);
      return item.last_used_at && item;
    });
    assert.equal(mine.token, undefined);
    assert.deepEqual(mine.scopes, ['agents.*', 'commands.read']);
    const unset = (await make({})).body;
    assert.ok(Math.abs(Date.parse(unset.expires_at) - Date.now() - 90 * 86400e3) < 60e3, '90 days unless told');
  });

  test('what is mistyped, made up or cut is 401 like any bad token', async () => {
    const { token } = (await make({})).body;
    const other = (await make({})).body.token;
    const wrong = [token.slice(0, -1), `${token}x`, token.slice(0, -1) + (token.endsWith('A') ? 'B' : 'A'), `${token.slice(0, 36)}${other.slice(36)}`, 'ogp_', `ogp_${'0'.repeat(68)}`, token.toUpperCase()];
    const plain = await p.api('GET', '/api/agents', undefined, 'x.y.z');
    for (const bad of wrong) {
      const r = await p.api('GET', '/api/agents', undefined, bad);
      assert.equal(r.status, 401, bad);
      assert.equal(r.headers['www-authenticate'], plain.headers['www-authenticate']);
      assert.deepEqual({ ...r.body, request_id: 0 }, { ...plain.body, request_id: 0 });
    }
  });

  test('a revoked token stops at every service, whoever revokes it', async () => {
    const { token, id } = (await make({}, bob.token)).body;
    const places = p.roles().filter(([name]) => ['agent', 'gateway'].includes(name)).map(([, where]) => where);
    for (const where of places) await status('/api/agents', token, where);
    assert.equal(await status('/api/agents', token), 200);
    // Nobody else's business.
    const viewer = (await p.api('POST', '/api/users', { name: 'Vera', email: 'vera@example.org', password: PASSWORD, roles: ['viewer'] }, admin)).body;
    const vera = (await p.login({ email: 'vera@example.org', password: PASSWORD })).access_token;
    assert.equal((await p.api('DELETE', `/api/tokens/${id}`, undefined, vera)).status, 404);
    assert.equal((await p.api('GET', `/api/tokens?user_id=${bob.id}`, undefined, vera)).status, 403);
    assert.ok(viewer.id);
    assert.equal((await p.api('DELETE', `/api/tokens/${id}`, undefined, admin)).status, 204);
    await until('it is refused by the agent service', async () => (await status('/api/agents', token, places.find((w) => w.socketPath.includes('agent')))) === 401);
    await until('it is refused at the front door', async () => (await status('/api/agents', token)) === 401);
    const row = (await p.api('GET', `/api/audit?event=token.revoked&target=token:${id}`, undefined, admin)).body.items[0];
    assert.equal(row.outcome, 'success');
  });

  test('what its user loses, it loses; who is disabled has none', async () => {
    const { token } = (await make({ scopes: ['agents.read', 'models.read'] }, bob.token)).body;
    assert.equal(await status('/api/agents', token), 200);
    await p.api('PUT', `/api/users/${bob.id}/permissions`, { grants: [], denials: ['agents.read'] }, admin);
    await until('the denial is felt', async () => (await status('/api/agents', token)) === 403);
    assert.equal(await status('/api/models', token), 200);
    await p.api('PUT', `/api/users/${bob.id}/permissions`, { grants: [], denials: [] }, admin);
    await until('it is back', async () => (await status('/api/agents', token)) === 200);
    await p.api('PATCH', `/api/users/${bob.id}`, { disabled: true }, admin);
    await until('he is out', async () => (await status('/api/models', token)) === 401);
    await p.api('PATCH', `/api/users/${bob.id}`, { disabled: false }, admin);
    await until('he is back', async () => (await status('/api/models', token)) === 200);
    bob.token = (await p.login({ email: 'bob@example.org', password: PASSWORD })).access_token;
  });

  test('nobody makes a token for more than he has, nor a token another one', async () => {
    assert.equal((await make({ scopes: ['users.manage'] }, bob.token)).status, 403);
    assert.equal((await make({ scopes: ['*'] }, bob.token)).status, 403);
    assert.equal((await make({ scopes: ['agents.reed'] })).body.code, 'unknown_permission');
    assert.equal((await make({ scopes: [] })).status, 422);
    assert.equal((await make({ expires_in_days: 0 })).status, 422);
    assert.equal((await make({ expires_in_days: 10000 })).status, 422);
    assert.equal((await make({ user_id: bob.id })).status, 404, 'people make their own');
    const all = (await make({ scopes: ['*'] })).body.token;
    assert.equal((await make({}, all)).status, 403);
    // A token with few scopes does not give what it lacks, though its user has it.
    const editor = (await make({ scopes: ['roles.manage', 'users.read'] })).body.token;
    assert.equal((await p.api('POST', '/api/roles', { name: 'sly', permissions: ['agents.write'] }, editor)).status, 403);
    assert.equal((await p.api('POST', '/api/roles', { name: 'honest', permissions: ['users.read'] }, editor)).status, 201);
  });

  test('a service account has roles and tokens, and nothing to sign in with', async () => {
    const made = await p.api('POST', '/api/users/service-accounts', { name: 'deploy', roles: ['viewer'] }, admin);
    assert.equal(made.status, 201, made.text);
    assert.deepEqual([made.body.kind, made.body.email, made.body.roles], ['service', null, ['viewer']]);
    // What the giver has is the bound; what the account has is what counts.
    const { token } = (await make({ user_id: made.body.id, scopes: ['agents.*', 'users.read'] })).body;
    assert.equal(await status('/api/agents', token), 200);
    assert.equal(await status('/api/users', token), 403);
    assert.equal((await p.api('GET', '/api/auth/me', undefined, token)).body.id, made.body.id);
    assert.equal((await make({ user_id: made.body.id }, bob.token)).status, 403);
    assert.equal((await p.api('DELETE', `/api/users/${made.body.id}`, undefined, admin)).status, 204);
    await until('it is gone', async () => (await status('/api/agents', token)) === 401);
  });

  test('the command line lists, makes and revokes', async () => {
    const run = (...args) => promisify(execFile)(ogent, [...args, '--data', p.data], { env: { PATH: process.env.PATH, HOME: p.data } }).catch((e) => e);
    const none = await run('tokens', '--user', 'Vera');
    assert.deepEqual([none.stdout, none.stderr.trim()], ['', 'There are no tokens; `ogent tokens create NAME --scopes …` makes one.']);
    const token = (await run('tokens', 'create', 'from the shell', '--scopes', 'agents.read', '--days', '1')).stdout.trim();
    assert.equal(await status('/api/agents', token), 200);
    const [item] = JSON.parse((await run('tokens', '--json')).stdout).filter((t) => t.name === 'from the shell');
    assert.equal((await run('tokens', 'revoke', item.id)).code ?? 0, 0);
    await until('it is revoked', async () => (await status('/api/agents', token)) === 401);
    assert.match((await run('users', 'show', 'bob@example.org')).stdout, /bob@example.org/);
    assert.match((await run('roles', 'check', 'agents.write', '--user', 'Bob')).stdout, /allowed by role member → agents.write/);
    assert.equal((await run('roles', 'check', 'users.manage', '--user', 'Bob')).code, 1);
    assert.match((await run('audit', 'verify')).stdout, /^whole: \d+ rows/);
    assert.match((await run('audit', '--event', 'token.*', '--limit', '2')).stdout, /token\.revoked/);
    assert.match((await run('keys')).stdout, /active/);
    assert.match((await run('keys', 'rotate')).stdout, /next/);
    assert.equal((await p.api('POST', '/api/auth/keys/rotate', {}, admin)).body.code, 'rotation_under_way');
    assert.match((await run('roles', 'create', 'clerk', 'agents.read', '--description', 'Reads')).stdout, /clerk: Reads/);
  });

  test('jose, jsonwebtoken and fast-jwt accept what auth signs, and Ogent accepts nothing that one of them refuses', async () => {
    const key = signingKey(p);
    const { access_token: good } = await p.login({ email: 'bob@example.org', password: PASSWORD });
    const set = (await p.api('GET', '/.well-known/jwks.json')).body;
    const jwk = set.keys.find((k) => k.kid === headerOf(good).kid);
    const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    // Either name of Ed25519 is good for a key that names none.
    const local = jose.createLocalJWKSet({ keys: set.keys.map(({ alg, ...rest }) => rest) });
    const verify = createVerifier({ key: pem, allowedIss: 'ogent', allowedAud: 'ogent-api', algorithms: ['EdDSA'] });
    const others = {
      jose: (t) => jose.jwtVerify(t, local, { issuer: 'ogent', audience: 'ogent-api', typ: 'at+jwt', requiredClaims: ['exp', 'iat', 'sub'] }),
      'fast-jwt': async (t) => verify(t),
    };
    for (const [name, accepts] of Object.entries(others)) await assert.doesNotReject(accepts(good), name);
    // jsonwebtoken knows no Ed25519: it reads the same header and claims.
    assert.deepEqual(jsonwebtoken.decode(good), claimsOf(good));

    const header = headerOf(good), claims = claimsOf(good), now = Math.floor(Date.now() / 1000);
    const text = JSON.stringify(claims), head = JSON.stringify(header);
    const [h, c, s] = good.split('.');
    const corpus = [
      good, signed(key, header, claims), signed(key, { ...header, alg: 'Ed25519' }, claims),
      `${good}=`, `${good}.`, `.${good}`, `${h}.${c}`, `${h}.${c}.`, `${h}..${s}`, `${h}.${c}.${s.slice(0, -2)}`, `${h}.${c}.${s}AA`, ` ${good}`, `${h}\n.${c}.${s}`,
      ...['none', 'None', 'HS256', 'RS256', 'PS256', 'ES256', 'ES512', 'EdDSA ', 'eddsa', '', null, 1, ['EdDSA']].map((alg) => signed(key, { ...header, alg }, claims)),
      ...['JWT', 'at+jwt ', 'AT+JWT', 'application/at+jwt', '', null].map((typ) => signed(key, { ...header, typ }, claims)),
      ...[{ crit: ['exp'] }, { crit: [] }, { b64: false }, { zip: 'DEF' }, { jku: 'http://127.0.0.1:1/' }, { jwk }, { x5c: ['AA'] }, { x5u: 'http://127.0.0.1:1/' }, { kid: '../../dev/null' }, { kid: '' }, { kid: 1 }].map((more) => signed(key, { ...header, ...more }, claims)),
      ...[{ exp: now - 3600 }, { exp: 0 }, { exp: -1 }, { exp: '9' }, { exp: 1e17 }, { exp: null }, { iat: now + 3600 }, { iat: '1' }, { nbf: now + 3600 }, { nbf: 'x' }, { aud: 'other' }, { aud: ['other'] }, { aud: null }, { iss: 'ogent/' }, { iss: 'OGENT' }, { iss: ['ogent'] }, { sub: 7 }, { sub: null }].map((more) => signed(key, header, { ...claims, ...more })),
      ...['exp', 'iat', 'aud', 'iss', 'sub'].map((name) => signed(key, header, Object.fromEntries(Object.entries(claims).filter(([k]) => k !== name)))),
      signed(key, header, text.replace('{', '{"sub":"somebody",')), signed(key, head.replace('{', '{"alg":"none",'), claims), signed(key, header, text.replace(String(claims.exp), '1e400')),
      signed(key, header, `${text}x`), signed(key, header, ` ${text}`), signed(key, header, `\ufeff${text}`), signed(key, header, `[${text}]`), signed(key, header, '"text"'), signed(key, header, 'null'),
      signed(key, header, text.replace('"sub":"', '"sub":"\\u0000')), signed(key, header, text.replace('{', `{"deep":${'['.repeat(40)}${']'.repeat(40)},`)), signed(key, header, { ...claims, pad: 'x'.repeat(8192) }),
    ];
    let accepted = 0, refused = 0;
    for (const token of corpus) {
      const clean = !/[\s]/.test(token);
      const ours = clean && (await p.api('GET', '/api/auth/me', undefined, token)).status === 200;
      if (!ours) {
        refused++;
        continue;
      }
      accepted++;
      await assert.doesNotReject(others.jose(token), `jose refuses what Ogent takes: ${Buffer.from(token.split('.')[0], 'base64url')}`);
    }
    assert.equal(accepted, 3, 'the good ones');
    assert.equal(refused, corpus.length - 3);
  });
});

// What Project Wycheproof's file for JWS does to a token, done to ours: whatever auth takes, the three libraries take too.
async function holdAgainstOthers(auth, good, jwk) {
  const key = signingKey(auth);
  const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const { alg } = jwk;
  const [h, c, s] = good.split('.');
  const header = headerOf(good);
  const raw = Buffer.from(s, 'base64url');
  const b64 = (v) => Buffer.from(typeof v === 'string' ? v : JSON.stringify(v)).toString('base64url');
  const make = (head, how = { dsaEncoding: 'ieee-p1363' }, hash = 'sha256') => {
    const input = `${b64(head)}.${c}`;
    return `${input}.${sign(hash, Buffer.from(input), { key, ...how }).toString('base64url')}`;
  };
  const withMac = (head, secret, hash) => `${b64(head)}.${c}.${createHmac(hash, secret).update(`${b64(head)}.${c}`).digest('base64url')}`;
  const bits = (text) => text.slice(0, -1) + String.fromCharCode(text.charCodeAt(text.length - 1) + 1);
  const corpus = [
    good, make(header), `X${good.slice(1)}`, `${h}.${bits(c)}.${s}`, `${h}.${c}.${Buffer.from(raw.map((x, i) => (i ? x : x ^ 1))).toString('base64url')}`, `${h}.${c}.`, `${h}.${c}`, `${h}..${s}`, `${h}.${s}`,
    `.${c}.${s}`, `${c}.${s}`, `.${c}.`, c, `${good}.`, `${good}.Zm9v`, `${good}.Zm9v.Zm9v`, `${b64({ ...header, alg: 'none' })}.${c}.`, `${b64({ ...header, alg: 'none' })}.${c}.${s}`,
    JSON.stringify({ payload: c, signatures: [{ protected: h, signature: s }] }), `${h}.${c}.${s}==`, `${h}.${c}.${bits(s)}`, `${h}.${c}.${s.slice(0, -4)}`, `${h}.${c}.${s}AAAA`, `${h}.${c}.AAAA${s}`, `${h}=.${c}.${s}`,
    ...['HS256', 'HS384', 'HS512'].flatMap((mac) => [pem, pem.trim(), Buffer.from(jwk.n ?? jwk.x, 'base64url'), JSON.stringify(jwk)].map((secret) => withMac({ ...header, alg: mac }, secret, `sha${mac.slice(2)}`))),
    ...['RS384', 'RS512', 'ES384', 'ES512', 'PS256', 'EdDSA', 'ES256', 'RS256', 'ES256K', 'RSA-OAEP', '', 'RS256 '].filter((a) => a !== alg).map((a) => make({ ...header, alg: a })),
    ...[{ jwk }, { jku: 'http://127.0.0.1:1/' }, { crit: ['exp'] }, { b64: false }, { zip: 'DEF' }, { kid: 'other' }, { kid: undefined }].map((more) => make({ ...header, ...more })),
    make(header, alg === 'RS256' ? { padding: constants.RSA_PKCS1_PSS_PADDING } : { dsaEncoding: 'der' }), make(header, undefined, 'sha512'),
  ];
  if (alg === 'ES256') {
    const [r, t] = [raw.subarray(0, 32), raw.subarray(32)];
    const zero = Buffer.alloc(32), order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
    for (const parts of [[zero, zero], [r, zero], [zero, t], [t, r], [order, t], [r, order], [order, order], [Buffer.alloc(1), r, t], [r, Buffer.alloc(1), t], [r], []]) corpus.push(`${h}.${c}.${Buffer.concat(parts).toString('base64url')}`);
  } else {
    for (const forged of [Buffer.alloc(256), Buffer.alloc(256, 1), Buffer.concat([Buffer.alloc(1), raw]), raw.subarray(1), Buffer.from(jwk.n, 'base64url')]) corpus.push(`${h}.${c}.${forged.toString('base64url')}`);
  }
  const others = {
    jose: (t) => jose.jwtVerify(t, jose.createLocalJWKSet({ keys: [jwk] }), { issuer: 'ogent', audience: 'ogent-api', typ: 'at+jwt' }),
    jsonwebtoken: async (t) => jsonwebtoken.verify(t, pem, { algorithms: [alg], issuer: 'ogent', audience: 'ogent-api' }),
    'fast-jwt': async (t) => createVerifier({ key: pem, algorithms: [alg], allowedIss: 'ogent', allowedAud: 'ogent-api' })(t),
  };
  let accepted = 0;
  for (const token of corpus) {
    const ours = (await auth.api('GET', '/api/auth/me', undefined, token)).status;
    assert.ok([200, 401].includes(ours), `${ours} ${token}`);
    if (ours !== 200) continue;
    accepted++;
    for (const [name, accepts] of Object.entries(others)) await assert.doesNotReject(accepts(token), `${name} refuses ${token}`);
  }
  assert.equal(accepted, 2, 'the good ones');
}

test('ES256 and RS256 sign what the libraries accept, and the next key is published before it signs', { timeout: 120000 }, async () => {
  for (const [algorithm, alg] of [['es256', 'ES256'], ['rs256', 'RS256']]) {
    const auth = await startRole('auth', { env: { OGENT_TOKEN_ALGORITHM: algorithm, OGENT_SIGNING_KEY_LEAD: '1s' } });
    const { access_token: token } = await auth.setUp();
    assert.equal(headerOf(token).alg, alg);
    const keys = async () => (await auth.api('GET', '/.well-known/jwks.json')).body;
    const first = await keys();
    await jose.jwtVerify(token, jose.createLocalJWKSet(first), { issuer: 'ogent', audience: 'ogent-api' });
    jsonwebtoken.verify(token, createPublicKey({ key: first.keys[0], format: 'jwk' }), { algorithms: [alg], issuer: 'ogent', audience: 'ogent-api' });
    createVerifier({ key: createPublicKey({ key: first.keys[0], format: 'jwk' }).export({ type: 'spki', format: 'pem' }), algorithms: [alg] })(token);
    assert.equal((await auth.api('GET', '/api/auth/me', undefined, token)).status, 200);

    await holdAgainstOthers(auth, token, first.keys[0]);
    const rotated = await auth.api('POST', '/api/auth/keys/rotate', {}, token);
    assert.deepEqual(rotated.body.items.map((k) => k.state), ['next', 'active'], rotated.text);
    assert.equal((await keys()).keys.length, 2);
    const ADMIN = { email: 'ada@example.org', password: 'correct horse battery staple' };
    const fresh = await until('the new key signs', async () => {
      const t = (await auth.login(ADMIN)).access_token;
      return headerOf(t).kid !== headerOf(token).kid && t;
    });
    for (const t of [token, fresh]) assert.equal((await auth.api('GET', '/api/auth/me', undefined, t)).status, 200, 'old and new are good');
    await jose.jwtVerify(fresh, jose.createLocalJWKSet(await keys()), { issuer: 'ogent', audience: 'ogent-api' });
    assert.ok(!(await auth.stored()).includes('PRIVATE'));
    await auth.stop();
  }
});
