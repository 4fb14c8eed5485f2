// HTTP framing from outside (RFC 9110, RFC 9112): what could be read in two ways is refused, the connection closed, and nothing of it forwarded; what passes
// is forwarded in one plain form. In front of two real servers: Node's, which is told to be lax, and nginx. Between gateway and server stands a tap that
// keeps every byte.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { freePort, startRole } from '../lib/platform.mjs';
import { sendRaw } from '../lib/raw.mjs';

const JWKS = JSON.stringify({ keys: [{ ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig', alg: 'EdDSA' }] });
const P = '/api/auth/x'; // public, so that no token is in the way
const HOST = 'Host: gw.test\r\n';
const get = (fields = '', target = P) => `GET ${target} HTTP/1.1\r\n${HOST}${fields}\r\n`;
const post = (fields, body = '') => `POST ${P} HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const chunked = (body) => post('Transfer-Encoding: chunked\r\n', body);
const HIDDEN = `GET /api/auth/hidden HTTP/1.1\r\n${HOST}\r\n`;

// [name, bytes, status]. Every one is answered with a problem, and the connection closed.
const REFUSED = [
	['Content-Length beside Transfer-Encoding', post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${HIDDEN}`), 400],
	['Transfer-Encoding beside Content-Length', post('Transfer-Encoding: chunked\r\nContent-Length: 6\r\n', `0\r\n\r\n${HIDDEN}`), 400],
	['two different Content-Length', post('Content-Length: 3\r\nContent-Length: 0\r\n', 'abc'), 400],
	['two equal Content-Length', post('Content-Length: 3\r\nContent-Length: 3\r\n', 'abc'), 400],
	['a list in Content-Length', post('Content-Length: 3, 3\r\n', 'abc'), 400],
	['a sign in Content-Length', post('Content-Length: +3\r\n', 'abc'), 400],
	['a negative Content-Length', post('Content-Length: -3\r\n', 'abc'), 400],
	['a hexadecimal Content-Length', post('Content-Length: 0x3\r\n', 'abc'), 400],
	['blanks in Content-Length', post('Content-Length: 1 1\r\n', 'abc'), 400],
	['an empty Content-Length', post('Content-Length:\r\n', 'abc'), 400],
	['a Content-Length beyond all bounds', post('Content-Length: 99999999999999999999999\r\n', 'abc'), 400],
	['gzip before chunked', post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), 400],
	['identity behind chunked', post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n'), 400],
	['an unknown coding', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), 400],
	['the coding identity', post('Transfer-Encoding: identity\r\nContent-Length: 3\r\n', 'abc'), 400],
	['chunked twice', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400],
	['chunked in quotes', post('Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n'), 400],
	['a vertical tab before chunked', post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'), 400],
	['a blank before the colon', post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'), 400],
	['a blank behind Host', `GET ${P} HTTP/1.1\r\nHost : gw.test\r\n\r\n`, 400],
	['a folded field', get('X-A: 1\r\n 2\r\n'), 400],
	['a folded coding', post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n'), 400],
	['a blank before the first field', `GET ${P} HTTP/1.1\r\n X: 1\r\n${HOST}\r\n`, 400],
	['a bare CR in a value', get('X-A: 1\rX-B: 2\r\n'), 400],
	['a bare LF in the head', `GET ${P} HTTP/1.1\nHost: gw.test\n\n`, 400],
	['a bare LF behind a field', get('X-A: 1\nX-B: 2\r\n'), 400],
	['NUL in a value', get('X-A: a\0b\r\n'), 400],
	['NUL in a name', get('X-\0A: b\r\n'), 400],
	['a field without a colon', get('X-A\r\n'), 400],
	['a field without a name', get(': a\r\n'), 400],
	['no Host', `GET ${P} HTTP/1.1\r\n\r\n`, 400],
	['two Host fields', get('Host: other.test\r\n'), 400],
	['a Host with a path', `GET ${P} HTTP/1.1\r\nHost: a/b\r\n\r\n`, 400],
	['an empty Host', `GET ${P} HTTP/1.1\r\nHost:\r\n\r\n`, 400],
	['another authority than Host', get('', `http://other.test${P}`), 400],
	['an authority as target', get('', 'gw.test:80'), 400],
	['a fragment', get('', `${P}#top`), 400],
	['a dot segment', get('', '/api/auth/../users'), 400],
	['an encoded dot segment', get('', '/api/auth/%2e%2e/users'), 400],
	['a half encoded dot segment', get('', '/api/auth/.%2E/users'), 400],
	['a broken escape', get('', '/api/auth/%zz'), 400],
	['a control character in the target', get('', '/api/auth/\x01'), 400],
	['eight bits in the target', get('', '/api/auth/\xe9'), 400],
	['two blanks in the request line', `GET  ${P} HTTP/1.1\r\n${HOST}\r\n`, 400],
	['a tab in the request line', `GET\t${P} HTTP/1.1\r\n${HOST}\r\n`, 400],
	['a method in lower case', `get ${P} HTTP/1.1\r\n${HOST}\r\n`, 400],
	['an unknown method', `BREW ${P} HTTP/1.1\r\n${HOST}\r\n`, 400],
	['CONNECT', `CONNECT gw.test:80 HTTP/1.1\r\n${HOST}\r\n`, 405],
	['TRACE', `TRACE ${P} HTTP/1.1\r\n${HOST}\r\n`, 405],
	['HTTP/2.0', `GET ${P} HTTP/2.0\r\n${HOST}\r\n`, 505],
	['HTTP/1.2', `GET ${P} HTTP/1.2\r\n${HOST}\r\n`, 505],
	['HTTP/0.9', `GET ${P}\r\n\r\n`, 505],
	['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
	['chunked on HTTP/1.0', `POST ${P} HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
	['an unknown expectation', post('Expect: 200-ok\r\nContent-Length: 3\r\n', 'abc'), 417],
	['an upgrade with a body', post('Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n', 'abc'), 400],
	['a target that is too long', get('', `/api/auth/${'a'.repeat(9000)}`), 414],
	['a field that is too long', get(`X-A: ${'a'.repeat(40000)}\r\n`), 431],
	['too many fields', get(Array.from({ length: 200 }, (_, i) => `X-${i}: 1\r\n`).join('')), 431],
	['two empty lines in front', `\r\n\r\n${get()}`, 400],
];

// The head was good, so it went on; the body must never come to an end behind the gateway.
const BROKEN_BODIES = [
	['a chunk size that is none', chunked('zz\r\nabc\r\n0\r\n\r\n')],
	['a negative chunk size', chunked('-1\r\nabc\r\n0\r\n\r\n')],
	['a prefix before a chunk size', chunked('0x3\r\nabc\r\n0\r\n\r\n')],
	['a blank before a chunk size', chunked(' 3\r\nabc\r\n0\r\n\r\n')],
	['a chunk size beyond all bounds', chunked('fffffffffffffffff\r\nabc\r\n0\r\n\r\n')],
	['a chunk without its line end', chunked('3\r\nabcdef\r\n0\r\n\r\n')],
	['a bare LF behind a chunk size', chunked('3\nabc\r\n0\r\n\r\n')],
	['a bare LF behind a chunk', chunked('3\r\nabc\n0\r\n\r\n')],
	['a bare CR in a chunk extension', chunked('3;a\rb\r\nabc\r\n0\r\n\r\n')],
	['a chunk extension without end', chunked(`3;${'a'.repeat(20000)}\r\nabc\r\n0\r\n\r\n`)],
	['Content-Length in the trailers', chunked('3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n')],
	['trailers without end', chunked(`3\r\nabc\r\n0\r\n${'X-A: b\r\n'.repeat(2000)}\r\n`), 431],
	['too long a trailer', chunked(`3\r\nabc\r\n0\r\nX-A: ${'b'.repeat(6000)}\r\n\r\n`)],
	['a folded trailer', chunked('3\r\nabc\r\n0\r\nX-A: b\r\n c\r\n\r\n')],
	['a bare LF behind a trailer', chunked('3\r\nabc\r\n0\r\nX-A: b\nX-B: c\r\n\r\n')],
	['a blank before the colon of a trailer', chunked('3\r\nabc\r\n0\r\nX-A : b\r\n\r\n')],
	['NUL in a trailer', chunked('3\r\nabc\r\n0\r\nX-A: b\0c\r\n\r\n')],
	['Transfer-Encoding in the trailers', chunked('3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n')],
];

// A TCP relay to `port` that keeps what goes there.
async function startTap(port) {
	const tap = { bytes: '', sockets: new Set() };
	const server = net.createServer((from) => {
		const to = net.connect(port, '127.0.0.1');
		for (const s of [from, to]) {
			tap.sockets.add(s);
			s.on('error', () => {});
			s.on('close', () => (tap.sockets.delete(s), from.destroy(), to.destroy()));
		}
		from.on('data', (d) => ((tap.bytes += d.toString('latin1')), to.write(d)));
		to.on('data', (d) => from.write(d));
		from.on('end', () => to.end());
		to.on('end', () => from.end());
	});
	await new Promise((done) => server.listen(0, '127.0.0.1', done));
	tap.port = server.address().port;
	tap.stop = () => {
		for (const s of tap.sockets) s.destroy();
		server.close();
	};
	return tap;
}

// Each request whole, as a lax server reads it.
async function startNode() {
	const seen = [];
	const server = http.createServer({ insecureHTTPParser: true }, (req, res) => {
		const chunks = [];
		req.on('data', (d) => chunks.push(d));
		req.on('error', () => {});
		req.on('end', () => {
			if (req.url.startsWith('/.well-known/')) return res.end(JWKS);
			if (req.url.startsWith('/revocations')) return res.writeHead(404).end();
			seen.push({ method: req.method, url: req.url, headers: req.headers, raw: req.rawHeaders, body: Buffer.concat(chunks).toString('latin1'), trailers: req.trailers });
			if (req.url.endsWith('/empty')) return res.writeHead(204).end();
			if (req.url.endsWith('/same')) return res.writeHead(304, { etag: '"1"' }).end();
			if (req.url.endsWith('/hints')) {
				res.writeProcessing();
				res.socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Named\r\nX-Named: 1\r\nKeep-Alive: 5\r\n\r\n');
			}
			if (req.url.endsWith('/pieces')) {
				res.setHeader('Trailer', 'X-Sum, Set-Cookie, Server-Timing');
				res.write('one');
				res.addTrailers({ 'X-Sum': '1', 'Set-Cookie': 'evil=1', 'Server-Timing': 'db;dur=5', 'X-Forwarded-For': '6.6.6.6', 'Content-Type': 'evil/x' });
				return res.end('two');
			}
			res.setHeader('Connection', 'keep-alive, X-Named');
			res.setHeader('X-Named', '1');
			res.end('hello');
		});
	});
	await new Promise((done) => server.listen(0, '127.0.0.1', done));
	return { port: server.address().port, seen, stop: () => (server.closeAllConnections(), server.close()) };
}

async function startNginx() {
	const dir = mkdtempSync(join(tmpdir(), 'ogent-framing-'));
	const port = await freePort();
	const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `${n}_temp_path ${dir}/${n};`).join(' ');
	writeFileSync(
		join(dir, 'conf'),
		`daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log; events { }
http { ${temp} access_log off; underscores_in_headers on; ignore_invalid_headers off;
server { listen 127.0.0.1:${port}; location / { return 200 "hello"; }
location /revocations { return 404; } location /.well-known/ { default_type application/json; return 200 '${JWKS}'; } } }
`,
	);
	const child = spawn('nginx', ['-p', dir, '-e', join(dir, 'error.log'), '-c', join(dir, 'conf')], { stdio: 'ignore' });
	process.once('exit', () => child.kill('SIGKILL'));
	return { port, stop: () => (child.kill('SIGKILL'), rmSync(dir, { recursive: true, force: true })) };
}

async function startGateway(port, env = {}) {
	const listen = await freePort();
	const gateway = await startRole('gateway', {
		env: { OGENT_LISTEN: `127.0.0.1:${listen}`, OGENT_AUTH_URL: `http://127.0.0.1:${port}`, OGENT_RATE_LIMIT: '0', OGENT_GATEWAY_THREADS: '2', ...env },
	});
	return { stop: () => gateway.stop(), gateway, where: { host: '127.0.0.1', port: listen } };
}

// What the tap holds of requests of ours; the gateway asks for keys and revocations by itself.
const forwarded = (tap) => tap.bytes.replace(/GET \/(?:\.well-known\/jwks\.json|revocations\S*) HTTP\/1\.1\r\n.*?\r\n\r\n/gs, '');

// One plain reading: no field but for what every server understands alike.
function assertPlain(text) {
	const head = text.slice(0, text.indexOf('\r\n\r\n'));
	const names = head.split('\r\n').slice(1).map((l) => l.slice(0, l.indexOf(':')).toLowerCase());
	assert.ok(!/[^\r]\n|\r[^\n]/.test(head), head);
	assert.ok(names.every((n) => /^[a-z0-9-]+$/.test(n)), head);
	assert.ok(!(names.includes('content-length') && names.includes('transfer-encoding')), head);
	for (const once of ['host', 'content-length', 'transfer-encoding']) assert.ok(names.filter((n) => n === once).length <= 1, head);
	for (const never of ['proxy-connection', 'keep-alive', 'te', 'trailer', 'expect', 'upgrade', 'connection']) assert.ok(!names.includes(never), head);
}

for (const [name, startUpstream] of [['Node', startNode], ['nginx', startNginx]]) {
	describe(`framing, in front of ${name}`, { timeout: 120000 }, () => {
		let upstream, tap, g;
		before(async () => {
			upstream = await startUpstream();
			tap = await startTap(upstream.port);
			g = await startGateway(tap.port);
		});
		after(async () => {
			await g?.stop();
			tap?.stop();
			upstream?.stop();
		});

		for (const [what, bytes, status] of REFUSED)
			test(`${what} is refused with ${status}`, async () => {
				tap.bytes = '';
				const r = await sendRaw(g.where, Buffer.from(bytes, 'latin1'));
				assert.equal(r.status, status, r.text);
				assert.match(r.headers['content-type'], /^application\/problem\+json/);
				assert.equal(r.headers.connection, 'close');
				assert.ok(r.closed, 'the connection stays open');
				assert.equal(r.text.match(/HTTP\/1\.1 /g).length, 1, r.text);
				assert.equal(forwarded(tap), '', 'something was forwarded');
			});

		for (const [what, bytes, status] of BROKEN_BODIES)
			test(`${what} ends the request on both sides`, async () => {
				tap.bytes = '';
				const r = await sendRaw(g.where, Buffer.from(bytes, 'latin1'));
				assert.ok(r.closed, 'the connection stays open');
				assert.equal(r.text.match(/HTTP\/1\.1 /g)?.length ?? 1, 1, r.text);
				if (name === 'Node') assert.equal(r.status, status ?? 400, r.text); // nginx answers before the body has come
				assert.ok(!forwarded(tap).includes('0\r\n\r\n'), 'a body came to its end');
			});

		test('nothing is answered behind an error', async () => {
			tap.bytes = '';
			const r = await sendRaw(g.where, get('X A: 1\r\n') + HIDDEN);
			assert.equal(r.status, 400);
			assert.ok(r.closed);
			assert.equal(r.text.match(/HTTP\/1\.1 /g).length, 1, r.text);
			assert.ok(!forwarded(tap).includes('hidden'));
		});

		test('requests in one packet are answered in order', async () => {
			tap.bytes = '';
			const r = await sendRaw(g.where, get('X-Request-Id: pipelined-1\r\n') + post('Content-Length: 3\r\nX-Request-Id: pipelined-2\r\n', 'abc') + get('Connection: close\r\nX-Request-Id: pipelined-3\r\n'));
			assert.deepEqual(r.text.match(/pipelined-\d/g), ['pipelined-1', 'pipelined-2', 'pipelined-3']);
			assert.equal(r.text.match(/HTTP\/1\.1 200/g).length, 3);
			assert.ok(r.closed);
		});

		test('hop-by-hop fields, fields that Connection names, and what a client says of itself do not pass', async () => {
			tap.bytes = '';
			const fields = [
				'Connection: close, X-Secret, Keep-Alive', 'X-Secret: 1', 'Keep-Alive: timeout=5', 'Proxy-Connection: keep-alive', 'TE: trailers', 'Trailer: X-Sum',
				'Proxy-Authorization: Basic eA==', 'X-User-Id: admin', 'X-Internal-Role: admin', 'x_user_id: admin', 'Content_Length: 5', 'Transfer_Encoding: chunked',
				'X-Forwarded-For: 1.2.3.4', 'X-Real-IP: 1.2.3.4', 'Forwarded: for=1.2.3.4', 'X-Ogent-Service: auth', 'HTTP2-Settings: AA', 'X-Fine: 1',
			];
			const r = await sendRaw(g.where, get(fields.map((f) => `${f}\r\n`).join('')));
			assert.equal(r.status, 200, r.text);
			const text = forwarded(tap);
			assertPlain(text);
			assert.match(text, /\r\nX-Fine: 1\r\n/);
			assert.match(text, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/i);
			for (const gone of ['X-Secret', 'Keep-Alive', 'Proxy-', 'admin', '_', '1.2.3.4', 'X-Ogent', 'HTTP2'])
				assert.ok(!text.toLowerCase().includes(gone.toLowerCase()), `${gone} passed:\n${text}`);
			assert.equal(r.headers['x-named'], undefined);
		});

		test('an absolute target is served as its path, under its own authority', async () => {
			tap.bytes = '';
			const r = await sendRaw(g.where, get('Connection: close\r\n', `http://GW.test${P}?a=b`));
			assert.equal(r.status, 200, r.text);
			assert.match(forwarded(tap), /^GET \/api\/auth\/x\?a=b HTTP\/1\.1\r\n/);
			assert.equal(forwarded(tap).match(/\r\nhost: /gi).length, 1);
		});

		test('what is percent-encoded stays so', async () => {
			tap.bytes = '';
			const r = await sendRaw(g.where, get('Connection: close\r\n', '/api/auth/a%20b%0d%0aX-Evil:1?c=%23#'.slice(0, -1)));
			assert.equal(r.status, 200, r.text);
			assert.match(forwarded(tap), /^GET \/api\/auth\/a%20b%0d%0aX-Evil:1\?c=%23 HTTP\/1\.1\r\n/);
		});

		test('one empty line in front is forgiven', async () => {
			assert.equal((await sendRaw(g.where, `\r\n${get('Connection: close\r\n')}`)).status, 200);
		});

		test('a chunked body goes on in chunks, without extensions', async () => {
			tap.bytes = '';
			const r = await sendRaw(g.where, post('Transfer-Encoding: chunked\r\nConnection: close\r\n', '3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nHost: other.test\r\n\r\n'));
			assert.equal(r.status, 200, r.text);
			const text = forwarded(tap);
			assertPlain(text);
			assert.ok(!/a=b|other/i.test(text), text);
			assert.match(text, /0\r\nX-Sum: 1\r\n\r\n$/);
			if (upstream.seen) assert.deepEqual([upstream.seen.at(-1).body, upstream.seen.at(-1).trailers], ['abcde', { 'x-sum': '1' }]);
		});

		test('trailers go on, but none that could be taken for a field of the head', async () => {
			tap.bytes = '';
			const kept = ['X-Sum: 1', 'Content-Digest: sha-256=:AA==:', 'X-Sum: 2'];
			const dropped = [
				'Host: evil.test', 'Authorization: Bearer evil', 'Cookie: evil=1', 'Content-Type: evil/x', 'Content-Encoding: evil', 'X-User-Id: evil', 'X-Internal-Role: evil',
				'X-Forwarded-For: 6.6.6.6', 'Forwarded: for=6.6.6.6', 'x_sum: evil', 'If-Match: evil', 'Cache-Control: evil', 'X-Secret: evil', 'X-Request-Id: evil-request', 'Trailer: X-Evil',
			];
			const trailers = [kept[0], ...dropped, ...kept.slice(1)].map((f) => `${f}\r\n`).join('');
			const head = 'Transfer-Encoding: chunked\r\nConnection: close, X-Secret\r\nTrailer: X-Sum, Host, X-User-Id\r\nTrailer: Content-Digest\r\n';
			const r = await sendRaw(g.where, post(head, `3\r\nabc\r\n0\r\n${trailers}\r\n`));
			assert.equal(r.status, 200, r.text);
			const text = forwarded(tap);
			assert.match(text, /\r\nTrailer: X-Sum, Content-Digest\r\n/);
			assert.ok(text.endsWith(`\r\n0\r\n${kept.map((f) => `${f}\r\n`).join('')}\r\n`), text);
			assert.ok(!/evil|6\.6\.6\.6/i.test(text), text);
			if (upstream.seen) assert.deepEqual(upstream.seen.at(-1).trailers, { 'x-sum': '1, 2', 'content-digest': 'sha-256=:AA==:' });
		});

		test('TE: trailers goes on in the gateway\'s own Connection field, other codings never', async () => {
			for (const [fields, passes] of [
				['TE: trailers\r\nConnection: close, TE\r\n', true],
				['TE: gzip;q=0.5, trailers\r\nConnection: TE, close\r\n', true],
				['TE: trailers\r\nConnection: close\r\n', false], // it does not say that it is for this connection
				['TE: gzip\r\nConnection: close, TE\r\n', false],
			]) {
				tap.bytes = '';
				assert.equal((await sendRaw(g.where, get(fields))).status, 200);
				const text = forwarded(tap);
				assert.equal(/\r\nTE: trailers\r\n/.test(text), passes, text);
				assert.equal(/\r\nConnection: TE\r\n/.test(text), passes, text);
				assert.ok(!/gzip/.test(text), text);
			}
		});

		test('HEAD has the head of the answer only', async () => {
			const r = await sendRaw(g.where, `HEAD ${P} HTTP/1.1\r\n${HOST}\r\n${get('Connection: close\r\n')}`);
			assert.equal(r.headers['content-length'] ?? '5', '5');
			assert.match(r.body, /^HTTP\/1\.1 200/, 'bytes stand between the two answers');
			assert.match(r.body, /hello$|\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/);
		});

		test('Expect: 100-continue is answered by the gateway and not passed on', async () => {
			tap.bytes = '';
			const bytes = post('Expect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n');
			const socket = net.connect(g.where.port, '127.0.0.1');
			let text = '';
			socket.on('data', (d) => {
				if (!text) socket.write('abc');
				text += d;
			});
			socket.write(bytes);
			await new Promise((done) => socket.on('close', done));
			assert.match(text, /^HTTP\/1\.1 (100 Continue\r\n\r\nHTTP\/1\.1 )?200/);
			if (name === 'Node') assert.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/);
			assertPlain(forwarded(tap));
		});
	});
}

describe('answers of a server', { timeout: 120000 }, () => {
	let upstream, g;
	before(async () => {
		upstream = await startNode();
		g = await startGateway(upstream.port);
	});
	after(async () => {
		await g?.stop();
		upstream?.stop();
	});
	const ask = (last) => sendRaw(g.where, get('', `/api/auth/${last}`) + get('Connection: close\r\n', '/api/auth/second'));

	test('204 and 304 have no body, and the next answer follows at once', async () => {
		for (const [last, status] of [['empty', 204], ['same', 304]]) {
			const r = await ask(last);
			assert.equal(r.status, status);
			assert.match(r.body, /^HTTP\/1\.1 200 /, r.text);
		}
	});

	test('interim answers go to the client in their order, without the fields of the connection', async () => {
		const r = await ask('hints');
		const [processing, hints, answer] = r.text.split('\r\n\r\n');
		assert.equal(processing, 'HTTP/1.1 102 Processing');
		assert.equal(hints, 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload');
		assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
		assert.equal(r.text.match(/HTTP\/1\.1 200 /g).length, 2, r.text);
	});

	test('HTTP/1.0 has no interim answers', async () => {
		const r = await sendRaw(g.where, 'GET /api/auth/hints HTTP/1.0\r\nHost: gw.test\r\n\r\n');
		assert.equal(r.status, 200, r.text);
		assert.ok(!/ 10[23] |rel=preload/.test(r.text), r.text);
	});

	test('a client of HTTP gets them as information', async () => {
		const seen = [];
		const res = await new Promise((done, fail) => {
			const req = http.get({ ...g.where, path: '/api/auth/hints', agent: false }, done);
			req.on('information', (i) => seen.push([i.statusCode, i.headers.link]));
			req.on('error', fail);
		});
		res.resume();
		assert.equal(res.statusCode, 200);
		assert.deepEqual(seen, [[102, undefined], [103, '</a.css>; rel=preload']]);
	});

	test('pieces come as pieces, with the trailers behind them', async () => {
		const r = await ask('pieces');
		assert.equal(r.headers['transfer-encoding'], 'chunked');
		assert.equal(r.headers.trailer, 'X-Sum, Server-Timing');
		assert.match(r.body, /^(3\r\none\r\n3\r\ntwo|6\r\nonetwo)\r\n0\r\nX-Sum: 1\r\nServer-Timing: db;dur=5\r\n\r\nHTTP\/1\.1 200 /);
	});

	test('a client of HTTP gets the trailers of an answer', async () => {
		const res = await new Promise((done, fail) => http.get({ ...g.where, path: '/api/auth/pieces', agent: false, headers: { te: 'trailers', connection: 'close, te' } }, done).on('error', fail));
		let text = '';
		for await (const d of res) text += d;
		assert.equal(text, 'onetwo');
		assert.deepEqual({ ...res.trailers }, { 'x-sum': '1', 'server-timing': 'db;dur=5' });
		assert.equal(upstream.seen.at(-1).headers.te, 'trailers');
	});

	test('HTTP/1.0 has no trailers: the body ends with the connection', async () => {
		const r = await sendRaw(g.where, 'GET /api/auth/pieces HTTP/1.0\r\nHost: gw.test\r\n\r\n');
		assert.equal(r.headers.trailer, undefined);
		assert.equal(r.body, 'onetwo');
	});

	test('trailers both ways on one kept connection, one request behind the other', async () => {
		const body = 'Transfer-Encoding: chunked\r\n';
		const one = (n, last) => `POST /api/auth/pieces HTTP/1.1\r\n${HOST}${body}X-N: ${n}\r\n${last}\r\n3\r\nabc\r\n0\r\nX-N: ${n}\r\n\r\n`;
		const r = await sendRaw(g.where, one(1, '') + one(2, '') + one(3, 'Connection: close\r\n'));
		assert.equal(r.text.match(/\r\n0\r\nX-Sum: 1\r\nServer-Timing: db;dur=5\r\n\r\n/g)?.length, 3, r.text);
		assert.deepEqual(upstream.seen.slice(-3).map((s) => s.trailers['x-n']), ['1', '2', '3']);
	});
});

// [name, bytes of the answer, how it ends: 'end' = the server closes, 'body' = it closes and the head has reached the client]
const BROKEN_ANSWERS = [
	['Content-Length beside Transfer-Encoding', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
	['two different Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
	['a Content-Length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc'],
	['a coding that is not chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
	['chunked on HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
	['a folded field', 'HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n'],
	['NUL in a value', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n'],
	['a bare CR in a value', 'HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 0\r\n\r\n'],
	['a blank before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc'],
	['another protocol', 'ICY 200 OK\r\n\r\n'],
	['HTTP/2.0', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
	['no status', 'HTTP/1.1 OK\r\n\r\n'],
	['a head without end', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(100000)}`],
	['too many fields', `HTTP/1.1 200 OK\r\n${'X-A: b\r\n'.repeat(300)}\r\n`],
	['a body with 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc'],
	['101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'],
	['interim answers without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100)],
	['an end within the head', 'HTTP/1.1 200 OK\r\nContent-Le', 'end'],
	['an end within the body', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'body'],
	['a chunk that is none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 'body'],
	['an interim answer with a body', 'HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
	['a bare CR in a trailer', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\rc\r\n\r\n', 'body'],
	['Content-Length in the trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n', 'body'],
	['trailers without end', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n${'X-A: b\r\n'.repeat(300)}\r\n`, 'body'],
	['an end within the chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'body'],
];

describe('answers that are broken', { timeout: 120000 }, () => {
	let server, g, answer, how;
	let again = 0;
	before(async () => {
		server = net.createServer((s) => {
			let isBroken = false;
			s.on('error', () => {});
			s.on('data', (d) => {
				if (String(d).includes('jwks')) return s.end(`HTTP/1.1 200 OK\r\nContent-Length: ${JWKS.length}\r\n\r\n${JWKS}`);
				if (String(d).startsWith('GET /revocations')) return s.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
				if (isBroken) again++;
				isBroken = how !== '';
				s.write(Buffer.from(answer, 'latin1'));
				if (how === 'end' || how === 'body') s.end();
			});
		});
		await new Promise((done) => server.listen(0, '127.0.0.1', done));
		g = await startGateway(server.address().port);
	});
	after(async () => {
		await g?.stop();
		server?.close();
	});

	for (const [what, bytes, kind] of BROKEN_ANSWERS)
		test(`${what} ${kind === 'body' ? 'breaks off' : 'is a 502'}, and the connection is not used again`, async () => {
			answer = bytes;
			how = kind ?? 'head';
			const r = await sendRaw(g.where, post('Content-Length: 3\r\n', 'abc'), { once: kind !== 'body' });
			if (kind === 'body') {
				assert.ok(r.closed, 'the connection stays open');
				assert.ok(!/0\r\n\r\n$/.test(r.text), 'it looks whole');
				if (r.headers['content-length']) assert.ok(r.body.length < Number(r.headers['content-length']));
			} else {
				assert.equal(r.status, 502, r.text);
			}
			answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
			how = '';
			assert.equal((await sendRaw(g.where, get(), { once: true })).status, 200);
			assert.equal(again, 0, 'it was used again');
		});

	test('bytes behind an answer are nobody\'s', async () => {
		how = 'head';
		answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden';
		for (let i = 0; i < 3; i++) assert.equal((await sendRaw(g.where, get(), { once: true })).body, 'ok');
		assert.equal(again, 0, 'it was used again');
	});
});
