// kill -9 of the agent while runs of every kind go on, on SQLite with one process and on PostgreSQL with two. `./dev kill-test N` does it
// with N runs.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { hasPostgres } from '../lib/databases.mjs';
import { killLoop } from '../lib/kill_loop.mjs';

const RUNS = Number(process.env.OGENT_KILL_RUNS ?? 30);
const tell = process.env.OGENT_KILL_RUNS ? (n, loop) => console.log(`# ${n} runs, ${loop.kills} kills`) : undefined;

function check(done) {
  console.log(`# ${JSON.stringify(done)}`);
  assert.ok(done.runs >= RUNS && done.kills > 0, JSON.stringify(done));
  // A long loop has met runs in every state that the database knows.
  if (RUNS >= 500)
    for (const state of ['loading queued', 'thinking running', 'tooling running', 'approving waiting']) assert.ok(done.states[state] > 0, `no kill met ${state}: ${JSON.stringify(done.states)}`);
}

test(`SQLite: ${RUNS} runs while the agent is killed again and again: none lost, none doubled`, { timeout: 3600000 }, async () => {
  check(await killLoop(RUNS, { onProgress: tell }));
});

test(`PostgreSQL: ${RUNS} runs while two agents are killed in turn: none lost, none doubled`, { skip: !hasPostgres, timeout: 3600000 }, async () => {
  const before = process.env.OGENT_TEST_AGENT_DB;
  process.env.OGENT_TEST_AGENT_DB = 'postgres';
  after(() => (before === undefined ? delete process.env.OGENT_TEST_AGENT_DB : (process.env.OGENT_TEST_AGENT_DB = before)));
  check(await killLoop(RUNS, { services: 2, onProgress: tell }));
});
