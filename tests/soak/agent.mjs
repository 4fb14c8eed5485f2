// Runs without a pause for MINUTES: answers, commands, followed streams, cancelled runs, runs that wait for leave, forks, deleted conversations. The memory of
// the agent and of exec must be flat after a first part in which pools and caches fill: the median of the last third not above that of the second by more than
// a tenth and a MiB. The slope that is told is that of a line through the samples of both.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { request } from '../lib/platform.mjs';

const minutes = Number(process.argv[2] ?? 30), WIDTH = 8;
const rssKib = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
const files = (pid) => readdirSync(`/proc/${pid}/fd`).length;
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const w = await AgentWorld.start({ exec: 'real', env: { OGENT_LOG_LEVEL: 'error' } });
await request(w.demo.where(), 'POST', '/demo/script', { body: { instant: true } });
const asks = await w.ok('POST', '/api/agents', { name: 'Asks', tools: ['shell'], approval: { default: 'always' } }, 201);
const end = Date.now() + minutes * 60000;
const samples = [];
let runs = 0;

async function work(i) {
  for (let n = 0; Date.now() < end; n++) {
    const sent = await w.send(n % 4 === 0 ? 'run: echo $RANDOM >> log' : `hello ${'x'.repeat(500)}`);
    if (n % 3 === 0) assert.equal((await w.follow(sent.id)).at(-1).type, 'execution.ended');
    const e = await w.ended(sent.id, 60000);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    if (n % 16 === 0) await leaveOne(n % 32 === 0);
    if (n % 8 === 0) await w.api('POST', `/api/executions/${e.id}/fork`, { step: 0 });
    if (n % 2 === 0) assert.equal((await w.api('DELETE', `/api/conversations/${e.conversation_id}`)).status, 204);
    runs++;
    if (i === 0 && n % 20 === 0) w.token = await w.auth.localToken();
  }
}

// A run that is cancelled while it waits for leave, or while its model answers.
async function leaveOne(waits) {
  const sent = await w.send(waits ? 'run: ls' : 'hello', waits ? { conversation: await w.conversation({ agent_id: asks.id }) } : { script: { instant: false, pace_ms: 50 } });
  await w.until(sent.id, (e) => e.type === (waits ? 'approval.requested' : 'text.delta'), 60000);
  await w.api('POST', `/api/executions/${sent.id}/cancel`);
  assert.equal((await w.ended(sent.id, 60000)).status, 'cancelled');
}

async function watch() {
  while (Date.now() < end) {
    await sleep(Math.min(5000, minutes * 1000));
    const [agent, exec] = [w.agent.child.pid, w.exec.child.pid];
    samples.push({ at: Date.now(), agent: rssKib(agent), exec: rssKib(exec), agent_files: files(agent), exec_files: files(exec) });
    console.log(JSON.stringify({ left_s: Math.max(0, Math.round((end - Date.now()) / 1000)), runs, ...samples.at(-1) }));
  }
}

await Promise.all([watch(), ...Array.from({ length: WIDTH }, (_, i) => work(i))]);
const third = Math.floor(samples.length / 3);
// KiB an hour, by least squares over the last two thirds.
function slope(key) {
  const list = samples.slice(third), mean = (what) => list.reduce((sum, s) => sum + what(s), 0) / list.length;
  const t = mean((s) => s.at), m = mean((s) => s[key]);
  return (mean((s) => (s.at - t) * (s[key] - m)) / mean((s) => (s.at - t) ** 2)) * 3600000;
}
const part = (k, key) => median(samples.slice(k * third, (k + 1) * third).map((s) => s[key]));
for (const key of ['agent', 'exec']) {
  const [before, after] = [part(1, key), part(2, key)];
  console.log(`${key}: ${before} KiB in the second third, ${after} KiB in the last; the line through both rises by ${slope(key).toFixed(0)} KiB an hour`);
  assert.ok(after <= before * 1.1 + 1024, `the memory of ${key} grows`);
}
for (const key of ['agent_files', 'exec_files']) assert.ok(part(2, key) <= part(1, key) + 16, `${key}: open files grow`);
console.log(`flat: ${runs} runs in ${minutes} minutes`);
// What was made is much: removing it takes a while.
await w.stop();
