import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { totp } from '../lib/authenticator.mjs';
import { runCli } from '../lib/cli.mjs';
import { ADMIN, freePort, ogent, startPlatform } from '../lib/platform.mjs';

const home = mkdtempSync(join(tmpdir(), 'ogent-cli-'));
after(() => rmSync(home, { recursive: true, force: true }));

// Runs `ogent ARGS`. options: {input, env, onStarted(child), data}. Returns {code, out, err}.
const cli = (args, { env = {}, data, ...options } = {}) => runCli(args, { ...options, env: { HOME: home, ...(data && { OGENT_DATA: data }), ...env } });

async function until(what, limit = 15000) {
	for (const end = Date.now() + limit; ; await sleep(20)) {
		const value = await what();
		if (value) return value;
		assert.ok(Date.now() < end, `waited too long for ${what}`);
	}
}

const roleOf = (data, name) =>
	JSON.parse(readFileSync(join(data, 'run/up.json'), 'utf8')).roles.find((r) => r.role === name);
const isAlive = (pid) => existsSync(`/proc/${pid}/exe`) || false;

// The platform, and the address that it leaves for the command line. A test that fails leaves none behind.
async function start(t) {
	const p = await startPlatform();
	t?.after(() => p.kill());
	await until(() => existsSync(join(p.data, 'run/address')));
	return p;
}

describe('approvals', () => {
	test('list, approve, answer and edit on the command line', async (t) => {
		const p = await start(t);
		const token = await p.localToken();
		const made = await p.api('POST', '/api/agents', { name: 'Careful', tools: ['shell'], approval: { default: 'always' } }, token);
		assert.equal(made.status, 201, made.text);
		for (const [decide, output] of [[(id) => ['approve', id], 'right'], [(id) => ['edit', id, 'echo left'], 'left'], [(id) => ['reject', id, 'Not now.'], null]]) {
			let running;
			const chat = cli(['chat', '--agent', 'careful', 'run: echo right'], { data: p.data, onStarted: (child, result) => (running = result) });
			const [, id] = await until(() => running.err.match(/waits for you: ogent approvals \S+ (\S+)\]/));
			const list = await cli(['approvals'], { data: p.data });
			assert.match(list.out, new RegExp(`^${id}  call .*echo right`, 'm'));
			const r = await cli(['approvals', ...decide(id)], { data: p.data });
			assert.equal(r.code, 0, r.err);
			const done = await chat;
			assert.equal(done.code, 0, done.err);
			if (output) assert.match(done.err, new RegExp(`^${output}$`, 'm'));
			else assert.match(done.err, /rejected|Not now/);
			assert.equal((await cli(['approvals', 'reject', id, 'late'], { data: p.data })).code === 0, output === null);
		}
		assert.equal((await cli(['approvals'], { data: p.data })).out, '');
		assert.equal((await cli(['approvals', 'burn', 'x'], { data: p.data })).code, 2);
		await p.stop();
	});

	test('a batch from a file', async (t) => {
		const p = await start(t);
		const file = join(home, 'people.csv');
		writeFileSync(file, 'name\nAda\nBob\n');
		assert.match((await cli(['batches'], { data: p.data })).err, /There is no batch/);
		const made = await cli(['batches', 'add', 'Greetings', 'Greet {{name}}', file, '--concurrency', '2'], { data: p.data });
		assert.equal(made.code, 0, made.err);
		const [id] = made.out.split(' ');
		await until(async () => /ended/.test((await cli(['batches', 'show', id], { data: p.data })).out));
		assert.match((await cli(['batches', 'results', id], { data: p.data })).out, /^ +1  succeeded .*\n +2  succeeded /);
		const rows = (await cli(['batches', 'results', id, '--json'], { data: p.data })).out.trim().split('\n').map((l) => JSON.parse(l));
		assert.deepEqual(rows.map((r) => r.data.name), ['Ada', 'Bob']);
		const wrong = await cli(['batches', 'add', 'X', '{{surname}}', file], { data: p.data });
		assert.match(wrong.err, /Row 1.*surname/);
		assert.equal((await cli(['batches', 'add', 'X', 'y', file, '--agent', 'nobody'], { data: p.data })).code, 2);
		assert.equal((await cli(['batches', 'remove', id], { data: p.data })).code, 0);

		// Evaluation sets, on the same platform.
		const ev = (...args) => cli(['evaluations', ...args], { data: p.data });
		const cases = join(home, 'cases.csv');
		writeFileSync(cases, 'input,expected\n"run: echo plum",plum\n"run: echo pear",apple\n');
		assert.match((await ev()).err, /There is no evaluation set/);
		const set = await ev('add', 'Fruit', '[{"type":"contains"},{"type":"tool_called","tool":"shell"}]', cases);
		assert.match(set.out, /^\S+ +2 cases +2 graders +Fruit$/m, set.err);
		assert.equal((await ev('add', 'Bad', '[{"type":"guess"}]', cases)).code, 1);
		const first = await ev('run', 'Fruit', '--wait');
		assert.deepEqual([first.code, /1 passed, 1 failed, 0 open +50\.0 %/.test(first.out)], [1, true], first.out + first.err);
		const [run] = first.out.split(' ');
		assert.match((await ev('results', run)).out, /^ +1\.1  passed .*\n +2\.1  failed .*The answer does not have it/);
		assert.equal(JSON.parse((await ev('results', run, '--failed', '--json')).out).case, 2);
		const lines = (await ev('cases', 'Fruit')).out.trim().split('\n').map((l) => JSON.parse(l));
		assert.deepEqual(lines.map((l) => l.expected), ['plum', 'apple']);
		const second = await ev('run', 'Fruit', '--wait', '--repeats', '2');
		const compared = await ev('compare', run, second.out.split(' ')[0]);
		assert.match(compared.out, /0 improved, 0 worse, 1 passed in both, 1 in none, 0 left out; p = 1$/m);
		lines[1].expected = 'pear';
		writeFileSync(join(home, 'cases.jsonl'), lines.map((l) => JSON.stringify(l)).join('\n'));
		assert.match((await ev('import', 'Fruit', join(home, 'cases.jsonl'))).err, /0 cases are new, 2 changed/);
		assert.equal((await ev('run', 'Fruit', '--wait')).code, 0);
		assert.equal((await ev('runs', 'Fruit')).out.trim().split('\n').length, 3);
		assert.equal((await ev('remove', 'Fruit')).code, 0);
		await p.stop();
	});

	test('a file goes along with a message', async (t) => {
		const p = await start(t);
		const file = join(home, 'notes.txt');
		writeFileSync(file, 'the word is plum');
		const r = await cli(['run', '--attach', file, 'What does it say?', '--json'], { data: p.data });
		assert.equal(r.code, 0, r.err);
		const id = /"conversation_id":"([^"]+)"/.exec(r.out)[1];
		const [m] = (await p.api('GET', `/api/conversations/${id}/messages`, undefined, await p.localToken())).body.items;
		assert.deepEqual(m.attachments.map((f) => [f.name, f.size]), [['notes.txt', 16]]);
		const none = await cli(['run', '--attach', join(home, 'none'), 'x'], { data: p.data });
		assert.equal(none.code, 1);
		assert.match(none.err, /No such file/);
		await p.stop();
	});

	test('who confirms what he approves is asked for a code', async (t) => {
		const p = await start(t);
		await p.setUp();
		const token = (await p.login(ADMIN)).access_token;
		const begun = (await p.api('POST', '/api/auth/factors/totp', {}, token)).body;
		const on = await p.api('POST', '/api/auth/factors/totp/confirm', { ticket: begun.ticket, code: totp(begun.secret, Date.now() - 30000) }, token);
		assert.equal((await p.api('PATCH', '/api/auth/factors', { confirm_approvals: true }, token)).status, 204);
		assert.equal((await p.api('POST', '/api/agents', { name: 'Careful', tools: ['shell'], approval: { default: 'always' } }, token)).status, 201);
		const as = { data: p.data, env: { OGENT_TOKEN: token } };
		let running;
		const chat = cli(['chat', '--agent', 'careful', 'run: echo right'], { ...as, onStarted: (child, result) => (running = result) });
		const [, id] = await until(() => running.err.match(/waits for you: ogent approvals \S+ (\S+)\]/));
		const none = await cli(['approvals', 'approve', id], as);
		assert.notEqual(none.code, 0);
		assert.match(none.err, /risky/);
		const wrong = await cli(['approvals', 'approve', id], { ...as, input: '000000\n' });
		assert.match(wrong.err, /code is wrong/);
		const right = await cli(['approvals', 'approve', id], { ...as, input: `${on.body.recovery_codes[0]}\n` });
		assert.equal(right.code, 0, right.err);
		assert.equal((await chat).code, 0);
		await p.stop();
	});
});

describe('config', () => {
	const file = join(home, 'test.conf');
	const conf = (text) => writeFileSync(file, text);

	test('check names each fault with file, line and the nearest name', async () => {
		conf('rate_limt = 3\nlisten = nowhere\nopenai_api_key_file = /nowhere/key\nopenai_base_url = https://u:hunter2@h/\n');
		const r = await cli(['config', 'check', '--config', file], { env: { OGENT_COMMAND_TIMEOUT: '2 minutes' } });
		assert.equal(r.code, 2);
		assert.equal(r.out, '');
		for (const part of [
			`${file} line 1: rate_limt: there is no option "rate_limt"; did you mean rate_limit?`, `${file} line 2: listen: "nowhere" is not an address`,
			`${file} line 3: openai_api_key_file: the file /nowhere/key cannot be read`, `${file} line 4: openai_base_url`,
			'OGENT_COMMAND_TIMEOUT: "2 minutes" is not a time', '5 faults in the configuration',
		])
			assert.ok(r.err.includes(part), `${part}\n---\n${r.err}`);
		assert.doesNotMatch(r.err, /hunter2/);
	});

	test('check passes what is right and warns of variables that are no options', async () => {
		conf('rate_limit = 3\n');
		const r = await cli(['config', 'check', '--config', file], { env: { OGENT_LISTN: '1', OGENT_URL: 'http://x', OGENT_OPENAI_API_KEY_FILE: file } });
		assert.equal(r.code, 0, r.err);
		assert.equal(r.err, 'ogent: warning: the variable OGENT_LISTN is no option and is not read; did you mean the option listen?\n');
		assert.equal((await cli(['config', 'check'])).code, 0);
		assert.equal((await cli(['config', 'check', '--config', '/nowhere'])).code, 2);
		assert.equal((await cli(['config', 'chekc'])).code, 2);
	});

	test('show tells where each value comes from and no secret', async () => {
		conf('rate_limit = 3\nopenai_api_key = sk-very-secret\n');
		const env = { OGENT_CONFIG: file, OPENAI_MODEL: 'm-1', OGENT_AGENT_DB_URL: 'postgres://u:hunter2@h/db' };
		const json = await cli(['config', 'show', '--json', '--log-level=warn'], { env });
		const text = await cli(['config', 'show', '--log-level=warn'], { env });
		for (const r of [json, text]) {
			assert.equal(r.code, 0, r.err);
			assert.doesNotMatch(r.out + r.err, /sk-very-secret|hunter2/);
		}
		const items = Object.fromEntries(JSON.parse(json.out).items.map((i) => [i.name, i]));
		assert.deepEqual([items.rate_limit.value, items.rate_limit.source, items.rate_limit.place], ['3', 'file', `${file} line 1: rate_limit`]);
		assert.deepEqual([items.openai_model.value, items.openai_model.place], ['m-1', 'OPENAI_MODEL']);
		assert.deepEqual([items.log_level.value, items.log_level.source], ['warn', 'command line']);
		assert.deepEqual([items.openai_api_key.value, items.openai_api_key.set, items.openai_api_key.secret], [null, true, true]);
		assert.deepEqual([items.listen.value, items.listen.source], ['127.0.0.1:8420', 'default']);
		// What show prints is a configuration again.
		conf(text.out);
		assert.equal((await cli(['config', 'check', '--config', file])).code, 0);
	});

	test('no role starts with a fault', async () => {
		conf('rate_limt = 3\n');
		for (const role of ['up', 'gateway', 'auth', 'agent', 'exec', 'socket', 'demo-model']) {
			const r = await cli([role, '--config', file]);
			assert.equal(r.code, 2, role);
			assert.match(r.err, /line 1: rate_limt/);
		}
	});
});

describe('commands', () => {
	let p;
	const run = (args, options = {}) => cli(args, { data: p.data, ...options });

	before(async () => (p = await start()));
	after(() => p.stop());

	test('chat streams the answer to stdout and what it does to stderr', async () => {
		const r = await run(['chat', 'run: echo hello; echo oops >&2; exit 3']);
		assert.equal(r.code, 0, r.err);
		assert.match(r.out, /hello/);
		assert.match(r.err, /^\$ echo hello; echo oops >&2; exit 3\nhello\noops\n\[exit code 3\]\n$/);
		assert.doesNotMatch(r.out + r.err, /\x1b/);
	});

	test('run prints the final answer alone', async () => {
		const r = await run(['run', 'run: echo from-the-command']);
		assert.deepEqual({ code: r.code, err: r.err }, { code: 0, err: '' });
		assert.match(r.out, /from-the-command/);
	});

	test('the message may come on stdin', async () => {
		assert.match((await run(['run'], { input: 'run: echo piped\n' })).out, /piped/);
		assert.match((await run(['chat'], { input: 'run: echo piped\n' })).out, /piped/);
		assert.equal((await run(['run'], { input: ' \n' })).code, 2);
	});

	test('run --json gives one event a line, numbered and ended by execution.ended', async () => {
		const r = await run(['run', '--json', 'run: echo x']);
		const events = r.out.trimEnd().split('\n').map((line) => JSON.parse(line));
		const numbers = events.map((e) => e.seq);
		assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
		assert.equal(events[0].type, 'execution.started');
		assert.equal(events.at(-1).type, 'execution.ended');
		assert.equal(events.at(-1).data.status, 'succeeded');
	});

	test('Ctrl-C cancels the run and its command, and the exit code says so', async () => {
		const r = await run(['chat', 'run: echo begun; sleep 60'], {
			onStarted: async (child, result) => {
				await until(() => result.err.includes('begun'));
				child.kill('SIGINT');
			},
		});
		assert.equal(r.code, 2, r.err);
		const [last] = JSON.parse((await run(['history', '--json', '--limit', '1'])).out);
		assert.equal(last.status, 'cancelled');
		assert.match((await run(['history', last.id])).out, /> run: echo begun; sleep 60[^]*begun/);
	});

	test('a run that fails exits with 1 and says why', async () => {
		const r = await run(['run', 'demo: {"fail":{"status":401}}']);
		assert.equal(r.code, 1, r.out);
		assert.equal(r.out, '');
		assert.match(r.err, /^the run failed: .{10,}/);
	});

	test('a reader that leaves early is no failure', async () => {
		const r = await run(['chat', 'run: seq 1 20000'], { onStarted: (child) => child.stdout.destroy() });
		assert.equal(r.code, 0, r.err);
	});

	test('a conversation goes on by its id', async () => {
		const first = await run(['run', '--json', 'hello']);
		const id = JSON.parse(first.out.split('\n')[0]).conversation_id;
		const second = await run(['run', '--json', '--conversation', id, 'again']);
		assert.equal(JSON.parse(second.out.split('\n')[0]).conversation_id, id);
	});

	test('agents and history list what is there', async () => {
		assert.match((await run(['agents'])).out, /^assistant /m);
		assert.equal(JSON.parse((await run(['agents', '--json'])).out)[0].slug, 'assistant');
	});

	test('agents are made from templates, compared, shared, taken out and in; usage and budgets are told', async () => {
		const ok = async (...args) => {
			const r = await run(args);
			assert.equal(r.code, 0, `${args}: ${r.err}`);
			return r.out;
		};
		assert.match(await ok('agents', 'templates'), /^coder .*\n(.*\n)*translator /m);
		assert.equal(await ok('agents', 'create', 'My coder', '--template', 'coder'), 'my-coder\n');
		const alone = await run(['agents', 'diff', 'my-coder']);
		assert.deepEqual([alone.code, alone.out], [0, '']);
		assert.match(alone.err, /There is nothing to compare: both are version 1\./);
		for (const [words, what] of [[['create'], 'needs more'], [['create', 'a', 'b'], 'takes no more']]) {
			const wrong = await run(['agents', ...words]);
			assert.equal(wrong.code, 2);
			assert.match(wrong.err, new RegExp(`agents: create ${what}.*\nUsage: ogent agents create NAME `));
		}
		assert.match((await run(['schedules'])).err, /There is no schedule\./);
		const made = JSON.parse(await ok('agents', 'show', 'my-coder'));
		assert.deepEqual([made.name, made.shared, made.tools], ['My coder', 'private', ['shell', 'files', 'ask_human']]);
		await ok('agents', 'share', 'my-coder', '*', 'use');
		assert.equal(JSON.parse(await ok('agents', 'share', 'my-coder', 'operator', 'edit', 'share', '--json')).shares.length, 2);
		assert.equal(JSON.parse(await ok('agents', 'share', 'my-coder', '*', '--json')).shared, 'roles');
		const file = join(home, 'agent.json');
		writeFileSync(file, await ok('agents', 'export', 'My coder'));
		assert.equal(await ok('agents', 'import', file, '--dry-run'), '');
		assert.equal(await ok('agents', 'import', file, '--name', 'Copy'), 'copy\n');
		assert.equal(await ok('agents', 'restore', 'copy', '1'), 'version 2\n');
		assert.match(await ok('agents', 'versions', 'copy'), /^ +2 .*\n +1 /);
		assert.equal(await ok('agents', 'diff', 'copy'), '');
		await ok('agents', 'archive', 'copy');
		assert.equal((await run(['agents', 'show', 'copy'])).code, 1);
		assert.equal((await run(['agents', 'nonsense'])).code, 2);
		const answered = JSON.parse((await ok('history', '--json', '--limit', '1')))[0];
		const forked = (await ok('fork', 'run', answered.id, '--step', '0', '--same-version')).trim();
		assert.match(forked, /^[0-9a-f-]{36}$/);
		await ok('usage');
		const days = JSON.parse(await ok('usage', '--json', '--days', '2'));
		assert.ok(days.length >= 1 && days[0].input_tokens > 0);
		assert.ok(JSON.parse(await ok('usage', '--group', 'agent', '--json')).some((u) => u.agent_name === 'Assistant'));
		assert.match((await run(['history'])).out, /succeeded .* hello$/m);
		assert.equal((await run(['history', '--limit', '0'])).code, 2);
	});

	test('healthcheck tells of one role by its exit code', async () => {
		for (const role of ['gateway', 'auth', 'agent', 'exec', 'socket', 'demo-model']) assert.equal((await run(['healthcheck', role])).code, 0, role);
		const away = await run(['healthcheck', 'auth'], { env: { OGENT_AUTH_LISTEN: `0.0.0.0:${await freePort()}` } });
		assert.equal(away.code, 3);
		assert.match(away.err, /127\.0\.0\.1/);
		for (const args of [[], ['nobody'], ['auth', 'agent']]) assert.equal((await run(['healthcheck', ...args])).code, 2);
		const alone = mkdtempSync(join(tmpdir(), 'ogent-cli-'));
		const child = spawn(ogent, ['socket'], { env: { ...process.env, OGENT_DATA: alone }, stdio: 'ignore' });
		const waiting = await until(async () => ((r) => r.code === 1 && r)(await cli(['healthcheck', 'socket'], { data: alone })));
		assert.match(waiting.err, /^keys: .+/m);
		child.kill();
		await new Promise((done) => child.on('close', done));
		rmSync(alone, { recursive: true, force: true });
	});

	test('setup-link makes a link that works, until there is an administrator', async (t) => {
		const fresh = await start(t);
		const first = fresh.secret('setup.token');
		const r = await cli(['setup-link'], { data: fresh.data, env: { OGENT_PUBLIC_URL: 'https://ogent.example.org/' } });
		assert.equal(r.code, 0, r.err);
		const token = r.out.match(/^https:\/\/ogent\.example\.org\/setup#token=(\S+)\n$/)[1];
		assert.equal((await fresh.api('POST', '/api/auth/setup', { token: first, ...ADMIN })).status, 403, 'the one before is void');
		assert.equal((await fresh.api('POST', '/api/auth/setup', { token, ...ADMIN })).status, 201);
		const done = await cli(['setup-link'], { data: fresh.data });
		assert.equal(done.code, 1);
		assert.match(done.err, /administrator already/);
		assert.equal((await cli(['setup-link'], { data: join(home, 'nothing') })).code, 4);
	});

	test('status tells every role, the sandbox and the model', async () => {
		const r = await run(['status', '--json']);
		const status = JSON.parse(r.out);
		assert.equal(r.code, 0);
		assert.equal(status.ready, true);
		assert.deepEqual(status.roles.map((x) => x.role).sort(), ['agent', 'auth', 'demo', 'exec', 'gateway', 'socket']);
		for (const role of status.roles) assert.ok(role.ready && role.pid > 0 && role.rss_kib > 0, role.role);
		assert.equal(status.model.demo, true);
		assert.ok(status.sandbox.layers.seccomp);
		assert.match((await run(['status'])).out, /^gateway .* yes$/m);
	});

	test('what only the start needed does not stay in memory', async (t) => {
		const fresh = await start(t);
		const { pid, roles } = JSON.parse((await cli(['status', '--json'], { data: fresh.data })).out);
		const mib = (id) => Number(/RssFile:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, 'utf8'))[1]) / 1024;
		const all = () => [pid, ...roles.map((r) => r.pid)].reduce((sum, id) => sum + mib(id), 0);
		await until(() => all() < 20); // 28 after the start
	});

	test('what is not there, wrong, or not allowed has its own exit code', async () => {
		assert.equal((await run(['chat', '--agent', 'nobody', 'hi'])).code, 1);
		assert.equal((await run(['nonsense'])).code, 2);
		assert.equal((await run(['chat', '--nonsense'])).code, 2);
		assert.equal((await run(['agents'], { env: { OGENT_TOKEN: 'bad' } })).code, 4);
		assert.equal((await cli(['agents'], { data: join(home, 'nothing') })).code, 3);
		assert.equal((await cli(['status'], { data: join(home, 'nothing') })).code, 3);
	});

	test('login keeps a session for a platform elsewhere, closed to others', async () => {
		const url = `http://127.0.0.1:${p.where().port}`;
		const env = { XDG_CONFIG_HOME: join(home, 'config') };
		const elsewhere = { env, data: join(home, 'nothing') };
		await p.setUp();
		assert.equal((await cli(['agents', '--url', url], elsewhere)).code, 4);
		assert.equal((await cli(['login', url], { ...elsewhere, input: `${ADMIN.email}\nwrong\n` })).code, 4);
		const r = await cli(['login', `${url}/`], { ...elsewhere, input: `${ADMIN.email}\n${ADMIN.password}\n` });
		assert.equal(r.code, 0, r.err);
		assert.equal(statSync(join(home, 'config/ogent/login.json')).mode & 0o777, 0o600);
		assert.match((await cli(['agents'], elsewhere)).out, /^assistant /m);
		assert.match((await cli(['agents', '--url', url], elsewhere)).out, /^assistant /m);
		assert.equal((await cli(['agents', '--url', 'http://127.0.0.1:9'], elsewhere)).code, 4);
	});

	test('help knows every command and topic', async () => {
		const overview = (await run(['help'])).out;
		for (const [, name] of overview.matchAll(/^ {2}([a-z-]+) /gm)) {
			const r = await run(['help', name]);
			assert.match(r.out, new RegExp(`^Usage: ogent ${name}`));
		}
		for (const topic of ['config', 'environment', 'formatting', 'exit-codes'])
			assert.ok((await run(['help', topic])).out.length > 100, topic);
		assert.match((await run(['version'])).out, /^ogent \d+\.\d+\.\d+\n$/);
	});
});

describe('up', () => {
	test('prints where to go, a set-up link that works, and the model', async (t) => {
		const p = await start(t);
		await until(() => p.log.includes('Stop:'));
		assert.match(p.log, new RegExp(`Open: +http://127.0.0.1:${p.where().port}\n`));
		assert.match(p.log, /Model: +ogent-demo \(demo\)\n +OPENAI_API_KEY is not set/);
		const token = /\/setup#token=(\S+)/.exec(p.log)[1];
		const r = await p.api('POST', '/api/auth/setup', { token, ...ADMIN });
		assert.equal(r.status, 201, r.text);
		await p.stop();
	});

	test('refuses a folder that is in use and a port that is taken, and says what to do', async (t) => {
		const p = await start(t);
		const second = await cli(['up', '--listen', '127.0.0.1:0'], { data: p.data });
		assert.equal(second.code, 1);
		assert.match(second.err, new RegExp(`process ${p.child.pid}: .*--data`));
		await p.stop();

		const server = net.createServer();
		await new Promise((done) => server.listen(0, '127.0.0.1', done));
		const taken = `127.0.0.1:${server.address().port}`;
		const third = await cli(['up', '--listen', taken], { data: join(home, 'taken') });
		assert.equal(third.code, 1);
		assert.match(third.err, new RegExp(`another program listens on ${taken}.*--listen`));
		server.close();
	});

	test('starts a role that died again', async (t) => {
		const p = await start(t);
		const before = roleOf(p.data, 'agent').pid;
		process.kill(before, 'SIGKILL');
		await until(() => ![0, before].includes(roleOf(p.data, 'agent').pid));
		await until(async () => (await p.api('GET', '/readyz')).status === 200);
		assert.equal(roleOf(p.data, 'agent').restarts, 1);
		assert.match(p.log, /the agent role .*killed by signal 9/);
		await p.stop();
	});

	test('takes its roles along when it is killed, and comes back on the same folder and port', async (t) => {
		const p = await start(t);
		const pids = ['gateway', 'agent', 'socket', 'exec', 'auth', 'demo'].map((r) => roleOf(p.data, r).pid);
		await p.kill('SIGKILL');
		await until(() => !pids.some(isAlive));
		await p.start();
		await p.stop();
	});

	test('stops the gateway first, removes its address, and keeps one log', async (t) => {
		const p = await start(t);
		p.ownsData = false;
		await p.stop();
		const stopped = [...p.log.matchAll(/"service":"(\w+)","message":"stopped"/g)].map((m) => m[1]);
		assert.equal(stopped[0], 'gateway');
		assert.equal(stopped.at(-1), 'up');
		assert.equal(stopped.length, 7);
		assert.equal(existsSync(join(p.data, 'run/address')), false);
		assert.match(readFileSync(join(p.data, 'log/ogent.log'), 'utf8'), /"service":"agent"[^]*"service":"up","message":"stopped"/);
		assert.equal(statSync(p.data).mode & 0o777, 0o700);
		rmSync(p.data, { recursive: true });
	});

	test('gives up when a role cannot start at all', async () => {
		const port = await freePort();
		const env = { OGENT_AUTH_DB_URL: 'sqlite:/proc/nowhere.db' };
		const r = await cli(['up', '--listen', `127.0.0.1:${port}`], { data: join(home, 'broken'), env });
		assert.equal(r.code, 1);
		assert.match(r.err, /nowhere\.db cannot be opened[^]*the auth role does not start/);
	});
});
