// The agent role beside LangGraph.js's server, both with the demo model: what a run adds to the model's own time, runs per second, memory of
// live runs, bytes on disk, recovery. The peer's packages are those of package.json in this folder.

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { freePort, request, startRole } from '../lib/platform.mjs';

const SAMPLES = 20, LIVE = 500, RUNS = 200, WIDTH = 32, TURNS = 200, TURN_BYTES = 500;
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
    for (let i = 0; (await request(p.where, 'GET', '/ok', { timeout: 2000 }).catch(() => null))?.status !== 200; i++) {
      if (i > 600) throw new Error('the peer does not start');
      await sleep(100);
    }
    return p;
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
    for (let i = 0; i < TURNS; i++) await this.wait(`/threads/${body.thread_id}/runs/wait`, 'x'.repeat(TURN_BYTES));
    await sleep(6000);
    return bytesIn(join(this.folder, '.langgraph_api')) - before;
  }

  async stop() {
    const ended = new Promise((done) => this.child.on('close', done));
    process.kill(-this.child.pid, 'SIGKILL');
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function figures() {
  const w = await AgentWorld.start({ env: { OGENT_LOG_LEVEL: 'warn' } });
  const script = (s) => request(w.demo.where(), 'POST', '/demo/script', { body: s });
  const port = await freePort();
  const model = await startRole('demo-model', { env: { OGENT_DEMO_LISTEN: `127.0.0.1:${port}` }, where: { host: '127.0.0.1', port } });
  await script(INSTANT);
  await request(model.where(), 'POST', '/demo/script', { body: INSTANT });
  const peer = await Peer.start(`http://127.0.0.1:${port}/v1`);
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
  // What the run takes above the model alone, asked in turns with it.
  const added = async (one, where, q) => quantile(await many(SAMPLES, one, 'end'), q) - quantile(await many(SAMPLES, () => alone(where), 'end'), 0.5);

  async function liveKib() {
    await script({ hang_after_chunks: 2 });
    const pid = w.agent.child.pid, before = rssKib(pid), ids = [];
    for (let i = 0; i < LIVE; i++) ids.push((await w.send('hello')).id);
    await w.until(ids.at(-1), (e) => e.type === 'text.delta', 30000);
    const kib = (rssKib(pid) - before) / LIVE;
    for (const id of ids) await w.api('POST', `/api/executions/${id}/cancel`);
    for (const id of ids) await w.ended(id);
    await script(INSTANT);
    return kib;
  }

  // Bytes on disk for a byte of text, after the log was folded in.
  async function storage() {
    const own = await AgentWorld.start({ env: { OGENT_LOG_LEVEL: 'warn' } });
    try {
      await request(own.demo.where(), 'POST', '/demo/script', { body: INSTANT });
      const c = await own.conversation();
      const folder = join(own.data, 'db');
      await own.agent.kill('SIGTERM');
      const before = statSync(join(folder, 'langchain_agent.db')).size;
      await own.agent.start();
      for (let i = 0; i < TURNS; i++) await own.run('x'.repeat(TURN_BYTES), { conversation: c });
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

  let text = 0;
  const figure = (name, unit, sample, more) => ({ name: `agent.${name}`, unit, sample, ...more });
  const beside = (sample) => ({ name: 'langgraph-api 1.5.1', sample });
  const local = model.where(), own = w.demo.where();
  return {
    figures: [
      figure('added_latency_ms', 'ms p50', () => added(run, own, 0.5), { rounds: 1, peer: beside(() => added(() => peer.stream(), local, 0.5)) }),
      figure('added_latency_p99_ms', 'ms p99', () => added(run, own, 0.99), { rounds: 1, peer: beside(() => added(() => peer.stream(), local, 0.99)) }),
      figure('first_token_ms', 'ms p50', async () => quantile(await many(SAMPLES, run, 'first'), 0.5), {
        rounds: 1,
        peer: beside(async () => quantile(await many(SAMPLES, () => peer.stream(), 'first'), 0.5)),
      }),
      figure('runs_per_second', 'runs/s', () => pooled(RUNS, WIDTH, run), { rounds: 1, peer: beside(() => pooled(RUNS, WIDTH, () => peer.wait())) }),
      figure('live_run_kib', 'KiB', liveKib, { rounds: 1 }),
      figure('storage', '× text', async () => {
        const s = await storage();
        text = s.text;
        return s.ratio;
      }, { rounds: 1, peer: beside(async () => (await peer.storage()) / text) }),
      figure('recovery_ms', 'ms', recoveryMs, { rounds: 3 }),
    ],
    close: async () => {
      await peer.stop();
      await model.stop();
      await w.stop();
    },
  };
}
