// Roles, permissions, denials and the audit log, on one platform; the route table of every service against every seeded role.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { request, startPlatform } from '../lib/platform.mjs';

const PASSWORD = 'nobody guesses this long phrase';
const SEEDED = ['admin', 'operator', 'member', 'viewer'];
const UNKNOWN_ID = '01900000-0000-7000-8000-000000000000';

const covers = (granted, wanted) => granted === '*' || granted === wanted || wanted.startsWith(`${granted}.`) || (granted.endsWith('.*') && wanted.startsWith(granted.slice(0, -1)));

describe('roles and permissions', { timeout: 240000 }, () => {
  let p, admin, adminId;
  const people = {};

  // Somebody with these roles: {id, token, session}.
  async function person(name, roles) {
    const made = await p.api('POST', '/api/users', { name, email: `${name}@example.org`, password: PASSWORD, roles }, admin);
    assert.equal(made.status, 201, made.text);
    const session = await p.login({ email: `${name}@example.org`, password: PASSWORD });
    return { id: made.body.id, token: session.access_token, session };
  }

  const check = async (permission, { user_id, owner_id, token = admin } = {}) => {
    const r = await p.api('POST', '/api/permissions/check', { permissions: [permission], ...(user_id && { user_id }), ...(owner_id && { owner_id }) }, token);
    assert.equal(r.status, 200, r.text);
    return r.body.items[0];
  };
  const set = (id, grants, denials, token = admin) => p.api('PUT', `/api/users/${id}/permissions`, { grants, denials }, token);
  // Until a change is felt everywhere; the first look is at once.
  async function until(what, probe) {
    for (const limit = Date.now() + 30000; ; ) {
      const r = await probe();
      if (r) return r;
      assert.ok(Date.now() < limit, what);
    }
  }
  const latest = async (filter) => {
    const r = await p.api('GET', `/api/audit?${new URLSearchParams({ limit: '1', ...filter })}`, undefined, admin);
    assert.equal(r.status, 200, r.text);
    return r.body.items[0];
  };

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_RATE_LIMITS: '' } });
    const session = await p.setUp();
    admin = session.access_token;
    adminId = session.user.id;
    for (const role of SEEDED) people[role] = await person(`seeded-${role}`, [role]);
  });
  after(() => p?.stop());

  test('every route of every service is 401 without a token, and 403 for exactly the roles that lack its permission', async () => {
    const roles = Object.fromEntries((await p.api('GET', '/api/roles', undefined, admin)).body.items.map((r) => [r.name, r.permissions]));
    const known = (await p.api('GET', '/api/permissions', undefined, admin)).body.items.map((x) => x.name);
    const seen = new Set();
    let asked = 0;
    for (const [role, where] of p.roles()) {
      const table = await request(where, 'GET', '/routes');
      assert.equal(table.status, 200, role);
      seen.add(role);
      for (const route of table.body.items) {
        const path = route.pattern.replace(/\{[^}]+\}/g, UNKNOWN_ID);
        const name = `${role}: ${route.method} ${route.pattern}`;
        if (route.permission) assert.ok(known.includes(route.permission), `${name}: ${route.permission} is no known permission`);
        if (route.public) {
          const r = await request(where, route.method, path);
          assert.ok(r.status !== 403 || r.body.code !== 'forbidden', name);
          continue;
        }
        const none = await request(where, route.method, path);
        assert.equal(none.status, 401, name);
        assert.match(none.headers['www-authenticate'], /^Bearer/, name);
        for (const seeded of SEEDED) {
          // What ends this very person's session or account is not tried with a right to it.
          const may = !route.internal && (!route.permission || roles[seeded].some((granted) => covers(granted, route.permission)));
          if (may && !['GET', 'HEAD'].includes(route.method) && !/\{/.test(route.pattern)) continue;
          if (may && /stream|revocations|events/.test(route.pattern)) continue;
          const r = await request(where, route.method, path, { token: people[seeded].token });
          asked++;
          if (may) assert.ok(r.status !== 401 && !(r.status === 403 && r.body.detail === `This needs the permission ${route.permission}.`), `${name} as ${seeded}: ${r.text}`);
          else assert.equal(r.status, 403, `${name} as ${seeded}: ${r.text}`);
        }
      }
    }
    assert.deepEqual([...seen].sort(), ['agent', 'auth', 'demo', 'exec', 'gateway', 'socket']);
    assert.ok(asked > 200, `${asked}`);
  });

  test('a role of one\'s own is made, changed, given and removed, and felt at once with the same token', async () => {
    const made = await p.api('POST', '/api/roles', { name: 'cook', description: 'Cooks', permissions: ['models.read'] }, admin);
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers.location, '/api/roles/cook');
    assert.deepEqual(made.body, { name: 'cook', description: 'Cooks', permissions: ['models.read'], built_in: false, users: 0 });
    assert.equal((await p.api('POST', '/api/roles', { name: 'cook', permissions: [] }, admin)).body.code, 'role_exists');

    const carl = await person('carl', ['cook']);
    assert.equal((await p.api('GET', '/api/models', undefined, carl.token)).status, 200);
    assert.equal((await p.api('GET', '/api/agents', undefined, carl.token)).status, 403);
    const more = await p.api('PATCH', '/api/roles/cook', { permissions: ['agents.read', 'models.read'] }, admin);
    assert.equal(more.status, 200, more.text);
    assert.equal(more.body.users, 1);
    await until('the new right is felt', async () => (await p.api('GET', '/api/agents', undefined, carl.token)).status === 200);
    await p.api('PATCH', '/api/roles/cook', { permissions: ['models.read'] }, admin);
    // The very next request at auth, and within a moment at the others.
    assert.equal((await p.api('GET', '/api/users', undefined, carl.token)).status, 403);
    await until('the lost right is felt', async () => (await p.api('GET', '/api/agents', undefined, carl.token)).status === 403);

    assert.equal((await p.api('DELETE', '/api/roles/cook', undefined, admin)).body.code, 'role_in_use');
    await p.api('PATCH', `/api/users/${carl.id}`, { roles: [] }, admin);
    assert.equal((await p.api('DELETE', '/api/roles/cook', undefined, admin)).status, 204);
    assert.equal((await p.api('GET', '/api/roles/cook', undefined, admin)).status, 404);
    for (const event of ['role.created', 'role.changed', 'role.removed']) {
      const row = await latest({ event, target: 'role:cook' });
      assert.equal(row?.actor.id, adminId, event);
      assert.equal(row.outcome, 'success');
    }
  });

  test('what is wrong with a role is told', async () => {
    for (const [body, status, code] of [
      [{ name: 'Cook', permissions: [] }, 422, 'invalid_field'],
      [{ name: 'x', permissions: ['agents.reed'] }, 422, 'unknown_permission'],
      [{ name: 'x', permissions: ['agent.*'] }, 422, 'unknown_permission'],
      [{ name: 'x', permissions: ['agents.read.deep'] }, 422, 'unknown_permission'],
      [{ name: 'x', permissions: ['agents*'] }, 422, 'invalid_field'],
      [{ name: 'x', permissions: ['!agents.read'] }, 422, 'invalid_field'],
      [{ name: 'x', permissions: ['agents.read', 'agents.read'] }, 422, 'invalid_field'],
      [{ name: 'x', permissions: ['*.*'] }, 422, 'invalid_field'],
      [{ name: 'x', permissions: [7] }, 422, 'invalid_field'],
      [{ name: 'x' }, 422, 'invalid_field'],
      [{ name: 'x', permissions: [], is_admin: true }, 422, 'invalid_field'],
    ]) {
      const r = await p.api('POST', '/api/roles', body, admin);
      assert.deepEqual([r.status, r.body.code], [status, code], `${JSON.stringify(body)}: ${r.text}`);
    }
    assert.equal((await p.api('PATCH', '/api/roles/admin', { permissions: ['agents.read'] }, admin)).body.code, 'built_in_role');
    assert.equal((await p.api('DELETE', '/api/roles/viewer', undefined, admin)).body.code, 'built_in_role');
    assert.equal((await p.api('PATCH', '/api/roles/nobody', { description: 'x' }, admin)).status, 404);
    const open = await p.api('POST', '/api/roles', { name: 'kitchen', permissions: ['channels.read.kitchen', 'agents.*'] }, admin);
    assert.equal(open.status, 201, open.text);
  });

  test('a denial beats every grant, several roles add up, and the check says why', async () => {
    const dora = await person('dora', ['operator', 'viewer']);
    assert.deepEqual(await check('agents.write', { user_id: dora.id }), { permission: 'agents.write', asked: 'agents.write', allowed: true, explanation: 'allowed by role operator → agents.*', role: 'operator', pattern: 'agents.*' });
    assert.equal((await check('settings.manage', { user_id: dora.id })).explanation, 'denied: no role and no direct grant covers settings.manage');

    assert.equal((await set(dora.id, ['audit.read'], ['agents.write'])).status, 200);
    assert.deepEqual((await p.api('GET', `/api/users/${dora.id}/permissions`, undefined, admin)).body, { grants: ['audit.read'], denials: ['agents.write'] });
    assert.equal((await check('agents.write', { user_id: dora.id })).explanation, 'denied by direct denial agents.write');
    assert.equal((await check('agents.*', { user_id: dora.id })).allowed, false);
    assert.equal((await check('agents.read', { user_id: dora.id })).allowed, true);
    assert.equal((await check('audit.read', { token: dora.token })).explanation, 'allowed by direct grant audit.read');
    // The same JWT, at auth and at agent.
    assert.equal((await p.api('GET', '/api/audit', undefined, dora.token)).status, 200);
    await until('the denial is felt', async () => (await p.api('POST', '/api/agents', {}, dora.token)).status === 403);
    assert.equal((await p.api('GET', '/api/agents', undefined, dora.token)).status, 200);
    // A new token says the same.
    const fresh = await p.login({ email: 'dora@example.org', password: PASSWORD });
    assert.ok(fresh.user.permissions.includes('!agents.write'));
    assert.equal((await p.api('POST', '/api/agents', {}, fresh.access_token)).status, 403);

    assert.equal((await set(dora.id, [], [])).status, 200);
    await until('it is lifted', async () => (await p.api('POST', '/api/agents', {}, dora.token)).status !== 403);
    assert.equal((await p.api('GET', '/api/audit', undefined, dora.token)).status, 403);
  });

  test('own and any are told apart', async () => {
    const member = people.member.id;
    assert.equal((await check('commands.read', { user_id: member, owner_id: member })).allowed, true);
    const foreign = await check('commands.read', { user_id: member, owner_id: adminId });
    assert.deepEqual([foreign.asked, foreign.allowed], ['commands.read_any', false]);
    assert.equal((await check('commands.read', { user_id: people.operator.id, owner_id: adminId })).explanation, 'allowed by role operator → commands.*');
  });

  test('the check asks about others with users.read only, and about what there is', async () => {
    assert.equal((await p.api('POST', '/api/permissions/check', { permissions: ['agents.read'], user_id: adminId }, people.member.token)).status, 403);
    assert.equal((await p.api('POST', '/api/permissions/check', { permissions: ['agents.reed'] }, people.member.token)).body.code, 'unknown_permission');
    assert.equal((await p.api('POST', '/api/permissions/check', { permissions: ['agents.read'], user_id: UNKNOWN_ID }, admin)).status, 404);
    assert.equal((await p.api('POST', '/api/permissions/check', { permissions: [] }, admin)).status, 422);
    assert.equal((await check('agents.read', { token: people.viewer.token })).explanation, 'allowed by role viewer → agents.read');
  });

  test('nobody gives what he lacks', async () => {
    await p.api('POST', '/api/roles', { name: 'editor', permissions: ['roles.manage', 'users.read', 'users.manage', 'agents.read'] }, admin);
    const eve = await person('eve', ['editor']);
    const as = (method, path, body) => p.api(method, path, body, eve.token);
    assert.equal((await as('POST', '/api/roles', { name: 'mine', permissions: ['agents.read'] })).status, 201);
    for (const [method, path, body] of [
      ['POST', '/api/roles', { name: 'more', permissions: ['agents.write'] }],
      ['POST', '/api/roles', { name: 'more', permissions: ['agents.*'] }],
      ['POST', '/api/roles', { name: 'more', permissions: ['*'] }],
      ['PATCH', '/api/roles/mine', { permissions: ['agents.read', 'settings.manage'] }],
      ['PATCH', '/api/roles/editor', { permissions: ['*'] }],
      ['PUT', `/api/users/${eve.id}/permissions`, { grants: ['*'], denials: [] }],
      ['PATCH', `/api/users/${eve.id}`, { roles: ['admin'] }],
    ]) {
      const r = await as(method, path, body);
      assert.deepEqual([r.status, r.body.code], [403, 'forbidden'], `${method} ${path} ${JSON.stringify(body)}: ${r.text}`);
    }
    // Nor lifts a denial of his own.
    assert.equal((await set(eve.id, [], ['models.read'])).status, 200);
    assert.equal((await set(eve.id, [], [], eve.token)).status, 403);
    assert.equal((await p.api('GET', '/api/roles/more', undefined, admin)).status, 404);
  });

  test('the last administrator stays one', async () => {
    assert.equal((await p.api('PATCH', `/api/users/${people.admin.id}`, { roles: ['viewer'] }, admin)).status, 200);
    assert.equal((await p.api('PATCH', `/api/users/${adminId}`, { roles: ['viewer'] }, admin)).body.code, 'last_administrator');
    assert.equal((await set(adminId, [], ['users.manage'])).body.code, 'last_administrator');
    assert.equal((await set(adminId, [], ['agents.write'])).body.code, 'last_administrator');
    assert.equal((await p.api('PATCH', `/api/users/${adminId}`, { disabled: true }, admin)).body.code, 'last_administrator');
  });

  test('denials and grants must exist, and not both', async () => {
    const id = people.member.id;
    assert.equal((await set(id, ['agents.reed'], [])).body.code, 'unknown_permission');
    assert.equal((await set(id, [], ['agents.reed'])).body.code, 'unknown_permission');
    assert.equal((await set(id, ['audit.read'], ['audit.read'])).body.code, 'invalid_field');
    assert.equal((await set(UNKNOWN_ID, [], [])).status, 404);
    assert.equal((await set(id, [], [], people.member.token)).status, 403);
  });

  test('the audit log is read by filters and pages, and is whole', async () => {
    const all = [];
    for (let next = ''; next !== null; ) {
      const r = await p.api('GET', `/api/audit?limit=7${next && `&after=${encodeURIComponent(next)}`}`, undefined, admin);
      assert.equal(r.status, 200, r.text);
      all.push(...r.body.items);
      next = r.body.next;
    }
    assert.deepEqual(all.map((e) => e.seq), all.map((_, i) => all.length - i), 'numbers without a hole');
    const roles = (await p.api('GET', '/api/audit?event=role.*&limit=200', undefined, admin)).body.items;
    assert.ok(roles.length >= 5 && roles.every((e) => e.event.startsWith('role.')));
    assert.ok(roles.every((e) => e.request_id && e.session_id && e.address));
    assert.equal((await p.api('GET', `/api/audit?since=${all[0].at}&until=${all[0].at}`, undefined, admin)).body.items.length, 0);
    assert.equal((await p.api('GET', '/api/audit?since=yesterday', undefined, admin)).status, 400);
    assert.deepEqual((await p.api('GET', `/api/audit?actor=${encodeURIComponent("' OR 1=1--")}`, undefined, admin)).body.items, []);
    assert.equal((await p.api('GET', '/api/audit', undefined, people.operator.token)).status, 403);
    const found = (await p.api('GET', '/api/audit/verify', undefined, admin)).body;
    assert.deepEqual([found.ok, found.problem], [true, null]);
    assert.ok(found.rows >= all.length);
  });
});
