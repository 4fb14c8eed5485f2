// `ogent COMMAND` as somebody at a terminal or a script has it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { ogent } from './platform.mjs';

// Nothing of the test's own environment, but what the sanitizers are told.
export function cliEnvironment(more) {
  const env = { PATH: process.env.PATH, ...more };
  for (const name of ['ASAN_OPTIONS', 'UBSAN_OPTIONS']) if (process.env[name]) env[name] = process.env[name];
  return env;
}

// Returns {code, out, err}. onStarted(child, result) is called while it runs.
export async function runCli(args, { input = '', env = {}, onStarted } = {}) {
  const child = spawn(ogent, args, { env: cliEnvironment(env), stdio: 'pipe' });
  const result = { out: '', err: '' };
  child.stdout.on('data', (d) => (result.out += d));
  child.stderr.on('data', (d) => (result.err += d));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  onStarted?.(child, result);
  result.code = await new Promise((done) => child.on('close', done));
  assert.doesNotMatch(result.err, /Sanitizer|runtime error:/);
  return result;
}
