// The black-box suites of ./dev test that need no more than an address, through nginx over TLS against the ten containers. `node
// suites.mjs` runs all, `node suites.mjs FILE…` some. Each file runs as it is; what is left out of one is named here with the reason.
//
// Whole files that are left out: those that start and kill processes of their own with options, files or peers of the test's
// (agent_faults, agent_models, agent_tls, auth-gateway, backup, cli, demo-model, exec, exec-ssh, exec-ssh-keys, exec-user, limits, metrics,
// operations, policy, proxy_protocol, revocation, ssh-target, traces), and tests/e2e/story.test.mjs, which kills the platform under its page and looks into /workspace;
// ten.test.mjs has the story of a browser for these containers.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { compose, healthy } from './compose.mjs';

const STOPS = 'it kills or restarts a role itself; ten.test.mjs restarts each container under load';
const PEER = 'it looks at a stand-in for exec; here it is the real one, with the target';
const OPTION = 'it is about an option that this deployment has otherwise';
const ADDRESS = 'it plays clients at many addresses; nginx names one client by its own';
const BYTES = 'nginx reads the bytes first; deploy/nginx.test.mjs shows what it refuses';
const OWN = 'nginx answers some of these itself, as deploy/nginx.test.mjs shows';
const FILES = 'nginx has the files of the web app; deploy/nginx.test.mjs and ten.test.mjs show them';
const COOKIE = 'it is about the cookie without TLS, or makes TLS up by a header; auth-gateway.test.mjs and deploy/nginx.test.mjs have the one with TLS';
const PATH = 'at the sandbox level landlock a command sees the path that its workspace has on the target';
const DISK = 'it looks into the folder of a role';
const BUFFERS = 'the buffers of the four connections between may hold all that it sends';
const KEYS = "it signs a token with auth's own key, which nobody has from outside";
const INSIDE = 'it asks a role past the gateway';

const SUITES = {
  'api/openapi.test.mjs': {},
  'api/auth.test.mjs': {
    [STOPS]: ['set-up', 'sessions outlive a crash of the service', 'forged, foreign, expired and misshapen ones are refused, here and at another service'],
    [OPTION]: ['a used token after the grace time ends the whole family', 'hashing has a queue with an end, and says so', 'a sign-in renews a hash that is cheaper than it should be'],
    [COOKIE]: ['has its refresh token in a cookie only', 'behind HTTPS the cookie is bound to the host', 'another site can do nothing with the cookie'],
    [ADDRESS]: ['whatever is wrong, the answer is the same', 'guessing is slowed down, and the right password works again soon', 'one address cannot try account after account'],
    [INSIDE]: ['every refusal costs one hash, so the time tells nothing', 'every route answers who has no right to it with 401 or 403'],
  },
  'api/gateway.test.mjs': {
    [STOPS]: ['a role that is down is 503 with a time to wait, or 502 when it broke off, and comes back'],
    [OPTION]: ['the rate limit'],
    [OWN]: ['an unknown path is a 404 problem, with and without a token', 'a wrong method is 405 and says which are possible', "the services' own paths are not to be reached", 'no secret and no software version in the answers'],
    [BYTES]: [
      'a body over the limit is 413, announced or not',
      'a head over the limits is 414 or 431 and the connection closes',
      'framing that two readers may read differently is refused and the connection closed',
      'no token, and every bad one, is 401 with a challenge',
    ],
    [FILES]: ['a part of an asset can be asked for, as long as it is the same asset', 'an asset may be kept for ever, comes packed, and is asked for once', 'an address of the app gives the page, to a browser alone'],
  },
  'api/socket.test.mjs': {
    [STOPS]: ['when the role dies the connection ends, and a new one takes the events up', 'a role that ends in order says 1001', 'a platform that ends says 1001 and does not wait for its connections'],
    [KEYS]: ['the first message is a token; who has none, or a bad one, is closed with 4401', 'a token that ends closes with 4401, unless it is renewed by the same user'],
    [BUFFERS]: ['who does not read is let go with 1013 and holds up nobody'],
  },
  'api/agent.test.mjs': {
    [PEER]: [
      'a message runs a command once and is answered from its output',
      'several commands of one answer run side by side, each once, and their results stand in order',
      'a cancel while a command runs kills it and leaves a conversation that goes on',
      '… arguments are told to the model, and nothing is run',
      'deleting a conversation stops its run and takes everything with it',
      'the same call three times is warned about, the fourth ends the run',
      'steps and seconds of an agent are limits',
      'a broken stream of a command is taken up again: once run, nothing doubled',
      'exec going away and coming back is waited for',
      "a refusal of exec is told to the model in its own words",
    ],
    [STOPS]: [
      'killed while the model streams, the run goes on, and the text is taken back first',
      'killed while a command runs, the command is attached to, not run again',
      'killed at any moment of thirty runs, every one is answered and every command ran once',
      'a cancelled run stays cancelled through a crash',
      'a drained service leaves its runs to the next',
    ],
  },
  'api/agent_exec.test.mjs': {
    [PATH]: ['a command runs in the workspace of its conversation, which stays'],
    [STOPS]: ['a run that is cancelled and crashes leaves no command behind', '… killed while commands run: each ran once, nothing is missing or doubled'],
    [OPTION]: ['an agent whose commands run on another host', "where a new agent's commands run is an option; an agent says otherwise for itself"],
  },
  'containers/exec.mjs': { [BYTES]: ['of the wrong shape'], [DISK]: ['nothing is left behind'] },
};

const tests = join(import.meta.dirname, '..');
const only = process.argv.slice(2);
const files = Object.keys(SUITES).filter((f) => !only.length || only.includes(f));
// … stands for what differs in the names of several tests.
const pattern = (name) => `/^${name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replace('…', '.*')}$/`;

// With the suite that is the file's whole content.
const read = (file) => [file, ...(file === 'containers/exec.mjs' ? ['lib/exec_suite.mjs'] : [])].map((f) => readFileSync(join(tests, f), 'utf8')).join('');
for (const file of files) {
  const text = read(file).replaceAll("\\'", "'");
  const left = Object.values(SUITES[file]).flat();
  for (const name of left) if (!text.includes(name.replace('…', ''))) throw new Error(`${file} has no test of the name ${name}`);
}

const certificate = join(process.env.OGENT_SECRETS_DIR, 'tls/certificate.pem');
const env = { ...process.env, OGENT_DEPLOYMENT: 'https://localhost', OGENT_DEPLOYMENT_CA: certificate, NODE_EXTRA_CA_CERTS: certificate };
const run = (file) =>
  new Promise((done) => {
    const args = ['--test', '--test-reporter=spec', '--test-timeout=900000', ...Object.values(SUITES[file]).flat().map((name) => `--test-skip-pattern=${pattern(name)}`), join(tests, file)];
    spawn(process.execPath, args, { env, stdio: 'inherit' }).on('close', done);
  });

await compose('up', '-d');
await healthy();
// One report of these, and one of the tests beside this file: who counts wants them all.
console.log(`ℹ suites of the deployment: ${files.length + 1}`);
for (const file of files) {
  console.log(`\n${file} through nginx`);
  process.exitCode = (await run(file)) || process.exitCode;
}
