// The sandbox's own tests in a machine with control groups of version 2 only, as root and as an ordinary user under systemd.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { boot } from '../deb/machine.mjs';

const folder = process.env.OGENT_TEST_MACHINE;
const lib = 'LD_LIBRARY_PATH=/opt/ogent/lib';
const LONG = 600000;
let vm;

before(async () => {
  vm = await boot(folder);
});

after(async () => {
  await vm?.stop();
});

const asRoot = (program, args = '', variable = 'A=b') => vm.order(`cd /tmp && ${lib} ${variable} /opt/ogent/${program} ${args} 2>&1`, LONG);
const asUser = (program, args = '', variable = 'A=b') =>
  vm.order(`systemd-run --quiet --wait --pipe --uid=nobody -p Delegate=yes -p TasksMax=infinity -E ${lib} -E ${variable} -E HOME=/tmp --working-directory=/tmp /opt/ogent/${program} ${args} 2>&1`, LONG);

function passed({ status, output }) {
  assert.equal(status, 0, output.split('\n').filter((l) => !/RUN|  OK/.test(l)).join('\n'));
  assert.match(output, /PASSED {2}\] [1-9]/);
}

for (const [name, run, mode] of [['root', asRoot, ''], ['an ordinary user with delegated groups', asUser, '--as-user']]) {
  describe(`as ${name}`, () => {
    test('the level is strict, and version 2 keeps every limit', async () => {
      const r = await run('ogent', 'doctor --json --data /tmp/doctor');
      assert.equal(r.status, 0, r.output);
      const report = JSON.parse(r.output.slice(r.output.indexOf('{')));
      assert.equal(report.level, 'strict', r.output);
      const { cgroup, landlock } = report.layers;
      assert.equal(cgroup.version, 2, r.output);
      assert.equal(cgroup.kill, true);
      // systemd hands the controller cpu down only where it is wanted: to who has delegated groups.
      assert.deepEqual([cgroup.memory, cgroup.pids, mode ? cgroup.cpu : 2], [2, 2, 2], r.output);
      assert.ok(landlock.abi >= 1);
    });

    for (const program of ['layers', 'sandbox', 'limits', 'protect']) {
      test(`test-exec-${program}`, async () => passed(await run(`test-exec-${program}`, mode)));
    }

    test('nothing is left after 300 commands', async () => passed(await run('test-exec-supervisor', mode, 'OGENT_TEST_RUNS=300')));
  });
}

test('where the file system counts by project, it keeps the quota of workspaces', async () => {
  const out = await vm.run('truncate -s 400M /root/image && mkfs.ext4 -q -O quota,project -E quotatype=prjquota /root/image && mkdir /root/held && mount -o loop,prjquota /root/image /root/held && chmod 1777 /root/held && mount --bind /root/held /tmp && df /tmp', LONG);
  assert.match(out, /loop/);
  passed(await vm.order(`cd / && ${lib} OGENT_TEST_PROJECT_QUOTA=1 /opt/ogent/test-exec-limits 2>&1`, LONG));
});
