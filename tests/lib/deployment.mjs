// A deployment that runs already, in the form of the processes that tests start themselves. With OGENT_DEPLOYMENT=https://HOST (and its
// certificate's file in OGENT_DEPLOYMENT_CA) startRole() and startPlatform() of platform.mjs give it back, whatever role they are asked
// for: all paths are behind one address. What is in its containers is looked at with docker. It takes no options and neither ends nor
// starts: tests that need that are not for it.
//
// Each test file gets it as it finds it on an ordinary start, but for the conversations: no user besides the owner, one agent.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

import { ADMIN, request } from './platform.mjs';

const CONTAINERS = {
  agent: 'ogent-agent-service',
  auth: 'ogent-auth-service',
  exec: 'ogent-command-execution',
  gateway: 'ogent-api-gateway',
  socket: 'ogent-socket-service',
};
const options = { encoding: 'utf8', maxBuffer: 256 << 20, stdio: ['ignore', 'pipe', 'pipe'] };
const docker = (...args) => execFileSync('docker', args, options).trim();
const container = (name) => docker('ps', '-q', '--filter', `label=com.docker.compose.service=${name}`).split('\n')[0];

class Deployment {
  constructor(url, ca) {
    this.base = new URL(url);
    this.ca = readFileSync(ca, 'utf8');
  }

  where() {
    return { host: this.base.hostname, port: Number(this.base.port || 443), ca: this.ca, tls: true };
  }

  api(method, path, body, token, headers) {
    return request(this.where(), method, path, { body, token, headers });
  }

  // Where each role listens for the others: this machine is on the containers' network too.
  roles() {
    const at = (name) => docker('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', container(name));
    return Object.entries(CONTAINERS).map(([role, name]) => [role, { host: at(name), port: 8000 }]);
  }

  get log() {
    return Object.values(CONTAINERS).map((name) => execFileSync('sh', ['-c', 'exec docker logs "$0" 2>&1', container(name)], options)).join('\n');
  }

  secret(name) {
    const role = CONTAINERS[name.replace(/\.key$/, '')] ?? CONTAINERS.auth;
    return execFileSync('sh', ['-c', 'docker cp "$0:/data/secrets/$1" - | tar -xO', container(role), name], options).trim();
  }

  async localToken() {
    const r = await this.api('POST', '/api/auth/local', { key: this.secret('cli.token') });
    assert.equal(r.status, 200, r.text);
    return r.body.access_token;
  }

  // The first administrator's session: by the set-up link once, by password from then on.
  async setUp(admin = ADMIN) {
    if (!(await this.isNew())) return this.login(admin);
    const r = await this.api('POST', '/api/auth/setup', { token: this.secret('setup.token'), ...admin });
    assert.equal(r.status, 201, r.text);
    return r.body;
  }

  async login({ email, password }) {
    const r = await this.api('POST', '/api/auth/login', { email, password });
    assert.equal(r.status, 200, r.text);
    return r.body;
  }

  async isNew() {
    const r = await this.api('GET', '/api/auth/setup');
    assert.equal(r.status, 200, r.text);
    return r.body.needed;
  }

  async clear() {
    if (await this.isNew()) return;
    const token = await this.localToken();
    const me = (await this.api('GET', '/api/auth/me', undefined, token)).body;
    const all = async (path) => (await this.api('GET', `${path}?limit=200`, undefined, token)).body.items;
    for (const user of await all('/api/users')) if (user.id !== me.id) assert.equal((await this.api('DELETE', `/api/users/${user.id}`, undefined, token)).status, 204);
    // Those of the removed users go by themselves, at this moment.
    for (const agent of await all('/api/agents')) {
      if (agent.slug === 'assistant') continue;
      const { status } = await this.api('DELETE', `/api/agents/${agent.id}`, undefined, token);
      assert.ok(status === 204 || status === 404, `${agent.slug}: ${status}`);
    }
    assert.equal((await this.api('PATCH', '/api/auth/settings', { registration: 'closed' }, token)).status, 200);
  }

  start() {
    assert.fail('a deployment is not started by a test');
  }

  kill() {
    assert.fail('a deployment is not ended by a test');
  }

  async stop() {}
}

let cleared;

// The one that the environment names, cleared before a file's first use of it.
export async function deployment() {
  const d = new Deployment(process.env.OGENT_DEPLOYMENT, process.env.OGENT_DEPLOYMENT_CA);
  await (cleared ??= d.clear());
  return d;
}
