// Hosts that a command may reach: by policy or approval, by name, at addresses that were looked at. dnsmasq answers for the names.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Dnsmasq } from '../lib/dnsmasq.mjs';
import { startRole } from '../lib/platform.mjs';

let auth, exec, admin, bob, origin, port, dns;

before(async () => {
  dns = await Dnsmasq.start([
    ...['good.test/127.0.0.1', 'evilgood.test/127.0.0.1', 'inner.test/10.9.8.7', 'meta.test/169.254.169.254'].map((a) => `address=/${a}`),
    'host-record=mixed.test,127.0.0.1',
    'host-record=mixed.test,10.9.8.7',
  ]);
  origin = http.createServer((req, res) => res.end(`${req.method} ${req.headers.host} ${req.url}`));
  await new Promise((done) => origin.listen(0, '127.0.0.1', done));
  ({ port } = origin.address());
  auth = await startRole('auth');
  exec = await startRole('exec', { data: auth.data, env: { OGENT_EXEC_NETWORK_DNS: dns.address, OGENT_EXEC_NETWORK_INNER: '127.0.0.1' } });
  admin = (await auth.setUp()).access_token;
  const login = { email: 'bob@example.org', password: 'a quiet river under stones' };
  assert.equal((await auth.api('POST', '/api/users', { name: 'Bob', roles: ['member'], ...login }, admin)).status, 201);
  bob = (await auth.login(login)).access_token;
  const web = { default: 'allow', network: { hosts: [`*.good.test:${port}`, `*.inner.test:${port}`, `*.meta.test:${port}`, `mixed.test:${port}`], others: 'ask' } };
  for (const [name, policy] of [['web', web], ['closed', { default: 'allow', network: { others: 'deny' } }]]) {
    const r = await exec.api('PUT', `/api/policies/${name}`, policy, admin);
    assert.ok(r.status < 300, r.text);
  }
});

after(async () => {
  await exec?.stop();
  await auth?.stop();
  origin?.close();
  await dns?.stop();
});

const run = (body, token = bob) => exec.api('POST', '/api/commands?output=8192', { wait_ms: 60000, ...body }, token);

// What a request through the proxy is answered, by a shell alone.
const through = (request) => `exec 3<>/dev/tcp/127.0.0.1/3128 && printf '${request}' >&3 && cat <&3`;
const get = (host) => through(`GET http://${host}:${port}/x HTTP/1.1\\r\\n\\r\\n`);
const tunnel = (host, p = port) => through(`CONNECT ${host}:${p} HTTP/1.1\\r\\n\\r\\nGET /y HTTP/1.1\\r\\nHost: ${host}\\r\\nConnection: close\\r\\n\\r\\n`);

async function output(body) {
  const r = await run(body);
  assert.equal(r.status, 200, r.text);
  return r.body.output.text ?? r.body.output.head ?? JSON.stringify(r.body.output);
}

const log = async (id, token = bob) => (await exec.api('GET', `/api/commands/${id}/network`, undefined, token)).body;

test('without hosts there is no way out, and nothing that points to one', async () => {
  const text = await output({ script: `env | grep -i proxy; (${get('a.good.test')}) 2>&1; echo done` });
  assert.doesNotMatch(text, /proxy=|GET a\.good/);
  assert.match(text, /refused[^]*done/);
});

test('a policy opens hosts by name, for plain requests and tunnels, and programs find the way', async () => {
  const text = await output({ policy: 'web', script: `echo "$https_proxy"; ${get('a.good.test')}; ${tunnel('b.good.test')}` });
  assert.match(text, /^http:\/\/127\.0\.0\.1:3128/);
  assert.match(text, new RegExp(`GET a\\.good\\.test:${port} /x`));
  assert.match(text, /200 Connection established[^]*GET b\.good\.test \/y/);
});

test('curl, as it is, goes that way', { skip: !readdirSync('/usr/bin').includes('curl') }, async () => {
  assert.match(await output({ policy: 'web', argv: ['curl', '-sS', `http://c.good.test:${port}/z`] }), /GET c\.good\.test:\d+ \/z/);
  assert.match(await output({ policy: 'web', script: `curl -sS http://evilgood.test:${port}/ ; echo " <$?>"` }), /may not reach this host/);
});

test('other names, ports, addresses, and names that lead inwards, are refused with the reason; all of it stands in the log', async () => {
  const cases = [
    [get('evilgood.test'), 'host'],
    [get('good.test.evil.test'), 'host'],
    [tunnel('a.good.test', port + 1), 'host'],
    [get('127.0.0.1'), 'host'],
    [get('2130706433'), 'name'],
    [get('x.inner.test'), 'address'],
    [tunnel('x.meta.test'), 'address'],
    [through('GET / HTTP/1.1\\r\\nHost: a.good.test\\r\\n\\r\\n'), 'request'],
  ];
  const r = await run({ policy: 'web', script: `${cases.map(([c]) => `(${c}) | grep Network`).join('; ')}; (${get('mixed.test')}) | tail -n 1` });
  assert.equal(r.status, 200, r.text);
  const text = r.body.output.text ?? r.body.output.head;
  assert.deepEqual([...text.matchAll(/X-Ogent-Network: (\w+)/g)].map((m) => m[1]), cases.map(([, reason]) => reason));
  assert.match(text, /GET mixed\.test/);
  const { hosts, connections } = await log(r.body.id);
  assert.ok(hosts.includes(`*.good.test:${port}`));
  assert.deepEqual(connections.map((c) => c.reason), [...cases.map(([, reason]) => reason), '']);
  const last = connections.at(-1);
  assert.equal(last.verdict, 'allowed');
  assert.equal(last.address, `127.0.0.1:${port}`);
  assert.ok(last.sent > 0 && last.received > 0);
  assert.equal((await exec.api('GET', `/api/commands/${r.body.id}/network`, undefined, undefined)).status, 401);
});

test('names, addresses and heads in other forms reach nobody', async () => {
  const hosts = [
    'user@a.good.test', 'a.good.test@127.0.0.1', '127.0.0.1@a.good.test', 'a.good.test%%00', 'a.good.test\\000.evil.test', 'evil.test\\000.good.test', 'a.good.test\\r', 'a.good.test\\n', 'a.good.test\\t',
    'a.good.test#', 'a.good.test/', 'a.good.test\\\\', 'a\\xe3\\x80\\x82good.test', 'a\\xef\\xbc\\x8egood.test', '\\xef\\xbd\\x81.good.test', 'a\\xc2\\xad.good.test', 'a.g\\xd0\\xbeod.test', 'a..good.test', '.good.test', '*.good.test',
    '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[::1]', '[::]', '[::1%%lo]', '::1', '0x7f000001', '0177.0.0.1', '0x7f.1', '127.1', '127.0.1', '2130706433', '017700000001', '127.0.0.1.',
    '127.000.000.001', '127.0.0.1', '0', '0.0.0.0', 'localhost', 'localhost.', 'ip6-localhost', 'good.test', 'a.good.test.evil.test', 'evilgood.test', 'a-good.test',
  ];
  const heads = [
    `connect a.good.test:${port} HTTP/1.1\\r\\n\\r\\n`, `CONNECT a.good.test HTTP/1.1\\r\\n\\r\\n`, `CONNECT a.good.test:0 HTTP/1.1\\r\\n\\r\\n`, `CONNECT a.good.test:${port + 65536} HTTP/1.1\\r\\n\\r\\n`,
    `CONNECT a.good.test:+${port} HTTP/1.1\\r\\n\\r\\n`, `CONNECT  a.good.test:${port} HTTP/1.1\\r\\n\\r\\n`, `CONNECT a.good.test:${port} HTTP/2.0\\r\\n\\r\\n`, `GET https://a.good.test:${port}/ HTTP/1.1\\r\\n\\r\\n`,
    `GET //a.good.test:${port}/ HTTP/1.1\\r\\n\\r\\n`, `GET http://a.good.test:${port}/ HTTP/1.1 HTTP/1.1\\r\\n\\r\\n`, `GET http://a.good.test:${port}/\\rX HTTP/1.1\\r\\n\\r\\n`, `GET http://a.good.test:${port}/ HTTP/1.1\\n\\n`,
    `GET http://a.good.test:${port}/ HTTP/1.1\\r\\nHost : x\\r\\n\\r\\n`, `GET http://a.good.test:${port}/ HTTP/1.1\\r\\nA: b\\r\\n Host: x\\r\\n\\r\\n`, `GET http://a.good.test:${port}/ HTTP/1.1\\r\\nA: b\\rHost: x\\r\\n\\r\\n`,
    `POST http://a.good.test:${port}/ HTTP/1.1\\r\\nContent-Length: 3\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nabc`, `POST http://a.good.test:${port}/ HTTP/1.1\\r\\nContent-Length: 3\\r\\nContent-Length: 0\\r\\n\\r\\nabc`,
  ];
  const asks = [...hosts.flatMap((h) => [get(h), tunnel(h)]), ...heads.map(through)];
  const text = await output({ policy: 'web', timeout_ms: 50000, script: asks.map((a, i) => `(echo; echo "<${i}>"; ${a.replace('cat <&3', 'timeout 5 cat <&3 | head -c 60')}) 2>&1`).join('\n') });
  for (const part of text.split(/\n<(?=\d+>)/).slice(1)) assert.doesNotMatch(part, /established|GET a\.|200 OK/, `${asks[parseInt(part, 10)]}: ${part}`);
  assert.equal(text.split(/\n<(?=\d+>)/).length, asks.length + 1);
  const named = await output({ policy: 'web', script: through(`GET http://a.good.test:${port}/x HTTP/1.1\\r\\nHost: evil.test\\r\\nhost: other.test\\r\\n\\r\\n`) });
  assert.match(named, new RegExp(`GET a\\.good\\.test:${port} /x`), 'the host is told the name that was looked at');
});

test('what no policy speaks of is a person\'s decision, bound to the hosts', async () => {
  const body = { hosts: [`a.good.test:${port}`], script: get('a.good.test'), workspace: 'w' };
  const refused = await run(body);
  assert.equal(refused.status, 403);
  assert.equal(refused.body.code, 'approval_required');
  const { hash } = refused.body.approval;
  assert.ok((await exec.api('POST', '/api/policies/approvals', { hash }, admin)).status < 300);
  const more = await run({ ...body, hosts: [...body.hosts, `b.good.test:${port}`] });
  assert.equal(more.body.code, 'approval_required', 'another list is another question');
  const allowed = await run(body);
  assert.equal(allowed.status, 200, allowed.text);
  assert.match(allowed.body.output.text ?? allowed.body.output.head, /GET a\.good\.test/);
});

test('a policy that closes the network cannot be asked, and a file of the workspace opens nothing', async () => {
  const closed = await run({ policy: 'closed', hosts: ['a.good.test'], argv: ['true'] });
  assert.equal(closed.body.code, 'policy_denied');
  await output({ workspace: 'self', script: `mkdir -p .ogent; echo '{"default":"allow","network":{"hosts":["*"]}}' > .ogent/policy.json; ls -R .` });
  const own = await run({ workspace: 'self', hosts: ['a.good.test'], argv: ['true'] });
  assert.equal(own.status, 403, own.text);
});

test('wrong lists are refused with what to write', async () => {
  for (const hosts of [['http://a.test'], ['*a.test'], [7], 'a.test', ['a.test:0']]) {
    const r = await run({ hosts, argv: ['true'] });
    assert.equal(r.status, 422, r.text);
  }
  const check = await exec.api('POST', '/api/policies/check', { policy: 'web', argv: ['true'], hosts: ['a.good.test', `a.good.test:${port}`] }, bob);
  assert.equal(check.body.verdict, 'ask');
  assert.deepEqual(check.body.parts.filter((p) => p.kind === 'host').map((p) => [p.text, p.verdict]), [['a.good.test', 'ask'], [`a.good.test:${port}`, 'allow']]);
});

test('a connection that is open at the end is logged too', async () => {
  const { body } = await run({ policy: 'web', script: `exec 3<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT a.good.test:${port} HTTP/1.1\\r\\n\\r\\n' >&3; read -r answer <&3; echo "$answer"` });
  assert.match(body.output.text ?? body.output.head, /200/);
  assert.deepEqual((await log(body.id)).connections.map((c) => c.verdict), ['allowed']);
});

const proxies = () => execFileSync('ps', ['-eo', 'pid=,comm=']).toString().split('\n').filter((l) => l.includes('ogent-egress')).map((l) => Number(l.trim().split(' ')[0]));

test('the way out is a process without rights, and ends with its command', async () => {
  const before = proxies();
  const { body } = await exec.api('POST', '/api/commands', { policy: 'web', workspace: 'w', argv: ['sleep', '60'] }, bob);
  for (const limit = Date.now() + 10000; proxies().every((p) => before.includes(p)); await sleep(20)) assert.ok(Date.now() < limit, 'it starts');
  const pid = proxies().find((p) => !before.includes(p));
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  assert.match(status, /NoNewPrivs:\t1/);
  if (process.getuid() === 0) {
    const owner = statSync(join(auth.data, 'exec/workspaces/w')).uid;
    assert.match(status, new RegExp(`Uid:\t${owner}\t${owner}\t${owner}`));
    assert.match(status, /CapEff:\t0000000000000000/);
  }
  await exec.api('POST', `/api/commands/${body.id}/cancel`, {}, bob);
  for (const limit = Date.now() + 10000; proxies().includes(pid); await sleep(20)) assert.ok(Date.now() < limit, 'it ends');
});
