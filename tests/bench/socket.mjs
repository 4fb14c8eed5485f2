// The socket service's fan-out beside a bare epoll fan-out of the same frames (fanout.c), npm's ws and socket.io, and nchan in nginx, in one run: one
// publisher, 1,000 subscribers, 128 bytes. The load is subscribers.c. CPU time is the server process's own, from /proc/PID/task/*/schedstat; the server has
// one CPU, the load the other. Memory: the growth of a process by 10,000 idle connections.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAuthPeer } from '../lib/auth_peer.mjs';
import { compile, cpus, cpuUs, endAll, line, rssBytes, start } from '../lib/parties.mjs';
import { freePort, ogent, request } from '../lib/platform.mjs';

const SUBSCRIBERS = 1000;
const MESSAGES = 1500;
// The peers that need several times as long per delivery get fewer messages and rounds.
const SLOW = { messages: 400, rounds: 3 };
const WINDOW = 4;
const IDLE = 10000;
const SIZE = 128;
// What subscribers.c replaces by the time of sending.
const MARK = '#'.repeat(18);

const UPGRADE = 'Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

// A text frame of a client, its mask all zero.
function frame(text) {
	const data = Buffer.from(text);
	const head = data.length < 126 ? [0x81, 0x80 | data.length] : [0x81, 0xfe, data.length >> 8, data.length & 255];
	return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), data]).toString('latin1');
}

function post(path, body, headers = '') {
	return `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

// A message whose frame's payload has `size` bytes: `wrap` makes the payload of a text.
function padded(wrap, size = SIZE) {
	const bare = wrap('').length;
	return MARK + 'x'.repeat(Math.max(size - bare - MARK.length, 0));
}

// ---- The parties: {pid, port, hello, ready, publisher, publisherReady, message, messages?} ----

async function startBare(program) {
	const child = start(cpus[0], program, [], { stdio: ['ignore', 'pipe', 'inherit'] });
	const port = Number(await line(child));
	const hello = { hello: [`GET /subscribe HTTP/1.1\r\n${UPGRADE}`], ready: ['101 Switching'], publisher: [`GET /publish HTTP/1.1\r\n${UPGRADE}`] };
	return { pid: child.pid, port, ...hello, publisherReady: ['101 Switching'], message: frame(padded((t) => t)) };
}

// A Node program that fans out what one client sends; what it writes on its output is its port.
async function startNode(dir, name, code, party) {
	const file = join(dir, `${name}.mjs`);
	writeFileSync(file, code);
	const child = start(cpus[0], process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
	return { pid: child.pid, port: Number(await line(child)), messages: SLOW.messages, ...party };
}

const module = (name) => JSON.stringify(join(import.meta.dirname, '../node_modules', name));

const startWs = (dir) =>
	startNode(
		dir,
		'ws',
		`import { createRequire } from 'node:module';
const { WebSocketServer } = createRequire(import.meta.url)(${module('ws')});
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false }, () => console.log(server.address().port));
server.on('connection', (one, req) => {
	if (req.url === '/publish') one.on('message', (data) => { for (const c of server.clients) if (c !== one) c.send(data, { binary: false }); });
});`,
		{
			hello: [`GET /subscribe HTTP/1.1\r\n${UPGRADE}`],
			ready: ['101 Switching'],
			publisher: [`GET /publish HTTP/1.1\r\n${UPGRADE}`],
			publisherReady: ['101 Switching'],
			message: frame(padded((t) => t)),
		},
	);

const SOCKETIO = `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n${UPGRADE}`;
const startSocketIo = (dir) =>
	startNode(
		dir,
		'socket.io',
		`import { createRequire } from 'node:module';
import http from 'node:http';
const { Server } = createRequire(import.meta.url)(${module('socket.io')});
const server = http.createServer().listen(0, '127.0.0.1', () => console.log(server.address().port));
const io = new Server(server);
io.on('connection', (one) => one.on('publish', (event) => one.broadcast.emit('event', event)));`,
		{
			hello: [SOCKETIO, frame('40')],
			ready: ['"sid"', '40{'],
			publisher: [SOCKETIO, frame('40')],
			publisherReady: ['"sid"', '40{'],
			message: frame(`42["publish","${padded((t) => `42["event","${t}"]`)}"]`),
		},
	);

async function startNchan(dir) {
	const port = await freePort();
	const at = join(dir, 'nchan');
	mkdirSync(at);
	const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `${n}_temp_path ${at}/${n};`).join(' ');
	writeFileSync(
		join(at, 'conf'),
		`load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off; user root; worker_processes 1; worker_rlimit_nofile 20000; pid ${at}/pid; error_log ${at}/error.log;
events { worker_connections 16000; }
http { ${temp} access_log off; keepalive_requests 100000000;
server { listen 127.0.0.1:${port} backlog=4096;
location /sub { nchan_subscriber websocket; nchan_subscriber_first_message newest; nchan_channel_id one; nchan_websocket_ping_interval 0; }
location /pub { nchan_publisher http; nchan_channel_id one; nchan_message_buffer_length 100; } } }
`,
	);
	const child = start(cpus[0], 'nginx', ['-p', at, '-e', join(at, 'error.log'), '-c', join(at, 'conf')]);
	for (let pids = ''; !pids; await sleep(10)) {
		pids = await request({ host: '127.0.0.1', port }, 'GET', '/pub').then(() => execFileSync('pgrep', ['-P', String(child.pid)], { encoding: 'utf8' }), () => '');
		if (pids) child.workerPid = Number(pids.trim().split('\n')[0]);
	}
	return {
		pid: child.workerPid,
		port,
		messages: SLOW.messages,
		hello: [`GET /sub HTTP/1.1\r\n${UPGRADE}`],
		ready: ['101 Switching'],
		message: post('/pub', padded((t) => t)),
	};
}

async function startOgent(dir, name, env = {}) {
	const auth = await startAuthPeer();
	const token = auth.token(['*']);
	const port = await freePort();
	const data = join(dir, name);
	mkdirSync(data);
	const child = start(cpus[0], ogent, ['socket'], {
		env: {
			PATH: process.env.PATH,
			OGENT_DATA: data,
			OGENT_SOCKET_LISTEN: `127.0.0.1:${port}`,
			OGENT_AUTH_URL: `http://127.0.0.1:${auth.port}`,
			OGENT_SOCKET_USER_CONNECTIONS: '100000',
			OGENT_SOCKET_ACCEPT_RATE: '0',
			OGENT_LOG_LEVEL: 'warn',
			...env,
		},
		stdio: ['ignore', 'inherit', 'inherit'],
	});
	while ((await request({ host: '127.0.0.1', port }, 'GET', '/readyz').catch(() => null))?.status !== 200) await sleep(10);
	const wrap = (t) => `{"type":"event","room":"channel:bench","offset":1000,"event":{"t":"${t}"}}`;
	return {
		pid: child.pid,
		port,
		token,
		hello: [`GET /ws HTTP/1.1\r\n${UPGRADE}`, frame(JSON.stringify({ type: 'auth', token })), frame('{"type":"join","room":"channel:bench","id":1}')],
		ready: ['101 Switching', '"ready"', '"id":1}'],
		message: published(wrap, token),
	};
}

// The same with subscribers who are told who is there. Every message has an offset and is kept, with or without that.
async function startOgentPresent(dir, name) {
	const party = await startOgent(dir, name);
	return { ...party, hello: [...party.hello.slice(0, 2), frame('{"type":"join","room":"channel:bench","id":1,"presence":true}')] };
}

const published = (wrap, token) => post('/api/publish', `{"events":[{"rooms":["channel:bench"],"event":{"t":"${padded(wrap)}"}}]}`, `Authorization: Bearer ${token}\r\n`);

// The same service with clients of Socket.IO.
async function startOgentSocketIo(dir, name) {
	const party = await startOgent(dir, name);
	const wrap = (t) => `42["event",{"type":"event","room":"channel:bench","offset":1000,"event":{"t":"${t}"}},"1000"]`;
	return {
		...party,
		hello: [SOCKETIO, frame(`40${JSON.stringify({ token: party.token })}`), frame('420["join",{"room":"channel:bench"}]')],
		ready: ['"sid"', '40{', '430['],
		message: published(wrap, party.token),
	};
}

// ---- Measuring ----

let files = 0;
function file(dir, text) {
	const name = join(dir, `load-${++files}`);
	writeFileSync(name, Buffer.from(text, 'latin1'));
	return name;
}

const parts = (dir, list) => file(dir, list.join('\n----\n'));
const lines = (dir, list) => file(dir, list.join('\n'));

// One run against a party: µs of its CPU per delivery, deliveries per second, p50 and p99 in ms.
async function fanOut(dir, load, party) {
	// A publisher over HTTP has nothing to say before.
	const publisher = party.publisher ?? ['GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'];
	const messages = party.messages ?? MESSAGES;
	const args = [party.port, SUBSCRIBERS, parts(dir, party.hello), lines(dir, party.ready), parts(dir, publisher), lines(dir, party.publisherReady ?? ['HTTP/1.1 ']), file(dir, party.message), messages, WINDOW];
	const child = start(cpus[1], load, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
	if ((await line(child)) !== 'ready') throw new Error('the subscribers are not ready');
	const before = cpuUs(party.pid);
	child.stdin.write('\n');
	const text = await line(child);
	const [deliveries, seconds, p50, p99] = text.split(' ').map(Number);
	if (deliveries !== SUBSCRIBERS * messages) throw new Error(`not all was delivered: ${text}`);
	return { cpu: (cpuUs(party.pid) - before) / deliveries, perSecond: deliveries / seconds, p50, p99 };
}

async function idleBytes(dir, load, party, hello, ready) {
	const before = rssBytes(party.pid);
	const child = start(cpus[1], load, [party.port, IDLE, parts(dir, hello), lines(dir, ready)].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
	if ((await line(child)) !== 'ready') throw new Error('the connections are not there');
	const bytes = (rssBytes(party.pid) - before) / IDLE;
	child.stdin.end();
	await new Promise((done) => child.on('close', done));
	return bytes;
}

// Each figure of one round is taken from the same run of a party.
function shared(run) {
	const taken = new Set();
	let last;
	return (figure, pick) => async () => {
		if (!last || taken.has(figure)) {
			last = await run();
			taken.clear();
		}
		taken.add(figure);
		return pick(last);
	};
}

// A party that is started at its first run.
function lazily(dir, load, start) {
	let party;
	return async () => fanOut(dir, load, (party ??= await start()));
}

// What is not installed is left out, and said.
function isHere(name, files, hint) {
	const missing = files.find((f) => !existsSync(f));
	if (missing) console.error(`bench: the figures beside ${name} are left out: there is no ${missing} (${hint})`);
	return !missing;
}

const moduleFile = (name) => join(import.meta.dirname, '../node_modules', name, 'package.json');

export async function figures() {
	const dir = mkdtempSync(join(tmpdir(), 'ogent-bench-socket-'));
	const load = compile(dir, 'subscribers');
	const bare = compile(dir, 'fanout');
	const once = (start) => async () => {
		const party = await start(dir, `once-${++files}`);
		try {
			return await fanOut(dir, load, party);
		} finally {
			process.kill(party.pid, 'SIGKILL');
		}
	};
	const run = {
		'bare C': shared(lazily(dir, load, () => startBare(bare))),
		ws: shared(lazily(dir, load, () => startWs(dir))),
		'socket.io': shared(lazily(dir, load, () => startSocketIo(dir))),
		nchan: shared(lazily(dir, load, () => startNchan(dir))),
		ogent: shared(lazily(dir, load, () => startOgent(dir, 'data'))),
		// Anew each time: those who left without a word would stay in the channel for a while, as they may come back.
		'ogent, Socket.IO': shared(once(startOgentSocketIo)),
		'ogent, presence': shared(once(startOgentPresent)),
	};
	const figure = (name, unit, own, peer, pick, more) => {
		const of = (who) => run[who](`${name} ${who}`, pick);
		return { name: `socket.fanout.${name}`, unit, sample: of(own), peer: { name: peer, sample: of(peer) }, ...more };
	};
	const idle = async (hello, ready, env) => {
		const party = await startOgent(dir, `idle-${++files}`, env);
		const bytes = await idleBytes(dir, load, party, hello(party), ready(party));
		process.kill(party.pid, 'SIGKILL');
		return bytes;
	};
	const cpu = (r) => r.cpu;
	const perSecond = (r) => r.perSecond;
	const slow = { rounds: SLOW.rounds };
	const install = 'npm ci in tests/';
	return {
		figures: [
			figure('ws.cpu_per_delivery', 'us', 'ogent', 'bare C', cpu, { bar: { most: 1.6 } }),
			figure('socketio.cpu_per_delivery', 'us', 'ogent, Socket.IO', 'bare C', cpu, { bar: { most: 1.6 } }),
			isHere('ws', [moduleFile('ws')], install) && figure('ws.cpu_per_delivery_npm_ws', 'us', 'ogent', 'ws', cpu, slow),
			isHere('socket.io', [moduleFile('socket.io')], install) && figure('socketio.cpu_per_delivery_socket_io', 'us', 'ogent, Socket.IO', 'socket.io', cpu, slow),
			isHere('nchan', ['/usr/sbin/nginx', '/usr/lib/nginx/modules/ngx_nchan_module.so'], 'package libnginx-mod-nchan') &&
				figure('ws.cpu_per_delivery_nchan', 'us', 'ogent', 'nchan', cpu, slow),
			figure('ws.per_second', '1/s', 'ogent', 'bare C', perSecond),
			figure('ws.per_second_presence', '1/s', 'ogent, presence', 'bare C', perSecond, { ...slow, bar: { least: 500000 } }),
			figure('p50', 'ms', 'ogent', 'bare C', (r) => r.p50),
			figure('p99', 'ms', 'ogent', 'bare C', (r) => r.p99, { bar: { most: 10 } }),
			{ name: 'socket.idle_bytes', unit: 'bytes', rounds: 1, bar: { most: 1024 }, sample: () => idle((p) => p.hello.slice(0, 1), (p) => p.ready.slice(0, 1)) },
			{ name: 'socket.idle_bytes_two_channels', unit: 'bytes', rounds: 1, bar: { most: 2048 }, sample: () => idle((p) => p.hello, (p) => p.ready) },
		].filter(Boolean),
		close: async () => {
			endAll();
			rmSync(dir, { recursive: true, force: true });
		},
	};
}
