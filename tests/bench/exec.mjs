// Command execution: starts cold and warm beside posix_spawn, bubblewrap, crun and ssh; sustained commands; output; kill; memory.
// What is taken below HTTP is measured by exec_spawn.c (build/services/exec/bench-exec), all of it in turn in one process.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { compile } from '../lib/parties.mjs';
import { ogent, startPlatform } from '../lib/platform.mjs';
import { Sshd } from '../lib/sshd.mjs';

const helper = join(dirname(ogent), 'services/exec/bench-exec');
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
const isRoot = process.getuid() === 0;

// All that a machine shows of itself inside our sandbox, shown by bubblewrap too.
const dirs = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
const files = ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'ssl/certs', 'ssl/openssl.cnf', 'localtime', 'protocols', 'services'];

function bubblewrap(workspace) {
  const places = dirs
    .filter((d) => existsSync(`/${d}`))
    .map((d) => (lstatSync(`/${d}`).isSymbolicLink() ? `--symlink ${readlinkSync(`/${d}`)} /${d}` : `--ro-bind /${d} /${d}`));
  const etc = files.filter((f) => existsSync(`/etc/${f}`)).map((f) => `--ro-bind /etc/${f} /etc/${f}`);
  return [
    '/usr/bin/bwrap --unshare-all --die-with-parent --new-session --clearenv --cap-drop ALL --uid 1000 --gid 1000 --hostname ogent',
    ...places, ...etc, '--proc /proc --dev /dev --tmpfs /tmp --tmpfs /dev/shm', `--bind ${workspace} /workspace --chdir /workspace`,
    '--remount-ro / --seccomp 20 /bin/true',
  ].join(' ');
}

// An OCI bundle on the host's own root, read-only. crun refuses cgroups of versions 1 and 2 side by side and a root that is "/" itself:
// it gets mounts of its own, in which both are as it wants them ("@PID", see exec_spawn.c). Where it does not run, it is said, and left out.
async function crun(dir) {
  if (!isRoot || !existsSync('/usr/bin/crun')) return null;
  const root = join(dir, 'root');
  mkdirSync(root, { recursive: true });
  execFileSync('/usr/bin/crun', ['spec'], { cwd: dir });
  const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
  Object.assign(config.process, { terminal: false, args: ['/bin/true'] });
  config.root = { path: root, readonly: true };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const mounts = `mount --bind / ${root} && umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && echo ready; exec sleep 100000`;
  const holder = spawn('unshare', ['-m', 'sh', '-c', mounts], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((done) => holder.stdout.once('data', done).once('end', done));
  for (const manager of ['cgroupfs', 'disabled']) {
    const command = `/usr/bin/crun --cgroup-manager=${manager} run --bundle ${dir} ogent-bench-${process.pid}`;
    const r = spawnSync('nsenter', ['-t', String(holder.pid), '-m', ...command.split(' ')], { encoding: 'utf8', timeout: 20000 });
    if (r.status === 0) return { command: `@${holder.pid} ${command}`, close: () => holder.kill('SIGKILL') };
    console.error(`bench: crun does not run here with --cgroup-manager=${manager}: ${r.stderr.trim()}`);
  }
  holder.kill('SIGKILL');
  return null;
}

// A kept connection: what each further command costs.
async function ssh(dir) {
  const sshd = new Sshd({ command: '/bin/true' });
  await sshd.start();
  const options = `-F none -p ${sshd.port} -i ${sshd.identity} -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR`;
  const socket = join(dir, 'ssh');
  execFileSync('/usr/bin/ssh', [...options.split(' '), '-M', '-S', socket, '-o', 'ControlPersist=600', '-fN', `${sshd.user}@127.0.0.1`], { stdio: 'ignore' });
  return {
    command: `/usr/bin/ssh -F none -S ${socket} ${sshd.user}@127.0.0.1 true`,
    async close() {
      spawnSync('/usr/bin/ssh', ['-F', 'none', '-S', socket, '-O', 'exit', '127.0.0.1'], { stdio: 'ignore' });
      await sshd.stop();
    },
  };
}

// {name: figures} of one run of the helper.
function below(...args) {
  const out = execFileSync(helper, args.map(String), { encoding: 'utf8', maxBuffer: 1 << 24 });
  return Object.fromEntries(out.trim().split('\n').map((l) => JSON.parse(l)).map((f) => [f.name, f]));
}

function send(where, method, path, token, body, onData) {
  const payload = body && JSON.stringify(body);
  return new Promise((done, fail) => {
    const headers = { authorization: `Bearer ${token}`, ...(payload && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }) };
    const r = http.request({ ...where, method, path, headers, agent }, (res) => {
      let text = '';
      res.on('data', onData ?? ((d) => (text += d)));
      res.on('end', () => done({ status: res.statusCode, text }));
    });
    r.on('error', fail);
    r.end(payload);
  });
}

// Streamed to its end; `onData` sees the event stream.
async function command(where, token, body, onData, query = '') {
  const r = await send(where, 'POST', `/api/commands?stream=1${query}`, token, { timeout_ms: 60000, ...body }, onData);
  if (r.status >= 300) throw new Error(`${r.status} ${r.text}`);
  return r.text;
}

// By a load in C, since a client in Node would be what is measured; the load itself and the gateway are on the same processors.
const perSecond = (load, where, token, n, width) => Number(execFileSync(load, [where.port, token, n, width].map(String), { encoding: 'utf8' }));

// Megabytes of output a second, through to this client: lines of text, or any bytes as base64.
async function throughput(where, token, megabytes, isText) {
  let bytes = 0;
  const n = megabytes * 1e6;
  const what = isText ? { script: `yes 'A line of a build, as long as such lines usually are: about eighty characters' | head -c ${n}` } : { argv: ['head', '-c', String(n), '/dev/zero'] };
  const t = performance.now();
  await command(where, token, what, (d) => (bytes += d.length), isText ? '' : '&encoding=base64');
  if (bytes < 1e6) throw new Error(`of ${n} bytes of output came ${bytes}`);
  return megabytes / ((performance.now() - t) / 1000);
}

async function firstByte(where, token) {
  const t = performance.now();
  let at;
  await command(where, token, { argv: ['/bin/echo', 'first-byte'] }, (d) => (at ??= d.includes('first-byte\\n') ? performance.now() - t : undefined));
  return at;
}

// From the moment that the command itself reads off the clock, just before it writes, to the event at this client.
async function afterWrite(where, token) {
  let seen, text = '';
  await command(where, token, { argv: ['date', '+at-%s.%N.'] }, (d) => {
    text += d;
    if (text.includes('at-')) seen ??= performance.timeOrigin + performance.now();
  });
  return seen - Number(/at-(\d+\.\d+)\./.exec(text)[1]) * 1000;
}

async function p95OfStarts(where, token, n) {
  const ms = [];
  for (let i = 0; i < n; i++) {
    const t = performance.now();
    await command(where, token, { argv: ['/bin/true'] });
    ms.push(performance.now() - t);
  }
  return ms.sort((a, b) => a - b)[Math.floor(n * 0.95)];
}

// One command forks without end: how much later others start, and how long it takes to be gone once it is cancelled.
async function storm(where, token) {
  const calm = await p95OfStarts(where, token, 60);
  const made = await send(where, 'POST', '/api/commands', token, { script: 'f() { f | f & }; f; sleep 60', timeout_ms: 60000 });
  const { id } = JSON.parse(made.text);
  await new Promise((done) => setTimeout(done, 500));
  const stormy = await p95OfStarts(where, token, 60);
  const t = performance.now();
  await send(where, 'POST', `/api/commands/${id}/cancel`, token);
  await send(where, 'GET', `/api/commands/${id}/stream`, token);
  return { calm, stormy, gone: performance.now() - t };
}

// The most that exec itself had in memory while ten commands wrote as fast as they could.
async function floodMib(p, where, token) {
  const role = JSON.parse(execFileSync(ogent, ['status', '--json'], { env: { ...process.env, OGENT_DATA: p.data }, encoding: 'utf8' })).roles.find((r) => r.role === 'exec');
  const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${role.pid}/status`, 'utf8'))[1]) / 1024;
  let most = rss();
  const timer = setInterval(() => (most = Math.max(most, rss())), 50);
  await Promise.all(Array.from({ length: 10 }, () => command(where, token, { argv: ['yes'], timeout_ms: 5000 }, () => {})));
  clearInterval(timer);
  return most;
}

export async function figures() {
  const dir = mkdtempSync(join(tmpdir(), 'ogent-bench-exec-'));
  mkdirSync(join(dir, 'w'));
  const p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_LOG_LEVEL: 'warn', OGENT_COMMAND_RUNNING_MAX: '100' } });
  const where = p.where();
  const token = await p.localToken();
  const load = compile(dir, 'commands');
  const oci = await crun(join(dir, 'bundle'));
  const shell = await ssh(dir);
  const peers = [`bubblewrap=${bubblewrap(join(dir, 'w'))}`, `ssh=${shell.command}`, ...(oci ? [`crun=${oci.command}`] : [])];
  // The first figure of a round runs the helper, the others take from it.
  let round, many, shielded, stormed;
  const own = (figures) => figures.live.kib - figures.bare.kib;
  const starts = () => (round = below('starts', 60, ...peers));
  const figure = (name, unit, sample, more) => ({ name: `exec.${name}`, unit, sample, ...more });
  return {
    figures: [
      // First, since what others remove makes new files dearer for a minute on some file systems (ext4 without a journal).
      figure('commands_per_second', '1/s', () => (perSecond(load, where, token, 200, 8), perSecond(load, where, token, 4000, 8)), { rounds: 1, bar: { least: 500 } }),
      figure('spawner_per_second', '1/s', () => below('rate', 400, 4, 4).rate.per_second, { rounds: 3 }),
      figure('cold', 'ms', () => starts().cold.p50, { peer: { name: 'bubblewrap', sample: () => round.bubblewrap.p50 }, rounds: 3, bar: { most: 0.5, ratio: true } }),
      ...(oci ? [figure('cold_crun', 'ms', () => (round ?? starts()).cold.p50, { peer: { name: 'crun', sample: () => round.crun.p50 }, rounds: 3, bar: { most: 0.3, ratio: true } })] : []),
      figure('cold_ssh', 'ms', () => (round ?? starts()).cold.p50, { peer: { name: 'ssh, kept connection', sample: () => round.ssh.p50 }, rounds: 3 }),
      figure('warm', 'ms', () => (round ?? starts()).warm.p50, { peer: { name: 'posix_spawn', sample: () => round.posix_spawn.p50 }, rounds: 3, bar: { most: 1.2, ratio: true } }),
      figure('warm_p95', 'ms', () => (round ?? starts()).warm.p95, { rounds: 3, bar: { most: 3 } }),
      figure('warm_protected', 'ms', () => (round ?? starts()).warm_protected.p50, { rounds: 3 }),
      figure('first_byte', 'ms', () => firstByte(where, token), { rounds: 20 }),
      figure('after_write', 'ms', () => afterWrite(where, token), { rounds: 20, bar: { most: 2 } }),
      figure('storm_start', 'ms', async () => (stormed = await storm(where, token)).stormy, {
        peer: { name: 'without the storm', sample: () => stormed.calm },
        rounds: 1,
        bar: { most: 2, ratio: true },
      }),
      figure('storm_gone', 'ms', async () => (stormed ??= await storm(where, token)).gone, { rounds: 1, bar: { most: 1000 } }),
      figure('stdout_throughput', 'MB/s', () => throughput(where, token, 200, true), { rounds: 3 }),
      figure('stdout_base64', 'MB/s', () => throughput(where, token, 200, false), { rounds: 3 }),
      figure('stdout_spool', 'MB/s', () => below('output', 1000).output.mb_per_second, { rounds: 3, bar: { least: 1000 } }),
      figure('kill_ms', 'ms', () => below('kill', 10).kill.p50, { rounds: 3, bar: { most: 50 } }),
      // Of the sandbox itself, its supervisor included; what the command in it takes anywhere is told beside it.
      figure('sandbox_kib', 'KiB', () => own((many = below('live', 500))), {
        peer: { name: 'the bare command', sample: () => many.bare.kib },
        rounds: 1,
        bar: { most: 410 }, // 200 MiB for 500, with a network namespace each
      }),
      figure('kill_500', 'ms', () => (many ?? below('live', 500)).kill_all.ms, { rounds: 1, bar: { most: 150 } }),
      figure('sandbox_protected_kib', 'KiB', () => own((shielded = below('live', 500, 'protected'))), { rounds: 1 }),
      figure('kill_500_protected', 'ms', () => (shielded ?? below('live', 500, 'protected')).kill_all.ms, { rounds: 1 }),
      figure('flood_rss', 'MiB', () => floodMib(p, where, token), { rounds: 1, bar: { most: 64 } }),
    ],
    close: async () => {
      oci?.close();
      await shell.close();
      await p.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
