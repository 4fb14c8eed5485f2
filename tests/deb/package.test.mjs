// The Debian package from its installation to its purge, in a machine with the real systemd and cgroups of version 2. The tests
// go on from each other, as in a machine's life.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { boot } from './machine.mjs';

const folder = process.env.OGENT_TEST_MACHINE;
const roles = ['gateway', 'auth', 'agent', 'exec', 'socket'];
const person = { name: 'Ada', email: 'ada@example.org', password: 'correct horse battery' };
let vm;

before(async () => {
  vm = await boot(folder);
});

after(async () => {
  await vm?.stop();
});

const status = async () => JSON.parse(await vm.run('ogent status --json'));
const property = (unit, name) => vm.run(`systemctl show ${unit} --property=${name} --value`);
const isActive = async (unit) => (await vm.order(`systemctl is-active ${unit}`)).output === 'active';

async function api(method, path, { token, body } = {}) {
  const args = [
    ...(token ? ['-H', `Authorization: Bearer ${token}`] : []),
    ...(body ? ['-H', 'Content-Type: application/json', '-d', JSON.stringify(body)] : []),
  ];
  const quoted = args.map((a) => `'${a}'`).join(' ');
  const answer = await vm.run(`curl -s -w '\\n%{http_code}' -X ${method} ${quoted} http://127.0.0.1:8420${path}`);
  const cut = answer.lastIndexOf('\n');
  return { status: Number(answer.slice(cut + 1)), body: cut > 0 ? JSON.parse(answer.slice(0, cut)) : null };
}

test('the installation starts the service, which answers as soon as it has started', async () => {
  await vm.run('dpkg -i /root/ogent.deb', 120000);
  assert.equal(await vm.run('systemctl is-enabled ogent'), 'enabled');
  assert.equal((await api('GET', '/readyz')).status, 200);
  assert.equal(await vm.run('systemctl --failed --no-legend'), '');
});

test('the roles of a split installation are there, and neither enabled nor started', async () => {
  for (const role of roles) {
    assert.equal((await vm.order(`systemctl is-enabled ogent-${role}`)).output, 'disabled');
    assert.equal((await vm.order(`systemctl is-active ogent-${role}`)).output, 'inactive');
  }
});

test('every process runs as the account ogent, which cannot log in', async () => {
  const owners = await vm.run('for p in $(cat /sys/fs/cgroup/system.slice/ogent.service/{,*/}cgroup.procs); do stat -c %U /proc/$p; done | sort | uniq -c');
  assert.match(owners, /^ *\d+ ogent$/);
  assert.match(await vm.run('getent passwd ogent'), /\/var\/lib\/ogent:\/usr\/sbin\/nologin$/);
});

test('data and configuration are closed to other accounts', async () => {
  assert.equal(await vm.run('stat -c "%U:%G %a" /var/lib/ogent'), 'ogent:ogent 700');
  assert.equal(await vm.run('stat -c "%U:%G %a" /etc/ogent/ogent.conf'), 'root:ogent 640');
  assert.notEqual((await vm.order('setpriv --reuid=nobody --regid=nogroup --clear-groups ogent status')).status, 0);
});

test('commands get the full sandbox, with limits by cgroup, as an ordinary user', async () => {
  const { sandbox, ready } = await status();
  assert.equal(ready, true);
  assert.equal(sandbox.level, 'strict', JSON.stringify(sandbox.layers));
  assert.equal(sandbox.layers.cgroup.version, 2);
  for (const [name, layer] of Object.entries(sandbox.layers)) assert.equal(layer.ok, true, `${name}: ${layer.detail}`);
  assert.equal(sandbox.layers.proc.detail, 'own');
});

test('no unit is more exposed than it must be', async () => {
  const most = { ogent: 24, 'ogent-exec': 24, 'ogent-gateway': 11, 'ogent-auth': 11, 'ogent-agent': 11, 'ogent-socket': 11 };
  for (const [unit, threshold] of Object.entries(most))
    await vm.run(`systemd-analyze security --offline=true --threshold=${threshold} --no-pager ${unit}.service`);
});

test('the administrator gets a set-up link, and the journal does not have it', async () => {
  const link = await vm.run('ogent setup-link 2>/dev/null');
  assert.match(link, /^http:\/\/127\.0\.0\.1:8420\/setup#token=[\w-]+$/);
  assert.equal((await api('POST', '/api/auth/setup', { body: { ...person, token: link.split('=')[1] } })).status, 201);
  assert.notEqual((await vm.order('journalctl -u ogent --no-pager | grep -F "#token="')).status, 0);
  assert.match(await vm.run('journalctl -u ogent --no-pager'), /"service":"gateway","message":"listening"/);
});

test('a message through the front door runs a command', async () => {
  const output = await vm.run("ogent run 'run: echo the answer is $((6 * 7)); id -u'", 120000);
  assert.match(output, /the answer is 42/);
});

test('the service comes back after a crash and after a hang, with its data', async () => {
  const pid = await property('ogent', 'MainPID');
  await vm.run(`kill -KILL ${pid}`);
  await vm.until(`[ "$(systemctl show ogent -p MainPID --value)" != ${pid} ] && ogent status`);
  await vm.run('mkdir -p /run/systemd/system/ogent.service.d; printf "[Service]\\nWatchdogSec=3\\n" >/run/systemd/system/ogent.service.d/fast.conf');
  await vm.run('systemctl daemon-reload; systemctl restart ogent');
  const hung = await property('ogent', 'MainPID');
  await vm.run(`kill -STOP ${hung}`);
  await vm.until(`[ "$(systemctl show ogent -p MainPID --value)" != ${hung} ] && ogent status`, 120000);
  await vm.run('rm -r /run/systemd/system/ogent.service.d; systemctl daemon-reload; systemctl restart ogent');
  assert.match(await vm.run('ogent history'), /the answer is/);
});

test('a wrong configuration is told once, with its line, and is not tried again and again', async () => {
  await vm.run('cp -p /etc/ogent/ogent.conf /root/; echo "rate_limt = 3" >>/etc/ogent/ogent.conf');
  await vm.order('systemctl restart ogent');
  assert.equal(await property('ogent', 'Result'), 'exit-code');
  assert.equal(await property('ogent', 'SubState'), 'failed');
  assert.match(await vm.run('journalctl -u ogent --no-pager'), /ogent\.conf line \d+: there is no option "rate_limt"; did you mean rate_limit\?|there is no option "rate_limt"/);
  await vm.run('cp -p /root/ogent.conf /etc/ogent/ogent.conf; systemctl reset-failed ogent; systemctl start ogent');
});

test('it is there again after the machine was switched off and on', async () => {
  await vm.restart();
  await vm.until('ogent status');
  assert.match(await vm.run('ogent history'), /the answer is/);
});

test('an upgrade restarts it and keeps data and configuration', async () => {
  await vm.run('echo "rate_limit = 77" >>/etc/ogent/ogent.conf');
  const pid = await property('ogent', 'MainPID');
  await vm.run('dpkg -i /root/ogent.deb', 120000);
  assert.notEqual(await property('ogent', 'MainPID'), pid);
  assert.match(await vm.run('ogent config show'), /^rate_limit = 77 /m);
  assert.match(await vm.run('ogent history'), /the answer is/);
  assert.equal(await vm.run('stat -c "%U:%G %a" /etc/ogent/ogent.conf'), 'root:ogent 640');
});

test('the roles also run as services of their own, on the same data', async () => {
  await vm.run(`systemctl start ${roles.map((r) => `ogent-${r}`).join(' ')}`, 120000);
  assert.equal(await isActive('ogent'), false);
  await vm.until('curl -sf http://127.0.0.1:8420/readyz');
  const { email, password } = person;
  const session = await api('POST', '/api/auth/login', { body: { email, password } });
  assert.equal(session.status, 200);
  const token = session.body.access_token;
  const made = await api('POST', '/api/commands', { token, body: { script: 'echo split; cat /proc/self/status | grep ^Seccomp:' } });
  assert.equal(made.status, 201);
  await vm.until(`curl -s -H 'Authorization: Bearer ${token}' http://127.0.0.1:8420/api/commands/${made.body.id} | grep -q '"status":"exited"'`);
  const output = await vm.run(`curl -s -H 'Authorization: Bearer ${token}' http://127.0.0.1:8420/api/commands/${made.body.id}/output`);
  assert.match(output, /split\nSeccomp:\s+2/);
});

test('a role does not see what the others keep', async () => {
  const inside = async (role, path) => vm.order(`nsenter -t $(systemctl show ogent-${role} -p MainPID --value) -m setpriv --reuid=ogent --regid=ogent --clear-groups ls ${path}`);
  assert.equal((await inside('auth', '/var/lib/ogent/db')).status, 0);
  assert.notEqual((await inside('gateway', '/var/lib/ogent/db')).status, 0);
  assert.notEqual((await inside('exec', '/var/lib/ogent/db')).status, 0);
  assert.notEqual((await inside('agent', '/var/lib/ogent/exec')).status, 0);
  const key = await vm.order('nsenter -t $(systemctl show ogent-gateway -p MainPID --value) -m setpriv --reuid=ogent --regid=ogent --clear-groups cat /var/lib/ogent/secrets/auth.key');
  assert.notEqual(key.status, 0);
});

test('manual page and completion are there', async () => {
  assert.match(await vm.run('man -P cat ogent'), /AI-agent platform/);
  assert.match(await vm.run('source /usr/share/bash-completion/completions/ogent; COMP_WORDS=(ogent sta); COMP_CWORD=1; _ogent; echo "${COMPREPLY[@]}"'), /status/);
});

test('removing stops everything and keeps the data; purging removes it', async () => {
  await vm.run('systemctl start ogent');
  await vm.run('dpkg --remove ogent', 120000);
  assert.notEqual((await vm.order('ls /usr/bin/ogent || grep -sx ogent /proc/[0-9]*/comm')).status, 0);
  await vm.run('test -f /var/lib/ogent/db/langchain_agent.db && test -f /etc/ogent/ogent.conf');
  await vm.run('dpkg --purge ogent', 120000);
  assert.equal(await vm.run('ls -d /var/lib/ogent /etc/ogent /etc/systemd/system/*/ogent* /var/lib/systemd/deb-systemd-helper-*/ogent* 2>/dev/null | cat'), '');
});
