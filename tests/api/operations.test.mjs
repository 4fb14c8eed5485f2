// The commands of docs/operations.md, from top to bottom.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { hasMysql, hasPostgres, makeMysql, makePostgres, mysql, psql } from '../lib/databases.mjs';
import { ADMIN, freePort, ogent, request, startPlatform, startRole } from '../lib/platform.mjs';
import { ask, ended, newConversation } from '../lib/runs.mjs';

const manual = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');

// Where the databases are is what these tests are about.
for (const name of ['OGENT_TEST_AGENT_DB', 'OGENT_TEST_AUTH_DB']) delete process.env[name];

// The blocks that begin with ```sh and `kind`.
const blocks = (kind = '') => [...manual.matchAll(/^```sh *(\w*)\n([\s\S]*?)^```$/gm)].filter((m) => m[1] === kind).map((m) => m[2]);

// Runs a script as a person would type it, each command shown. Returns its output; fails when a command fails.
function shell(script, env) {
	return new Promise((done, fail) =>
		execFile('bash', ['-c', `set -euo pipefail; set -x\n${script}`], { env, maxBuffer: 1 << 26 }, (e, out, err) =>
			e ? fail(new Error(`${e.message.slice(0, 80)}\n${err.slice(-4000)}`)) : done({ out, err }),
		),
	);
}

const kept = Object.fromEntries(['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LANG'].filter((n) => process.env[n]).map((n) => [n, process.env[n]]));

describe('docs/operations.md', () => {
	test('every fenced block is a command that is run', () => {
		const all = [...manual.matchAll(/^```(.*)$/gm)].map((m) => m[1]);
		assert.ok(all.every((info) => ['', 'sh', 'sh postgres', 'sh mysql'].includes(info)), all.join());
		assert.equal(all.filter(Boolean).length, blocks().length + blocks('postgres').length + blocks('mysql').length);
		assert.ok(blocks().length > 15);
	});

	test('the commands for the embedded platform do what they say', async () => {
		const home = mkdtempSync(join(tmpdir(), 'ogent-ops-')), data = join(home, 'd'), bin = join(home, 'bin');
		const metrics = await freePort();
		const env = {
			...kept, PATH: `${bin}:${process.env.PATH}`, HOME: home, OGENT_DATA: data, BACKUPS: join(home, 'backups'), NEW: ogent,
			METRICS: `127.0.0.1:${metrics}`, OGENT_PASSWORD_MEMORY: '7', OGENT_PASSWORD_TIME: '5', OGENT_LOG_FORMAT: 'json',
		};
		mkdirSync(bin);
		copyFileSync(ogent, join(bin, 'ogent'));
		try {
			// A platform that has been used a little.
			const p = await startPlatform({ data });
			const { port } = p.where();
			env.OGENT_LISTEN = `127.0.0.1:${port}`;
			await p.setUp();
			const token = (await p.login(ADMIN)).access_token;
			const { refresh_token: session } = await p.login(ADMIN);
			const execution = await ended(p, () => token, (await ask(p, () => token, await newConversation(p, () => token), 'run: echo before')).id);
			const kids = async () => (await request({ host: '127.0.0.1', port }, 'GET', '/.well-known/jwks.json')).body.keys.map((k) => k.kid);
			const [oldKid] = await kids();
			const oldKeys = Object.fromEntries(readdirSync(join(data, 'secrets')).map((n) => [n, readFileSync(join(data, 'secrets', n), 'utf8')]));
			await p.stop();

			const { out } = await shell(blocks().join('\n'), env);

			// It runs again, with all that was there before it was saved, restored, upgraded and given new keys.
			const api = (method, path, options) => request({ host: '127.0.0.1', port }, method, path, options);
			const fresh = (await api('POST', '/api/auth/login', { body: { email: ADMIN.email, password: ADMIN.password } })).body.access_token;
			assert.equal((await api('GET', `/api/executions/${execution.id}`, { token: fresh })).body.output, execution.output);
			assert.match(out, /run: echo before/, 'ogent history showed it');
			assert.equal(readdirSync(env.BACKUPS).length, 2);
			assert.ok(!existsSync(`${data}.old`) && !existsSync(`${data}.new`));
			// What seals and chains what is stored stays.
			for (const [name, text] of Object.entries(oldKeys)) if (/\.key$|cli\.token/.test(name) && !/^(auth-(keys|audit|sso|factors)|agent-models)\.key$/.test(name)) assert.notEqual(readFileSync(join(data, 'secrets', name), 'utf8'), text, name);
			assert.ok(!(await kids()).includes(oldKid), 'the leaked key is not published any more');
			assert.equal((await api('GET', '/api/auth/me', { token })).status, 401);
			assert.equal((await api('POST', '/api/auth/refresh', { body: { refresh_token: session } })).status, 401);
			assert.match(out, /^ogent_up\{service="agent"\} 1$/m);
			assert.match(out, /"service":"socket".*"trace_id"|"trace_id".*"service":"socket"/);
		} finally {
			await shell('if [ -e "$OGENT_DATA/run/up.json" ]; then kill "$(cat "$OGENT_DATA/run/up.lock")"; flock "$OGENT_DATA/run/up.lock" true; fi', env);
			assert.doesNotMatch(existsSync(join(data, 'log/ogent.log')) ? readFileSync(join(data, 'log/ogent.log'), 'utf8') : '', /AddressSanitizer|LeakSanitizer|runtime error:/);
			rmSync(home, { recursive: true, force: true });
		}
	});

	test('the commands for PostgreSQL bring conversations into another database', { skip: !hasPostgres && 'no PostgreSQL is there' }, async () => {
		const [from, to] = [await makePostgres('operations_from'), await makePostgres('operations_to')];
		const home = mkdtempSync(join(tmpdir(), 'ogent-ops-'));
		const p = await startPlatform({ env: { OGENT_AGENT_DB_URL: from } });
		await p.setUp();
		const token = (await p.login(ADMIN)).access_token;
		const execution = await ended(p, () => token, (await ask(p, () => token, await newConversation(p, () => token), 'run: echo before')).id);
		await shell(blocks('postgres').join('\n'), { ...kept, PATH: process.env.PATH, BACKUPS: home, AGENT_DB: from, NEW_AGENT_DB: to });
		await p.kill('SIGTERM');
		p.env.OGENT_AGENT_DB_URL = to;
		await p.start();
		const again = (await p.login(ADMIN)).access_token;
		assert.equal((await p.api('GET', `/api/executions/${execution.id}`, undefined, again)).body.output, execution.output);
		assert.equal(await psql(to, 'select count(*) from executions'), await psql(from, 'select count(*) from executions'));
		await p.stop();
		rmSync(home, { recursive: true, force: true });
	});

	test('the commands for MySQL and MariaDB bring accounts into another database', { skip: !hasMysql && 'no MariaDB is there' }, async () => {
		const [from, to] = [await makeMysql('operations_from'), await makeMysql('operations_to')];
		const server = new URL(process.env.OGENT_TEST_MYSQL);
		const home = mkdtempSync(join(tmpdir(), 'ogent-ops-'));
		const auth = await startRole('auth', { env: { OGENT_AUTH_DB_URL: from } });
		await auth.setUp();
		await shell(blocks('mysql').join('\n'), {
			...kept, PATH: process.env.PATH, BACKUPS: home, AUTH_DB: 'operations_from', NEW_AUTH_DB: 'operations_to',
			MYSQL: `--no-defaults --host=${server.hostname} --port=${server.port} --user=${server.username} --skip-ssl`,
		});
		await auth.kill('SIGTERM');
		auth.env.OGENT_AUTH_DB_URL = to;
		await auth.start();
		assert.ok((await auth.login(ADMIN)).access_token);
		assert.equal(await mysql(process.env.OGENT_TEST_MYSQL, 'select count(*) from operations_to.users'), await mysql(process.env.OGENT_TEST_MYSQL, 'select count(*) from operations_from.users'));
		await auth.stop();
		rmSync(home, { recursive: true, force: true });
	});
});
