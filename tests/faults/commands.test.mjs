// Commands that misbehave, in runs of the whole platform: they are stopped, nothing of them is left, and everything else
// goes on meanwhile.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPlatform } from '../lib/platform.mjs';
import { ask, assertWhole, ended, eventsOf, newConversation, rolePids, untilEvent } from '../lib/runs.mjs';

const FLAT_KIB = 64 * 1024;
const SLOW_MS = 10000; // on a busy machine, with sanitizers
// The answer quotes much: without the demo model's pauses.
const INSTANT = '\ndemo: {"instant": true}';

// The processes whose command line holds the text.
function processes(text) {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && Number(pid) !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text);
    } catch {
      return false;
    }
  });
}

async function gone(text) {
  for (const limit = Date.now() + 5000; processes(text).length; await sleep(50))
    assert.ok(Date.now() < limit, `${processes(text).length} processes are left`);
}

function rssKib(pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

describe('a command of a run', { timeout: 180000 }, () => {
  let p, token;
  const current = () => token;
  before(async () => {
    // A sanitizer keeps freed memory for a while, which is no growth of ours.
    const ASAN_OPTIONS = [process.env.ASAN_OPTIONS, 'quarantine_size_mb=4'].filter(Boolean).join(':');
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', ASAN_OPTIONS } });
    token = await p.localToken();
  });
  after(() => p?.stop());

  const start = async (text) => ask(p, current, await newConversation(p, current), text);

  // Asks the platform again and again until `over` is there; returns the slowest answer in ms.
  async function answersUntil(over) {
    let slowest = 0;
    let isOver = false;
    over.finally(() => (isOver = true)).catch(() => {});
    while (!isOver) {
      const at = Date.now();
      const r = await p.api('GET', '/api/agents', undefined, token);
      assert.equal(r.status, 200, r.text);
      slowest = Math.max(slowest, Date.now() - at);
      await sleep(50);
    }
    return slowest;
  }

  test('that does not exist: its exit code is 127, and the shell says so', async () => {
    const run = await start('run: no-such-command-here --option');
    const e = await ended(p, current, run.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].exit_code, 127);
    assert.match(e.calls[0].output, /no-such-command-here: (command )?not found/);
    assert.match(e.output, /127/);
  });

  test('that writes a gigabyte: the memory of all roles stays flat, and the run tells how much there was', async () => {
    const warm = await start('run: yes | head -c 20000000' + INSTANT);
    await ended(p, current, warm.id);
    const pids = Object.entries(rolePids(p)).filter(([, pid]) => pid);
    const before = Object.fromEntries(pids.map(([role, pid]) => [role, rssKib(pid)]));
    const run = await start('run: yes | head -c 1000000000; echo LAST' + INSTANT);
    const over = ended(p, current, run.id, 100000);
    const slowest = await answersUntil(over);
    assert.ok(slowest < SLOW_MS, `an answer took ${slowest} ms`);
    const e = await over;
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].output_bytes, 1000000005);
    const [, head, omitted, tail] = /^([^]*)\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n([^]*)$/.exec(e.calls[0].output);
    assert.equal(head.length + Number(omitted) + tail.length, 1000000005);
    assert.match(e.calls[0].output, /y\ny\nLAST\n$/);
    const events = await eventsOf(p, current, run.id);
    assertWhole(events);
    const told = events.filter((x) => x.type === 'call.output').reduce((n, x) => n + Buffer.byteLength(x.data.text), 0);
    const skipped = events.filter((x) => x.type === 'call.output_skipped').reduce((n, x) => n + x.data.bytes, 0);
    assert.equal(told + skipped, 1000000005);
    for (const [role, pid] of pids) {
      const grown = rssKib(pid) - before[role];
      assert.ok(grown < FLAT_KIB, `${role} has grown by ${grown} KiB`);
    }
  });

  test('that takes too long for its run is stopped with all it has started', async () => {
    const agent = await p.api('POST', '/api/agents', { name: 'Short', tools: ['shell'], limits: { max_seconds: 2 } }, token);
    assert.equal(agent.status, 201, agent.text);
    const c = await p.api('POST', '/api/conversations', { agent_id: agent.body.id }, token);
    const at = Date.now();
    const run = await ask(p, current, c.body.id, 'run: (setsid sleep 781.25 &) ; echo begun; sleep 781.25');
    await untilEvent(p, current, run.id, (x) => x.type === 'call.output');
    assert.ok(processes('781.25').length >= 1, 'it does not run');
    const e = await ended(p, current, run.id);
    assert.ok(Date.now() - at < 6000, `${Date.now() - at} ms`);
    assert.equal(e.error.code, 'time_limit');
    assert.match(e.error.message, /2 seconds.*max_seconds/);
    await gone('781.25');
    assert.equal((await p.api('DELETE', `/api/agents/${agent.body.id}`, undefined, token)).status, 204);
  });

  // The processes of the bomb are copies of the shell: they carry its command line, with the number in it.
  const bomb = (number) => `b() { b | b & }; echo begun; b; sleep ${number}`;

  test('that forks without end: the platform answers, its time-out stops it, nothing of it is left', async () => {
    const r = await p.api('POST', '/api/commands', { script: bomb('782.25'), timeout_ms: 1500 }, token);
    assert.equal(r.status, 201, r.text);
    const other = await start('run: echo meanwhile');
    const command = async () => (await p.api('GET', `/api/commands/${r.body.id}`, undefined, token)).body;
    const over = (async () => {
      for (const limit = Date.now() + 20000; ; await sleep(50)) {
        const c = await command();
        if (!['queued', 'running'].includes(c.status)) return c;
        assert.ok(Date.now() < limit, 'it goes on');
      }
    })();
    const slowest = await answersUntil(over);
    assert.ok(slowest < SLOW_MS, `an answer took ${slowest} ms`);
    const c = await over;
    assert.ok(['timeout', 'exited', 'signalled', 'oom'].includes(c.status), JSON.stringify(c));
    await gone('782.25');
    const e = await ended(p, current, other.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.calls[0].output, 'meanwhile\n');
  });

  test('that forks without end: a cancel of its run ends it, nothing of it is left', async () => {
    const run = await start(`run: ${bomb('783.25')}`);
    await untilEvent(p, current, run.id, (x) => x.type === 'call.output');
    await sleep(300);
    const at = Date.now();
    assert.equal((await p.api('POST', `/api/executions/${run.id}/cancel`, undefined, token)).status, 202);
    const e = await ended(p, current, run.id);
    assert.ok(Date.now() - at < 10000, `${Date.now() - at} ms`);
    assert.equal(e.status, 'cancelled', JSON.stringify(e));
    await gone('783.25');
    const next = await start('run: echo fine');
    assert.equal((await ended(p, current, next.id)).calls[0].output, 'fine\n');
  });
});
