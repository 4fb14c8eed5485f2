import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { ADMIN, ogent, startPlatform } from '../lib/platform.mjs';
import { ask, ended, eventsOf, newConversation } from '../lib/runs.mjs';

const home = mkdtempSync(join(tmpdir(), 'ogent-backup-'));
after(() => rmSync(home, { recursive: true, force: true }));

// Runs `ogent ARGS`: {code, out, err}.
const cli = (...args) =>
	new Promise((done) => execFile(ogent, args, { env: { ...process.env, HOME: home } }, (e, out, err) => done({ code: e?.code ?? 0, out, err })));

// The databases of this folder, wherever those of the other tests are.
for (const name of ['OGENT_TEST_AGENT_DB', 'OGENT_TEST_AUTH_DB']) delete process.env[name];

describe('backup and restore', () => {
	let p, token, execution, conversation;
	const saved = join(home, 'saved');

	before(async () => {
		p = await startPlatform();
		await p.setUp();
		token = (await p.login(ADMIN)).access_token;
		writeFileSync(join(p.data, 'ogent.conf'), 'rate_burst = 321\n');
		conversation = await newConversation(p, () => token);
		execution = await ended(p, () => token, (await ask(p, () => token, conversation, 'run: echo precious > kept.txt; ln -s /etc/passwd link; cat kept.txt')).id);
	});
	after(() => p.stop());

	test('a backup is taken while messages are written, and holds no more rights than it needs', async () => {
		const writing = (async () => {
			for (let i = 0; i < 5; i++) await ended(p, () => token, (await ask(p, () => token, conversation, `say: ${i}`)).id);
		})();
		const r = await cli('backup', '--data', p.data, saved);
		await writing;
		assert.equal(r.code, 0, r.err);
		assert.equal(r.err, '');
		assert.equal(statSync(saved).mode & 0o777, 0o700);
		for (const name of readdirSync(join(saved, 'secrets'))) assert.equal(statSync(join(saved, 'secrets', name)).mode & 0o77, 0, name);
		for (const name of readdirSync(join(saved, 'db'))) assert.match(name, /^(langchain_agent|ogent_auth)\.db$/);
		const manifest = JSON.parse(readFileSync(join(saved, 'manifest.json'), 'utf8'));
		assert.ok(manifest.files.some((f) => f.name === 'exec.tar' && f.size > 0));
		assert.ok(!existsSync(`${saved}.unfinished`));
	});

	test('a restored platform has the accounts, the conversations, the runs and the files', async () => {
		const data = join(home, 'fresh');
		const r = await cli('restore', '--data', data, saved);
		assert.equal(r.code, 0, r.err);
		assert.equal(readFileSync(join(data, 'ogent.conf'), 'utf8'), 'rate_burst = 321\n');
		const q = await startPlatform({ data });
		try {
			const again = (await q.login(ADMIN)).access_token;
			assert.equal((await q.api('GET', `/api/executions/${execution.id}`, undefined, again)).body.output, execution.output);
			assert.deepEqual(await eventsOf(q, () => again, execution.id), await eventsOf(p, () => token, execution.id));
			// A token of the old platform is good in the new one: the keys are the same.
			assert.equal((await q.api('GET', '/api/auth/me', undefined, token)).status, 200);
			// The message that was under way when the backup was taken is answered now.
			const { items } = (await q.api('GET', `/api/executions?conversation_id=${conversation}`, undefined, again)).body;
			for (const run of items) assert.equal((await ended(q, () => again, run.id)).status, 'succeeded');
			const next = await ended(q, () => again, (await ask(q, () => again, conversation, 'run: cat kept.txt; readlink link')).id);
			assert.equal(next.status, 'succeeded');
			const output = (await eventsOf(q, () => again, next.id)).filter((e) => e.type === 'call.output').map((e) => e.data.text ?? e.data.data).join('');
			assert.equal(output, 'precious\n/etc/passwd\n');
		} finally {
			await q.stop();
			rmSync(data, { recursive: true, force: true });
		}
	});

	test('nothing is overwritten, in either direction', async () => {
		const twice = await cli('backup', '--data', p.data, saved);
		assert.deepEqual([twice.code, /File exists/.test(twice.err)], [1, true]);
		const onto = await cli('restore', '--data', p.data, saved);
		assert.deepEqual([onto.code, /is not empty/.test(onto.err)], [1, true]);
		assert.equal((await cli('backup', '--data', p.data)).code, 2);
		assert.equal((await cli('restore', '--data', join(home, 'x'), join(home, 'none'))).code, 1);
	});

	test('a backup that was changed is refused before anything is written', async () => {
		const data = join(home, 'never');
		const changes = {
			'db/ogent_auth.db': /is not as it was saved/,
			'secrets/auth-keys.key': /is not as it was saved/,
			'exec.tar': /is not as it was saved/,
		};
		for (const [name, error] of Object.entries(changes)) {
			const path = join(saved, name), before = readFileSync(path);
			chmodSync(path, 0o600);
			appendFileSync(path, 'x');
			const r = await cli('restore', '--data', data, saved);
			assert.deepEqual([r.code, error.test(r.err)], [1, true], r.err);
			writeFileSync(path, before);
		}
		const manifest = join(saved, 'manifest.json'), text = readFileSync(manifest, 'utf8');
		for (const name of ['../../etc/cron.d/x', 'secrets/../x', '/etc/passwd', 'secrets/.x', 'other'])	{
			writeFileSync(manifest, text.replace('"secrets/auth-keys.key"', JSON.stringify(name)));
			const r = await cli('restore', '--data', data, saved);
			assert.deepEqual([r.code, /names a file that no backup has/.test(r.err)], [1, true], r.err);
		}
		writeFileSync(manifest, text);
		const key = join(saved, 'secrets/cli.token'), kept = readFileSync(key);
		rmSync(key);
		symlinkSync('/etc/passwd', key);
		assert.equal((await cli('restore', '--data', data, saved)).code, 1);
		rmSync(key);
		writeFileSync(key, kept, { mode: 0o600 });
		assert.ok(!existsSync(data));
	});

	test('a backup that fails leaves nothing behind', async () => {
		const broken = mkdtempSync(join(home, 'broken-'));
		const r = await cli('backup', '--data', broken, join(home, 'half'));
		assert.equal(r.code, 1);
		assert.match(r.err, /langchain_agent.db cannot be opened/);
		assert.ok(!existsSync(join(home, 'half')) && !existsSync(join(home, 'half.unfinished')));
	});

	test('a database on a server is named as not saved', async () => {
		const to = join(home, 'partly');
		const r = await cli('backup', '--data', p.data, '--agent-db-url', 'postgres://u:hunter2@h/db', to);
		assert.equal(r.code, 0, r.err);
		assert.match(r.err, /the database of agent_db_url is on a server and is not in this backup/);
		assert.doesNotMatch(r.out + r.err, /hunter2/);
		assert.deepEqual(readdirSync(join(to, 'db')), ['ogent_auth.db']);
	});
});
