// Kills each process in turn, at random moments, while runs go on: every run ends right, and its command was executed once.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPlatform } from '../lib/platform.mjs';
import { ask, ended, newConversation, patient, rolePids } from '../lib/runs.mjs';

const RUNS = 50;
const VICTIMS = ['agent', 'exec', 'gateway', 'socket', 'auth', 'demo', 'up'];
// The same sequence each time: a failure can be looked at again.
let seed = 20261122;
const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648), seed / 2147483648);

let p;
let token;

async function renew() {
	const r = await patient(() => p.api('POST', '/api/auth/local', { key: p.secret('cli.token') }));
	token = r.body.access_token;
}

before(async () => {
	p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
	await renew();
});
after(() => p?.stop());

async function kill(victim) {
	if (victim === 'up') {
		await p.kill('SIGKILL');
		await p.start();
		return;
	}
	const pid = rolePids(p)[victim];
	assert.ok(pid > 1, `no process of ${victim}`);
	process.kill(pid, 'SIGKILL');
}

for (let i = 0; i < RUNS; i++) {
	const victim = VICTIMS[i % VICTIMS.length];
	const delay = Math.floor(random() * 500);
	test(`run ${i + 1} ends right when ${victim} is killed ${delay} ms after its start`, async () => {
		const conversation = await newConversation(p, () => token);
		const run = await ask(p, () => token, conversation, `run: echo once >> log; sleep 0.2; echo result-${i}`, `crash-${i}`);
		await sleep(delay);
		await kill(victim);
		const done = await ended(p, () => token, run.id);
		assert.equal(done.status, 'succeeded', JSON.stringify(done.error));
		assert.match(done.output, new RegExp(`result-${i}\\b`));
		assert.equal(done.calls.length, 1);
		assert.equal(done.calls[0].exit_code, 0);
		const log = readFileSync(join(p.data, 'exec', 'workspaces', conversation, 'log'), 'utf8');
		assert.equal(log, 'once\n', 'the command was not executed exactly once');
		await patient(() => p.api('GET', '/readyz'));
	});
}

test('afterwards the events of every run are whole: numbered upwards, begun once, ended once', async () => {
	await renew();
	const list = await p.api('GET', '/api/executions?limit=200', undefined, token);
	assert.equal(list.body.items.length, RUNS);
	for (const run of list.body.items) {
		const r = await p.api('GET', `/api/executions/${run.id}/events`, undefined, token, { accept: 'application/json' });
		const seqs = r.body.items.map((e) => e.seq);
		assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b));
		for (const type of ['execution.started', 'execution.ended', 'call.done'])
			assert.equal(r.body.items.filter((e) => e.type === type).length, 1, `${type} of ${run.id}`);
	}
});
