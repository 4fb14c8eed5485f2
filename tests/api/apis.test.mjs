// HTTP tools described by OpenAPI: documents, credentials, sharing, and the calls of agents at a real server.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';

const SECRET = 'sk-very-secret-0123456789', PASSWORD = 'correct horse battery staple';

const petDocument = (url) => `
openapi: 3.1.0
info: {title: Pet Store, version: '1.2'}
servers:
  - url: '{base}/v1'
    variables: {base: {default: '${url}'}}
security: [{key: []}]
paths:
  /pets/{id}:
    get:
      operationId: getPet
      summary: One pet
      parameters:
        - {name: id, in: path, required: true, schema: {type: string}}
        - {name: tags, in: query, explode: false, schema: {type: array, items: {type: string}}}
        - {name: X-Trace, in: header, schema: {type: string}}
    delete: {operationId: removePet, parameters: [{name: id, in: path, required: true, schema: {type: string}}]}
  /pets:
    post:
      operationId: addPet
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}
  /moved: {get: {operationId: moved}}
  /long: {get: {operationId: long}}
  /hang: {post: {operationId: hang}, put: {operationId: hangPut}, get: {operationId: hangGet}}
  /basic: {get: {operationId: basic, security: [{login: []}]}}
  /query: {get: {operationId: query, security: [{inQuery: []}]}}
  /upload: {post: {operationId: upload, requestBody: {required: true, content: {multipart/form-data: {}}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Api-Key}
    login: {type: http, scheme: basic}
    inQuery: {type: apiKey, in: query, name: api_key}
  schemas:
    Pet: {type: object, required: [name], properties: {name: {type: string, minLength: 1}, age: {type: integer}}}
`;

// As many operations as a large real API has, with shared schemas that refer to each other.
function largeDocument(n) {
  const schemas = {}, paths = {};
  for (let i = 0; i < 60; i++) {
    schemas[`Thing${i}`] = {
      type: 'object', required: ['name'],
      properties: {
        name: { type: 'string', description: 'What it is called. '.repeat(5) }, size: { type: 'integer', minimum: 0 },
        parent: { $ref: `#/components/schemas/Thing${(i + 1) % 60}` }, kind: { type: 'string', enum: ['a', 'b', 'c'], nullable: true },
        items: { type: 'array', items: { $ref: `#/components/schemas/Thing${(i + 7) % 60}` } },
      },
    };
  }
  for (let i = 0; i < n / 4; i++) {
    const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } };
    const body = { required: true, content: { 'application/json': { schema: { type: 'object', properties: { name: { type: 'string' }, kind: { type: 'string' } } } } } };
    paths[`/things${i}`] = { get: { operationId: `things${i}/list`, summary: `Lists ${i}` }, post: { operationId: `things${i}/create`, requestBody: body } };
    paths[`/things${i}/{id}`] = { get: { operationId: `things${i}/get`, parameters: [id] }, put: { operationId: `things${i}/put`, parameters: [id], requestBody: { content: { 'application/json': { schema: { $ref: `#/components/schemas/Thing${i % 60}` } } } } } };
  }
  return { openapi: '3.0.3', info: { title: 'Large', version: '1' }, servers: [{ url: 'https://large.example/api' }], paths, components: { schemas } };
}

describe('apis', { timeout: 300000 }, () => {
  let w, model, site, admin, pets;
  const tokens = {};
  before(async () => {
    model = await new ScriptModel().open();
    site = await new Site().open();
    w = await AgentWorld.start({
      demo: false,
      env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_OUTBOUND_ALLOW: '127.0.0.1' },
    });
    admin = w.token = (await w.auth.setUp()).access_token;
    for (const [name, roles] of [['ann', ['member']], ['ben', ['member', 'operator']], ['vic', ['viewer']]]) {
      const email = `${name}@example.org`;
      assert.equal((await w.auth.api('POST', '/api/users', { name, email, password: PASSWORD, roles }, admin)).status, 201);
      tokens[name] = (await w.auth.login({ email, password: PASSWORD })).access_token;
    }
  });
  after(async () => {
    await w?.stop();
    await model?.close();
    await site?.close();
  });

  const as = (who, method, path, body, headers) => w.api(method, path, body, tokens[who] ?? admin, headers);
  const good = async (status, r) => {
    r = await r;
    assert.equal(r.status, status, r.text);
    return r.body;
  };
  let made = 0;
  const agent = (body, who) => good(201, as(who, 'POST', '/api/agents', { name: `T${++made}`, ...body }));
  const uses = (source, ...operations) => ({ apis: [{ id: source.id, operations }] });
  const texts = async (e) => (await w.ok('GET', `/api/conversations/${e.conversation_id}/messages`)).items.filter((m) => m.role === 'tool').map((m) => m.content);
  async function told(body, calls) {
    const a = await agent(body);
    const c = await w.conversation({ agent_id: a.id });
    const sent = await w.send(`go ${model.script(...calls.map((x) => call(x)), say('done'))}`, { conversation: c });
    const e = await w.ended(sent.id, 60000);
    assert.equal(e.status, 'succeeded', JSON.stringify(e));
    return { e, texts: await texts(e) };
  }

  test('a document becomes an API with operations; credentials are told to nobody', async () => {
    const body = { document: petDocument(site.url), credentials: { key: { value: SECRET }, login: { username: 'ann', password: SECRET }, inQuery: { value: SECRET } } };
    const r = await as('admin', 'POST', '/api/apis', body);
    pets = await good(201, r);
    assert.equal(r.headers.location, `/api/apis/${pets.id}`);
    assert.deepEqual([pets.slug, pets.name, pets.base_url, pets.document_version], ['pet-store', 'Pet Store', `${site.url}/v1`, '1.2']);
    assert.deepEqual(pets.schemes.map((s) => [s.name, s.type, s.set, s.end]), [['key', 'api_key', true, '6789'], ['login', 'basic', true, 'ann'], ['inQuery', 'api_key', true, '6789']]);
    assert.deepEqual(pets.operations.slice(0, 2).map((o) => [o.name, o.tool, o.method, o.path, o.summary, o.problem]), [
      ['getPet', 'pet_store_getPet', 'GET', '/pets/{id}', 'One pet', null], ['removePet', 'pet_store_removePet', 'DELETE', '/pets/{id}', '', null]]);
    assert.match(pets.operations.at(-1).problem, /multipart\/form-data.*not supported/);
    const one = await w.ok('GET', `/api/apis/${pets.id}/operations/getPet`);
    assert.deepEqual(Object.keys(one.parameters.properties), ['id', 'tags', 'X-Trace']);
    assert.equal((await w.api('GET', `/api/apis/${pets.id}/operations/nothing`)).status, 404);
    assert.deepEqual((await w.ok('GET', '/api/apis')).items.map((s) => s.id), [pets.id]);
    assert.ok(!r.text.includes(SECRET) && !(await w.api('GET', '/api/apis')).text.includes(SECRET));
    // The slug is taken: another one is made; one that was asked for is refused.
    const again = await good(201, as('admin', 'POST', '/api/apis', { document: petDocument(site.url) }));
    assert.equal(again.slug, 'pet-store-2');
    assert.equal((await good(409, as('admin', 'POST', '/api/apis', { document: petDocument(site.url), slug: 'pet-store' }))).code, 'slug_taken');
    await good(204, as('admin', 'DELETE', `/api/apis/${again.id}`));
  });

  test('calls reach the server with arguments in their places, and stay at its address', async () => {
    site.seen.length = 0;
    const { texts: t, e } = await told(uses(pets, 'getPet', 'addPet', 'removePet', 'basic', 'query'), [
      ['pet_store_getPet', { id: 'a b', tags: ['x', 'y,z'], 'X-Trace': 'abc' }],
      ['pet_store_addPet', { name: 'Rex', age: 3 }],
      ['pet_store_getPet', { id: '../admin' }],
      ['pet_store_getPet', { id: '..' }],
      ['pet_store_getPet', { id: '1', 'X-Trace': 'a\r\nHost: evil.example' }],
      ['pet_store_addPet', { name: '', age: 'old' }],
      ['pet_store_removePet', { id: '@evil.example/x?y#z' }],
      ['pet_store_basic', {}],
      ['pet_store_query', {}],
    ]);
    assert.match(t[0], /^Status: 200\nType: application\/json\n\n\{/);
    assert.match(t[1], /^Status: 201/);
    assert.match(t[3], /must not be "\." or "\.\."/);
    assert.match(t[4], /must be one line/);
    assert.match(t[5], /arguments[^]*name: must have at least 1 characters[^]*age: must be of the type integer/);
    assert.deepEqual(site.seen.map((r) => `${r.method} ${r.url}`), [
      'GET /v1/pets/a%20b?tags=x,y%2Cz', 'POST /v1/pets', 'GET /v1/pets/..%2Fadmin', 'DELETE /v1/pets/%40evil.example%2Fx%3Fy%23z', 'GET /v1/basic', `GET /v1/query?api_key=${SECRET}`]);
    assert.equal(site.seen[0].headers['x-trace'], 'abc');
    for (const r of site.seen.slice(0, 4)) assert.equal(r.headers['x-api-key'], SECRET);
    assert.deepEqual([site.seen[1].headers['content-type'], site.seen[1].body], ['application/json', '{"name":"Rex","age":3}']);
    assert.match(site.seen[1].headers['idempotency-key'], new RegExp(`^${e.id}:`));
    assert.equal(site.seen[4].headers.authorization, `Basic ${Buffer.from(`ann:${SECRET}`).toString('base64')}`);
    // The server says everything that it was sent: what is secret in it is taken out.
    assert.match(t[8], /api_key=\[secret\]/);
    assert.match(t[7], /Basic \[secret\]/);
    const all = JSON.stringify([t, e, await w.events(e.id)]);
    assert.ok(!all.includes(SECRET) && !all.includes(Buffer.from(`ann:${SECRET}`).toString('base64')));
    assert.equal(e.calls[0].name, 'pet_store_getPet');
    assert.ok((await w.events(e.id)).items.some((x) => x.type === 'call.started' && x.data.command === `GET ${site.url}/v1/pets/a%20b?tags=x,y%2Cz`));
    const asked = [...model.seen.values()].at(-1)[0].tools.find((x) => x.function.name === 'pet_store_addPet').function;
    assert.deepEqual(asked.parameters, { type: 'object', properties: { name: { type: 'string', minLength: 1 }, age: { type: 'integer' } }, required: ['name'], additionalProperties: false });
  });

  test('what is secret stands nowhere in clear', async () => {
    const files = readdirSync(w.data, { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
    for (const f of files) assert.ok(!readFileSync(join(f.parentPath ?? f.path, f.name)).includes(SECRET), f.name);
    const a = await agent(uses(pets, 'getPet'));
    const file = await w.api('GET', `/api/agents/${a.id}/export`);
    assert.ok(!file.text.includes(SECRET));
    assert.deepEqual(file.body.agent.apis, [{ id: pets.id, operations: ['getPet'] }]);
    assert.deepEqual(file.body.references.find((x) => x.kind === 'api'), { kind: 'api', name: pets.id, sha256: null });
  });

  test('a redirect to another server gets no credentials; a long answer is cut', async () => {
    site.seen.length = 0;
    const { texts: t } = await told(uses(pets, 'moved', 'long'), [['pet_store_moved', {}], ['pet_store_long', {}]]);
    assert.match(t[0], /^Status: 200/);
    assert.deepEqual(site.seen.map((r) => [r.url, r.port, r.headers['x-api-key']]), [['/v1/moved', site.port, SECRET], ['/elsewhere', site.otherPort, undefined], ['/v1/long', site.port, SECRET]]);
    assert.match(t[1], /\[The text has 60000 bytes: the rest was left out\. Ask for less of it\.\]$/);
  });

  test('what changes something waits where risk is asked about; an operation has its own mode', async () => {
    site.seen.length = 0;
    const a = await agent({ apis: [{ id: pets.id, operations: ['getPet', 'addPet', 'removePet'], approval: { removePet: 'never' } }], approval: { default: 'risky' } });
    const c = await w.conversation({ agent_id: a.id });
    const sent = await w.send(`go ${model.script(call(['pet_store_getPet', { id: '1' }], ['pet_store_addPet', { name: 'Rex' }], ['pet_store_removePet', { id: '2' }]), say('ok'))}`, { conversation: c });
    let items = [];
    while (items.length === 0) {
      await sleep(20);
      ({ items } = await w.ok('GET', `/api/approvals?execution_id=${sent.id}&status=pending`));
    }
    assert.equal(items[0].summary, `POST ${site.url}/v1/pets`);
    assert.deepEqual(site.seen.map((r) => r.method).sort(), ['DELETE', 'GET']);
    await w.ok('POST', `/api/approvals/${items[0].id}`, { decision: 'approve', hash: items[0].hash });
    assert.equal((await w.ended(sent.id)).status, 'succeeded');
    assert.equal(site.seen.at(-1).body, '{"name":"Rex"}');
  });

  test('an approval is for the operation as it was: after a change it is asked again', async () => {
    site.seen.length = 0;
    const a = await agent({ ...uses(pets, 'addPet'), approval: { default: 'always' } });
    const c = await w.conversation({ agent_id: a.id });
    const sent = await w.send(`go ${model.script(call(['pet_store_addPet', { name: 'Rex' }]), say('ok'))}`, { conversation: c });
    const pending = async (n) => {
      for (;;) {
        const { items } = await w.ok('GET', `/api/approvals?execution_id=${sent.id}`);
        if (items.length === n && items.some((x) => x.status === 'pending')) return items.find((x) => x.status === 'pending');
        await sleep(20);
      }
    };
    const first = await pending(1);
    const now = await w.ok('GET', `/api/apis/${pets.id}`);
    const moved = await good(200, as('admin', 'PATCH', `/api/apis/${pets.id}`, { base_url: `${site.url}/v2` }, { 'if-match': `"${now.version}"` }));
    assert.ok(moved.schemes[0].set, 'the same server keeps its credentials');
    await w.ok('POST', `/api/approvals/${first.id}`, { decision: 'approve', hash: first.hash });
    const second = await pending(2);
    assert.equal(second.summary, `POST ${site.url}/v2/pets`);
    assert.equal(site.seen.length, 0);
    await w.ok('POST', `/api/approvals/${second.id}`, { decision: 'approve', hash: second.hash });
    await w.ended(sent.id);
    assert.deepEqual(site.seen.map((r) => r.url), ['/v2/pets']);
    await good(200, as('admin', 'PATCH', `/api/apis/${pets.id}`, { server: 0 }, { 'if-match': '*' }));
  });

  test('a call that may have changed something is made once, whatever is killed; others are made again', async () => {
    site.seen.length = 0;
    const a = await agent(uses(pets, 'hang', 'hangPut', 'hangGet'));
    const c = await w.conversation({ agent_id: a.id });
    const sent = await w.send(`go ${model.script(call(['pet_store_hang', {}], ['pet_store_hangPut', {}], ['pet_store_hangGet', {}]), say('ok'))}`, { conversation: c });
    while (site.seen.length < 3) await sleep(10);
    await w.agent.kill();
    site.hangs = false;
    await w.agent.start();
    const e = await w.ended(sent.id);
    const t = await texts(e);
    assert.match(t[0], /may have been done or not/);
    assert.match(t[1], /^Status: 200/);
    assert.match(t[2], /^Status: 200/);
    assert.deepEqual(site.seen.map((r) => r.method).sort(), ['GET', 'GET', 'POST', 'PUT', 'PUT']);
  });

  test('an API is used by those whom it is shared with, as long as it is', async () => {
    assert.equal((await as('vic', 'GET', '/api/apis')).status, 403);
    assert.equal((await as('ann', 'GET', `/api/apis/${pets.id}`)).status, 404);
    const a = await agent({ ...uses(pets, 'getPet') });
    await w.ok('PUT', `/api/agents/${a.id}/shares`, { shares: [{ role: 'member', rights: ['use'] }] });
    const script = () => model.script(call(['pet_store_getPet', { id: '1' }]), say('ok'));
    const run = async () => {
      const c = await good(201, as('ann', 'POST', '/api/conversations', { agent_id: a.id }));
      const sent = await good(202, as('ann', 'POST', `/api/conversations/${c.id}/messages`, { content: `go ${script()}` }));
      return (await texts(await w.ended(sent.id)))[0];
    };
    assert.match(await run(), /There is no tool "pet_store_getPet"/);
    await w.ok('PUT', `/api/apis/${pets.id}/shares`, { shares: [{ role: 'operator', rights: ['use'] }] });
    assert.match(await run(), /not shared with the user/);
    await w.ok('PUT', `/api/apis/${pets.id}/shares`, { shares: [{ role: 'member', rights: ['use'] }] });
    assert.match(await run(), /^Status: 200/);
    const seen = await good(200, as('ann', 'GET', `/api/apis/${pets.id}`));
    assert.deepEqual(seen.rights, ['use']);
    assert.equal((await as('ann', 'PATCH', `/api/apis/${pets.id}`, { name: 'Mine' }, { 'if-match': '*' })).status, 403);
    assert.equal((await as('ann', 'DELETE', `/api/apis/${pets.id}`)).status, 403);
    assert.equal((await as('ann', 'PUT', `/api/apis/${pets.id}/shares`, { shares: [] })).status, 403);
    assert.equal((await as('ann', 'PUT', `/api/apis/${pets.id}/document`, { document: petDocument(site.url) })).status, 403);
    await w.ok('PUT', `/api/apis/${pets.id}/shares`, { shares: [] });
  });

  test('credentials go to no other server than the one that they were set for', async () => {
    let s = await good(201, as('admin', 'POST', '/api/apis', { name: 'Own', document: petDocument(site.url), credentials: { key: { value: SECRET } } }));
    assert.equal((await as('admin', 'PATCH', `/api/apis/${s.id}`, { name: 'x' }, { 'if-match': '"99"' })).status, 412);
    s = await good(200, as('admin', 'PATCH', `/api/apis/${s.id}`, { base_url: `http://127.0.0.1:${site.otherPort}/` }, { 'if-match': `"${s.version}"` }));
    assert.deepEqual([s.base_url, s.schemes[0].set], [`http://127.0.0.1:${site.otherPort}`, false]);
    const { texts: t } = await told(uses(s, 'getPet'), [['own_getPet', { id: '1' }]]);
    assert.match(t[0], /needs credentials that were not set/);
    s = await good(200, as('admin', 'PATCH', `/api/apis/${s.id}`, { credentials: { key: { value: 'short' } } }, { 'if-match': '*' }));
    assert.equal(s.schemes[0].end, '');
    s = await good(200, as('admin', 'PATCH', `/api/apis/${s.id}`, { credentials: { key: null } }, { 'if-match': '*' }));
    assert.equal(s.schemes[0].set, false);
    for (const credentials of [{ nobody: { value: 'x' } }, { key: 'x' }, { key: { value: 'a\nb' } }, { login: { username: 'a:b', password: 'c' } }])
      assert.equal((await as('admin', 'PATCH', `/api/apis/${s.id}`, { credentials }, { 'if-match': '*' })).status, 422, JSON.stringify(credentials));
    for (const base_url of ['http://169.254.169.254/', 'http://10.0.0.1', 'ftp://x', 'https://a:b@c/', 'https://a/?x=1', 'http://127.0.0.1:22'])
      assert.equal((await as('admin', 'PATCH', `/api/apis/${s.id}`, { base_url }, { 'if-match': '*' })).status, 422, base_url);
    await good(204, as('admin', 'DELETE', `/api/apis/${s.id}`));
  });

  test('a document is read from its address, and again', async () => {
    site.document = petDocument(site.url);
    let s = await good(201, as('ben', 'POST', '/api/apis', { url: `${site.url}/openapi.yaml`, slug: 'remote' }));
    assert.equal(s.operations.length, 11);
    site.document = site.document.replace('operationId: moved', 'operationId: movedAgain');
    s = await good(200, as('ben', 'PUT', `/api/apis/${s.id}/document`));
    assert.ok(s.operations.some((o) => o.name === 'movedAgain') && !s.operations.some((o) => o.name === 'moved'));
    assert.equal((await good(422, as('ben', 'PUT', `/api/apis/${s.id}/document`, { url: `${site.url}/nothing` }))).code, 'document_not_fetched');
    assert.equal((await good(422, as('ben', 'POST', '/api/apis', { url: 'http://169.254.169.254/openapi.yaml' }))).code, 'document_not_fetched');
    assert.equal((await good(422, as('ben', 'PUT', `/api/apis/${pets.id}/document`))).code, 'invalid_field');
    await good(204, as('ben', 'DELETE', `/api/apis/${s.id}`));
  });

  test('a document of 200 operations, and hostile ones', async () => {
    const started = Date.now();
    const large = await good(201, as('admin', 'POST', '/api/apis', { document: JSON.stringify(largeDocument(200)) }));
    console.log(`# 200 operations were read and stored in ${Date.now() - started} ms`);
    assert.equal(large.operations.length, 200);
    assert.deepEqual(large.operations.filter((o) => o.problem), []);
    const head = { openapi: '3.1.0', info: { title: 'x', version: '1' }, servers: [{ url: 'https://x.example' }] };
    const refused = async (document, code) => {
      const r = await as('admin', 'POST', '/api/apis', { document });
      assert.equal(r.status, code === 'body_too_large' ? 413 : 422, r.text.slice(0, 300));
      if (code) assert.equal(r.body.code, code, r.text.slice(0, 300));
    };
    await refused('x'.repeat(10 << 20), 'invalid_field');
    await refused('x'.repeat(13 << 20), 'body_too_large');

    await refused(`${'{"a":'.repeat(100000)}1${'}'.repeat(100000)}`, 'json_too_deep');
    await refused('['.repeat(100000), 'json_too_deep');
    await refused(`a: ${'['.repeat(100000)}`, 'yaml_invalid');
    await refused(`a: &a [x,x]\n${Array.from({ length: 40 }, (_, i) => `b${i}: &b${i} [*${i ? `b${i - 1}` : 'a'},*${i ? `b${i - 1}` : 'a'}]`).join('\n')}\n`, 'yaml_invalid');
    await refused('{"swagger":"2.0","paths":{}}', 'document_version');
    await refused(JSON.stringify({ ...head, paths: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`/${i}`, { get: {} }])) }), 'document_too_large');
    await refused(JSON.stringify({ ...head, servers: [], paths: { '/': { get: {} } } }), 'base_url_needed');
    await refused(JSON.stringify({ ...head, servers: [{ url: 'http://localhost@10.0.0.1' }], paths: { '/': { get: {} } } }), 'url_invalid');
    // One bad operation does not spoil the others.
    const odd = await good(201, as('admin', 'POST', '/api/apis', {
      document: JSON.stringify({ ...head, paths: { '/a': { get: { parameters: [{ $ref: '#/a/b' }] }, put: 'x', post: { requestBody: [] } }, '/b': [], '/c': { $ref: 'other.yaml' }, '/d': { get: {} } } }),
    }));
    assert.deepEqual(odd.operations.map((o) => [o.name, !!o.problem]), [['get_a', true], ['post_a', false], ['get_d', false]]);
    await good(204, as('admin', 'DELETE', `/api/apis/${odd.id}`));
    await good(204, as('admin', 'DELETE', `/api/apis/${large.id}`));
  });

  test('an agent names operations that can be told apart', async () => {
    for (const apis of [[{ id: 'x', operations: [] }], [{ id: pets.id }], [{ id: pets.id, operations: [1] }], [{ id: pets.id, operations: ['a'], approval: { b: 'never' } }],
      [{ id: pets.id, operations: ['a'], approval: { a: 'sometimes' } }], [{ id: pets.id, operations: Array.from({ length: 49 }, (_, i) => `o${i}`) }]])
      assert.equal((await w.api('POST', '/api/agents', { name: 'bad', apis })).status, 422, JSON.stringify(apis).slice(0, 200));
  });
});

class Site {
  seen = [];
  hangs = true;
  document = '';

  async open() {
    const serve = (other) => http.createServer(async (req, res) => {
      const chunks = [];
      for await (const c of req) chunks.push(c);
      const port = req.socket.localPort, body = Buffer.concat(chunks).toString();
      if (req.url === '/openapi.yaml') return res.end(this.document);
      if (req.url === '/nothing') return res.writeHead(404).end();
      this.seen.push({ method: req.method, url: req.url, headers: req.headers, body, port });
      const path = req.url.replace(/^\/v\d/, '');
      if (path === '/moved') return res.writeHead(302, { location: `http://127.0.0.1:${this.otherPort}/elsewhere` }).end();
      if (path === '/long') return res.writeHead(200, { 'content-type': 'text/plain' }).end('x'.repeat(60000));
      if (path === '/hang' && this.hangs) return undefined;
      return res.writeHead(req.method === 'POST' && !other ? 201 : 200, { 'content-type': 'application/json' }).end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, body }));
    });
    this.servers = [serve(false), serve(true)];
    for (const s of this.servers) await new Promise((done) => s.listen(0, '127.0.0.1', done));
    [this.port, this.otherPort] = this.servers.map((s) => s.address().port);
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  async close() {
    for (const s of this.servers) {
      s.closeAllConnections();
      await new Promise((done) => s.close(done));
    }
  }
}
