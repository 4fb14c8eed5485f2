import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ADMIN, freePort, request, startPlatform } from '../lib/platform.mjs';
import { parseMetrics } from '../lib/prometheus.mjs';
import { ask, ended, eventsOf, newConversation } from '../lib/runs.mjs';

const ROLES = ['gateway', 'auth', 'agent', 'exec', 'socket', 'demo'];

// What only some platforms export, and where it is made.
const OPTIONAL = { ogent_target_up: 'services/exec/ssh.c', ogent_spans_total: 'lib/service/otlp.c' };

describe('metrics', () => {
	let p, token, port;

	const of = async (role) => {
		const r = await request({ socketPath: join(p.data, 'run', `${role}.sock`) }, 'GET', '/metrics');
		assert.equal(r.status, 200);
		assert.equal(r.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
		return parseMetrics(r.text);
	};
	// Waits until a figure is there: a request is counted when its answer is out, a moment after we have it.
	const until = async (what, expected) => {
		for (const end = Date.now() + 15000; ; await sleep(20)) {
			const value = await what();
			if (value === expected || Date.now() > end) return assert.equal(value, expected, String(what));
		}
	};

	before(async () => {
		port = await freePort();
		p = await startPlatform({ env: { OGENT_METRICS_LISTEN: `127.0.0.1:${port}` } });
		await p.setUp();
		token = (await p.login(ADMIN)).access_token;
	});
	after(() => p.stop());

	test('every role gives its figures in the text format', async () => {
		for (const role of ROLES) {
			const m = await of(role);
			assert.equal(m.get('ogent_build_info', { role }), 1);
			assert.ok(m.get('process_resident_memory_bytes') > 1e6, role);
			assert.ok(m.get('process_open_fds') > 3 && m.get('process_open_fds') <= m.get('process_max_fds'), role);
			assert.ok(m.get('process_cpu_seconds_total') > 0, role);
			assert.ok(Math.abs(m.get('process_start_time_seconds') - Date.now() / 1000) < 600, role);
		}
	});

	test('one message moves each counter by what it did', async () => {
		const conversation = await newConversation(p, () => token);
		const start = Object.fromEntries(await Promise.all(ROLES.map(async (r) => [r, await of(r)])));
		const execution = await ended(p, () => token, (await ask(p, () => token, conversation, 'run: printf 12345')).id);
		assert.equal(execution.status, 'succeeded');

		const moved = (role, name, labels) => async () => (await of(role)).get(name, labels) - start[role].get(name, labels);
		const sent = { method: 'POST', route: '/api/conversations/{id}/messages' };
		await until(moved('agent', 'ogent_http_requests_total', sent), 1);
		await until(moved('agent', 'ogent_http_requests_total', { ...sent, status: '2xx' }), 1);
		await until(moved('agent', 'ogent_http_request_seconds_count', sent), 1);
		await until(moved('agent', 'ogent_runs_total', {}), 1);
		await until(moved('agent', 'ogent_runs_total', { status: 'succeeded' }), 1);
		await until(moved('agent', 'ogent_run_seconds_count', {}), 1);
		await until(moved('agent', 'ogent_model_calls_total', { outcome: 'ok', provider: 'demo' }), 2);
		await until(moved('agent', 'ogent_model_calls_total', {}), 2);
		await until(moved('agent', 'ogent_model_seconds_count', {}), 2);
		await until(moved('agent', 'ogent_model_retries_total', {}), 0);
		await until(moved('agent', 'ogent_tokens_total', { direction: 'input', model: execution.model }), execution.usage.input_tokens);
		await until(moved('agent', 'ogent_tokens_total', { direction: 'output', model: execution.model }), execution.usage.output_tokens);
		await until(moved('agent', 'ogent_tool_calls_total', { tool: 'shell', status: 'exited' }), 1);
		await until(moved('agent', 'ogent_tool_calls_total', {}), 1);
		await until(moved('agent', 'ogent_runs', {}), 0);
		await until(moved('demo', 'ogent_demo_answers_total', {}), 2);
		await until(moved('exec', 'ogent_commands_total', { status: 'exited' }), 1);
		await until(moved('exec', 'ogent_commands_total', {}), 1);
		await until(moved('exec', 'ogent_command_seconds_count', {}), 1);
		await until(moved('exec', 'ogent_command_output_bytes_total', {}), 5);
		await until(moved('exec', 'ogent_commands_running', {}), 0);
		await until(moved('exec', 'ogent_http_requests_total', { method: 'POST', route: '/api/commands' }), 1);
		// Every event of the run was given to the socket service once: they are numbered from 1.
		const lastSeq = (await eventsOf(p, () => token, execution.id)).at(-1).seq;
		await until(moved('agent', 'ogent_events_total', { outcome: 'published' }), lastSeq);
		await until(moved('agent', 'ogent_events_total', { outcome: 'dropped' }), 0);
		assert.ok((await moved('gateway', 'ogent_gateway_requests_total', { role: 'agent', status: '2xx' })()) >= 2);
	});

	test('a run under way shows in its state, and its command as running', async () => {
		const conversation = await newConversation(p, () => token);
		const { id } = await ask(p, () => token, conversation, 'run: sleep 30');
		await until(async () => (await of('agent')).get('ogent_runs', { state: 'tooling' }), 1);
		await until(async () => (await of('exec')).get('ogent_commands_running'), 1);
		assert.ok((await of('agent')).get('ogent_upstream_busy', { to: 'exec' }) >= 1);
		await p.api('POST', `/api/executions/${id}/cancel`, undefined, token);
		await until(async () => (await of('agent')).get('ogent_runs'), 0);
		await until(async () => (await of('exec')).get('ogent_commands_total', { status: 'cancelled' }), 1);
		assert.equal((await of('agent')).get('ogent_runs_total', { status: 'cancelled' }), 1);
	});

	test('sign-ins and refreshes are counted by their outcome', async () => {
		const logins = async (outcome) => (await of('auth')).get('ogent_auth_logins_total', { outcome });
		const [granted, refused] = [await logins('granted'), await logins('refused')];
		await p.login(ADMIN);
		assert.equal((await p.api('POST', '/api/auth/login', { ...ADMIN, name: undefined, password: 'x'.repeat(20) })).status, 401);
		await p.api('POST', '/api/auth/refresh', { refresh_token: 'nonsense' });
		assert.deepEqual([await logins('granted'), await logins('refused')], [granted + 1, refused + 1]);
	});

	test('databases, lanes and the sandbox have figures', async () => {
		for (const role of ['auth', 'agent'])
			for (const lane of ['db-write', 'db-read']) {
				const m = await of(role);
				assert.ok(m.get('ogent_lane_run_seconds_count', { lane }) > 0, `${role} ${lane}`);
				assert.equal(m.get('ogent_lane_run_seconds_count', { lane }), m.get('ogent_lane_wait_seconds_count', { lane }));
				assert.ok(m.get('ogent_lane_threads', { lane }) >= 1);
				assert.equal(m.get('ogent_lane_refused_total', { lane }), 0);
			}
		assert.ok((await of('auth')).get('ogent_lane_run_seconds_count', { lane: 'hash' }) >= 2);
		const exec = await of('exec');
		assert.equal(exec.get('ogent_sandbox_ok'), 1);
		assert.equal(exec.get('ogent_sandbox_layer', { layer: 'seccomp' }), 1);
	});

	test('unknown paths and ids make no new series', async () => {
		const count = async () => (await of('agent')).samples.length;
		await p.api('GET', '/api/agents/none-such', undefined, token);
		const n = await count();
		for (let i = 0; i < 20; i++) {
			await p.api('GET', `/api/agents/${i}`, undefined, token);
			await p.api('GET', `/api/conversations/x${i}/none/${i}`, undefined, token);
		}
		assert.ok((await count()) - n <= 3, 'one for each kind of answer at most');
	});

	test('the listener for Prometheus gives all roles in one text', async () => {
		const where = { host: '127.0.0.1', port };
		const m = parseMetrics((await request(where, 'GET', '/metrics')).text);
		for (const service of ['gateway', 'auth', 'agent', 'exec', 'socket']) {
			assert.equal(m.get('ogent_up', { service }), 1, service);
			assert.ok(m.get('process_resident_memory_bytes', { service }) > 1e6, service);
		}
		assert.ok(m.get('ogent_runs_total', { service: 'agent', status: 'succeeded' }) >= 1);
		assert.ok(m.get('ogent_commands_total', { service: 'exec' }) >= 2);
		assert.ok(m.samples.every((s) => s.labels.service));
		assert.equal((await request(where, 'GET', '/api/agents')).status, 404);
		assert.equal((await request(where, 'POST', '/metrics')).status, 405);
	});

	test('every metric of the dashboard is there, with the labels that it is grouped by', async () => {
		const m = parseMetrics((await request({ host: '127.0.0.1', port }, 'GET', '/metrics')).text);
		const dashboard = JSON.parse(readFileSync(join(import.meta.dirname, '../../deploy/grafana/ogent.json'), 'utf8'));
		const targets = dashboard.panels.flatMap((panel) => (panel.targets ?? []).map((t) => ({ title: panel.title, ...t })));
		assert.ok(targets.length > 50);
		for (const { title, expr, legendFormat } of targets) {
			const names = [...expr.matchAll(/\b(ogent|process)_[a-z0-9_]+/g)].map((x) => x[0]);
			assert.ok(names.length, `${title}: ${expr}`);
			for (const name of names) {
				const family = m.types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
				if (family in OPTIONAL) {
					assert.ok(readFileSync(join(import.meta.dirname, '../..', OPTIONAL[family]), 'utf8').includes(`"${family}"`), `${title}: nothing exports ${name}`);
					continue;
				}
				assert.ok(m.types.has(family), `${title}: nothing exports ${name}`);
				const labels = m.types.get(family).samples[0].labels;
				for (const by of expr.matchAll(/by \(([a-z, ]+)\)/g))
					for (const label of by[1].split(', ')) assert.ok(label in labels, `${title}: ${name} has no label ${label}`);
				for (const [, label] of expr.matchAll(/[{,]([a-z]+)=/g)) if (expr.includes(`${name}{`)) assert.ok(label in labels, `${title}: ${name} has no label ${label}`);
			}
			for (const [, label] of (legendFormat ?? '').matchAll(/{{(\w+)}}/g)) assert.ok(new RegExp(`by \\([^)]*\\b${label}\\b|${label}!=`).test(expr), `${title}: ${label} is grouped away`);
		}
	});

	test('metrics cannot be had at the public address', async () => {
		for (const t of [undefined, token]) assert.doesNotMatch((await p.api('GET', '/metrics', undefined, t)).text, /ogent_build_info|process_resident/);
	});
});
