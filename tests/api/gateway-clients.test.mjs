// The gateway and clients that are slow, that follow a stream, or that are there when it stops.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort, request, startRole } from '../lib/platform.mjs';
import { parseMetrics } from '../lib/prometheus.mjs';
import { sendRaw } from '../lib/raw.mjs';

const JWKS = JSON.stringify({ keys: [{ ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig', alg: 'EdDSA' }] });
const BIG = Buffer.alloc(4 << 20, 'x');

// Plays auth, whose paths need no token here: /x answers after `delay` ms, /big is 4 MiB, /events a stream. Its keys it tells `keys` times.
async function startRoleServer() {
	const state = { delay: 0, keys: Infinity, streams: new Set(), paused: 0 };
	const server = http.createServer((req, res) => {
		if (req.url.startsWith('/.well-known/')) return state.keys-- > 0 ? res.end(JWKS) : res.writeHead(503).end();
		if (req.url.startsWith('/revocations')) return res.writeHead(404).end();
		if (req.url.endsWith('/big')) return res.end(BIG);
		if (req.url.endsWith('/events')) {
			res.writeHead(200, { 'content-type': 'text/event-stream' });
			res.flushHeaders();
			state.streams.add(res);
			return res.on('close', () => state.streams.delete(res));
		}
		req.resume();
		req.on('error', () => {});
		req.on('end', () => setTimeout(() => res.end('ok'), state.delay));
	});
	server.on('upgrade', (req, socket) => {
		socket.on('error', () => {});
		socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
	});
	server.keepAliveTimeout = 60000;
	await new Promise((done) => server.listen(0, '127.0.0.1', done));
	return Object.assign(state, { port: server.address().port, stop: () => (server.closeAllConnections(), server.close()) });
}

async function startGateway(role, env = {}) {
	const port = await freePort();
	const url = `http://127.0.0.1:${role.port}`;
	const gateway = await startRole('gateway', {
		env: { OGENT_LISTEN: `127.0.0.1:${port}`, OGENT_AUTH_URL: url, OGENT_SOCKET_URL: url, OGENT_RATE_LIMIT: '0', OGENT_GATEWAY_THREADS: '2', ...env },
	});
	return Object.assign(gateway, { public: { host: '127.0.0.1', port } });
}

const get = (path, fields = '') => `GET ${path} HTTP/1.1\r\nHost: gw\r\n${fields}\r\n`;
const rss = (p) => Number(readFileSync(`/proc/${p.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;

const figures = async (g) => parseMetrics((await request(g.where(), 'GET', '/metrics')).text);

async function until(what, check) {
	for (let i = 0; i < 1500; i++) {
		if (await check()) return;
		await sleep(10);
	}
	assert.fail(`never: ${what}`);
}

describe('slow clients', { timeout: 120000 }, () => {
	let role, g;
	before(async () => {
		role = await startRoleServer();
		g = await startGateway(role, { OGENT_HEADER_TIMEOUT: '300ms', OGENT_BODY_TIMEOUT: '300ms', OGENT_KEEPALIVE_TIMEOUT: '300ms' });
	});
	after(async () => {
		await g?.stop();
		role?.stop();
	});

	test('a head that does not come in time is answered with 408', async () => {
		const r = await sendRaw(g.public, 'GET /api/auth/x HTTP/1.1\r\nHost: g', { ms: 20000 });
		assert.equal(r.status, 408);
		assert.ok(r.closed);
	});

	test('a head that drips does not count as coming', async () => {
		const socket = net.connect(g.public.port, '127.0.0.1');
		let text = '';
		socket.on('error', () => {});
		socket.on('data', (d) => (text += d));
		socket.write('GET /api/auth/x HTTP/1.1\r\nHost: gw\r\nX-A: ');
		const drip = setInterval(() => socket.write('a'), 50);
		await new Promise((done) => socket.on('close', done));
		clearInterval(drip);
		assert.match(text, /^HTTP\/1\.1 408 /);
	});

	test('a body that does not come is answered with 408', async () => {
		const r = await sendRaw(g.public, 'POST /api/auth/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 10\r\n\r\nabc', { ms: 20000 });
		assert.equal(r.status, 408);
		assert.ok(r.closed);
	});

	test('a connection without a request is closed', async () => {
		const r = await sendRaw(g.public, get('/api/auth/x'), { ms: 20000 });
		assert.equal(r.status, 200);
		assert.ok(r.closed);
		assert.equal(r.headers.connection, undefined);
	});

	test('who reads nothing is cut off', async () => {
		const socket = net.connect(g.public.port, '127.0.0.1');
		socket.on('error', () => {});
		socket.pause();
		// Several answers of 4 MiB fill what the kernel keeps for the client.
		socket.write(get('/api/auth/big').repeat(8));
		await until('the connection is gone', async () => (await figures(g)).get('ogent_gateway_connections') === 0);
		socket.destroy();
	});
});

describe('threads', { timeout: 120000 }, () => {
	let role, g;
	before(async () => {
		role = await startRoleServer();
		g = await startGateway(role, { OGENT_GATEWAY_THREADS: '3', OGENT_RATE_LIMITS: 'login=100/1h/address' });
	});
	after(async () => {
		await g?.stop();
		role?.stop();
	});

	test('the gateway is ready when each has the keys', async () => {
		const slow = await startRoleServer();
		slow.keys = 2;
		const port = await freePort(), url = `http://127.0.0.1:${slow.port}`;
		const roles = Object.fromEntries(['AUTH', 'AGENT', 'EXEC', 'SOCKET'].map((r) => [`OGENT_${r}_URL`, url]));
		const starting = startRole('gateway', { env: { OGENT_LISTEN: `127.0.0.1:${port}`, ...roles, OGENT_RATE_LIMIT: '0', OGENT_GATEWAY_THREADS: '3' } });
		const ready = () => request({ host: '127.0.0.1', port }, 'GET', '/readyz').catch(() => null);
		try {
			await until('two threads have the keys', () => slow.keys < 0);
			// Each question has a connection of its own: some reach those who have them.
			for (let i = 0; i < 30; i++) {
				const r = await ready();
				assert.equal(r?.status ?? 503, 503);
				if (r) assert.deepEqual(r.body.reasons.map((x) => x.name), ['gateway']);
			}
			slow.keys = Infinity;
			await until('it is ready', async () => (await ready())?.status === 200);
		} finally {
			slow.keys = Infinity;
			await (await starting).stop();
			slow.stop();
		}
	});

	test('each has a listener of its own on the one port', () => {
		const at = `:${g.public.port.toString(16).toUpperCase().padStart(4, '0')}`;
		const listening = readFileSync('/proc/net/tcp', 'utf8').split('\n').map((l) => l.trim().split(/\s+/)).filter((f) => f[1]?.endsWith(at) && f[3] === '0A');
		assert.equal(listening.length, 3);
		const names = readdirSync(`/proc/${g.child.pid}/task`).map((t) => readFileSync(`/proc/${g.child.pid}/task/${t}/comm`, 'utf8').trim());
		assert.ok(names.filter((n) => n === 'gateway').length >= 3, names.join(' '));
	});

	test('connections are shared out among them, and a limit is one for all', async () => {
		// Each request has a connection of its own, which the kernel gives to one of the listeners.
		const busy = () => readdirSync(`/proc/${g.child.pid}/task`).map((t) => Number(readFileSync(`/proc/${g.child.pid}/task/${t}/schedstat`, 'utf8').split(' ')[2]));
		const before = busy();
		const answers = await Promise.all(Array.from({ length: 160 }, () => request(g.public, 'POST', '/api/auth/login')));
		const woken = busy().filter((n, i) => n > before[i] + 5).length;
		assert.ok(woken >= 3, `${woken} threads have run`);
		assert.equal(answers.filter((r) => r.status === 200).length, 100);
		assert.equal(answers.filter((r) => r.status === 429).length, 60);
	});
});

describe('bodies that drip', { timeout: 120000, concurrency: true }, () => {
	let role, g;
	before(async () => {
		role = await startRoleServer();
		g = await startGateway(role, { OGENT_BODY_MIN_RATE: '100', OGENT_BODY_RATE_TIME: '3s' });
	});
	after(async () => {
		await g?.stop();
		role?.stop();
	});
	// Sends `head`, then `piece` each 50 ms until the other side answers; the answer's text.
	const drip = (head, piece) =>
		new Promise((done) => {
			const s = net.connect(g.public.port, '127.0.0.1', () => s.write(head));
			const timer = setInterval(() => s.write(piece), 50);
			let text = '';
			s.on('error', () => {});
			s.on('data', (d) => (text += d));
			s.on('close', () => (clearInterval(timer), done(text)));
		});

	for (const [what, head, piece] of [
		['of a known length', 'POST /api/auth/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 100000\r\n\r\n', 'a'],
		['in chunks, whose framing does not count', 'POST /api/auth/x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\na\r\n'],
	])
		test(`a body ${what} is answered with 408, which says how fast it must be`, async () => {
			const text = await drip(head, piece);
			assert.match(text, /^HTTP\/1\.1 408 /);
			assert.match(text, /\r\nConnection: close\r\n/);
			assert.match(text, /"code":"body_too_slow".*at least 100 bytes a second/);
		});

	test('who began fast must stay so', async () => {
		const text = await drip(`POST /api/auth/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000\r\n\r\n${'a'.repeat(100000)}`, 'a');
		assert.match(text, /^HTTP\/1\.1 408 /);
	});

	test('what comes with the least rate comes through, however long it takes', async () => {
		const began = Date.now();
		const text = await drip(`POST /api/auth/x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nContent-Length: ${100 * 200}\r\n\r\n`, 'a'.repeat(200));
		assert.match(text, /^HTTP\/1\.1 200 /);
		assert.ok(Date.now() - began > 4000);
	});
});

describe('clients that read slowly', { timeout: 120000 }, () => {
	let role, g;
	before(async () => {
		role = await startRoleServer();
		g = await startGateway(role);
	});
	after(async () => {
		await g?.stop();
		role?.stop();
	});

	test('they hold no memory of the gateway', async () => {
		const sockets = [];
		const before = rss(g);
		for (let i = 0; i < 100; i++) {
			const s = net.connect({ port: g.public.port, host: '127.0.0.1', highWaterMark: 1024 });
			s.on('error', () => {});
			s.pause();
			s.write(get('/api/auth/big').repeat(4));
			sockets.push(s);
		}
		let used;
		try {
			// A quick client beside them.
			await until('all are under way', async () => (await figures(g)).get('ogent_gateway_connections') >= 100);
			for (let i = 0; i < 20; i++) assert.equal((await request(g.public, 'GET', '/api/auth/x')).text, 'ok');
			used = rss(g) - before;
		} finally {
			sockets.forEach((s) => s.destroy());
		}
		if (!/asan|tsan/.test(process.env.OGENT_BIN ?? '')) assert.ok(used < 40, `100 clients hold ${used} MiB`);
	});

	test('each event of a stream passes at once', async () => {
		const times = [];
		const r = await new Promise((done, fail) => http.get({ ...g.public, path: '/api/auth/events', agent: false }, done).on('error', fail));
		await until('the stream is there', () => role.streams.size === 1);
		const [stream] = role.streams;
		for (let i = 0; i < 30; i++) {
			const at = performance.now();
			stream.write(`data: ${i}\n\n`);
			await new Promise((done) => r.once('data', done));
			times.push(performance.now() - at);
		}
		times.sort((a, b) => a - b);
		assert.ok(times[10] < 5, `an event takes ${times[10]} ms`);
		r.destroy();
		await until('the role hears that the client left', () => role.streams.size === 0);
	});

	test('the access log and the metrics tell the latencies of both sides', async () => {
		role.delay = 50;
		const r = await request(g.public, 'GET', '/api/auth/timed');
		role.delay = 0;
		const line = () => g.log.split('\n').filter((l) => l.includes(r.headers['x-request-id'])).map((l) => JSON.parse(l))[0];
		await until('the line is there', line);
		const l = line();
		assert.deepEqual([l.message, l.method, l.path, l.status, l.bytes_out, l.role, l.upstream], ['request', 'GET', '/api/auth/timed', '200', '2', 'auth', `127.0.0.1:${role.port}`]);
		assert.ok(Number(l.first_byte_ms) >= 45 && Number(l.ms) >= Number(l.first_byte_ms) && Number(l.wait_ms) >= 0, JSON.stringify(l));
		const m = await figures(g);
		assert.ok(m.get('ogent_gateway_upstream_first_byte_seconds_count', { role: 'auth' }) > 0);
		assert.ok(m.get('ogent_gateway_upstream_wait_seconds_count', { role: 'auth' }) > 0);
	});
});

describe('the end of a gateway', { timeout: 120000 }, () => {
	let role;
	before(async () => {
		role = await startRoleServer();
	});
	after(() => role?.stop());

	test('under load no request fails: those who come later are refused before they send anything', async () => {
		role.delay = 5;
		// Long enough for each connection to have its last answer: one that is idle at the end is closed, perhaps while a request is on its way.
		const [one, two] = [await startGateway(role, { OGENT_DRAIN_DELAY: '2s' }), await startGateway(role)];
		const agents = [one, two].map(() => new http.Agent({ keepAlive: true, maxSockets: 32 }));
		const count = { one: 0, two: 0, refused: 0 };
		const failed = [];
		let isOver = false;
		// Like a balancer: to the second when the first one takes no connection.
		const ask = (i, method) =>
			new Promise((done) => {
				const where = [one, two][i].public;
				const r = http.request({ ...where, method, path: '/api/auth/x', agent: agents[i] }, (res) => {
					res.resume();
					res.on('error', (e) => (failed.push(`${method}: ${e.code}`), done()));
					res.on('end', () => {
						if (res.statusCode !== 200) failed.push(`${method}: ${res.statusCode}`);
						count[i ? 'two' : 'one']++;
						done();
					});
				});
				r.on('error', (e) => {
					if (e.code === 'ECONNREFUSED' && !i) {
						count.refused++;
						return done(ask(1, method));
					}
					failed.push(`${method}: ${e.code}`);
					done();
				});
				r.end(method === 'POST' ? 'body' : undefined);
			});
		const worker = async (method) => {
			while (!isOver) await ask(0, method);
		};
		const workers = Array.from({ length: 32 }, (_, i) => worker(i % 2 ? 'POST' : 'GET'));
		await until('requests are served', () => count.one > 200);
		one.hold(true);
		one.child.kill('SIGTERM');
		await until('it says that it is not ready', async () => {
			const r = await request(one.public, 'GET', '/readyz').catch((e) => e);
			return r.code === 'ECONNREFUSED' || (r.status === 503 && /about to stop/.test(r.text));
		});
		await until('the second one serves', () => count.two > 200);
		isOver = true;
		await Promise.all(workers);
		for (const a of agents) a.destroy();
		await one.stop();
		await two.stop();
		assert.deepEqual(failed, []);
		assert.ok(count.refused > 0);
	});

	test('it says first that it is not ready, then ends streams, and closes WebSockets with 1001', async () => {
		role.delay = 0;
		const g = await startGateway(role, { OGENT_DRAIN_DELAY: '1s' });
		const stream = await new Promise((done, fail) => http.get({ ...g.public, path: '/api/auth/events', agent: false }, done).on('error', fail));
		const ends = [];
		stream.on('data', () => {});
		stream.on('error', (e) => ends.push(e.code));
		const streamEnd = new Promise((done) => stream.on('close', done));
		stream.on('end', () => ends.push('stream'));
		const ws = net.connect(g.public.port, '127.0.0.1');
		let text = Buffer.alloc(0);
		ws.on('data', (d) => (text = Buffer.concat([text, d])));
		ws.on('error', () => {});
		const wsEnd = new Promise((done) => ws.on('close', done));
		ws.write(get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n'));
		await until('the tunnel is there', () => text.includes('101 Switching'));
		await until('the stream is there', () => role.streams.size === 1);
		g.hold(true);
		g.child.kill('SIGTERM');
		await until('it says that it is not ready', async () => (await request(g.public, 'GET', '/readyz')).status === 503);
		const last = await sendRaw(g.public, get('/api/auth/x'), { ms: 20000 });
		assert.equal(last.status, 200);
		assert.equal(last.headers.connection, 'close');
		assert.deepEqual(ends, [], 'the stream ended before the gateway stopped to take connections');
		ws.once('end', () => ws.end());
		await Promise.all([streamEnd, wsEnd]);
		assert.deepEqual(ends, ['stream']);
		assert.deepEqual([...text.subarray(-4)], [0x88, 2, 1001 >> 8, 1001 & 255]);
		await g.stop();
	});
});
