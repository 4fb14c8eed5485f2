// What the tests of whole runs share: asking, waiting, looking at the roles' processes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { ogent } from './platform.mjs';

// Repeats fn while the platform is coming back: refused connections and 502, 503, 504 are what a client retries.
export async function patient(fn, ms = 30000) {
	for (const limit = Date.now() + ms; ; ) {
		const r = await fn().catch((e) => ({ status: 0, text: String(e) }));
		if (![0, 401, 502, 503, 504].includes(r.status)) return r;
		if (Date.now() > limit) throw new Error(`no answer: ${r.status} ${r.text}`);
		await sleep(20);
	}
}

export async function newConversation(p, token) {
	const agents = await p.api('GET', '/api/agents', undefined, token());
	const r = await p.api('POST', '/api/conversations', { agent_id: agents.body.items[0].id }, token());
	assert.equal(r.status, 201, r.text);
	return r.body.id;
}

// Sends a message; returns the execution. The key makes a repeated send harmless.
export async function ask(p, token, conversation, content, key) {
	const r = await patient(() =>
		p.api('POST', `/api/conversations/${conversation}/messages`, { content }, token(), key ? { 'idempotency-key': key } : {}),
	);
	assert.equal(r.status, 202, r.text);
	return r.body;
}

// Waits until the execution ended; returns it.
export async function ended(p, token, id, ms = 60000) {
	for (const limit = Date.now() + ms; ; ) {
		const r = await patient(() => p.api('GET', `/api/executions/${id}`, undefined, token()));
		assert.equal(r.status, 200, r.text);
		if (['succeeded', 'failed', 'cancelled'].includes(r.body.status)) return r.body;
		if (Date.now() > limit) throw new Error(`execution ${id} is still ${r.body.status}/${r.body.state}`);
		await sleep(20);
	}
}

// {role: pid} as `ogent status` tells.
export function rolePids(p) {
	const out = execFileSync(ogent, ['status', '--json'], { env: { ...process.env, OGENT_DATA: p.data }, encoding: 'utf8' });
	return Object.fromEntries(JSON.parse(out).roles.map((r) => [r.role, r.pid]));
}

// The events of an execution so far.
export async function eventsOf(p, token, id) {
	const r = await p.api('GET', `/api/executions/${id}/events`, undefined, token(), { accept: 'application/json' });
	assert.equal(r.status, 200, r.text);
	return r.body.items;
}

// Waits until an event fits; returns all so far.
export async function untilEvent(p, token, id, fits, ms = 15000) {
	for (const limit = Date.now() + ms; ; await sleep(20)) {
		const all = await eventsOf(p, token, id);
		if (all.some(fits)) return all;
		if (Date.now() > limit) throw new Error(`no such event of ${id}: ${all.map((e) => e.type)}`);
	}
}

// Every number once and upwards, begun once, ended once.
export function assertWhole(events) {
	const seqs = events.map((e) => e.seq);
	assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b));
	for (const type of ['execution.started', 'execution.ended'])
		assert.equal(events.filter((e) => e.type === type).length, 1, type);
}
