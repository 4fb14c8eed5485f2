// The contract: docs/openapi.yaml, as the gateway serves it, against the platform that runs.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ADMIN, request, startPlatform } from '../lib/platform.mjs';
import { ask, ended, newConversation } from '../lib/runs.mjs';
import { Schemas } from '../lib/schema.mjs';

const VIEWER = { name: 'Vera Viewer', email: 'vera@example.org', password: 'a viewer looks and does not touch' };
const VERBS = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options'];
const UNKNOWN_ID = '01900000-0000-7000-8000-000000000000';
// Of the gateway itself, and what each role has on its own socket only.
const OWN = ['GET /healthz', 'GET /readyz', 'GET /api/openapi.json'];
const INSIDE = ['GET /healthz', 'GET /readyz', 'GET /metrics', 'GET /routes'];
const ROLES = ['agent', 'auth', 'exec', 'gateway', 'socket'];

const covers = (granted, wanted) => granted === '*' || granted === wanted || (granted.endsWith('.*') && wanted.startsWith(granted.slice(0, -1)));

describe('the contract', { timeout: 120000 }, () => {
  let p, admin, viewer, mayView, document, schemas, operations, routes;
  const asAdmin = () => admin;
  const documented = (name) => operations.find((o) => o.name === name);

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
    admin = (await p.setUp()).access_token;
    const made = await p.api('POST', '/api/users', { ...VIEWER, roles: ['viewer'] }, admin);
    assert.equal(made.status, 201, made.text);
    const session = await p.login(VIEWER);
    viewer = session.access_token;
    mayView = (permission) => session.user.permissions.some((granted) => covers(granted, permission));

    document = (await p.api('GET', '/api/openapi.json')).body;
    schemas = new Schemas(document);
    operations = Object.entries(document.paths).flatMap(([path, item]) =>
      VERBS.filter((verb) => item[verb]).map((verb) => ({ ...item[verb], method: verb.toUpperCase(), path, name: `${verb.toUpperCase()} ${path}` })),
    );
    routes = [];
    for (const [role, where] of p.roles()) {
      if (!ROLES.includes(role)) continue;
      const r = await request(where, 'GET', '/routes');
      assert.equal(r.status, 200, `${role}: ${r.text}`);
      for (const route of r.body.items) {
        const path = route.pattern.replace('{rest*}', '');
        routes.push({ ...route, role, path, name: `${route.method} ${path}` });
      }
    }
    assert.deepEqual([...new Set(routes.map((r) => r.role))].sort(), ROLES);
  });
  after(() => p?.stop());

  test('is OpenAPI 3.1, every reference leads somewhere, every operation has its own id', () => {
    assert.match(document.openapi, /^3\.1\./);
    const walk = (node) => {
      if (!node || typeof node !== 'object') return;
      if (node.$ref) schemas.resolve(node);
      Object.values(node).forEach(walk);
    };
    walk(document);
    const ids = operations.map((o) => o.operationId);
    assert.ok(ids.every(Boolean));
    assert.equal(new Set(ids).size, ids.length);
    for (const o of operations) {
      assert.ok(o.summary && o.tags?.length && Object.keys(o.responses).length, o.name);
      const named = [...(o.parameters ?? []), ...(document.paths[o.path].parameters ?? [])].map((x) => schemas.resolve(x)).filter((x) => x.in === 'path');
      assert.deepEqual(named.map((x) => x.name).sort(), [...o.path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort(), `${o.name}: parameters of the path`);
    }
  });

  test('names every route of every service, and no other', () => {
    const live = new Set(routes.filter((r) => !r.internal && !INSIDE.includes(r.name)).map((r) => r.name));
    for (const name of OWN) live.add(name);
    const names = new Set(operations.map((o) => o.name));
    assert.deepEqual([...live].filter((n) => !names.has(n)), [], 'routes that are not documented');
    assert.deepEqual([...names].filter((n) => !live.has(n)), [], 'operations that no service has');
  });

  test('tells the permission and the openness of every route as it is', () => {
    for (const r of routes) {
      const o = documented(r.name);
      if (!o || OWN.includes(r.name)) continue;
      // Conversations are checked by their handlers: their own users and those with conversations.read.
      if (r.permission || o['x-permission'] !== 'conversations.read') assert.equal(o['x-permission'] ?? null, r.permission ?? null, r.name);
      const needsToken = !(o.security ?? document.security).some((s) => Object.keys(s).length === 0) && (o.security ?? document.security).length > 0;
      if (!r.public) assert.ok(needsToken, `${r.name} needs a token`);
      else if (!o.security) assert.fail(`${r.name} is public`);
      assert.equal(Boolean(o.requestBody?.content['application/json']), r.json_body, `${r.name}: a body`);
    }
  });

  test('each operation is there, through the front door', async () => {
    for (const o of operations) {
      const path = o.path.replace(/\{\w+\}/g, UNKNOWN_ID);
      // Signing out ends the session: not the one that the other tests have.
      const token = o.operationId === 'logout' ? (await p.login(ADMIN)).access_token : admin;
      const r = await p.api(o.method, path, undefined, token, { accept: 'application/json' });
      assert.notEqual(r.status, 405, `${o.name}: ${r.text}`);
      assert.notEqual(r.status, 500, `${o.name}: ${r.text}`);
      // A missing thing is told otherwise than a missing path.
      if (r.status === 404) assert.notEqual(r.body.detail, 'There is nothing at this path.', o.name);
      const told = o.responses[r.status] ?? o.responses.default;
      assert.ok(told, `${o.name} answers ${r.status}, which is not documented`);
      // Engine.IO has errors of its own.
      const own = r.status >= 400 && schemas.resolve(told).content['application/json'];
      if (r.status >= 400 && schemas.resolve(told).content['text/html']) {
        assert.match(r.headers['content-type'], /^text\/html/, o.name);
      } else if (own) {
        assert.deepEqual(schemas.errors(r.body, own.schema), [], o.name);
      } else if (r.status >= 400) {
        assert.match(r.headers['content-type'], /^application\/problem\+json/, `${o.name}: ${r.status}`);
        assert.deepEqual(schemas.errors(r.body, document.components.schemas.Problem), [], o.name);
      }
    }
  });

  test('what needs a token is 401 without one', async () => {
    let n = 0;
    for (const o of operations) {
      const security = o.security ?? document.security;
      if (security.length === 0 || security.some((s) => !s.bearer)) continue;
      n++;
      const r = await p.api(o.method, o.path.replace(/\{\w+\}/g, UNKNOWN_ID), o.requestBody ? {} : undefined);
      assert.equal(r.status, 401, `${o.name}: ${r.text}`);
      assert.match(r.headers['www-authenticate'], /^Bearer/, o.name);
    }
    assert.ok(n > 30, `${n}`);
  });

  test('what needs a permission is 403 for a viewer who lacks it, and not for one who has it', async () => {
    const seen = { 403: 0, passed: 0 };
    for (const o of operations.filter((o) => o['x-permission'])) {
      const r = await p.api(o.method, o.path.replace(/\{\w+\}/g, UNKNOWN_ID), o.requestBody ? {} : undefined, viewer, { accept: 'application/json' });
      if (mayView(o['x-permission'])) {
        assert.notEqual(r.status, 403, `${o.name}: ${r.text}`);
        seen.passed++;
      } else {
        assert.equal(r.status, 403, `${o.name}: ${r.text}`);
        assert.equal(r.body.code, 'forbidden', o.name);
        seen[403]++;
      }
    }
    assert.ok(seen[403] > 10 && seen.passed > 5, JSON.stringify(seen));
  });

  test('every permission that a route needs is one that can be given', async () => {
    const { body } = await p.api('GET', '/api/permissions', undefined, admin);
    const known = new Set(body.items.map((i) => i.name));
    for (const r of routes) if (r.permission) assert.ok(known.has(r.permission), `${r.name}: ${r.permission}`);
    for (const o of operations) if (o['x-permission']) assert.ok(known.has(o['x-permission']), `${o.name}: ${o['x-permission']}`);
    const roles = await p.api('GET', '/api/roles', undefined, admin);
    for (const role of roles.body.items)
      for (const granted of role.permissions) assert.ok([...known].some((k) => covers(granted, k)), `${role.name}: ${granted}`);
  });

  // The answer's body against the schema that the document has for this operation and status.
  function assertAsTold(name, r) {
    const o = documented(name);
    const told = schemas.resolve(o.responses[r.status] ?? {});
    assert.ok(told.content, `${name} answers ${r.status}: ${r.text}`);
    const type = r.headers['content-type'].split(';')[0];
    assert.ok(told.content[type], `${name} answers ${type}`);
    assert.deepEqual(schemas.errors(r.body, told.content[type].schema), [], `${name}: ${r.text.slice(0, 1500)}`);
    for (const header of Object.keys(told.headers ?? {}))
      if (header !== 'Location' || r.status === 201 || r.status === 202) assert.ok(r.headers[header.toLowerCase()], `${name}: ${header}`);
  }

  test('what comes has the members that are told, and no others', async () => {
    const call = async (method, path, params = {}, body, headers) => {
      const r = await p.api(method, path.replace(/\{(\w+)\}/g, (_, k) => params[k]), body, admin, { accept: 'application/json', ...headers });
      assertAsTold(`${method} ${path.split('?')[0]}`, r);
      return r.body;
    };
    const { items } = await call('GET', '/api/agents');
    const agent = { id: items[0].id };
    await call('GET', '/api/agents/{id}', agent);
    await call('GET', '/api/agents/{id}/versions', agent);
    await call('GET', '/api/models');
    const made = await call('POST', '/api/agents', {}, { name: 'Counter', tools: ['shell'], limits: { max_steps: 2 } });
    await call('PATCH', '/api/agents/{id}', { id: made.id }, { description: 'It counts.' }, { 'if-match': '"1"' });

    const conversation = await call('POST', '/api/conversations', {}, {});
    await call('GET', '/api/conversations/{id}', { id: conversation.id });
    const sent = await call('POST', '/api/conversations/{id}/messages', { id: conversation.id }, { content: 'run: echo $((6*7))' });
    const run = { id: (await ended(p, asAdmin, sent.id)).id };
    const detail = await call('GET', '/api/executions/{id}', run);
    assert.equal(detail.calls.length, 1);
    await call('GET', '/api/conversations');
    const { items: messages } = await call('GET', '/api/conversations/{id}/messages', { id: conversation.id });
    assert.equal(messages.length, 4);
    await call('PATCH', '/api/conversations/{id}', { id: conversation.id }, { title: 'Counting' });
    await call('GET', '/api/executions');
    const { items: heard } = await call('GET', '/api/executions/{id}/events', run);
    for (const type of ['execution.started', 'execution.state', 'text.delta', 'message.done', 'call.started', 'call.output', 'call.done', 'execution.ended'])
      assert.ok(heard.some((e) => e.type === type), type);
    await call('POST', '/api/executions/{id}/cancel', run);

    const failing = await newConversation(p, asAdmin);
    const failed = await ask(p, asAdmin, failing, 'hello\ndemo: {"fail": {"status": 400}}');
    assert.equal((await ended(p, asAdmin, failed.id)).status, 'failed');
    await call('GET', '/api/executions/{id}', { id: failed.id });
    await call('GET', '/api/executions/{id}/events', { id: failed.id });

    const command = await call('POST', '/api/commands', {}, { script: 'echo hello' });
    await call('GET', '/api/commands/{id}', { id: command.id });
    await call('GET', '/api/commands');
    await call('POST', '/api/commands/{id}/cancel', { id: command.id });
    const session = await call('POST', '/api/commands', {}, { argv: ['cat'], tty: { rows: 24, cols: 80 }, tags: ['contract'] });
    await call('POST', '/api/commands/{id}/resize', { id: session.id }, { rows: 30, cols: 90 });
    await call('POST', '/api/commands/{id}/stdin', { id: session.id }, 'hello\n', { 'content-type': 'application/octet-stream' });
    await call('POST', '/api/commands/{id}/signal', { id: session.id }, { signal: 'KILL' });
    await call('GET', '/api/commands/{id}?wait_ms=20000', { id: session.id });
    await call('POST', '/api/commands?wait_ms=20000', {}, { script: 'echo hello' });
    await call('POST', '/api/workspaces', {}, { id: 'contract' });
    const ws = { id: 'contract' };
    await call('POST', '/api/workspaces/{id}/folders', ws, { path: 'd' });
    await call('POST', '/api/workspaces/{id}/move', ws, { from: 'd', to: 'e' });
    const { id: snapshot } = await call('POST', '/api/workspaces/{id}/snapshots', ws, {});
    await call('GET', '/api/workspaces/{id}/snapshots', ws);
    assert.equal((await p.api('POST', `/api/workspaces/contract/snapshots/${snapshot}/restore`, undefined, admin)).status, 204);
    await call('GET', '/api/workspaces/{id}/files', ws);
    await call('GET', '/api/workspaces/{id}', ws);
    await call('GET', '/api/workspaces');

    await call('GET', '/api/auth/me');
    await call('GET', '/api/auth/setup');
    await call('GET', '/api/auth/settings');
    await call('PATCH', '/api/auth/settings', {}, { registration: 'closed' });
    await call('GET', '/.well-known/jwks.json');
    await call('POST', '/api/auth/login', {}, { email: VIEWER.email, password: VIEWER.password });
    await call('POST', '/api/auth/local', {}, { key: p.secret('cli.token') });
    for (const name of ['oauth-authorization-server', 'openid-configuration', 'oauth-protected-resource', 'oauth-protected-resource/api', 'oauth-protected-resource/mcp'])
      await call('GET', `/.well-known/${name}`);
    await call('POST', '/oauth/register', {}, { client_name: 'Contract', redirect_uris: ['https://app.example/cb'] });
    const client = await call('POST', '/api/auth/clients', {}, { client_name: 'Managed', redirect_uris: ['https://app.example/cb'] });
    await call('GET', '/api/auth/clients');
    assert.equal((await p.api('DELETE', `/api/auth/clients/${client.client_id}`, undefined, admin)).status, 204);
    await call('GET', '/api/auth/consents');
    const users = await call('GET', '/api/users');
    await call('GET', '/api/users/{id}', { id: users.items[0].id });
    await call('POST', '/api/users', {}, { name: 'Nina New', email: 'nina@example.org', password: 'something long enough to do' });
    await call('PATCH', '/api/users/{id}', { id: users.items.find((u) => u.email === VIEWER.email).id }, { name: 'Vera V.' });
    await call('GET', '/api/roles');
    await call('GET', '/api/permissions');
    await call('POST', '/api/publish', {}, { events: [] });
    await call('GET', '/healthz');
    await call('GET', '/readyz');
  });

  test('lists take limit and after as they are told', async () => {
    for (const o of operations.filter((o) => o.method === 'GET')) {
      const names = (o.parameters ?? []).map((x) => schemas.resolve(x).name);
      if (!names.includes('limit') || !names.includes('after') || o.path.includes('{')) continue;
      for (const query of ['limit=0', 'limit=201', 'limit=x', 'limit=-1', 'after=!!!', `after=${'x'.repeat(2000)}`]) {
        const r = await p.api('GET', `${o.path}?${query}`, undefined, admin);
        assert.equal(r.status, 400, `${o.name}?${query}: ${r.text.slice(0, 200)}`);
      }
      const r = await p.api('GET', `${o.path}?limit=1`, undefined, admin);
      assert.ok(r.body.items.length <= 1, o.name);
    }
  });
});
