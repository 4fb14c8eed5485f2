// The commands of docs/deploy.md for backup and restore: everything of a deployment is removed, and a fresh one has it back.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { ADMIN } from '../lib/platform.mjs';
import { ask, ended, eventsOf, newConversation } from '../lib/runs.mjs';
import { api, compose, docker, exec, healthy, where } from './compose.mjs';

const manual = readFileSync(join(import.meta.dirname, '../../docs/deploy.md'), 'utf8');
const blocks = (kind = '') => [...manual.matchAll(/^```sh *(\w*)\n([\s\S]*?)^```$/gm)].filter((m) => m[1] === kind).map((m) => m[2]);
const platform = { api, where: () => where };
const home = mkdtempSync(join(tmpdir(), 'ogent-restore-'));
const env = { ...process.env, COMPOSE: `docker-compose ${process.env.DEPLOY_COMPOSE}`, BACKUP: join(home, 'backup') };

const run = (kind) => promisify(execFile)('sh', ['-c', `set -eux\n${blocks().join('\n')}\n${blocks(kind).join('\n')}`], { env, maxBuffer: 64 << 20 });
const volumes = async () => (await docker('volume', 'ls', '-q', '--filter', 'label=com.docker.compose.project=ogent-deploy-test')).split('\n').filter(Boolean);
const logIn = async () => {
  const r = await api('POST', '/api/auth/login', { email: ADMIN.email, password: ADMIN.password });
  assert.equal(r.status, 200, r.text);
  return r.body;
};

before(async () => {
  await compose('up', '-d');
  await healthy();
  if (!(await api('GET', '/api/auth/setup')).body.needed) return;
  const token = (await exec('ogent-auth-service', '/ogent', 'setup-link')).match(/#token=(\S+)/)[1];
  assert.equal((await api('POST', '/api/auth/setup', { token, ...ADMIN })).status, 201);
});
after(() => rmSync(home, { recursive: true, force: true }));

test('a backup makes a fresh deployment the same: people, sessions, history with output, workspaces, and runs go on', { timeout: 600000 }, async (t) => {
  const session = await logIn();
  let token = () => session.access_token;
  const conversation = await newConversation(platform, token);
  const { id } = await ask(platform, token, conversation, 'run: echo kept in the backup; echo in the workspace > note');
  const execution = await ended(platform, token, id);
  assert.equal(execution.status, 'succeeded', JSON.stringify(execution));
  const all = await eventsOf(platform, token, id);
  const keys = (await api('GET', '/.well-known/jwks.json')).body;
  const output = `/api/commands/${execution.calls[0].command_id}/output`;

  let start = performance.now();
  const lap = (what) => (t.diagnostic(`${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`), (start = performance.now()));
  await run('backup');
  lap('backup');
  t.diagnostic(readdirSync(env.BACKUP).map((f) => `${f} ${Math.ceil(statSync(join(env.BACKUP, f)).size / 1024)} KiB`).join(', '));
  assert.equal(statSync(env.BACKUP).mode & 0o777, 0o700);

  // Made after the backup: it must not be there any more.
  const late = await ask(platform, token, conversation, 'run: echo after the backup');
  await ended(platform, token, late.id);
  await compose('down', '-v', '--timeout', '10');
  assert.deepEqual(await volumes(), []);
  rmSync(process.env.OGENT_SECRETS_DIR, { recursive: true });

  start = performance.now();
  await run('restore');
  await healthy();
  lap('restore, up to healthy');

  assert.deepEqual((await api('GET', '/.well-known/jwks.json')).body, keys, 'the keys that tokens are signed with');
  assert.equal((await api('GET', '/api/auth/me', undefined, session.access_token)).status, 200, 'a token from before is good');
  const renewed = await api('POST', '/api/auth/refresh', { refresh_token: session.refresh_token });
  assert.equal(renewed.status, 200, `the session goes on: ${renewed.text}`);
  const again = await logIn();
  assert.equal(again.user.id, session.user.id);
  token = () => again.access_token;

  const history = (await api('GET', '/api/executions?limit=200', undefined, token())).body.items.map((e) => e.id);
  assert.ok(history.includes(id) && !history.includes(late.id));
  assert.deepEqual((await api('GET', `/api/executions/${id}`, undefined, token())).body, execution);
  assert.deepEqual(await eventsOf(platform, token, id), all);
  assert.equal((await api('GET', output, undefined, token())).text, 'kept in the backup\n', 'exec has the command\'s output');

  const next = await ask(platform, token, conversation, 'run: cat note; echo new >> note; wc -l < note');
  const end = await ended(platform, token, next.id);
  assert.equal(end.status, 'succeeded', JSON.stringify(end));
  assert.equal(end.calls[0].output, 'in the workspace\n2\n');
});
