// The gateway beside nginx and HAProxy as plain proxies, in front of the same bare back end (backend.c), in one run. The gateway does all it does in
// service: token check, permission, rate limit, request id, trace, forwarded fields, access log, metrics. CPU time is the process's own, from
// /proc/PID/task/*/schedstat; wrk is the load, with 64 connections that stay. The proxies have one CPU, load and back end the other.

import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAuthPeer } from '../lib/auth_peer.mjs';
import { compile, cpus, cpuUs, endAll, line, rssBytes, start } from '../lib/parties.mjs';
import { freePort, ogent, request } from '../lib/platform.mjs';

const CONNECTIONS = 64;
const SECONDS = 2;
const IDLE = 5000;
const UNLIMITED = { OGENT_RATE_LIMIT: '1000000', OGENT_RATE_BURST: '1000000' };
// What nginx answers by itself: as long as a problem of the gateway.
const OWN = JSON.stringify({ type: 'about:blank', title: 'Unauthorized', status: 401, code: 'unauthorized', detail: 'x'.repeat(70), request_id: 'x'.repeat(36) });
// For a processor on which nginx takes 5.65 µs for such an answer.
const OWN_BAR = { most: 5.5 };
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

async function ready(where, path, headers = {}) {
	for (let i = 0; i < 1000; i++) {
		const r = await request(where, 'GET', path, { headers }).catch(() => null);
		if (r?.status === 200) return;
		await sleep(10);
	}
	throw new Error(`nothing answers ${path} at ${JSON.stringify(where)}`);
}

// ---- The parties ----

async function startBackend(program) {
	const child = start(cpus[1], program, [], { stdio: ['ignore', 'pipe', 'inherit'] });
	return Number(await line(child));
}

// A gateway with the back end in the agent service's place.
async function startGateway(dir, name, backend, keys, env = {}) {
	const port = await freePort();
	const data = join(dir, name);
	mkdirSync(data);
	const log = openSync(join(dir, `${name}.log`), 'w');
	const child = start(cpus[0], ogent, ['gateway'], {
		env: {
			PATH: process.env.PATH,
			OGENT_DATA: data,
			OGENT_LISTEN: `127.0.0.1:${port}`,
			OGENT_AUTH_URL: `http://127.0.0.1:${keys}`,
			OGENT_AGENT_URL: `http://127.0.0.1:${backend}`,
			OGENT_GATEWAY_THREADS: '1',
			OGENT_LOG_FORMAT: 'json',
			OGENT_LOG_LEVEL: 'info',
			...UNLIMITED,
			...env,
		},
		stdio: ['ignore', 'ignore', log],
	});
	return { name: 'gateway', port, pid: child.pid };
}

async function startNginx(dir, backend) {
	const port = await freePort();
	const at = join(dir, 'nginx');
	mkdirSync(at);
	const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `${n}_temp_path ${at}/${n};`).join(' ');
	writeFileSync(
		join(at, 'conf'),
		`daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000; pid ${at}/pid; error_log ${at}/error.log;
events { worker_connections 16000; }
http { ${temp} access_log off; keepalive_requests 100000000; client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
upstream back { server 127.0.0.1:${backend}; keepalive 128; keepalive_requests 100000000; }
server { listen 127.0.0.1:${port} backlog=1024; location /own/ { default_type application/problem+json; return 401 '${OWN}'; } location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; } } }
`,
	);
	const child = start(cpus[0], 'nginx', ['-p', at, '-e', join(at, 'error.log'), '-c', join(at, 'conf')]);
	return { name: 'nginx', port, pid: child.pid };
}

async function startHaproxy(dir, backend) {
	const port = await freePort();
	const conf = join(dir, 'haproxy.conf');
	writeFileSync(
		conf,
		`global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  server s 127.0.0.1:${backend}
`,
	);
	const child = start(cpus[0], 'haproxy', ['-f', conf, '-db']);
	return { name: 'HAProxy', port, pid: child.pid };
}

// ---- Measuring ----

const UNITS = { us: 1e-3, ms: 1, s: 1e3 };

// wrk against one party: µs of its CPU per request, 99th percentile in ms, requests per second.
async function load(party, path, { connections = CONNECTIONS, seconds = SECONDS, script, status = 200, headers = [] } = {}) {
	const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', ...headers.flatMap((h) => ['-H', h]), ...(script ? ['-s', script] : [])];
	const before = cpuUs(party.pid);
	const child = start(cpus[1], 'wrk', [...args, `http://127.0.0.1:${party.port}${path}`], { stdio: ['ignore', 'pipe', 'inherit'] });
	let text = '';
	child.stdout.on('data', (d) => (text += d));
	await new Promise((done) => child.on('close', done));
	const requests = Number(text.match(/(\d+) requests in/)?.[1]);
	const failed = Number(text.match(/Non-2xx or 3xx responses: (\d+)/)?.[1] ?? 0);
	if (!requests || /Socket errors/.test(text) || (status === 200 ? failed : failed < requests * 0.99)) throw new Error(`${party.name} ${path}: ${text}`);
	const [, n, unit] = text.match(/99%\s+([\d.]+)(us|ms|s)/);
	const perSecond = Number(text.match(/Requests\/sec:\s+([\d.]+)/)[1]);
	return { cpu: (cpuUs(party.pid) - before) / requests, p99: Number(n) * UNITS[unit], perSecond };
}

// Each figure of one round is taken from the same run of a party: what one figure measured, the next of the same round uses.
function shared(party, run) {
	const taken = new Map();
	let last;
	return (figure, pick) => async () => {
		if (!last || taken.has(figure)) {
			last = await run(party);
			taken.clear();
		}
		taken.set(figure);
		return pick(last);
	};
}

async function openIdle(party, path, headers) {
	const sockets = [];
	const bytes = `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers.map((h) => `${h}\r\n`).join('')}\r\n`;
	for (let i = 0; i < IDLE; i += 100)
		await Promise.all(
			Array.from({ length: 100 }, () =>
				new Promise((done, fail) => {
					const s = net.connect(party.port, '127.0.0.1', () => s.write(bytes));
					s.once('data', done);
					s.on('error', fail);
					sockets.push(s);
				}),
			),
		);
	return sockets;
}

async function idleBytes(party, path, headers) {
	const before = rssBytes(party.pid);
	const sockets = await openIdle(party, path, headers);
	const bytes = (rssBytes(party.pid) - before) / IDLE;
	sockets.forEach((s) => s.destroy());
	await sleep(200);
	return bytes;
}

// From the moment that the back end wrote an event to the moment that the client has it.
function sseMs(party, path, headers) {
	return new Promise((done, fail) => {
		const all = Object.fromEntries(headers.map((h) => h.split(': ')));
		const times = [];
		const r = http.get({ host: '127.0.0.1', port: party.port, path, headers: all, agent: false }, (res) => {
			res.on('data', (d) => {
				const now = process.hrtime.bigint();
				for (const [, sent] of String(d).matchAll(/data: (\d+)/g)) times.push(Number(now - BigInt(sent)) / 1e6);
				if (times.length < 50) return;
				r.destroy();
				done(median(times));
			});
		});
		r.on('error', fail);
	});
}

export async function figures() {
	const dir = mkdtempSync(join(tmpdir(), 'ogent-bench-gateway-'));
	const auth = await startAuthPeer();
	const backend = await startBackend(compile(dir, 'backend'));
	const bearer = `Authorization: Bearer ${auth.token(['agents.*'])}`;
	const gateway = await startGateway(dir, 'gateway', backend, auth.port);
	const limited = await startGateway(dir, 'limited', backend, auth.port, { OGENT_RATE_LIMIT: '1', OGENT_RATE_BURST: '1' });
	const nginx = await startNginx(dir, backend);
	const haproxy = await startHaproxy(dir, backend);
	const path = (last) => `/api/agents/${last}`;
	const headers = [bearer];
	await Promise.all([gateway, nginx, haproxy].map((p) => ready({ host: '127.0.0.1', port: p.port }, path('s100'), { authorization: bearer.slice(15) })));
	await ready({ host: '127.0.0.1', port: limited.port }, '/healthz');

	const small = Object.fromEntries([gateway, nginx, haproxy].map((p) => [p.name, shared(p, (party) => load(party, path('s100'), { headers }))]));
	const cpu = (r) => r.cpu;
	const peer = (party, figure, pick) => ({ name: party.name, sample: small[party.name](figure, pick) });
	const own = (party, target, options) => async () => (await load(party, target, options)).cpu;
	// The plain server beside it: a fixed answer of nginx, without a log, a limit or an id.
	const fixed = { name: 'nginx', sample: own(nginx, '/own/', { status: 401 }) };
	const post = join(dir, 'post.lua');
	// MB/s of bodies, down and up: the slower of the two ways says how good it is.
	const throughput = (party, bytes, connections) => async () => {
		writeFileSync(post, `wrk.method = "POST"\nwrk.body = string.rep("x", ${bytes})\n`);
		const down = await load(party, path(`s${bytes}`), { connections, headers });
		const up = await load(party, path('s100'), { connections, headers, script: post });
		return (Math.min(down.perSecond, up.perSecond) * bytes) / 1e6;
	};
	const beside = (figure, unit, sample, p, more) => ({ name: `gateway.${figure}`, unit, sample, peer: p, ...more });
	return {
		figures: [
			beside('cpu_per_request', 'us', small.gateway('cpu', cpu), peer(haproxy, 'cpu', cpu), { bar: { most: 0.9, ratio: true } }),
			beside('cpu_per_request_nginx', 'us', small.gateway('cpu2', cpu), peer(nginx, 'cpu2', cpu), { bar: { most: 1, ratio: true } }),
			beside('p99', 'ms', small.gateway('p99', (r) => r.p99), peer(haproxy, 'p99', (r) => r.p99), { bar: { most: 1, ratio: true } }),
			beside('own_answer', 'us', own(gateway, path('s100'), { status: 401 }), fixed, { bar: OWN_BAR }),
			beside('own_answer_429', 'us', own(limited, path('s100'), { status: 429, headers }), fixed, { bar: OWN_BAR }),
			beside('own_answer_health', 'us', own(gateway, '/healthz'), fixed, { bar: OWN_BAR }),
			beside('throughput_64k', 'MB/s', throughput(gateway, 65536, 16), { name: 'nginx', sample: throughput(nginx, 65536, 16) }, { rounds: 3, bar: { least: 0.9, ratio: true } }),
			beside('throughput_10m', 'MB/s', throughput(gateway, 10485760, 4), { name: 'nginx', sample: throughput(nginx, 10485760, 4) }, { rounds: 3, bar: { least: 0.9, ratio: true } }),
			beside('idle_bytes', 'bytes', () => idleBytes(gateway, path('s100'), headers), { name: 'nginx', sample: () => idleBytes(nginx, path('s100'), headers) }, { rounds: 1, bar: { most: 12288 } }),
			beside('sse_ms', 'ms', () => sseMs(gateway, path('events'), headers), { name: 'HAProxy', sample: () => sseMs(haproxy, path('events'), headers) }, { rounds: 3, bar: { most: 5 } }),
		],
		close: async () => {
			endAll();
			rmSync(dir, { recursive: true, force: true });
		},
	};
}
