// Runs test files against the real processes, each in a Node of its own, and tells of each what it did as soon as it is
// known: node run.mjs [--jobs N] [--timeout SECONDS] [--log FILE] FILE…
//
// A file that says `// alone: <why>` in its first lines is run when no other is. A file that fails is run once more at the end, by
// itself, since those before it shared the cores; both runs are told, and what fails the second time has failed. What still runs
// after its time-out is ended with all that it started, so that one that hangs costs minutes and not the run. OGENT_TEST_DEADLINE
// (seconds since 1970) is when no further file is begun; those left out count as failed.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: 'string', default: '2' }, timeout: { type: 'string', default: '300' }, log: { type: 'string', default: '' } },
});
const deadline = Number(process.env.OGENT_TEST_DEADLINE ?? Infinity) * 1000;
const alone = (file) => /^\/\/ alone: /m.test(readFileSync(file, 'utf8').slice(0, 2000));
const logs = mkdtempSync(join(tmpdir(), 'ogent-tests-'));
const total = { passed: 0, failed: 0 };
let runs = 0;

// All that a file started has its mark in the environment, whatever session or parent it has by now.
function endWhatItStarted(mark) {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`TEST_FILE_RUN=${mark}\0`)) process.kill(Number(pid), 'SIGKILL');
    } catch {} // gone by itself, or another user's
  }
}

const figure = (log, name) => Number(new RegExp(`^ℹ ${name} (\\d+)$`, 'm').exec(log)?.[1] ?? NaN);

function outcomeOf(log, seconds, timedOut) {
  const passed = figure(log, 'pass') || 0;
  let failed = (figure(log, 'fail') || 0) + (figure(log, 'cancelled') || 0);
  if (timedOut || !log.includes('\nℹ tests ')) failed = Math.max(failed, 1);
  return { passed, failed, seconds, timedOut, log };
}

// Files that run at once take ports of different spans, see lib/ports.mjs.
const spanOf = (place) => `${10000 + place * 5000}-${14999 + place * 5000}`;

async function runOnce(file, place) {
  const mark = `${process.pid}.${++runs}`;
  const logFile = join(logs, `${runs}.log`);
  const begun = Date.now();
  const args = ['--test-reporter=spec', `--test-reporter-destination=${logFile}`, '--test-force-exit', file];
  const child = spawn(process.execPath, args, { env: { ...process.env, TEST_FILE_RUN: mark, OGENT_TEST_PORTS: spanOf(place) }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said = (said + data).slice(-100_000)));
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    endWhatItStarted(mark);
  }, Number(options.timeout) * 1000);
  await new Promise((resolve) => child.on('exit', resolve));
  clearTimeout(timer);
  endWhatItStarted(mark);
  let log = '';
  try {
    log = readFileSync(logFile, 'utf8');
  } catch {} // it ended before its first word
  const outcome = outcomeOf(log, (Date.now() - begun) / 1000, timedOut);
  outcome.log += said;
  return outcome;
}

function tell(file, { passed, failed, seconds, timedOut }, remark = '') {
  const why = timedOut ? `, ended after ${options.timeout} s` : '';
  console.error(`  ${seconds.toFixed(1).padStart(6)} s  ${file}: ${passed} passed, ${failed} failed${why}${remark}`);
}

function keep(file, outcome) {
  if (options.log) appendFileSync(options.log, `\n═══ ${file}\n${outcome.log}`);
}

function explain(outcome) {
  const at = outcome.log.indexOf('✖ failing tests:');
  console.error(at >= 0 ? outcome.log.slice(at, at + 20_000) : outcome.log.slice(-6000));
}

function count(outcome) {
  total.passed += outcome.passed;
  total.failed += outcome.failed;
}

async function run(file, { last, place = 0 }) {
  if (Date.now() > deadline) {
    tell(file, { passed: 0, failed: 1, seconds: 0 }, ', not run: no time is left');
    total.failed++;
    return true;
  }
  const outcome = await runOnce(file, place);
  keep(file, outcome);
  if (outcome.failed) explain(outcome);
  const again = outcome.failed && !last;
  tell(file, outcome, again ? ', again by itself below' : '');
  if (!again) count(outcome);
  return !again;
}

if (options.log) writeFileSync(options.log, '');
const beside = files.filter((file) => !alone(file));
const after = [];
const worker = async (_, place) => {
  for (let file; (file = beside.shift()); ) if (!(await run(file, { last: false, place }))) after.push(file);
};
await Promise.all(Array.from({ length: Number(options.jobs) }, worker));
for (const file of files.filter(alone)) if (!(await run(file, { last: false }))) after.push(file);
for (const file of after) await run(file, { last: true });
rmSync(logs, { recursive: true });
console.log(`${total.passed} ${total.failed}`);
