// Sign-in and refresh: CPU time of the auth process for each, so that the figures repeat on a busy machine. auth.login is the CPU time of
// one bare hash (argon2id with the default parameters, by the metric of hashes) over that of one sign-in: 1 is the best there is.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';

import { ADMIN, startRole } from '../lib/platform.mjs';

const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const PARALLEL = 64;
const REFRESHES = 4000;
const LOGINS = 40;

const cpuSeconds = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
};
const rssMib = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;

export async function figures() {
  const auth = await startRole('auth', {
    env: { OGENT_PASSWORD_MEMORY: '19', OGENT_PASSWORD_TIME: '2', OGENT_LOG_LEVEL: 'warn', OGENT_HASH_QUEUE: '1000' },
  });
  await auth.setUp();
  const { pid } = auth.child;
  const idle = rssMib(pid);
  const agent = new http.Agent({ keepAlive: true, maxSockets: PARALLEL });
  const post = (path, body) =>
    new Promise((done, fail) => {
      const text = JSON.stringify(body);
      const r = http.request({ ...auth.where(), agent, method: 'POST', path, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } }, (res) => {
        let all = '';
        res.on('data', (d) => (all += d));
        res.on('end', () => (res.statusCode === 200 ? done(JSON.parse(all)) : fail(new Error(`${res.statusCode} ${all}`))));
      });
      r.on('error', fail);
      r.end(text);
    });
  const login = () => post('/api/auth/login', { email: ADMIN.email, password: ADMIN.password });
  const sessions = await Promise.all(Array.from({ length: PARALLEL }, login));

  // CPU seconds of auth for one of them.
  async function cost(n, each) {
    const before = cpuSeconds(pid);
    await each(n);
    return (cpuSeconds(pid) - before) / n;
  }
  const logins = async (n) => {
    for (let i = 0; i < n; i++) await login();
  };
  const bareHash = () => Number(execFileSync(process.env.OGENT_BIN.replace(/ogent$/, 'services/auth/bench-hash'), ['19', '2', '40'], { encoding: 'utf8' }));
  const refreshes = async (n) => {
    await Promise.all(
      sessions.map(async (s) => {
        for (let i = 0; i < n / PARALLEL; i++) s.refresh_token = (await post('/api/auth/refresh', { refresh_token: s.refresh_token })).refresh_token;
      }),
    );
  };
  return {
    figures: [
      { name: 'auth.login', unit: 'ratio', rounds: 3, sample: async () => bareHash() / (await cost(LOGINS, logins)) },
      { name: 'auth.refresh_per_second', unit: '1/s/core', rounds: 3, sample: async () => 1 / (await cost(REFRESHES, refreshes)) },
      { name: 'auth.rss_mib', unit: 'MiB', rounds: 1, sample: () => idle },
    ],
    close: async () => {
      agent.destroy();
      await auth.stop();
    },
  };
}
