// Runs without a pause for MINUTES: answers, commands, forks, deleted conversations. The memory of the agent and of exec must be flat after a first part
// in which pools and caches fill: the median of the last third not above that of the second by more than a tenth and a MiB.
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
const end = Date.now() + minutes * 60000;
const samples = [];
let runs = 0;

async function work(i) {
  for (let n = 0; Date.now() < end; n++) {
    const e = await w.run(n % 4 === 0 ? 'run: echo $RANDOM >> log' : `hello ${'x'.repeat(500)}`);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    if (n % 8 === 0) await w.api('POST', `/api/executions/${e.id}/fork`, { step: 0 });
    if (n % 2 === 0) assert.equal((await w.api('DELETE', `/api/conversations/${e.conversation_id}`)).status, 204);
    runs++;
    if (i === 0 && n % 20 === 0) w.token = await w.auth.localToken();
  }
}

async function watch() {
  while (Date.now() < end) {
    await sleep(Math.min(5000, minutes * 1000));
    const [agent, exec] = [w.agent.child.pid, w.exec.child.pid];
    samples.push({ agent: rssKib(agent), exec: rssKib(exec), agent_files: files(agent), exec_files: files(exec) });
    console.log(JSON.stringify({ left_s: Math.max(0, Math.round((end - Date.now()) / 1000)), runs, ...samples.at(-1) }));
  }
}

await Promise.all([watch(), ...Array.from({ length: WIDTH }, (_, i) => work(i))]);
await w.stop();
const third = Math.floor(samples.length / 3);
const part = (k, key) => median(samples.slice(k * third, (k + 1) * third).map((s) => s[key]));
for (const key of ['agent', 'exec']) {
  const [before, after] = [part(1, key), part(2, key)];
  console.log(`${key}: ${before} KiB in the second third, ${after} KiB in the last`);
  assert.ok(after <= before * 1.1 + 1024, `the memory of ${key} grows`);
}
for (const key of ['agent_files', 'exec_files']) assert.ok(part(2, key) <= part(1, key) + 16, `${key}: open files grow`);
console.log(`flat: ${runs} runs in ${minutes} minutes`);
