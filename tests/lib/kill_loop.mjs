// Runs of every kind, kept going while the agent processes are killed again and again: none may be lost, none doubled.
//
// A run is of one of five kinds: an answer, a command, two commands at once, a command that waits for a person, a message that waits
// for the run before it. What each command does is a line in a file of its own, so that one that was executed twice is seen. Kills come at
// random moments; before each restart the database tells in which states the kill found the runs.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from './agent_client.mjs';
import { agentDatabase, psql } from './databases.mjs';
import { DONE, ModelPeer, chunk } from './model_peer.mjs';
import { freePort, startRole } from './platform.mjs';
import { patient } from './runs.mjs';

const KINDS = ['answer', 'command', 'two', 'approval', 'queued'];
const AT_ONCE = 15;

// The same moments each time.
function seeded(seed) {
  return () => ((seed = (seed * 1103515245 + 12345) % 2147483648), seed / 2147483648);
}

// Thinks for a moment, streams in pieces, asks for the commands that the message names, then says that it is done.
class SlowModel extends ModelPeer {
  constructor(random) {
    super();
    this.answer = async (req, res, body) => {
      const asked = body.messages.filter((m) => m.role === 'user').at(-1).content;
      const isAnswered = body.messages.at(-1).role === 'tool';
      const commands = isAnswered ? [] : (asked.match(/run:(.*)$/)?.[1].split(';') ?? []);
      await sleep(random() < 0.1 ? 400 : random() * 60);
      if (commands.length > 0) {
        const tool_calls = commands.map((command, index) => ({ index, id: `call_${body.messages.length}_${index}`, type: 'function', function: { name: 'shell', arguments: JSON.stringify({ command }) } }));
        res.write(chunk({ role: 'assistant', tool_calls }) + chunk({}, 'tool_calls'));
      } else {
        for (const piece of ['All ', 'is ', 'done.']) {
          res.write(chunk({ content: piece }));
          await sleep(random() * 20);
        }
        res.write(chunk({}, 'stop'));
      }
      res.end(DONE);
    };
  }
}

class KillLoop {
  constructor(options) {
    Object.assign(this, options);
    this.random = seeded(20261123);
    this.states = {};
    this.kills = 0;
    this.live = new Set();
    this.accepted = 0;
  }

  async open() {
    this.model = await new SlowModel(this.random).open();
    const env = {
      OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${this.model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_LOG_LEVEL: 'error',
    };
    this.w = await AgentWorld.start({ exec: 'real', demo: false, env });
    this.agents = [this.w.agent];
    for (let i = 1; i < this.services; i++) {
      const where = { host: '127.0.0.1', port: await freePort() };
      this.agents.push(await startRole('agent', { data: this.w.data, env: { ...env, OGENT_AGENT_LISTEN: `127.0.0.1:${where.port}` }, where }));
    }
    for (const [name, approval] of [['Plain', 'never'], ['Careful', 'always']])
      this[name] = await this.w.ok('POST', '/api/agents', { name, tools: ['shell'], approval: { default: approval } }, 201);
    this.url = await agentDatabase(this.w.data);
  }

  async close() {
    for (const agent of this.agents.slice(1)) await agent.stop();
    await this.w.stop();
    await this.model.close();
  }

  // Through whichever process answers.
  api(method, path, body, key) {
    return patient(async () => {
      const agent = this.agents[Math.floor(this.random() * this.agents.length)];
      const r = await agent.api(method, path, body, this.w.token, key && { 'idempotency-key': key });
      if (r.status === 401) this.w.token = await this.w.auth.localToken();
      return r;
    }, 60000);
  }

  async send(conversation, content, more = {}) {
    const r = await this.api('POST', `/api/conversations/${conversation}/messages`, { content, ...more }, randomUUID());
    assert.equal(r.status, 202, r.text);
    this.accepted++;
    return r.body.id;
  }

  async approve(execution) {
    const { body } = await this.api('GET', `/api/approvals?execution_id=${execution}&status=pending`);
    for (const a of body.items ?? []) {
      const r = await this.api('POST', `/api/approvals/${a.id}`, { decision: 'approve', hash: a.hash });
      assert.ok([200, 409].includes(r.status), r.text);
    }
  }

  async ended(id) {
    for (const limit = Date.now() + 120000; ; await sleep(40)) {
      const { body, status, text } = await this.api('GET', `/api/executions/${id}`);
      assert.equal(status, 200, text);
      if (body.state === 'ended') return body;
      if (body.status === 'waiting') await this.approve(id);
      assert.ok(Date.now() < limit, `execution ${id} is lost: ${JSON.stringify(body)}`);
    }
  }

  async one(i) {
    const kind = KINDS[i % KINDS.length];
    const agent = kind === 'approval' ? this.Careful : this.Plain;
    const made = await this.api('POST', '/api/conversations', { agent_id: agent.id }, randomUUID());
    assert.equal(made.status, 201, made.text);
    const c = made.body.id;
    const run = (n) => `run:echo ${n} >> log${n}`;
    const text = { answer: 'hello', command: run(1), two: `${run(1)};echo 2 >> log2`, approval: run(1), queued: run(1) }[kind];
    const ids = [await this.send(c, text)];
    if (kind === 'queued') ids.push(await this.send(c, run(2), { when_busy: 'queue' }));
    for (const id of ids) {
      const e = await this.ended(id);
      assert.equal(e.status, 'succeeded', `${kind} ${id}: ${JSON.stringify(e.error)}`);
      assert.equal(e.output, 'All is done.');
      await this.checkEvents(id);
    }
    const lines = { answer: 0, command: 1, two: 2, approval: 1, queued: 2 }[kind];
    for (let n = 1; n <= lines; n++) {
      const log = readFileSync(join(this.w.data, 'exec', 'workspaces', c, `log${n}`), 'utf8');
      assert.equal(log, `${n}\n`, `${kind} ${c}: the command was not executed exactly once`);
    }
  }

  async checkEvents(id) {
    const { body } = await this.api('GET', `/api/executions/${id}/events?after=0`);
    const count = (type) => body.items.filter((e) => e.type === type).length;
    for (const type of ['execution.started', 'execution.ended']) assert.equal(count(type), 1, `${type} of ${id}`);
    assert.equal(count('call.started'), count('call.done'), `calls of ${id}`);
    body.items.reduce((last, { seq }) => (assert.ok(seq > last, `numbers of ${id}`), seq), 0);
  }

  // In which states the runs were found.
  async look() {
    const sql = "select state || ' ' || status, count(*) from executions where ended_at is null group by 1";
    let rows;
    if (this.url) {
      rows = (await psql(this.url, sql)).split('\n').filter(Boolean).map((l) => l.split('|'));
    } else {
      const db = new DatabaseSync(join(this.w.data, 'db', 'langchain_agent.db'));
      rows = db.prepare(sql).all().map((r) => Object.values(r));
      db.close();
    }
    for (const [state, n] of rows) this.states[state] = (this.states[state] ?? 0) + Number(n);
  }

  async killer() {
    while (!this.isDone) {
      await sleep(this.random() * 250);
      if (this.isDone) return;
      const agent = this.agents[this.kills % this.agents.length];
      await agent.kill('SIGKILL');
      this.kills++;
      await this.look();
      await agent.start();
    }
  }

  async run(n) {
    let next = 0;
    const killing = this.killer();
    const worker = async () => {
      while (next < n) {
        const i = next++;
        await this.one(i);
        if ((i + 1) % 100 === 0) this.onProgress?.(i + 1, this);
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, n) }, worker));
    } finally {
      this.isDone = true;
      await killing;
    }
    await this.checkAll();
  }

  // Nothing is left and nothing came besides: what was accepted is what there is.
  async checkAll() {
    const all = new Set();
    for (let after = ''; ; ) {
      const { body } = await this.api('GET', `/api/executions?limit=200${after}`);
      for (const e of body.items) {
        assert.equal(e.state, 'ended', e.id);
        all.add(e.id);
      }
      if (!body.next) break;
      after = `&after=${body.next}`;
    }
    assert.equal(all.size, this.accepted, 'as many executions as messages were accepted');
    const { body } = await this.api('GET', '/api/approvals?status=pending');
    assert.deepEqual(body.items, []);
  }
}

// Resolves with what was done: {runs, kills, states}.
export async function killLoop(n, { services = 1, onProgress } = {}) {
  const loop = new KillLoop({ services, onProgress });
  await loop.open();
  try {
    await loop.run(n);
  } finally {
    await loop.close();
  }
  return { runs: loop.accepted, kills: loop.kills, states: loop.states };
}
