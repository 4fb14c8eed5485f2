import { mkdirSync, mkdtempSync, openSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAuthPeer } from '../lib/auth_peer.mjs';
import { compile, cpus, cpuUs, endAll, line, start } from '../lib/parties.mjs';
import { freePort, request } from '../lib/platform.mjs';
const [mode, cases, ...bins] = process.argv.slice(2);
const rounds = Number(process.env.ROUNDS ?? 5);
const dir = mkdtempSync(join(tmpdir(), 'gw-ab-'));
const auth = await startAuthPeer();
const be = start(cpus[1], compile(dir, 'backend'), [], { stdio: ['ignore', 'pipe', 'inherit'] });
const backend = Number(await line(be));
const bearer = `Authorization: Bearer ${auth.token(['agents.*'])}`;
async function gw(bin, name, env = {}) {
  const port = await freePort();
  const data = join(dir, name); mkdirSync(data);
  const log = openSync(join(dir, `${name}.log`), 'w');
  const e = { env: { PATH: process.env.PATH, OGENT_DATA: data, OGENT_LISTEN: `127.0.0.1:${port}`, OGENT_AUTH_URL: `http://127.0.0.1:${auth.port}`, OGENT_AGENT_URL: `http://127.0.0.1:${backend}`, OGENT_GATEWAY_THREADS: '1', OGENT_LOG_FORMAT: 'json', OGENT_LOG_LEVEL: 'info', OGENT_RATE_LIMIT: '1000000', OGENT_RATE_BURST: '1000000', ...env }, stdio: ['ignore', 'ignore', log] };
  const child = mode === 'cg' ? spawn('chrt', ['-r', '10', 'valgrind', '--tool=callgrind', '--callgrind-out-file=/tmp/gwx/cg.' + name + '.%p', '--instr-atstart=no', bin, 'gateway'], e) : start(cpus[0], bin, ['gateway'], e);
  for (let i = 0; i < 3000; i++) { if ((await request({ host: '127.0.0.1', port }, 'GET', '/healthz').catch(() => null))?.status === 200) break; await sleep(10); }
  return { port, pid: child.pid, child };
}
async function wrk(p, path, headers, n = 64, secs = 2) {
  const before = mode === 'cg' ? 0 : cpuUs(p.pid);
  const child = start(cpus[1], 'wrk', ['-t1', `-c${n}`, `-d${secs}s`, ...headers.flatMap((h) => ['-H', h]), `http://127.0.0.1:${p.port}${path}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = ''; child.stdout.on('data', (d) => (text += d));
  await new Promise((done) => child.on('close', done));
  const reqs = Number(text.match(/(\d+) requests in/)?.[1]);
  return { reqs, cpu: mode === 'cg' ? 0 : (cpuUs(p.pid) - before) / reqs };
}
const C = { ok: ['/api/agents/s100', [bearer], {}], 401: ['/api/agents/s100', [], {}], 429: ['/api/agents/s100', [bearer], { OGENT_RATE_LIMIT: '1', OGENT_RATE_BURST: '1' }], health: ['/healthz', [], {}] };
const parties = [];
for (const [i, bin] of bins.entries()) for (const c of cases.split(',')) { const p = await gw(bin, `${i}-${c}`, C[c][2]); parties.push({ bin, c, p, got: [] }); await wrk(p, C[c][0], C[c][1], 64, 1); }
if (mode === 'cg') {
  for (const x of parties) {
    spawn('callgrind_control', ['-i', 'on', String(x.p.pid)]); await sleep(3000);
    const r = await wrk(x.p, C[x.c][0], C[x.c][1], 64, 8);
    const o = spawn('callgrind_control', ['-i', 'off', String(x.p.pid)]); await new Promise((d) => o.on('close', d)); await sleep(2000);
    x.p.child.kill('SIGTERM'); await new Promise((d) => x.p.child.on('close', d));
    console.log(x.c, 'requests', r.reqs, x.p.pid);
  }
} else if (mode === 'strace') {
  for (const x of parties) { const s = spawn('strace', ['-f', '-c', '-p', String(x.p.pid)], { stdio: 'inherit' }); await sleep(500); const r = await wrk(x.p, C[x.c][0], C[x.c][1], 64, 3); s.kill('SIGINT'); await sleep(1000); console.log(x.c, r.reqs); }
} else if (mode === 'perf') {
  for (const x of parties) { const s = spawn('perf', ['record', '-F', '5000', '-e', 'cpu-clock', '-g', '-o', `/tmp/gwx/perf.${x.c}`, '-p', String(x.p.pid)], { stdio: 'ignore' }); await sleep(500); const r = await wrk(x.p, C[x.c][0], C[x.c][1], 64, 4); s.kill('SIGINT'); await sleep(2000); console.log(x.c, r.reqs, r.cpu); }
} else {
  for (let k = 0; k < rounds; k++) for (const x of parties) x.got.push((await wrk(x.p, C[x.c][0], C[x.c][1])).cpu);
  const med = (l) => [...l].sort((a, b) => a - b)[l.length >> 1];
  for (const c of cases.split(',')) { const row = parties.filter((x) => x.c === c); console.log(c.padEnd(7), row.map((x) => med(x.got).toFixed(3)).join('  '), '  ratio', row.map((x) => med(x.got.map((v, i) => v / row[0].got[i])).toFixed(4)).join(' ')); }
}
endAll(); process.exit(0);
