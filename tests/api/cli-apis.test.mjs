// `ogent apis`, as somebody uses it who has its help and a document.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { runCli } from '../lib/cli.mjs';
import { startPlatform } from '../lib/platform.mjs';

const SECRET = 'sk-a-secret-of-the-shop-0123456789';
const home = mkdtempSync(join(tmpdir(), 'ogent-cli-apis-'));
const file = (name, text) => {
  writeFileSync(join(home, name), text);
  return join(home, name);
};

const shop = (title, more = '') => `
openapi: 3.1.0
info: {title: ${title}, version: '1'}
servers: [{url: 'https://shop.example/v1'}]
security: [{key: []}]
paths:
  /orders/{id}:
    get: {operationId: getOrder, summary: One order, parameters: [{name: id, in: path, required: true, schema: {type: string}}]}
  /files:
    post: {operationId: sendFile, requestBody: {required: true, content: {multipart/form-data: {}}}}
${more}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Api-Key}
    login: {type: http, scheme: basic}
`;

describe('ogent apis', { timeout: 120000 }, () => {
  let p;
  before(async () => {
    p = await startPlatform();
    while (!existsSync(join(p.data, 'run/address'))) await sleep(20);
  });
  after(async () => {
    await p?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  const apis = (args, { env = {}, ...options } = {}) => runCli(args, { ...options, env: { HOME: home, OGENT_DATA: p.data, ...env } });
  const ok = async (args, options) => {
    const r = await apis(['apis', ...args], options);
    assert.equal(r.code, 0, `${args}: ${r.err}`);
    return r.out;
  };
  const fails = async (args, why, options) => {
    const r = await apis(['apis', ...args], options);
    assert.notEqual(r.code, 0, `${args}: ${r.out}`);
    assert.match(r.err, why);
    assert.doesNotMatch(r.err, new RegExp(SECRET));
    return r;
  };

  test('its help names every verb and option', async () => {
    const { code, out } = await apis(['help', 'apis']);
    assert.equal(code, 0);
    for (const word of ['list', 'show API', 'add FILE|URL', 'read API', 'credentials API SCHEME', 'share API ROLE', 'remove API', '--name', '--slug', '--address', '--user', '--file', 'OGENT_API_SECRET'])
      assert.ok(out.includes(word), `the help says nothing of ${word}`);
    assert.match((await apis(['help'])).out, /^\s+apis\b/m);
  });

  test('at first there is none, and that is said', async () => {
    assert.match((await apis(['apis'])).err, /There is no API yet\./);
    assert.deepEqual(JSON.parse(await ok(['list', '--json'])), []);
  });

  test('what is wrong is said with what to do', async () => {
    await fails(['add'], /ogent help apis/);
    await fails(['frobnicate'], /ogent help apis/);
    await fails(['add', join(home, 'none.yaml')], /none\.yaml.*No such file/);
    await fails(['add', file('notes.yaml', 'just: notes')], /OpenAPI/);
    await fails(['add', file('broken.json', '{"openapi": ')], /JSON|YAML/);
    await fails(['show', 'shop'], /`ogent apis` lists them/);
    await fails(['add', 'http://127.0.0.1:9/openapi.json'], /\S/);
    assert.equal(await ok([]), '');
  });

  test('a document becomes an API, and what cannot be called is marked', async () => {
    const out = await ok(['add', file('shop.yaml', shop('Corner Shop')), '--slug', 'shop']);
    assert.match(out, /^shop {2}Corner Shop\nhttps:\/\/shop\.example\/v1\n/);
    assert.match(out, /^credentials key +api_key.* not set/m);
    assert.match(out, /^ {2}getOrder +GET +\/orders\/\{id\} +One order/m);
    assert.match(out, /^! sendFile +POST +\/files +\S/m);
    assert.match(await ok([]), /^shop +https:\/\/shop\.example\/v1 +.*Corner Shop$/m);
    assert.equal(await ok(['show', 'shop']), out);
    await fails(['add', join(home, 'shop.yaml'), '--slug', 'shop'], /slug/);
  });

  test('a document comes by stdin, with a name and an address of its own', async () => {
    const out = await ok(['add', '-', '--name', 'Second Shop', '--slug', 'second', '--address', 'https://other.example/api'], { input: shop('Ignored') });
    assert.match(out, /^second {2}Second Shop\nhttps:\/\/other\.example\/api\n/);
    assert.equal(JSON.parse(await ok(['list', '--json'])).length, 2);
  });

  test('credentials come from the environment or a line, and are never shown', async () => {
    await ok(['credentials', 'shop', 'key'], { env: { OGENT_API_SECRET: SECRET } });
    const shown = await ok(['show', 'shop']);
    assert.match(shown, /^credentials key +api_key.* set …6789$/m);
    assert.doesNotMatch(shown, new RegExp(SECRET));
    await ok(['credentials', 'shop', 'login', '--user', 'me'], { input: `${SECRET}\n` });
    assert.match(await ok(['show', 'shop']), /^credentials login +.* set …/m);
    await fails(['credentials', 'shop', 'nosuch'], /nosuch|scheme|credential/i, { input: `${SECRET}\n` });
    await ok(['credentials', 'shop', 'key'], { input: '\n' });
    assert.match(await ok(['show', 'shop']), /^credentials key +.* not set/m);
  });

  test('the document is read again from a file', async () => {
    const out = await ok(['read', 'shop', '--file', file('shop2.yaml', shop('Corner Shop', '  /stock: {get: {operationId: getStock}}'))]);
    assert.match(out, /^ {2}getStock +GET +\/stock/m);
    assert.match(out, /^credentials login +.* set …/m);
    await fails(['read', 'shop'], /address|document/);
  });

  test('it is shared with a role, and taken back', async () => {
    await ok(['share', 'shop', '*', 'use']);
    assert.deepEqual(JSON.parse(await ok(['show', 'shop', '--json'])).shares, [{ role: '*', rights: ['use'] }]);
    await fails(['share', 'shop', '*', 'own'], /rights|use, edit/);
    await ok(['share', 'shop', '*']);
    assert.deepEqual(JSON.parse(await ok(['show', 'shop', '--json'])).shares, []);
  });

  test('it is removed by its short name', async () => {
    await ok(['remove', 'second']);
    assert.doesNotMatch(await ok([]), /^second/m);
    await fails(['remove', 'second'], /`ogent apis` lists them/);
  });
});
