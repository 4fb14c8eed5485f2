// The agent role beside LangGraph.js's server and a LangChain.js agent, all with the demo model: what a run adds to the model's own time, runs per second,
// memory, live runs, runs that wait for people, bytes on disk, recovery. The peers' packages are those of package.json in this folder.

import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ModelPeer, chunk, DONE } from '../lib/model_peer.mjs';
import { compile, line } from '../lib/parties.mjs';
import { freePort, request, startRole } from '../lib/platform.mjs';

const SAMPLES = 20, RUNS = 5000, PEER_RUNS = 200, WIDTH = 32, TURNS = 200, TURN_BYTES = 500, PARKED = 500;
// Live runs, each with a piece every PACE_MS.
const LIVE = 10000, PIECES = 8, PACE_MS = 5000;
const PROSE = readFileSync(join(import.meta.dirname, 'prose.txt'), 'utf8');
const prose = (i) => PROSE.substr((i * 137) % (PROSE.length - TURN_BYTES), TURN_BYTES);
const INSTANT = { instant: true };
const keep = new http.Agent({ keepAlive: true, maxSockets: 64 });
const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];
const rssKib = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

function bytesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, f) => sum + (f.isDirectory() ? bytesIn(join(folder, f.name)) : statSync(join(folder, f.name)).size), 0);
}

// Sends and resolves with the ms to the first match of `wanted` and to the end.
function times(where, method, path, body, wanted, headers = {}) {
  const payload = body && JSON.stringify(body), t = performance.now();
  return new Promise((done, fail) => {
    const all = { accept: 'text/event-stream', ...headers, ...(payload && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }) };
    const r = http.request({ ...where, method, path, headers: all, agent: keep }, (res) => {
      let text = '', first;
      res.on('data', (d) => {
        text += d;
        if (first === undefined && wanted.test(text)) first = performance.now() - t;
      });
      res.on('end', () => (res.statusCode < 300 && first !== undefined ? done({ first, end: performance.now() - t }) : fail(new Error(`${path}: ${res.statusCode} ${text.slice(0, 300)}`))));
    });
    r.on('error', fail);
    r.end(payload);
  });
}

async function pooled(n, width, one) {
  let left = n;
  const t = performance.now();
  await Promise.all(Array.from({ length: width }, async () => {
    while (left-- > 0) await one();
  }));
  return n / ((performance.now() - t) / 1000);
}

// A model whose answers are prose.
async function proseModel() {
  const model = await new ModelPeer({ models: ['prose'] }).open();
  let n = 0;
  model.answer = (req, res) => res.end(chunk({ content: prose(2 * n++ + 1) }) + chunk({}, 'stop') + DONE);
  return model;
}

class Peer {
  static async start(modelUrl) {
    const here = import.meta.dirname;
    if (!existsSync(join(here, 'node_modules/@langchain/langgraph-cli'))) throw new Error('the peer is not installed: npm ci in tests/bench');
    const p = new Peer();
    p.folder = mkdtempSync(join(tmpdir(), 'ogent-bench-lg-'));
    cpSync(join(here, 'langgraph'), p.folder, { recursive: true });
    symlinkSync(join(here, 'node_modules'), join(p.folder, 'node_modules'));
    p.where = { host: '127.0.0.1', port: await freePort() };
    const args = [join(here, 'node_modules/@langchain/langgraph-cli/dist/cli/cli.mjs'), 'dev', '--port', String(p.where.port), '--host', '127.0.0.1', '--no-browser'];
    p.child = spawn(process.execPath, args, { cwd: p.folder, env: { ...process.env, MODEL_URL: modelUrl, LANGSMITH_TRACING: 'false' }, stdio: 'ignore', detached: true });
    process.once('exit', () => p.end());
    for (let i = 0; (await request(p.where, 'GET', '/ok', { timeout: 2000 }).catch(() => null))?.status !== 200; i++) {
      if (i > 600) throw new Error('the peer does not start');
      await sleep(100);
    }
    return p;
  }

  // The process that serves, below those that start it.
  rssKib() {
    const group = readdirSync('/proc').filter((p) => /^\d+$/.test(p)).filter((p) => {
      try {
        return Number(readFileSync(`/proc/${p}/stat`, 'utf8').split(') ')[1].split(' ')[2]) === this.child.pid;
      } catch {
        return false;
      }
    });
    return Math.max(...group.map(rssKib));
  }

  body(text) {
    return { assistant_id: 'agent', input: { messages: [{ role: 'user', content: text }] } };
  }

  stream(text = 'hello') {
    return times(this.where, 'POST', '/runs/stream', { ...this.body(text), stream_mode: ['messages-tuple'] }, /"content":"[^"]/);
  }

  async wait(path = '/runs/wait', text = 'hello') {
    const r = await request(this.where, 'POST', path, { body: this.body(text), timeout: 120000 });
    if (r.status !== 200) throw new Error(`${path}: ${r.status} ${r.text}`);
  }

  // Its state is written some seconds after the last change.
  async storage() {
    const { body } = await request(this.where, 'POST', '/threads', { body: {} });
    const before = bytesIn(join(this.folder, '.langgraph_api'));
    for (let i = 0; i < TURNS; i++) await this.wait(`/threads/${body.thread_id}/runs/wait`, prose(2 * i));
    await sleep(6000);
    return bytesIn(join(this.folder, '.langgraph_api')) - before;
  }

  end() {
    if (this.child.exitCode === null && this.child.signalCode === null) process.kill(-this.child.pid, 'SIGKILL');
  }

  async stop() {
    const ended = new Promise((done) => this.child.on('close', done));
    this.end();
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// A LangChain.js agent behind Node's HTTP server.
class Plain {
  static async start(modelUrl) {
    const p = new Plain();
    p.where = { host: '127.0.0.1', port: await freePort() };
    p.child = spawn(process.execPath, [join(import.meta.dirname, 'langchain/server.mjs')], { env: { ...process.env, MODEL_URL: modelUrl, PORT: String(p.where.port), LANGSMITH_TRACING: 'false' }, stdio: 'ignore' });
    process.once('exit', () => p.child.kill('SIGKILL'));
    for (let i = 0; (await request(p.where, 'GET', '/', { timeout: 2000 }).catch(() => null))?.status !== 200; i++) {
      if (i > 600) throw new Error('the LangChain.js agent does not start');
      await sleep(100);
    }
    return p;
  }

  stream() {
    return times(this.where, 'POST', '/stream', { content: 'hello' }, /"content":"[^"]/);
  }

  async run() {
    const r = await request(this.where, 'POST', '/run', { body: { content: 'hello' }, timeout: 120000 });
    if (r.status !== 200) throw new Error(`LangChain.js: ${r.status} ${r.text}`);
  }

  async stop() {
    const ended = new Promise((done) => this.child.on('close', done));
    this.child.kill('SIGKILL');
    await ended;
  }
}

// A run needs a descriptor for its model, and one for who follows it: as many are followed as there may be descriptors.
function followable() {
  const wanted = 2 * LIVE + 512;
  try {
    execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${wanted}:${wanted}`], { stdio: 'ignore' });
  } catch {
    // Only the limit that is there may be used.
  }
  const limit = Number(/Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))[1]);
  return Math.min(LIVE, limit - LIVE - 512);
}

// LIVE runs that stream at the same time; one clock for what is sent and what is heard.
async function liveRuns() {
  const followed = followable();
  const dir = mkdtempSync(join(tmpdir(), 'ogent-bench-live-'));
  const load = spawn(compile(dir, 'streams'), [String(PIECES), String(PACE_MS)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ask = async (text) => {
    const answer = line(load);
    load.stdin.write(text);
    return answer;
  };
  const url = `http://127.0.0.1:${await line(load)}/v1`;
  const w = await AgentWorld.start({ env: { OGENT_LOG_LEVEL: 'warn', OPENAI_API_KEY: 'none', OPENAI_BASE_URL: url, OGENT_OPENAI_MODEL: 'bench' } });
  try {
    const pid = w.agent.child.pid, ids = [];
    const auth = { authorization: `Bearer ${w.token}` };
    const agent = await w.ok('POST', '/api/agents', { name: 'Plain', tools: [] }, 201);
    await pooled(500, WIDTH, () => w.conversation({ agent_id: agent.id }).then((c) => w.run('hello', { conversation: c })));
    const before = rssKib(pid);
    load.stdin.write('hold\n');
    await pooled(LIVE, WIDTH, async () => {
      const c = await posted(w.agent.where(), '/api/conversations', { agent_id: agent.id }, auth);
      ids.push((await posted(w.agent.where(), `/api/conversations/${c.id}/messages`, { content: 'hello' }, auth)).id);
    });
    for (let i = 0; Number(await ask('held\n')) < LIVE; i++) {
      if (i > 600) throw new Error('not all runs are live');
      await sleep(100);
    }
    await ask(`follow ${w.agent.where().socketPath} ${w.token} ${followed}\n${ids.slice(0, followed).join('\n')}\n`);
    const cpu = cpuMs(pid), ended = ask('go\n');
    await sleep((PIECES / 2) * PACE_MS);
    const kib = (rssKib(pid) - before) / LIVE;
    const [pieces, good, p50, p99] = (await ended).split(' ').map(Number);
    const used = cpuMs(pid) - cpu;
    let others = 0;
    for (const id of ids.slice(followed)) others += (await w.ended(id)).output?.match(/##/g).length === PIECES;
    if (followed < LIVE) console.error(`bench: ${followed} of ${LIVE} live runs are followed: there may be no more open files`);
    return { kib, p50, p99, lost: LIVE - good - others, cpu: used / pieces };
  } finally {
    load.kill('SIGKILL');
    await w.stop();
    rmSync(dir, { recursive: true });
  }
}

const cpuMs = (pid) => {
  const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(f[11]) + Number(f[12])) * 10;
};

// Over connections that stay, unlike `request`.
function posted(where, path, body, headers) {
  const payload = JSON.stringify(body);
  return new Promise((done, fail) => {
    const r = http.request({ ...where, method: 'POST', path, headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }, agent: keep }, (res) => {
      let text = '';
      res.on('data', (d) => (text += d));
      res.on('end', () => (res.statusCode < 300 ? done(JSON.parse(text)) : fail(new Error(`${path}: ${res.statusCode} ${text.slice(0, 300)}`))));
    });
    r.on('error', fail);
    r.end(payload);
  });
}

export async function figures() {
  const w = await AgentWorld.start({ env: { OGENT_LOG_LEVEL: 'warn' } });
  const script = (s) => request(w.demo.where(), 'POST', '/demo/script', { body: s });
  const port = await freePort();
  const model = await startRole('demo-model', { env: { OGENT_DEMO_LISTEN: `127.0.0.1:${port}` }, where: { host: '127.0.0.1', port } });
  await script(INSTANT);
  await request(model.where(), 'POST', '/demo/script', { body: INSTANT });
  const peer = await Peer.start(`http://127.0.0.1:${port}/v1`), plain = await Plain.start(`http://127.0.0.1:${port}/v1`);
  const chat = { model: 'ogent-demo', stream: true, messages: [{ role: 'user', content: 'hello' }] };
  const alone = (where) => times(where, 'POST', '/v1/chat/completions', chat, /"content":"[^"]/);
  const auth = { authorization: `Bearer ${w.token}` };

  async function run() {
    const c = await w.conversation();
    const t = performance.now();
    const sent = await w.ok('POST', `/api/conversations/${c.id}/messages`, { content: 'hello' }, 202);
    const posted = performance.now() - t;
    const s = await times(w.agent.where(), 'GET', `/api/executions/${sent.id}/events`, null, /text\.delta/, auth);
    return { first: posted + s.first, end: posted + s.end };
  }
  const many = async (n, one, what) => {
    const list = [];
    for (let i = 0; i < n; i++) list.push((await one())[what]);
    return list;
  };
  // What the run takes above the model alone, asked after it. Whoever is measured first would pay for this client, whose code is compiled by its first runs: each has as many before.
  const added = async (one, where, q) => {
    await many(SAMPLES, one, 'end');
    return quantile(await many(SAMPLES, one, 'end'), q) - quantile(await many(SAMPLES, () => alone(where), 'end'), 0.5);
  };

  // By a load in C, since a client in Node would be what is measured.
  async function runsPerSecond(how) {
    const dir = mkdtempSync(join(tmpdir(), 'ogent-bench-runs-'));
    const agent = await w.ok('POST', '/api/agents', { name: 'Plain', tools: [] }, 201);
    const load = spawn(compile(dir, 'runs'), [w.agent.where().socketPath, w.token, agent.id, String(RUNS), String(WIDTH), how], { stdio: ['ignore', 'pipe', 'inherit'] });
    const value = Number(await line(load));
    rmSync(dir, { recursive: true });
    return value;
  }

  // Runs that wait for leave.
  async function parkedKib() {
    const agent = await w.ok('POST', '/api/agents', { name: 'Asks', tools: ['shell'], approval: { default: 'always' } }, 201), ids = [];
    const park = async () => {
      const { id } = await w.send('run: ls', { conversation: await w.conversation({ agent_id: agent.id }) });
      await w.until(id, (e) => e.type === 'approval.requested');
      ids.push(id);
    };
    await pooled(PARKED, 8, park);
    const pid = w.agent.child.pid, before = rssKib(pid);
    await pooled(PARKED, 8, park);
    const kib = (rssKib(pid) - before) / PARKED;
    for (const id of ids) await w.api('POST', `/api/executions/${id}/cancel`);
    return Math.max(kib, 0);
  }

  // Bytes on disk for a byte of text, after the log was folded in.
  async function storage() {
    const model = await proseModel();
    const own = await AgentWorld.start({ env: { OGENT_LOG_LEVEL: 'warn', OPENAI_API_KEY: 'none', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'prose' } });
    try {
      const c = await own.conversation();
      const folder = join(own.data, 'db');
      await own.agent.kill('SIGTERM');
      const before = statSync(join(folder, 'langchain_agent.db')).size;
      await own.agent.start();
      for (let i = 0; i < TURNS; i++) await own.run(prose(2 * i), { conversation: c });
      let text = 0;
      for (let after = '', next; next !== null; after = `&after=${next}`) {
        const page = await own.ok('GET', `/api/conversations/${c.id}/messages?limit=200${after}`);
        text += page.items.reduce((sum, m) => sum + Buffer.byteLength(m.content), 0);
        next = page.next;
      }
      await own.agent.kill('SIGTERM');
      const bytes = statSync(join(folder, 'langchain_agent.db')).size - before;
      await own.agent.start();
      return { ratio: bytes / text, bytes, text };
    } finally {
      await own.stop();
      await model.close();
    }
  }

  async function peerStorage() {
    const model = await proseModel(), other = await Peer.start(`${model.url}/v1`);
    try {
      return await other.storage();
    } finally {
      await other.stop();
      await model.close();
    }
  }

  // From the start of a new process after kill -9 to the first new text of the run that was under way.
  async function recoveryMs() {
    await script({ pace_ms: 20 });
    const sent = await w.send('hello');
    await w.until(sent.id, (e) => e.type === 'text.delta');
    await w.agent.kill('SIGKILL');
    const t = performance.now();
    await w.agent.start();
    await w.until(sent.id, (e) => e.type === 'text.reset');
    const ms = performance.now() - t;
    await w.ended(sent.id);
    await script(INSTANT);
    return ms;
  }

  let text = 0, live;
  const figure = (name, unit, sample, more) => ({ name: `agent.${name}`, unit, sample, rounds: 1, ...more });
  const beside = (sample, plainly) => ({ peer: { name: 'langgraph-api 1.5.1', sample }, also: [{ name: 'langchain 1.5.14', sample: plainly }] });
  const local = model.where(), own = w.demo.where();
  return {
    figures: [
      figure('rss_idle_mib', 'MiB', () => rssKib(w.agent.child.pid) / 1024, { ...beside(() => peer.rssKib() / 1024, () => rssKib(plain.child.pid) / 1024), bar: { most: 10 } }),
      figure('added_latency_ms', 'ms p50', () => added(run, own, 0.5), { ...beside(() => added(() => peer.stream(), local, 0.5), () => added(() => plain.stream(), local, 0.5)), bar: { most: 2 } }),
      figure('added_latency_p99_ms', 'ms p99', () => added(run, own, 0.99), beside(() => added(() => peer.stream(), local, 0.99), () => added(() => plain.stream(), local, 0.99))),
      figure('first_token_ms', 'ms p50', async () => quantile(await many(SAMPLES, run, 'first'), 0.5),
        { ...beside(async () => quantile(await many(SAMPLES, () => peer.stream(), 'first'), 0.5), async () => quantile(await many(SAMPLES, () => plain.stream(), 'first'), 0.5)), bar: { most: 5 } }),
      figure('runs_per_second', 'runs/s', () => runsPerSecond('follow'), { ...beside(() => pooled(PEER_RUNS, WIDTH, () => peer.wait()), () => pooled(PEER_RUNS, WIDTH, () => plain.run())), rounds: 3, bar: { least: 3000 } }),
      figure('runs_per_second_left', 'runs/s', () => runsPerSecond('leave'), { rounds: 3 }),
      figure('parked_run_kib', 'KiB', parkedKib, { bar: { most: 16 } }),
      figure('storage', '× text', async () => {
        const s = await storage();
        text = s.text;
        return s.ratio;
      }, { bar: { most: 1.5 }, peer: { name: 'langgraph-api 1.5.1', sample: async () => (await peerStorage()) / text } }),
      figure('recovery_ms', 'ms', recoveryMs, { rounds: 3, bar: { most: 1000 } }),
      figure('live_run_kib', 'KiB', async () => (live = await liveRuns()).kib, { bar: { most: 64 } }),
      figure('live_delta_ms', 'ms p50', () => live.p50),
      figure('live_delta_p99_ms', 'ms p99', () => live.p99),
      figure('live_delta_cpu_us', 'us CPU', () => live.cpu * 1000),
      figure('live_lost', 'runs', () => live.lost, { bar: { most: 0 } }),
    ],
    close: async () => {
      await plain.stop();
      await peer.stop();
      await model.stop();
      await w.stop();
    },
  };
}
