// Kills the agent with SIGKILL around approvals: while a call is asked for, while it is decided, while the approved call runs.
// Nothing that waits is lost, no decision counts twice, and what was approved runs once.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ask, assertWhole, ended, eventsOf, patient } from '../lib/runs.mjs';

const RUNS = 16;
let seed = 20261123;
const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648), seed / 2147483648);

let w, p, agent;
const asUser = () => w.token;
const call = (method, path, body) => patient(() => p.api(method, path, body, w.token));

before(async () => {
	w = await AgentWorld.start({ exec: 'real' });
	p = w.agent;
	const made = await call('POST', '/api/agents', { name: 'Careful', tools: ['shell'], approval: { default: 'always' } });
	assert.equal(made.status, 201, made.text);
	agent = made.body.id;
});
after(() => w?.stop());

async function killAgent() {
	await p.kill('SIGKILL');
	await p.start();
}

// All that waits of the run, once it waits.
async function waiting(id, n) {
	for (const limit = Date.now() + 60000; ; await sleep(20)) {
		const { body } = await call('GET', `/api/approvals?execution_id=${id}&status=pending`);
		if (body.items?.length === n) return body.items.reverse();
		assert.ok(Date.now() < limit, `not ${n} wait: ${JSON.stringify(body)}`);
	}
}

for (let i = 0; i < RUNS; i++) {
	const when = ['asking', 'deciding', 'running', 'parked'][i % 4], delay = Math.floor(random() * 60);
	test(`run ${i + 1} ends right when the agent is killed ${delay} ms into ${when}`, async () => {
		const conversation = (await call('POST', '/api/conversations', { agent_id: agent })).body.id;
		const run = await ask(p, asUser, conversation, 'run: echo once >> a; sleep 0.1; echo A\nrun: echo once >> b; echo B', `approve-${i}`);
		if (when === 'asking') {
			await sleep(delay);
			await killAgent();
		}
		const items = await waiting(run.id, 2);
		if (when === 'parked') await killAgent();
		const decisions = items.map((a, k) =>
			call('POST', `/api/approvals/${a.id}`, k === 1 && i % 3 === 0 ? { decision: 'reject' } : { decision: 'approve', hash: a.hash }),
		);
		if (when === 'deciding') await killAgent();
		for (const r of await Promise.all(decisions)) assert.equal(r.status, 200, r.text);
		if (when === 'running') {
			await sleep(delay);
			await killAgent();
		}
		const done = await ended(p, asUser, run.id);
		assert.equal(done.status, 'succeeded', JSON.stringify(done.error));
		assert.deepEqual(done.calls.map((c) => c.status), ['exited', i % 3 === 0 ? 'rejected' : 'exited'], JSON.stringify(done.calls));
		const file = (name) => readFileSync(join(w.data, 'exec', 'workspaces', conversation, name), 'utf8');
		assert.equal(file('a'), 'once\n');
		if (i % 3 === 0) assert.throws(() => file('b'));
		else assert.equal(file('b'), 'once\n');
		const events = await eventsOf(p, asUser, run.id);
		assertWhole(events);
		for (const type of ['approval.requested', 'approval.decided', 'call.done'])
			assert.equal(events.filter((e) => e.type === type).length, 2, `${type} of ${run.id}`);
		const { body } = await call('GET', `/api/approvals?execution_id=${run.id}`);
		assert.equal(body.items.length, 2);
	});
}

test('ten runs that wait outlive the process', async () => {
	const conversations = await Promise.all(Array.from({ length: 10 }, () => call('POST', '/api/conversations', { agent_id: agent })));
	const runs = await Promise.all(conversations.map((c, i) => ask(p, asUser, c.body.id, `run: echo ${i}`, `many-${i}`)));
	for (const run of runs) await waiting(run.id, 1);
	await killAgent();
	for (const run of runs) {
		const [a] = await waiting(run.id, 1);
		assert.equal((await call('POST', `/api/approvals/${a.id}`, { decision: 'approve', hash: a.hash })).status, 200);
	}
	for (const run of runs) assert.equal((await ended(p, asUser, run.id)).status, 'succeeded');
});
