// The platform as a whole: start, memory, first token, runs per second, first byte of a command, size of what a browser loads.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Live } from '../lib/live.mjs';
import { freePort, ogent, request, startPlatform } from '../lib/platform.mjs';
import { newConversation } from '../lib/runs.mjs';

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

// From exec of `ogent up` on a fresh data folder to the line that says it is ready.
async function readyMs() {
	const data = mkdtempSync(join(tmpdir(), 'ogent-bench-'));
	const port = await freePort();
	const t = performance.now();
	const child = spawn(ogent, ['up'], { env: { PATH: process.env.PATH, OGENT_DATA: data, OGENT_LISTEN: `127.0.0.1:${port}` }, stdio: 'ignore' });
	const where = { host: '127.0.0.1', port };
	while ((await request(where, 'GET', '/readyz', { timeout: 2000 }).catch(() => null))?.status !== 200) await sleep(1);
	const ms = performance.now() - t;
	child.kill('SIGTERM');
	await new Promise((done) => child.on('close', done));
	rmSync(data, { recursive: true, force: true });
	return ms;
}

function status(p) {
	return JSON.parse(execFileSync(ogent, ['status', '--json'], { env: { ...process.env, OGENT_DATA: p.data }, encoding: 'utf8' }));
}

// Streams one request; resolves with the ms until `wanted` first appears in the answer's body.
function firstMs(where, method, path, { body, token, headers = {} }, wanted) {
	const payload = body && JSON.stringify(body);
	const t = performance.now();
	return new Promise((done, fail) => {
		const all = { ...headers, ...(payload && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }) };
		if (token) all.authorization = `Bearer ${token}`;
		const r = http.request({ ...where, method, path, headers: all, agent }, (res) => {
			let text = '';
			let found;
			res.on('data', (d) => {
				text += d;
				if (!found && text.includes(wanted)) found = performance.now() - t;
			});
			res.on('end', () => (found ? done(found) : fail(new Error(`${path} ended without ${wanted}: ${text}`))));
		});
		r.on('error', fail);
		r.end(payload);
	});
}

async function post(where, path, body, token) {
	const r = await request(where, 'POST', path, { body, token });
	if (r.status >= 300) throw new Error(`${path}: ${r.status} ${r.text}`);
	return r.body;
}

// From sending the message to the first piece of the answer, on the event stream of the run.
async function firstTokenMs(p, where, token) {
	const conversation = await newConversation(p, () => token);
	const t = performance.now();
	const run = await post(where, `/api/conversations/${conversation}/messages`, { content: 'hello' }, token);
	await firstMs(where, 'GET', `/api/executions/${run.id}/events`, { token, headers: { accept: 'text/event-stream' } }, 'text.delta');
	return performance.now() - t;
}

// The same as the web app sees it: its WebSocket is open and in the conversation's room.
async function firstTokenLiveMs(p, where, token, live) {
	const conversation = await newConversation(p, () => token);
	await live.join(`conversation:${conversation}`);
	const t = performance.now();
	const heard = live.next((m) => m.event?.type === 'text.delta').then(() => performance.now() - t);
	const ended = live.next((m) => m.event?.type === 'execution.ended');
	await post(where, `/api/conversations/${conversation}/messages`, { content: 'hello' }, token);
	await ended;
	live.send({ type: 'leave', room: `conversation:${conversation}`, id: 0 });
	return heard;
}

// The same question straight to the demo model.
function demoFirstTokenMs(p) {
	const body = { model: 'ogent-demo', stream: true, messages: [{ role: 'user', content: 'hello' }] };
	return firstMs({ socketPath: join(p.data, 'run', 'demo.sock') }, 'POST', '/v1/chat/completions', { body }, '"content":"');
}

// N runs, each in its own conversation, at most `width` at once, until all have ended.
async function runsPerSecond(p, where, token, n, width) {
	const conversations = [];
	for (let i = 0; i < n; i++) conversations.push(await newConversation(p, () => token));
	const t = performance.now();
	const queue = [...conversations];
	const worker = async () => {
		for (let c; (c = queue.pop()); ) {
			const run = await post(where, `/api/conversations/${c}/messages`, { content: 'hello' }, token);
			await firstMs(where, 'GET', `/api/executions/${run.id}/events`, { token, headers: { accept: 'text/event-stream' } }, 'execution.ended');
		}
	};
	await Promise.all(Array.from({ length: width }, worker));
	return n / ((performance.now() - t) / 1000);
}

function initialJsKib() {
	const dist = join(import.meta.dirname, '../../web/dist');
	const html = readFileSync(join(dist, 'index.html'), 'utf8');
	const names = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map((m) => m[1]);
	return [...new Set(names)].reduce((sum, n) => sum + statSync(join(dist, `${n}.gz`)).size, 0) / 1024;
}

export async function figures() {
	const p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_LOG_LEVEL: 'warn' } });
	const where = p.where();
	await post({ socketPath: join(p.data, 'run', 'demo.sock') }, '/demo/script', { instant: true });
	const token = await p.localToken();
	const live = await Live.open(where, token);
	const demo = { name: 'demo model alone', sample: () => demoFirstTokenMs(p) };
	const command = { argv: ['/bin/echo', 'first-byte'], timeout_ms: 10000 };
	await sleep(2000); // a second after its start a role gives back what only the start needed
	const idle = status(p);
	const figure = (name, unit, sample, more) => ({ name: `platform.${name}`, unit, sample, ...more });
	return {
		figures: [
			figure('ready', 'ms', readyMs),
			...idle.roles.map((r) => figure(`rss.${r.role}`, 'MiB', () => r.rss_kib / 1024, { rounds: 1 })),
			figure('rss', 'MiB', () => idle.rss_kib / 1024, { rounds: 1, bar: { most: 40 } }), // `ogent up` too
			figure('binary', 'MiB', () => statSync(ogent).size / 2 ** 20, { rounds: 1 }),
			figure('first_token', 'ms', () => firstTokenMs(p, where, token), {
				rounds: 50,
				peer: demo,
			}),
			figure('first_token_live', 'ms', () => firstTokenLiveMs(p, where, token, live), { rounds: 50, peer: demo }),
			figure('runs_per_second', 'runs/s', () => runsPerSecond(p, where, token, 400, 32), { rounds: 3 }),
			figure('command_first_byte', 'ms', () => firstMs(where, 'POST', '/api/commands?stream=1', { body: command, token }, 'first-byte\\n'), {
				rounds: 20,
			}),
			figure('initial_js', 'KiB gz', initialJsKib, { rounds: 1 }),
		],
		close: async () => {
			await live.close();
			await p.stop();
		},
	};
}
