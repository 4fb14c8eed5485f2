// Second factors: codes by time, recovery codes, passkeys; with a software authenticator, whose answers an unmodified third-party server
// library takes too.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { verifyAuthenticationResponse, verifyRegistrationResponse } from '@simplewebauthn/server';

import { Authenticator, totp } from '../lib/authenticator.mjs';
import { ADMIN, startRole } from '../lib/platform.mjs';

const ORIGIN = 'http://localhost:8420';
const HEADERS = { 'x-forwarded-host': 'localhost:8420' };
let serial = 0;

describe('second factors', { timeout: 180000 }, () => {
  let auth, admin;
  const call = (method, path, body, token) => auth.api(method, path, body, token, HEADERS);
  const PASSWORD = 'a long walk along the canal';

  // A new user who has just signed in.
  async function someone() {
    const email = `factor${++serial}@example.org`;
    const made = await call('POST', '/api/users', { name: `Factor ${serial}`, email, password: PASSWORD, roles: ['member'] }, admin);
    assert.equal(made.status, 201, made.text);
    const r = await call('POST', '/api/auth/login', { email, password: PASSWORD });
    assert.equal(r.status, 200, r.text);
    return { email, id: made.body.id, token: r.body.access_token, login: () => call('POST', '/api/auth/login', { email, password: PASSWORD }) };
  }

  function is(r, status, code) {
    assert.equal(r.status, status, r.text);
    if (code) assert.equal(r.body.code, code, r.text);
    return r.body;
  }

  // Not at the very end of a step, where the next code would be another one.
  async function withTotp() {
    const late = Date.now() % 30000 - 20000;
    if (late > 0) await sleep(10000 - late + 50);
    const user = await someone();
    const begun = is(await call('POST', '/api/auth/factors/totp', {}, user.token), 200);
    const on = await call('POST', '/api/auth/factors/totp/confirm', { ticket: begun.ticket, code: totp(begun.secret, Date.now() - 30000) }, user.token);
    return { ...user, secret: begun.secret, uri: begun.uri, codes: is(on, 200).recovery_codes };
  }

  async function withPasskey(kind, change) {
    const user = await someone();
    const key = new Authenticator(ORIGIN, kind);
    const asked = is(await call('POST', '/api/auth/factors/passkeys/options', {}, user.token), 200);
    const credential = key.create(asked.public_key, change);
    const made = await call('POST', '/api/auth/factors/passkeys', { ticket: asked.ticket, name: 'A key', credential }, user.token);
    return { ...user, key, asked, credential, made };
  }

  before(async () => {
    auth = await startRole('auth');
    const r = await auth.api('POST', '/api/auth/setup', { token: auth.secret('setup.token'), ...ADMIN });
    admin = r.body.access_token;
  });
  after(() => auth?.stop());

  test('with codes switched on, a password is only the first step', async () => {
    const user = await withTotp();
    assert.match(user.uri, /^otpauth:\/\/totp\/Ogent:/);
    assert.equal(user.codes.length, 10);
    const first = await user.login();
    assert.deepEqual(is(first, 401, 'second_factor_required').methods, ['totp', 'recovery_code']);
    assert.equal(first.headers['cache-control'], 'no-store');
    assert.equal(first.headers['set-cookie'], undefined);
    is(await call('POST', '/api/auth/login/code', { ticket: first.body.ticket, code: '000000' === totp(user.secret) ? '000001' : '000000' }), 401, 'code_wrong');
    const r = is(await call('POST', '/api/auth/login/code', { ticket: first.body.ticket, code: totp(user.secret) }), 200);
    assert.equal(r.user.id, user.id);
    assert.equal(is(await call('GET', '/api/auth/factors', undefined, r.access_token), 200).totp, true);
  });

  test('a code is good once, also when it is sent twice at the same time', async () => {
    const user = await withTotp();
    const tickets = await Promise.all([user.login(), user.login(), user.login()]);
    const all = await Promise.all(tickets.map((t) => call('POST', '/api/auth/login/code', { ticket: t.body.ticket, code: totp(user.secret) })));
    assert.deepEqual(all.map((r) => r.status).sort(), [200, 401, 401]);
  });

  test('a ticket is good once, for its user, and dies with the password', async () => {
    const [user, other] = [await withTotp(), await withTotp()];
    const { ticket } = (await user.login()).body;
    is(await call('POST', '/api/auth/login/code', { ticket, code: totp(other.secret) }), 401, 'code_wrong');
    is(await call('POST', '/api/auth/login/code', { ticket: `${ticket.slice(0, -2)}AA`, code: '123456' }), 401, 'ticket_invalid');
    is(await call('POST', '/api/auth/login/code', { ticket, code: user.codes[0] }), 200);
    is(await call('POST', '/api/auth/login/code', { ticket, code: user.codes[1] }), 401, 'ticket_invalid');
    const late = (await user.login()).body.ticket;
    const session = is(await call('POST', '/api/auth/login/code', { ticket: (await user.login()).body.ticket, code: user.codes[2] }), 200);
    is(await call('POST', '/api/auth/password', { current_password: PASSWORD, new_password: 'another walk along the canal' }, session.access_token), 204);
    is(await call('POST', '/api/auth/login/code', { ticket: late, code: user.codes[3] }), 401, 'ticket_invalid');
  });

  test('recovery codes are good once, in any spelling, and can be made anew', async () => {
    const user = await withTotp();
    const use = async (code) => call('POST', '/api/auth/login/code', { ticket: (await user.login()).body.ticket, code });
    const r = is(await use(` ${user.codes[0].toLowerCase().replaceAll('-', ' ')} `), 200);
    is(await use(user.codes[0]), 401, 'code_wrong');
    assert.equal(is(await call('GET', '/api/auth/factors', undefined, r.access_token), 200).recovery_codes_left, 9);
    const fresh = is(await call('POST', '/api/auth/factors/recovery-codes', {}, r.access_token), 200).recovery_codes;
    is(await use(user.codes[1]), 401, 'code_wrong');
    is(await use(fresh[9]), 200);
  });

  test('who guesses codes is slowed down, and others are not', async () => {
    const [user, other] = [await withTotp(), await withTotp()];
    const { ticket } = (await user.login()).body;
    const wrong = totp(user.secret) === '000000' ? '000001' : '000000';
    let r;
    for (let i = 0; i < 12; i++) {
      r = await call('POST', '/api/auth/login/code', { ticket, code: wrong });
      if (r.status === 429) break;
    }
    is(r, 429, 'too_many_attempts');
    assert.ok(Number(r.headers['retry-after']) >= 1);
    is(await call('POST', '/api/auth/login/code', { ticket: (await other.login()).body.ticket, code: totp(other.secret) }), 200);
  });

  test('neither secrets nor recovery codes are in the database or the log', { skip: process.env.OGENT_TEST_AUTH_DB && 'the files are the server’s' }, async () => {
    const user = await withTotp();
    const bits = [...user.secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
    const raw = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
    const folder = join(auth.data, 'db');
    const data = Buffer.concat([...readdirSync(folder).map((f) => readFileSync(join(folder, f))), Buffer.from(auth.log)]);
    for (const needle of [user.secret, raw, raw.toString('base64url'), raw.toString('hex'), user.codes[0], user.codes[0].replaceAll('-', '')]) assert.ok(!data.includes(needle), 'found in clear');
  });

  test('switching off needs a sign-in of a short while ago, and then a password is enough again', async () => {
    const user = await withTotp();
    is(await call('DELETE', '/api/auth/factors/totp', undefined, user.token), 204);
    is(await call('DELETE', '/api/auth/factors/totp', undefined, user.token), 404);
    is(await user.login(), 200);
    assert.deepEqual(is(await call('GET', '/api/auth/factors', undefined, user.token), 200), { totp: false, confirm_approvals: false, recovery_codes_left: 0, passkeys: [] });
  });

  for (const kind of ['ES256', 'EdDSA', 'RS256'])
    test(`a passkey of ${kind} signs in, alone and behind a password; the third-party library says the same`, async () => {
      const user = await withPasskey(kind);
      is(user.made, 201);
      assert.equal(user.made.body.recovery_codes.length, 10);
      const theirs = await verifyRegistrationResponse({
        response: user.credential,
        expectedChallenge: user.asked.public_key.challenge,
        expectedOrigin: ORIGIN,
        expectedRPID: 'localhost',
        requireUserVerification: false,
      });
      assert.equal(theirs.verified, true);

      const alone = is(await call('POST', '/api/auth/login/passkey/options', {}), 200);
      assert.equal(alone.public_key.userVerification, 'required');
      const credential = user.key.get(alone.public_key);
      const checked = await verifyAuthenticationResponse({
        response: credential,
        expectedChallenge: alone.public_key.challenge,
        expectedOrigin: ORIGIN,
        expectedRPID: 'localhost',
        credential: { ...theirs.registrationInfo.credential },
      });
      assert.equal(checked.verified, true);
      assert.equal(is(await call('POST', '/api/auth/login/passkey', { ticket: alone.ticket, credential }), 200).user.id, user.id);
      is(await call('POST', '/api/auth/login/passkey', { ticket: alone.ticket, credential }), 401);

      const first = is(await user.login(), 401, 'second_factor_required');
      assert.deepEqual(first.methods, ['passkey', 'recovery_code']);
      const asked = is(await call('POST', '/api/auth/login/passkey/options', { login_ticket: first.ticket }), 200);
      assert.deepEqual(asked.public_key.allowCredentials.map((c) => c.id), [user.credential.id]);
      const second = user.key.get(asked.public_key);
      is(await call('POST', '/api/auth/login/passkey', { ticket: asked.ticket, credential: second }), 401, 'ticket_invalid');
      is(await call('POST', '/api/auth/login/passkey', { ticket: asked.ticket, login_ticket: first.ticket, credential: second }), 200);
    });

  test('what was not asked for so is refused', async () => {
    for (const change of [
      { rpId: 'evil.example' },
      { client: { origin: 'http://localhost:8421' } },
      { client: { type: 'webauthn.get' } },
      { client: { challenge: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' } },
      { client: { crossOrigin: true } },
    ])
      is((await withPasskey('ES256', change)).made, 422, 'webauthn_invalid');

    const user = await withPasskey('ES256');
    const [other, stranger] = [await withPasskey('ES256'), new Authenticator(ORIGIN)];
    const attempt = async (key, change) => {
      const asked = is(await call('POST', '/api/auth/login/passkey/options', {}), 200);
      return call('POST', '/api/auth/login/passkey', { ticket: asked.ticket, credential: key.get(asked.public_key, change) });
    };
    is(await attempt(stranger), 401, 'passkey_refused');
    is(await attempt(user.key, { rpId: 'evil.example' }), 401, 'passkey_refused');
    is(await attempt(user.key, { client: { origin: 'https://localhost:8420' } }), 401, 'passkey_refused');
    is(await attempt(user.key, { challenge: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }), 401, 'passkey_refused');
    user.key.flags = 0x01;
    is(await attempt(user.key), 401, 'passkey_refused');
    user.key.flags = 0x05;
    is(await attempt(user.key), 200);
    user.key.counter = 0;
    assert.match(is(await attempt(user.key), 401, 'passkey_refused').detail, /copy/);
    // One user's passkey is no second factor for another's password.
    const first = is(await user.login(), 401);
    const asked = is(await call('POST', '/api/auth/login/passkey/options', { login_ticket: first.ticket }), 200);
    is(await call('POST', '/api/auth/login/passkey', { ticket: asked.ticket, login_ticket: first.ticket, credential: other.key.get(asked.public_key) }), 401, 'passkey_refused');
  });

  test('one answer of a passkey opens one session, also when it comes many times at once', async () => {
    const user = await withPasskey('EdDSA');
    const asked = is(await call('POST', '/api/auth/login/passkey/options', {}), 200);
    const credential = user.key.get(asked.public_key);
    const all = await Promise.all(Array.from({ length: 8 }, () => call('POST', '/api/auth/login/passkey', { ticket: asked.ticket, credential })));
    assert.deepEqual(all.map((r) => r.status).sort(), [200, ...Array(7).fill(401)]);
  });

  test('passkeys have names, belong to one account, and go', async () => {
    const [user, other] = [await withPasskey('ES256'), await someone()];
    const { id } = user.made.body;
    const path = `/api/auth/factors/passkeys/${id}`;
    is(await call('PATCH', path, { name: 'Mine' }, other.token), 404);
    is(await call('DELETE', path, undefined, other.token), 404);
    is(await call('PATCH', path, { name: 'The blue one' }, user.token), 204);
    is(await call('PATCH', path, { name: 'The blue one' }, user.token), 204);
    const [listed] = is(await call('GET', '/api/auth/factors', undefined, user.token), 200).passkeys;
    assert.deepEqual([listed.id, listed.name, listed.last_used_at], [id, 'The blue one', null]);
    const asked = is(await call('POST', '/api/auth/factors/passkeys/options', {}, user.token), 200);
    assert.deepEqual(asked.public_key.excludeCredentials.map((c) => c.id), [user.credential.id]);
    const again = await call('POST', '/api/auth/factors/passkeys', { ticket: asked.ticket, name: 'Twice', credential: user.key.create(asked.public_key) }, user.token);
    is(again, 409, 'passkey_exists');
    is(await call('DELETE', path, undefined, user.token), 204);
    is(await user.login(), 200);
  });

  test('what is no passkey is refused with a sentence', async () => {
    const user = await someone();
    const asked = is(await call('POST', '/api/auth/factors/passkeys/options', {}, user.token), 200);
    for (const credential of [{}, { response: {} }, { response: { clientDataJSON: 'e30', attestationObject: '!' } }, { id: 1, response: { clientDataJSON: 'e30', attestationObject: 'oA' } }])
      is(await call('POST', '/api/auth/factors/passkeys', { ticket: asked.ticket, name: 'x', credential }, user.token), 422);
    const login = is(await call('POST', '/api/auth/login/passkey/options', {}), 200);
    is(await call('POST', '/api/auth/login/passkey', { ticket: login.ticket, credential: { id: 'AA' } }), 422, 'invalid_field');
    const foreign = await auth.api('POST', '/api/auth/login/passkey/options', {}, undefined, { origin: 'https://evil.example' });
    is(foreign, 403, 'cross_site');
  });

  const ACT = 'ab'.repeat(32);
  const sha256 = (text) => createHash('sha256').update(text).digest();

  test('showing oneself again takes the password and a second factor, or a passkey that has seen its user', async () => {
    const user = await withTotp();
    const reauth = (body, token = user.token) => call('POST', '/api/auth/reauth', body, token);
    const first = is(await reauth({ password: PASSWORD }), 401, 'second_factor_required');
    assert.deepEqual(first.methods, ['totp', 'recovery_code']);
    is(await reauth({ password: PASSWORD, code: '000000' }), 401, 'code_wrong');
    is(await reauth({ password: 'another one', code: totp(user.secret) }), 401, 'invalid_credentials');
    is(await reauth({ code: totp(user.secret) }), 422, 'invalid_field');
    is(await reauth({ password: PASSWORD, code: '1', credential: {} }), 422, 'invalid_field');
    const session = is(await reauth({ password: PASSWORD, code: totp(user.secret) }), 200);
    is(await reauth({ password: PASSWORD, code: totp(user.secret) }, session.access_token), 401, 'code_wrong');
    is(await reauth({ password: PASSWORD, code: user.codes[0] }, session.access_token), 200);

    const holder = await withPasskey('ES256'), other = await withPasskey('ES256');
    const asked = async () => is(await call('POST', '/api/auth/reauth/options', {}, holder.token), 200);
    const a = await asked();
    is(await reauth({ ticket: a.ticket, credential: other.key.get(a.public_key) }, holder.token), 401, 'passkey_refused');
    is(await reauth({ ticket: a.ticket, credential: holder.key.get(a.public_key) }, other.token), 401, 'ticket_invalid');
    holder.key.flags = 0x01;
    is(await reauth({ ticket: a.ticket, credential: holder.key.get(a.public_key) }, holder.token), 401, 'passkey_refused');
    is(await reauth({ password: PASSWORD, ticket: a.ticket, credential: holder.key.get(a.public_key) }, holder.token), 200);
    const again = is(await call('POST', '/api/auth/login', { email: holder.email, password: PASSWORD }), 401);
    const step = is(await call('POST', '/api/auth/login/passkey/options', { login_ticket: again.ticket }), 200);
    holder.key.flags = 0x05;
    const token = is(await call('POST', '/api/auth/login/passkey', { ticket: step.ticket, login_ticket: again.ticket, credential: holder.key.get(step.public_key) }), 200).access_token;
    const b = is(await call('POST', '/api/auth/reauth/options', {}, token), 200);
    const credential = holder.key.get(b.public_key);
    const all = await Promise.all(Array.from({ length: 4 }, () => reauth({ ticket: b.ticket, credential }, token)));
    assert.equal(all.filter((r) => r.status === 200).length, 1, all.map((r) => r.text).join());
    is(await call('POST', '/api/auth/reauth/options', {}, (await someone()).token), 409, 'no_passkey');
  });

  test('an act is confirmed by a code or by a passkey that signs the act itself', async () => {
    const user = await withTotp();
    const confirm = (body, token) => call('POST', '/api/auth/confirmations', body, token);
    is(await confirm({ act: ACT }, user.token), 422, 'invalid_field');
    is(await confirm({ act: 'XYZ', code: '1' }, user.token), 422, 'invalid_field');
    is(await confirm({ act: ACT, code: '000000' }, user.token), 401, 'code_wrong');
    const code = totp(user.secret);
    const all = await Promise.all(Array.from({ length: 6 }, () => confirm({ act: ACT, code }, user.token)));
    assert.deepEqual(all.map((r) => r.status).sort(), [201, 401, 401, 401, 401, 401], 'a code is good once');
    is(await call('POST', '/api/auth/confirmations/options', { act: ACT }, user.token), 409, 'no_passkey');

    const [holder, other] = [await withPasskey('EdDSA'), await withPasskey('ES256')];
    const asked = is(await call('POST', '/api/auth/confirmations/options', { act: ACT }, holder.token), 200);
    const challenge = Buffer.from(asked.public_key.challenge, 'base64url');
    assert.ok(challenge.subarray(16).equals(sha256(ACT).subarray(0, 16)), 'the challenge is made of the act');
    const credential = holder.key.get(asked.public_key);
    is(await confirm({ act: 'cd'.repeat(32), ticket: asked.ticket, credential }, holder.token), 401, 'ticket_invalid');
    is(await confirm({ act: ACT, ticket: asked.ticket, credential: other.key.get(asked.public_key) }, holder.token), 401, 'passkey_refused');
    is(await confirm({ act: ACT, ticket: asked.ticket, credential: other.key.get(asked.public_key) }, other.token), 401, 'ticket_invalid');
    is(await confirm({ act: ACT, ticket: asked.ticket, credential }, holder.token), 201);
    is(await confirm({ act: ACT, ticket: asked.ticket, credential }, holder.token), 401, 'passkey_refused');
  });

  test('who has a second factor may choose to confirm what he approves', async () => {
    const [bare, user] = [await someone(), await withTotp()];
    const choose = (on, token) => call('PATCH', '/api/auth/factors', { confirm_approvals: on }, token);
    is(await choose(true, bare.token), 409, 'no_factor');
    is(await choose('yes', user.token), 422, 'invalid_field');
    is(await choose(true, user.token), 204);
    assert.equal(is(await call('GET', '/api/auth/factors', undefined, user.token), 200).confirm_approvals, true);
    is(await choose(false, user.token), 204);
    assert.equal(is(await call('GET', '/api/auth/factors', undefined, user.token), 200).confirm_approvals, false);
  });

  test('only services ask whether an act is confirmed', async () => {
    is(await call('POST', '/confirmations/check', { user_id: 'x', act: ACT }, admin), auth.isDeployed ? 404 : 403);
  });

  test('a user who goes takes factors along', async () => {
    const user = await withPasskey('ES256');
    is(await call('DELETE', `/api/users/${user.id}`, undefined, admin), 204);
    const asked = is(await call('POST', '/api/auth/login/passkey/options', {}), 200);
    is(await call('POST', '/api/auth/login/passkey', { ticket: asked.ticket, credential: user.key.get(asked.public_key) }), 401);
  });
});
