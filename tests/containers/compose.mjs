// The containers that ./dev deploy-test has built, for its tests.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { request } from '../lib/platform.mjs';

export const TEN = [
  'ogent-agent-service', 'ogent-auth-service', 'ogent-db', 'ogent-auth-db', 'ogent-api-gateway', 'ogent-frontend', 'ogent-nginx',
  'ogent-socket-service', 'ogent-command-execution', 'ogent-ubuntu-target',
];
const MODEL = 'ogent-demo-model';

const run = promisify(execFile);
const options = { encoding: 'utf8', maxBuffer: 64 << 20 };

// What it prints; `docker logs` gives back both of the container's streams.
export const docker = async (...args) => {
  const { stdout, stderr } = await run('docker', args, options);
  return (args[0] === 'logs' ? stdout + stderr : stdout).trim();
};
export const compose = async (...args) => (await run('docker-compose', [...process.env.DEPLOY_COMPOSE.split(' '), ...args], options)).stdout.trim();
export const secret = (name) => readFileSync(join(process.env.OGENT_SECRETS_DIR, name), 'utf8').trim();
export const where = { host: 'localhost', port: 443, ca: secret('tls/certificate.pem') };

// The ids of a service's containers.
export const containers = async (service) =>
  (await docker('ps', '-aq', '--filter', 'label=com.docker.compose.project=ogent-deploy-test', '--filter', `label=com.docker.compose.service=${service}`)).split('\n').filter(Boolean);
export const inspect = async (service) => JSON.parse(await docker('inspect', ...(await containers(service))));

// What runs in a container's image can be run in it: exec('ogent-db', 'psql', …).
export const exec = async (service, ...args) => docker('exec', (await containers(service))[0], ...args);

// Waits until the services say that they are well.
export async function healthy(services = [...TEN, MODEL], ms = 180000) {
  let states = [];
  for (const until = Date.now() + ms; Date.now() < until; await sleep(200)) {
    states = (await Promise.all(services.map(inspect))).flat().map((c) => [c.Name, c.State.Health?.Status]);
    if (states.length >= services.length && states.every(([, s]) => s === 'healthy')) return;
  }
  assert.fail(`not healthy in ${ms} ms: ${states.filter(([, s]) => s !== 'healthy').join('; ')}`);
}

export const api = (method, path, body, token, headers) => request(where, method, path, { body, token, headers });

export const memoryOf = (id) => Number(execFileSync('docker', ['stats', '--no-stream', '--format', '{{.MemUsage}}', id], options).match(/^[\d.]+/)[0]);
