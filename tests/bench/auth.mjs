// Sign-in and refresh: CPU time of the auth process for each, so that the figures repeat on a busy machine. auth.login is the CPU time of
// one bare hash (argon2id with the default parameters, by the metric of hashes) over that of one sign-in: 1 is the best there is.
// auth.verify and auth.verify_cached: checks of one token beside the npm package jose, by CPU second. auth.timing_spread: the medians of
// 200 refused sign-ins of each kind, how far the farthest is from the first. auth.start_ms: from exec to the first 200, migrated before.
// auth.sign_ins and auth.checks (who does this token belong to, by HTTP, with a look into the database) stand beside a Node stack (express, jose,
// argon2id) and Laravel as Debian packages it, with the token guard that Sanctum has; all with hashes of 19 MiB and 2 passes.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

import * as jose from 'jose';

import { authRows, authSql } from '../lib/databases.mjs';
import { ADMIN, request, startRole } from '../lib/platform.mjs';
import { asker, laravel, nodeStack } from './auth/parties.mjs';

const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const PARALLEL = 64;
const REFRESHES = 4000;
const LOGINS = 40;
const REFUSED_EACH = 200;
const TRIES = 5; /* of one account without a wait */
const JOSE_SECONDS = 1;
const SIGN_INS = 20;
const CHECKS = 2000;
const LARAVEL_CHECKS = 200;

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
  const { post, get, end } = asker(auth.where(), PARALLEL);
  const login = () => post('/api/auth/login', { email: ADMIN.email, password: ADMIN.password });
  const sessions = await Promise.all(Array.from({ length: PARALLEL }, login));

  // CPU seconds of a process, auth's unless told, for one of them.
  async function cost(n, each, of = pid) {
    const before = cpuSeconds(of);
    await each(n);
    return (cpuSeconds(of) - before) / n;
  }

  // The others begin when they are asked for.
  const parties = new Map();
  const party = (name) => {
    if (!parties.has(name)) parties.set(name, name === 'laravel' ? laravel(authRows(auth.data, `select password_hash from users where email = '${ADMIN.email}'`)[0][0]) : nodeStack(PARALLEL));
    return parties.get(name);
  };
  const credentials = { email: ADMIN.email, password: ADMIN.password };
  const times = async (n, parallel, one) => {
    let left = n;
    await Promise.all(Array.from({ length: parallel }, async () => { while (left-- > 0) await one(); }));
  };
  const own = { pid, post, get, signIn: '/api/auth/login', me: '/api/auth/me', token: (r) => r.access_token };
  const other = async (name) => ({ ...(await party(name)), signIn: '/login', me: '/me', token: (r) => r.token });
  const signIns = async (p) => 1 / (await cost(SIGN_INS, (n) => times(n, 1, () => p.post(p.signIn, credentials)), p.pid));
  const checks = async (p, n, parallel) => {
    const mine = p.token(await p.post(p.signIn, credentials));
    return 1 / (await cost(n, () => times(n, parallel, () => p.get(p.me, mine)), p.pid));
  };
  const beside = (name, n, parallel) => [
    { name: name === 'laravel' ? 'auth.sign_ins_laravel' : 'auth.sign_ins', unit: '1/s/core', rounds: 3, sample: () => signIns(own), peer: { name, sample: async () => signIns(await other(name)) } },
    { name: name === 'laravel' ? 'auth.checks_laravel' : 'auth.checks', unit: '1/s/core', rounds: 3, sample: () => checks(own, CHECKS, PARALLEL), peer: { name, sample: async () => checks(await other(name), n, parallel) } },
    { name: name === 'laravel' ? 'auth.rss_laravel' : 'auth.rss', unit: 'MiB', rounds: 1, sample: () => rssMib(pid), peer: { name, sample: async () => rssMib((await party(name)).pid) } },
  ];
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

  // The same token for both sides; ours is checked as a service checks it.
  const token = sessions[0].access_token;
  const jwks = JSON.stringify((await auth.api('GET', '/.well-known/jwks.json')).body);
  const verify = (how) => Number(execFileSync(process.env.OGENT_BIN.replace(/ogent$/, 'services/auth/bench-verify'), [token, jwks, how], { encoding: 'utf8' }));
  const set = jose.createLocalJWKSet(JSON.parse(jwks));
  const peer = {
    name: 'jose',
    async sample() {
      const from = process.cpuUsage();
      const spent = () => { const u = process.cpuUsage(from); return (u.user + u.system) / 1e6; };
      let n = 0;
      while (spent() < JOSE_SECONDS) for (let i = 0; i < 64; i++, n++) await jose.jwtVerify(token, set, { issuer: 'ogent', audience: 'ogent-api', typ: 'at+jwt' });
      return n / spent();
    },
  };

  // Medians of what a client sees, kinds in turn: a machine that is busy for a while is so for all of them. An account takes as many
  // tries as come before the first wait.
  async function timingSpread() {
    const other = await startRole('auth', { env: { OGENT_LOG_LEVEL: 'warn' } });
    const right = 'a quiet river under stones';
    const kinds = { known: 'wrong', unknown: 'wrong', empty: '', disabled: right, locked: right };
    try {
      const admin = await other.setUp();
      for (const kind of Object.keys(kinds).filter((k) => k !== 'unknown')) {
        for (let i = 0; i < REFUSED_EACH / TRIES; i++) {
          const made = await other.api('POST', '/api/users', { name: 'P', email: `${kind}${i}@example.org`, password: right }, admin.access_token);
          if (kind === 'disabled') await other.api('PATCH', `/api/users/${made.body.id}`, { disabled: true }, admin.access_token);
        }
      }
      await other.kill('SIGTERM');
      await authSql(other.data, "update users set failed_logins = 100 where email like 'locked%'");
      await other.start();
      const times = Object.fromEntries(Object.keys(kinds).map((k) => [k, []]));
      for (let i = 0; i < REFUSED_EACH; i++) {
        for (const [kind, password] of Object.entries(kinds)) {
          const headers = { 'x-forwarded-for': `10.${kind.length}.${i >> 5}.${i & 31}` };
          const from = performance.now();
          const r = await request(other.where(), 'POST', '/api/auth/login', { body: { email: `${kind}${Math.floor(i / TRIES)}@example.org`, password }, headers });
          if (r.status !== 401) throw new Error(`${kind}: ${r.text}`);
          times[kind].push(performance.now() - from);
        }
      }
      const medians = Object.values(times).map((t) => t.sort((a, b) => a - b)[t.length >> 1]);
      return 100 * Math.max(...medians.map((m) => Math.abs(m / medians[0] - 1)));
    } finally {
      await other.stop();
    }
  }

  async function startMs() {
    const other = await startRole('auth');
    await other.kill('SIGTERM');
    const from = performance.now();
    await other.start();
    const ms = performance.now() - from;
    await other.stop();
    return ms;
  }

  return {
    figures: [
      { name: 'auth.login', unit: 'ratio', rounds: 3, sample: async () => bareHash() / (await cost(LOGINS, logins)) },
      { name: 'auth.refresh_per_second', unit: '1/s/core', rounds: 3, sample: async () => 1 / (await cost(REFRESHES, refreshes)) },
      { name: 'auth.verify', unit: '1/s/core', rounds: 3, sample: () => verify('uncached'), peer },
      { name: 'auth.verify_cached', unit: '1/s/core', rounds: 3, sample: () => verify('cached'), peer },
      ...beside('node', CHECKS, PARALLEL),
      ...beside('laravel', LARAVEL_CHECKS, 1),
      { name: 'auth.timing_spread', unit: '%', rounds: 1, sample: timingSpread },
      { name: 'auth.start_ms', unit: 'ms', rounds: 3, sample: startMs },
      { name: 'auth.rss_mib', unit: 'MiB', rounds: 1, sample: () => idle },
    ],
    close: async () => {
      end();
      for (const p of await Promise.all(parties.values())) await p.stop();
      await auth.stop();
    },
  };
}
