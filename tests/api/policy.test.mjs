// The policies for commands, through the gateway: verdicts, enforcement, approvals, stored policies, and a run that meets one.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { linkSync, mkdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { claimsOf, signed } from '../lib/jws.mjs';
import { ogent, request, startPlatform } from '../lib/platform.mjs';
import { ask, ended, eventsOf, untilEvent } from '../lib/runs.mjs';

const GUARD = {
  description: 'for the tests',
  default: 'ask',
  redirect: { workspace: 'allow', hidden: 'deny', outside: 'deny' },
  rules: [
    { id: 'read', verdict: 'allow', programs: ['ls', 'cat', 'echo', 'wc'], examples: { match: ['ls -l'], other: ['./ls'] } },
    { id: 'never', verdict: 'deny', programs: ['rm'], examples: { match: ['nice rm x'] } },
  ],
};

describe('policies', { timeout: 180000 }, () => {
  let p, admin, bob, eve;

  const member = async (name, roles = ['member']) => {
    const login = { email: `${name}@example.org`, password: 'a quiet river under stones' };
    const r = await p.api('POST', '/api/users', { name, roles, ...login }, admin);
    assert.equal(r.status, 201, r.text);
    return (await p.login(login)).access_token;
  };
  const check = async (body, token = bob) => {
    const r = await p.api('POST', '/api/policies/check', body, token);
    assert.equal(r.status, 200, r.text);
    return r.body;
  };
  const post = (body, token = bob, headers = {}) => p.api('POST', '/api/commands', body, token, headers);
  // Runs it to its end; returns {status, command, output}.
  const run = async (body, token = bob, headers = {}) => {
    const made = await p.api('POST', '/api/commands?wait_ms=20000', body, token, headers);
    if (made.status >= 400) return { status: made.status, body: made.body };
    const output = await p.api('GET', `/api/commands/${made.body.id}/output`, undefined, token);
    return { status: 201, command: made.body, output: output.text };
  };
  const approve = (hash, more = {}, token = admin) => p.api('POST', '/api/policies/approvals', { hash, ...more }, token);
  const put = (name, policy, token = admin, headers = {}) => p.api('PUT', `/api/policies/${name}`, policy, token, headers);
  const place = (workspace, ...path) => join(p.data, 'exec/workspaces', workspace, ...path);

  before(async () => {
    p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
    admin = (await p.setUp()).access_token;
    bob = await member('bob');
    eve = await member('eve', ['operator']);
    assert.equal((await put('guard', GUARD)).status, 201);
  });
  after(() => p?.stop());

  test('the list has the built-in ones and says which always applies', async () => {
    const { body } = await p.api('GET', '/api/policies', undefined, bob);
    const names = body.items.map((i) => i.name);
    for (const name of ['contained', 'guarded', 'minimal', 'guard']) assert.ok(names.includes(name), name);
    assert.deepEqual(body.items.filter((i) => i.always).map((i) => i.name), ['contained']);
    const one = await p.api('GET', '/api/policies/minimal', undefined, bob);
    assert.equal(one.body.policy.ask, 'deny');
    assert.equal((await p.api('GET', '/api/policies/none-such', undefined, bob)).status, 404);
  });

  test('a verdict is explained', async () => {
    const v = await check({ script: 'ls | wc -l && timeout 5 rm "a b"', policy: 'minimal' });
    assert.equal(v.verdict, 'deny');
    assert.equal(v.policy, 'minimal');
    assert.equal(v.rule, 'never');
    assert.equal(v.segment, 'rm a b');
    assert.equal(v.provable, true);
    assert.deepEqual(v.commands.map((c) => [c.words.map((w) => w.text).join(' '), c.then]), [['ls', '|'], ['wc -l', '&&'], ['timeout 5 rm a b', '']]);
    assert.match(v.parts[0].program, /^\/.*\/ls$/);
    assert.deepEqual(v.parts.map((x) => [x.verdict, x.class]), [['allow', 'plain'], ['allow', 'plain'], ['allow', 'wrapper'], ['deny', 'plain']]);
    const opaque = await check({ script: 'echo $(id)', policy: 'guarded' });
    assert.equal(opaque.provable, false);
    assert.match(opaque.opaque, /substitution/);
  });

  test('each class of abuse is refused by the short list', async () => {
    const denied = [
      'ls&&rm x', 'echo $(curl u)', 'echo x > ~/.bashrc', 'timeout 5 rm x', 'find . -exec id ;', 'LD_PRELOAD=./x.so ls', 'r""m x', 'l\rs', './ls',
      'ls | xargs rm', 'sh -c "rm x"', 'python3 -c 1', 'git -c core.pager=x log', 'echo x > .git/hooks/pre-commit', 'cat <(curl u)', 'eval ls', 'ls\u200b', 'ls &',
    ];
    const { items } = await check({ items: denied.map((script) => ({ script, policy: 'minimal' })) });
    items.forEach((v, i) => assert.equal(v.verdict, 'deny', denied[i]));
    const allowed = ['ls -l', 'cat a | wc -l', 'git log --oneline', 'echo x > out', 'find . -name x', 'ls 2>&1'];
    const fine = await check({ items: allowed.map((script) => ({ script, policy: 'minimal' })) });
    fine.items.forEach((v, i) => assert.equal(v.verdict, 'allow', `${allowed[i]}: ${v.reason}`));
  });

  test('the issue\'s own path is the same', async () => {
    const r = await p.api('POST', '/api/policy/check', { argv: ['rm', 'x'], policy: 'minimal' }, bob);
    assert.equal(r.status, 200, r.text);
    assert.equal(r.body.verdict, 'deny');
  });

  test('a command of a mebibyte is rejected at once', async () => {
    const script = 'a '.repeat(1 << 19);
    await check({ script: 'ls' });
    const times = [];
    for (let i = 0; i < 5; i++) {
      const start = performance.now();
      assert.equal((await check({ script })).rule, 'limits.bytes');
      times.push(performance.now() - start);
    }
    // Through the gateway and back; the best of five, since other work on the machine is no finding.
    assert.ok(Math.min(...times) < 50, `${times}`);
    const r = await post({ script });
    assert.equal(r.status, 422);
  });

  test('what is asked for wrongly is told', async () => {
    for (const body of [{}, { script: 'a', argv: ['a'] }, { argv: [] }, { argv: [1] }, { script: 'a', profile: 'x' }, { script: 'a', workspace: '../x' }, { script: 'a', x: 1 }])
      assert.equal((await p.api('POST', '/api/policies/check', body, bob)).status, 422, JSON.stringify(body));
    const r = await p.api('POST', '/api/policies/check', { script: 'a', policy: 'none-such' }, bob);
    assert.equal(r.body.code, 'unknown_policy');
    assert.equal((await post({ script: 'a', policy: 'none-such' })).body.code, 'unknown_policy');
  });

  test('a provable script is run without a shell, an opaque one by bash', async () => {
    const plain = await run({ script: 'env; true' });
    assert.equal(plain.command.exit_code, 0);
    assert.ok(!/^(SHLVL|BASH|_)=/m.test(plain.output), plain.output);
    const shell = await run({ script: 'env; true # with a comment' });
    assert.match(shell.output, /^SHLVL=/m);
  });

  test('a provable script does what bash would do', async () => {
    const cases = [
      ['echo a && echo b || echo c; echo d', 'a\nb\nd\n', 0],
      ['false && echo b || echo c', 'c\n', 0],
      ['false || false', '', 1],
      ['false; true', '', 0],
      ['true || echo a && echo b', 'b\n', 0],
      ['printf "c\\na\\nb\\n" | sort | head -n 2', 'a\nb\n', 0],
      ['echo one > f; echo two >> f; cat < f', 'one\ntwo\n', 0],
      ['ls /none-such 2>err || wc -l < err', '1\n', 0],
      ['ls /none-such 2>&1 | wc -l', '1\n', 0],
      ['none-such-program 2>/dev/null || echo missing', 'missing\n', 0],
      ['none-such-program 2>/dev/null', '', 127],
      ['/etc/passwd 2>/dev/null', '', 126],
      ['mkdir -p d/e && cd d && echo x > e/y && cd e && cat y && pwd', 'x\n/workspace/d/e\n', 0],
      ['cd none-such 2>/dev/null || echo stays', null, 0],
      ['echo \'$HOME `id` *\' "a  b" c\'d\'"e"', '$HOME `id` * a  b cde\n', 0],
      ['yes | head -n 1', 'y\n', 0],
      ['sh -c "exit 7"', '', 7],
      ['sh -c "exit 7"; echo after', 'after\n', 0],
      ['echo x > /dev/null', '', 0],
      ['cat < none-such 2>/dev/null', '', 1],
      ['echo "a\\"b\\\\c"', 'a"b\\c\n', 0],
    ];
    for (const [i, [script, output, code]] of cases.entries()) {
      const r = await run({ script, workspace: `plan-${i}` });
      if (output !== null) assert.equal(r.output.replace(/^ogent: .*\n/gm, ''), output, script);
      assert.equal(r.command.exit_code, code, `${script}: ${r.output}`);
    }
  });

  test('a script without #! and killed programs end as under bash', async () => {
    const made = await run({ script: 'printf "echo from $0 $1" > s && chmod +x s && ls s'.replace('$0 $1', 'bash'), workspace: 'noexec' });
    assert.equal(made.command.exit_code, 0, made.output);
    assert.equal((await run({ script: './s; true', workspace: 'noexec' })).output, 'from bash\n');
    const r = await run({ script: 'sh -c "kill -9 0"; true' });
    assert.ok(['exited', 'signalled'].includes(r.command.status));
    assert.equal((await run({ script: "sh -c 'exec sh -c \"kill -15 \\$PPID\"' ; echo done" })).status, 201);
  });

  test('what is denied is not run, and the answer says why', async () => {
    const r = await post({ script: 'echo > ran; rm x', workspace: 'denied', policy: 'minimal' });
    assert.equal(r.status, 403);
    assert.equal(r.body.code, 'policy_denied');
    assert.equal(r.body.rule, 'never');
    assert.equal(r.body.segment, 'rm x');
    assert.match(r.body.detail, /minimal.*not run.*rm x/s);
    assert.equal((await run({ script: 'ls', workspace: 'denied' })).output, '');
    const ok = await run({ argv: ['echo', 'a; rm x'], policy: 'minimal' });
    assert.equal(ok.output, 'a; rm x\n');
  });

  test('environment that changes what runs, and a program of the workspace under a known name', async () => {
    for (const env of [{ LD_PRELOAD: './x.so' }, { PATH: '/workspace:/usr/bin' }, { BASH_ENV: 'x' }, { GIT_EXTERNAL_DIFF: 'x' }])
      assert.equal((await post({ argv: ['ls'], env, policy: 'minimal' })).status, 403, JSON.stringify(env));
    assert.equal((await run({ argv: ['echo', 'x'], env: { GREETING: 'hello' }, policy: 'minimal' })).output, 'x\n');
    for (const argv of [['./ls'], ['/workspace/ls'], ['/tmp/ls'], ['/proc/self/root/usr/bin/ls'], ['/usr/bin/../bin/ls']])
      assert.equal((await post({ argv, policy: 'minimal' })).status, 403, argv[0]);
  });

  test('a link of the workspace leads no redirection out of it', async () => {
    await run({ script: 'mkdir d', workspace: 'links' });
    symlinkSync('/tmp', place('links', 'out'));
    symlinkSync('/tmp/target', place('links', 'file'));
    for (const script of ['echo x > out/y', 'echo x > file', 'cd out && echo x > y', 'echo x >> out/y']) {
      const r = await run({ script, workspace: 'links', policy: 'guard' });
      assert.notEqual(r.command?.exit_code, 0, `${script}: ${JSON.stringify(r)}`);
    }
    const fine = await run({ script: 'echo x > d/y; cat d/y', workspace: 'links', policy: 'guard' });
    assert.equal(fine.output, 'x\n');
  });

  test('a redirection under another name writes no file that is protected', async () => {
    await run({ script: 'mkdir .secret; echo old > .secret/file; echo old > .hidden', workspace: 'names' });
    symlinkSync('.bashrc', place('names', 'rc'));
    symlinkSync('.hidden', place('names', 'soft'));
    symlinkSync('.secret', place('names', 'folder'));
    symlinkSync('/workspace/.hidden', place('names', 'whole'));
    linkSync(place('names', '.hidden'), place('names', 'hard'));
    for (const script of ['echo x > rc', 'echo x > soft', 'echo x >> soft', 'echo x > folder/file', 'cd folder && echo x > file', 'echo x > whole', 'echo x > hard', 'echo x >> hard', 'ls 2> soft']) {
      const r = await run({ script, workspace: 'names', policy: 'guard' });
      assert.notEqual(r.command?.exit_code, 0, `${script}: ${JSON.stringify(r)}`);
    }
    const { output } = await run({ script: 'cat .hidden .secret/file .bashrc', workspace: 'names' });
    assert.equal(output, 'old\nold\n');
    assert.equal((await post({ script: 'echo x > .hidden', workspace: 'names', policy: 'guard' })).status, 403);
  });

  test('git status is asked about where a repository\'s settings could run something', async () => {
    const made = await run({ script: 'git init -q . && git init -q sub/repo && mkdir plain && echo "* filter=x" > sub/repo/.gitattributes && echo a > sub/repo/a', workspace: 'filters' });
    assert.equal(made.command.exit_code, 0, made.output);
    const status = (more) => run({ argv: ['git', 'status', '--porcelain'], workspace: 'filters', policy: 'guarded', ...more });
    for (const more of [{}, { cwd: 'sub/repo' }, { cwd: 'plain' }, { argv: undefined, script: 'cd sub/repo && git status' }])
      assert.equal((await status(more)).status, 201, JSON.stringify(more));
    const filter = 'cd sub/repo && git add . && git commit -q -m first && git config filter.x.clean "touch /workspace/helped; cat" && touch a';
    assert.equal((await run({ script: filter, workspace: 'filters' })).command.exit_code, 0);
    for (const more of [{ cwd: 'sub/repo' }, { cwd: '/workspace/sub/repo' }, { argv: undefined, script: 'cd sub/repo && git status' }, { argv: undefined, script: 'ls; cd sub && cd repo; timeout 5 git status' }, { argv: undefined, script: 'cd none; cd sub/repo && git status' }, { argv: undefined, script: 'cd plain || cd sub/repo; git status' }])
      assert.equal((await status(more)).body?.code, 'approval_required', JSON.stringify(more));
    assert.equal((await status({})).status, 201, 'the repository around it is another one');
    assert.ok(!(await run({ argv: ['ls'], workspace: 'filters' })).output.includes('helped'));
  });

  test('git status is asked about where a submodule\'s settings could run something', async () => {
    const name = 'git config user.email a@b && git config user.name a';
    const sub = `mkdir sub && cd sub && git init -q . && ${name} && echo a > a && git add a && git commit -qm one && cd ..`;
    const script = `git init -q . && ${name} && mv sub outer && printf '[submodule "s"]\\npath = outer\\nurl = ./x\\nignore = none\\n' > .gitmodules && git add . && git commit -qm two`;
    assert.equal((await run({ script: `${sub} && ${script}`, workspace: 'subs' })).command.exit_code, 0);
    await run({ script: 'cd outer && git config filter.x.clean "touch /workspace/helped; cat" && echo "* filter=x" > .gitattributes && sleep 1 && touch a', workspace: 'subs' });
    assert.ok((await run({ script: 'git -c diff.ignoreSubmodules=all status; ls', workspace: 'subs' })).output.includes('helped'), 'this is how git works');
    const asked = await run({ argv: ['git', 'status'], workspace: 'subs', policy: 'guarded' });
    assert.equal(asked.body?.code, 'approval_required', JSON.stringify(asked));
    await run({ script: 'git rm -q --cached outer && git commit -qm three && git update-index --split-index', workspace: 'subs' });
    assert.equal((await run({ argv: ['git', 'status'], workspace: 'subs', policy: 'guarded' })).body?.code, 'approval_required', 'an index in parts');
    await run({ script: 'git update-index --no-split-index; rm -f .git/sharedindex.*', workspace: 'subs' });
    assert.equal((await run({ argv: ['git', 'status'], workspace: 'subs', policy: 'guarded' })).status, 201);
  });

  test('git that a rule allows runs no helper of the repository', async () => {
    const repo = 'git init -q . && git config user.email a@b && git config user.name a && git commit -q --allow-empty -m first';
    const made = await run({ script: repo, workspace: 'repo' });
    assert.equal(made.command.exit_code, 0, made.output);
    await run({ script: 'printf "#!/bin/sh\\ntouch /workspace/helped\\n" > h; chmod +x h', workspace: 'repo' });
    for (const key of ['core.fsmonitor', 'gpg.program', 'core.pager', 'core.sshCommand'])
      await run({ argv: ['git', 'config', key, '/workspace/h'], workspace: 'repo' });
    await run({ script: 'git config log.showSignature true', workspace: 'repo' });
    const log = await run({ script: 'git log --oneline', workspace: 'repo', policy: 'minimal' });
    assert.match(log.output, /first/);
    assert.equal((await run({ script: 'ls', workspace: 'repo' })).output, 'h\n');
    assert.equal((await post({ argv: ['git', '-c', 'core.fsmonitor=./h', 'status'], workspace: 'repo', policy: 'minimal' })).status, 403);
  });

  test('an approval is given by a person who may, and used once', async () => {
    const body = { argv: ['touch', 'made'], workspace: 'approved', policy: 'guard' };
    const asked = await post(body);
    assert.equal(asked.status, 403);
    assert.equal(asked.body.code, 'approval_required');
    const { hash, text } = asked.body.approval;
    assert.equal(text, 'touch made');
    assert.equal((await post(body)).body.approval.hash, hash, 'the same is the same');
    assert.equal((await approve(hash, {}, bob)).status, 403, 'a member may not');
    assert.equal((await approve('0'.repeat(64))).status, 404, 'nothing asked for it');
    const waiting = await p.api('GET', '/api/policies/approvals', undefined, eve);
    assert.equal(waiting.body.items.find((i) => i.hash === hash).status, 'waiting');
    const given = await approve(hash, {}, eve);
    assert.equal(given.status, 201, given.text);
    assert.equal(given.body.uses, 1);
    assert.equal((await post(body, eve)).body.code, 'approval_required', 'it is bound to who asked');
    const first = await run(body, bob, { 'idempotency-key': 'approved-1' });
    assert.equal(first.command.exit_code, 0);
    assert.equal((await post(body)).body.code, 'approval_required', 'used up');
    const replay = await post(body, bob, { 'idempotency-key': 'approved-1' });
    assert.equal(replay.status, 200, 'the same key leads to the same command');
    assert.equal(replay.body.id, first.command.id);
  });

  test('no service approves, not even for a person who may', async () => {
    const { hash } = (await post({ argv: ['touch', 'by-a-service'], policy: 'guard' })).body.approval;
    const jwk = JSON.parse(p.secret('agent.key'));
    const now = Math.floor(Date.now() / 1000);
    for (const sub of [claimsOf(admin).sub, '']) {
      const claims = { iss: 'ogent:agent', aud: 'exec', sub, act: { sub: 'ogent:agent' }, iat: now, exp: now + 50 };
      const token = signed(createPrivateKey({ key: jwk, format: 'jwk' }), { alg: 'EdDSA', kid: jwk.kid, typ: 'at+jwt' }, claims);
      const exec = p.roles().find(([role]) => role === 'exec')[1];
      assert.equal((await request(exec, 'GET', '/api/policies', { token })).status, 200);
      const r = await request(exec, 'POST', '/api/policies/approvals', { token, body: { hash } });
      assert.equal(r.status, 403, r.text);
      assert.match(r.body.detail, sub ? /commands\.approve/ : /person/);
    }
  });

  test('more uses and less time, when the person says so', async () => {
    const body = { argv: ['touch', 'twice'], policy: 'guard' };
    const { hash } = (await post(body)).body.approval;
    await approve(hash, { uses: 2 });
    assert.equal((await run(body)).status, 201);
    assert.equal((await run(body)).status, 201);
    assert.equal((await run(body)).status, 403);
    const short = { argv: ['touch', 'short'], policy: 'guard' };
    const asked = (await post(short)).body.approval;
    await approve(asked.hash, { expires_in: 1 });
    await new Promise((done) => setTimeout(done, 1100));
    assert.equal((await run(short)).status, 403);
  });

  test('whatever matters changes the hash', async () => {
    const base = { script: 'sh go.sh', workspace: 'bound', policy: 'guard' };
    await run({ script: 'echo "echo good" > go.sh; mkdir sub', workspace: 'bound' });
    const hash = async (more) => (await post({ ...base, ...more })).body.approval.hash;
    const first = await hash({});
    const others = [
      await hash({ cwd: 'sub' }), await hash({ env: { A: 'b' } }), await hash({ stdin: 'x' }), await hash({ profile: 'network' }),
      await hash({ workspace: 'bound2' }), await hash({ script: 'sh  go.sh' }), await hash({ script: undefined, argv: ['sh', 'go.sh'] }), await hash({ policy: 'guarded' }),
      await hash({ stdin_open: true }),
    ];
    assert.equal(new Set([first, ...others]).size, others.length + 1);
    assert.equal(await hash({ timeout_ms: 5000 }), first, 'the time-out does not matter');
  });

  test('an approved script file that changes is asked again', async () => {
    await run({ script: 'echo "echo good" > go.sh', workspace: 'file' });
    for (const what of [{ script: 'sh go.sh' }, { argv: ['sh', './go.sh'] }, { argv: ['sh', '/workspace/go.sh'] }, { script: 'bash -c "sh go.sh" | cat; sh go.sh' }]) {
      const body = { ...what, workspace: 'file', policy: 'guard' };
      await run({ script: 'echo "echo good" > go.sh', workspace: 'file' });
      const { hash } = (await post(body)).body.approval;
      assert.equal((await approve(hash)).status, 201);
      await run({ script: 'echo "echo evil" > go.sh', workspace: 'file' });
      const changed = await post(body);
      assert.equal(changed.body.code, 'approval_required', JSON.stringify(what));
      assert.notEqual(changed.body.approval.hash, hash);
      await run({ script: 'echo "echo good" > go.sh', workspace: 'file' });
      assert.match((await run(body)).output, /good/);
    }
  });

  test('an approval is bound to the files that the command may run, however they are named', async () => {
    await run({ script: 'mkdir -p sub/deep pk', workspace: 'files' });
    const write = (name, text) => writeFileSync(place('files', name), text);
    const names = ['go.sh', 'go', 'lib.sh', 'real.sh', 'mod.py', 'build.py', 'x.rb', 'Main.class', 'Cargo.toml', '.mocharc.js', 'vite.config.js', 'conftest.py', 'pk/__main__.py'];
    const below = ['go.sh', 'Makefile', 'index.js', 'package.json', '__init__.py', 'go.mod', 'deep/go.sh'];
    const fill = (text, list) => list.forEach((name) => write(name, `echo ${text}\n`));
    const everything = [...names, ...below.map((name) => `sub/${name}`)];
    fill('good', everything);
    symlinkSync('/workspace/real.sh', place('files', 'abs.sh'));
    symlinkSync('real.sh', place('files', 'rel.sh'));
    symlinkSync('/workspace/./sub', place('files', 'absdir'));
    symlinkSync('sub', place('files', 'reldir'));
    const many = Array.from({ length: 80 }, (_, i) => `f${i}`);
    many.forEach((name) => write(name, 'x'));
    const cases = [
      { script: 'cd sub && sh go.sh' }, { script: 'cd sub; cd deep; sh go.sh' }, { script: 'cd sub/deep && sh ../go.sh' }, { script: 'sh < go.sh' }, { script: 'sh <go.sh' }, { script: 'sh 0<go.sh' },
      { argv: ['sh', '-c', '. ./go.sh'] }, { argv: ['sh', '-c', 'cd sub && . ./go.sh'] }, { argv: ['bash', '-c', 'bash<go.sh'] }, { argv: ['python3', '-m', 'mod'] }, { argv: ['python3', '-mmod'] }, { argv: ['python3', 'pk'] }, { argv: ['python3', '-m', 'pk'] },
      { argv: ['make', '-C', 'sub'] }, { argv: ['make', '-Csub'] }, { argv: ['make', '--directory=sub'] }, { argv: ['node', 'sub'] }, { argv: ['node', './sub/'] }, { argv: ['npm', '--prefix', 'sub', 'test'] }, { argv: ['npm', '--prefix=sub', 'test'] },
      { argv: ['sh', 'abs.sh'] }, { argv: ['sh', 'rel.sh'] }, { argv: ['sh', 'absdir/go.sh'] }, { argv: ['sh', 'reldir/go.sh'] }, { argv: ['sh', ...many, 'go.sh'] }, { script: 'bash go*.sh' }, { script: 'bash ./g[o].sh' }, { script: 'F=go.sh; sh $F' },
      { script: 'sh "g"o.sh' }, { script: "sh g\\o.sh" }, { script: "sh $'go.sh'" }, { script: 'for f in go.sh; do sh $f; done' }, { argv: ['env', '-C', 'sub', 'sh', 'go.sh'] }, { argv: ['./go.sh'] }, { argv: ['sub/go.sh'] }, { argv: ['git', '-C', 'sub', 'status'] },
      { argv: ['java', 'Main'] }, { argv: ['ruby', '-r./x', '-e', '1'] }, { argv: ['node', 'go'] }, { argv: ['sh', '/workspace//sub/./go.sh'] }, { argv: ['sh', 'sub/../go.sh'] }, { argv: ['bash', '--rcfile', 'go.sh', '-i'] }, { argv: ['go', 'run', './sub'] }, { argv: ['cargo', 'run'] },
      { script: 'cat go.sh | sh' }, { script: 'eval "$(cat go.sh)"' }, { script: 'sh ~/go.sh' }, { script: 'sh "$HOME/go.sh"' }, { script: 'sh $PWD/go.sh' }, { script: 'source go.sh' }, { script: 'xargs sh < go.sh' }, { script: 'cd absdir && sh go.sh' }, { argv: ['sh', 'go.sh'], cwd: 'absdir' }, { argv: ['sh', 'go.sh'], cwd: 'reldir' }, { argv: ['sh', '-c', 'sh go.sh', 'x'], cwd: 'sub' },
      { argv: ['run-parts', 'sub'] }, { argv: ['pytest'] }, { argv: ['npx', 'mocha'] }, { argv: ['npx', 'vite', 'build'] }, { argv: ['perl', '-I', 'sub', '-e', 1 + ''] }, { argv: ['sh', '-c', 'sh go.sh;:'] }, { argv: ['sh', '-c', 'x=1;sh<go.sh'] }, { argv: ['bash', '-c', '{ sh go.sh;}'] }, { argv: ['awk', '-f', 'go.sh'] }, { argv: ['awk', '-fgo.sh'] }, { argv: ['node', '--import=./go.sh', '-e', '1'] }, { argv: ['bash', '-c', 'source "$0"', 'go.sh'] }, { argv: ['tar', '--to-command=./go.sh', '-xf', 'x'] }, { argv: ['find', '.', '-exec', './go.sh', ';'] }, { argv: ['find', 'sub', '-name', '*.sh', '-exec', 'sh', '{}', ';'] }, { argv: ['sh', '-c', 'for f in sub/*; do sh $f; done'] },
    ];
    const hash = async (c) => {
      const r = await post({ ...c, workspace: 'files', policy: 'guard' });
      assert.equal(r.body.code, 'approval_required', `${JSON.stringify(c)}: ${r.text}`);
      return r.body.approval.hash;
    };
    const first = [];
    for (const c of cases) first.push(await hash(c));
    for (const [i, c] of cases.entries()) assert.equal(await hash(c), first[i], `the same is the same: ${JSON.stringify(c)}`);
    fill('evil', everything);
    for (const [i, c] of cases.entries()) assert.notEqual(await hash(c), first[i], JSON.stringify(c));
    // What is next to it does not matter.
    const touch = await hash({ argv: ['touch', 'x'] });
    fill('good', everything);
    assert.equal(await hash({ argv: ['touch', 'x'] }), touch);
    const folders = Array.from({ length: 40 }, (_, i) => `d${i}`);
    folders.forEach((name) => mkdirSync(place('files', name)));
    assert.equal((await post({ argv: ['sh', ...folders, 'go.sh'], workspace: 'files', policy: 'guard' })).body.code, 'policy_denied');
  });

  test('a changed policy asks again', async () => {
    const policy = { default: 'ask' };
    assert.equal((await put('changing', policy)).status, 201);
    const body = { argv: ['touch', 'x'], policy: 'changing' };
    const { hash } = (await post(body)).body.approval;
    await approve(hash);
    const next = await put('changing', { ...policy, description: 'another' });
    assert.equal(next.status, 200);
    assert.equal(next.body.version, 2);
    assert.notEqual((await post(body)).body.approval.hash, hash);
  });

  test('what a person is to approve shows every byte', async () => {
    const asked = await post({ argv: ['touch', 'a b', 'x\u202ey', 'c\rd', 'e\u200bf', '\u001b[2J'], policy: 'guard' });
    assert.equal(asked.body.approval.text, 'touch "a b" "x\\u{202e}y" "c\\rd" "e\\u{200b}f" "\\u001b[2J"');
    const script = await post({ script: 'touch x\u202ey\rz', policy: 'guard' });
    assert.equal(script.body.approval.text, 'touch x\\u{202e}y\\x0dz');
  });

  test('a weaker sandbox is always asked about, and none at all is never given', async () => {
    for (const policy of [undefined, 'contained', 'guard']) {
      const r = await post({ argv: ['ls'], profile: 'network', policy });
      assert.equal(r.body.code, 'approval_required', r.text);
      assert.equal(r.body.approval.profile, 'network');
    }
    assert.equal((await post({ argv: ['ls'], profile: 'network', policy: 'minimal' })).body.code, 'policy_denied');
    const none = await post({ argv: ['id'], profile: 'none' });
    assert.equal(none.body.code, 'approval_required');
    assert.equal((await approve(none.body.approval.hash)).body.code, 'profile_unavailable');
    assert.equal((await post({ argv: ['id'], profile: 'none' })).status, 403);
    const body = { argv: ['readlink', '/proc/self/ns/net'] };
    const host = readlinkSync('/proc/self/ns/net') + '\n';
    const inside = (await run(body)).output;
    const { hash } = (await post({ ...body, profile: 'network' })).body.approval;
    await approve(hash);
    const outside = await run({ ...body, profile: 'network' });
    assert.equal(outside.status, 201, JSON.stringify(outside));
    assert.equal(outside.output, host);
    assert.notEqual(inside, host);
  });

  test('a stored policy has versions and is checked before it is stored', async () => {
    const first = await put('mine', GUARD);
    assert.equal(first.status, 201);
    assert.equal(first.headers.etag, '"1"');
    assert.equal((await put('mine', GUARD, admin, { 'if-match': '"7"' })).status, 412);
    assert.equal((await put('mine', { ...GUARD, description: 'second' }, admin, { 'if-match': '"1"' })).body.version, 2);
    const refused = [
      ['minimal', GUARD, 409, 'built_in'],
      ['Bad Name', GUARD, 422, 'invalid_field'],
      ['check', GUARD, 422, 'invalid_field'],
      ['mine', { default: 'no' }, 422, 'invalid_policy'],
      ['mine', { default: 'ask', rules: [{ id: 'a', verdict: 'allow', programs: ['bash'] }] }, 422, 'policy_too_broad'],
      ['mine', { default: 'ask', rules: [{ id: 'a', verdict: 'allow', programs: ['git'] }] }, 422, 'policy_too_broad'],
      ['mine', { default: 'ask', rules: [{ id: 'a', verdict: 'deny', programs: ['rm'], examples: { match: ['ls'] } }] }, 422, 'policy_example'],
    ];
    for (const [name, policy, status, code] of refused) {
      const r = await put(encodeURIComponent(name), policy);
      assert.equal(r.status, status, r.text);
      assert.equal(r.body.code, code);
    }
    assert.equal((await put('other', GUARD, eve)).status, 403, 'an operator may not');
    assert.equal((await p.api('GET', '/api/policies/mine', undefined, bob)).body.policy.description, 'second');
  });

  test('a backtest says which past commands would be judged otherwise', async () => {
    await run({ script: 'rm -f backtest-one', workspace: 'past' });
    await run({ argv: ['wc', 'backtest-two'], workspace: 'past' });
    const stricter = { ...GUARD, rules: [...GUARD.rules, { id: 'no-wc', verdict: 'deny', programs: ['wc'] }] };
    const r = await p.api('POST', '/api/policies/guard/backtest', { policy: stricter }, admin);
    assert.equal(r.status, 200, r.text);
    assert.ok(r.body.judged > 5);
    const change = r.body.items.find((i) => i.after.segment === 'wc backtest-two');
    assert.equal(change.before.verdict, 'allow');
    assert.equal(change.after.verdict, 'deny');
    assert.equal(change.after.rule, 'no-wc');
    assert.ok(!r.body.items.some((i) => i.after.segment?.includes('backtest-one')), 'what stays as it was is not named');
    assert.equal((await p.api('POST', '/api/policies/guard/backtest', { policy: stricter }, eve)).status, 403);
  });

  test('a file of the workspace can only tighten', async () => {
    await run({ script: 'ls', workspace: 'own' });
    mkdirSync(place('own', '.ogent'));
    const file = place('own', '.ogent/policy.json');
    writeFileSync(file, JSON.stringify({ default: 'allow', rules: [{ id: 'no-touch', verdict: 'deny', programs: ['touch'] }] }));
    const r = await post({ script: 'touch x', workspace: 'own' });
    assert.equal(r.body.policy, 'workspace');
    assert.equal(r.body.rule, 'no-touch');
    assert.equal((await run({ script: 'ls', workspace: 'own' })).status, 201);
    assert.equal((await post({ script: 'rm x', workspace: 'own', policy: 'minimal' })).body.policy, 'minimal', 'its allow loosens nothing');
    writeFileSync(file, '{');
    assert.equal((await post({ script: 'ls', workspace: 'own' })).body.code, 'policy_denied');
    rmSync(file);
    symlinkSync('/etc/passwd', file);
    assert.equal((await post({ script: 'ls', workspace: 'own' })).status, 403, 'a link is not followed');
  });

  test('a run that meets a policy: the model is told, the event says so, and what is asked about waits', async () => {
    const made = await p.api('POST', '/api/agents', { name: 'Careful', model: 'default', tools: ['shell'], policy: 'minimal' }, admin);
    assert.equal(made.status, 201, made.text);
    assert.equal(made.body.policy, 'minimal');
    const talk = async (text, agent, decide) => {
      const c = await p.api('POST', '/api/conversations', { agent_id: agent }, admin);
      const execution = await ask(p, () => admin, c.body.id, text);
      if (decide) await decide(execution.id);
      await ended(p, () => admin, execution.id);
      return (await eventsOf(p, () => admin, execution.id)).find((e) => e.type === 'call.done').data;
    };
    const denied = await talk('run: rm x', made.body.id);
    assert.equal(denied.status, 'error');
    assert.match(denied.message, /Denied by policy, not run.*rm x/s);
    const changed = await p.api('PATCH', `/api/agents/${made.body.id}`, { policy: 'guard' }, admin, { 'if-match': made.headers.etag });
    assert.equal(changed.status, 200, changed.text);
    // What the policy asks about waits for a person.
    const answer = (decision) => async (id) => {
      await untilEvent(p, () => admin, id, (e) => e.type === 'approval.requested', 30000);
      const [waiting] = (await p.api('GET', `/api/approvals?execution_id=${id}&status=pending`, undefined, admin)).body.items;
      assert.equal(waiting.summary, 'touch x');
      const r = await p.api('POST', `/api/approvals/${waiting.id}`, decision(waiting), admin);
      assert.equal(r.status, 200, r.text);
    };
    assert.equal((await talk('run: touch x', made.body.id, answer(() => ({ decision: 'reject' })))).status, 'rejected');
    assert.equal((await talk('run: touch x', made.body.id, answer(({ hash }) => ({ decision: 'approve', hash })))).exit_code, 0);
    const fine = await talk('run: echo fine', made.body.id);
    assert.equal(fine.exit_code, 0);
    const off = await p.api('PATCH', `/api/agents/${made.body.id}`, { policy: null }, admin, { 'if-match': changed.headers.etag });
    assert.equal(off.body.policy, null);
    assert.equal((await talk('run: touch x', made.body.id)).exit_code, 0);
  });

  test('ogent policy says what would happen to a command', () => {
    const cli = (...args) => spawnSync(ogent, ['policy', ...args], { env: { ...process.env, OGENT_DATA: p.data }, encoding: 'utf8' });
    const denied = cli('check', '--policy', 'minimal', 'ls | rm x');
    assert.equal(denied.status, 1, denied.stderr);
    assert.match(denied.stdout, /^deny: .*minimal, rule never/);
    assert.equal(cli('check', 'ls | rm x').status, 0);
    assert.equal(JSON.parse(cli('check', '--json', '--policy', 'guarded', 'make').stdout).verdict, 'ask');
    assert.match(cli('list').stdout, /^contained +\* /m);
    assert.equal(cli('check').status, 2);
  });

  test('stored policies and approvals outlive a restart', async () => {
    const body = { argv: ['touch', 'later'], policy: 'guard' };
    const { hash } = (await post(body)).body.approval;
    await approve(hash);
    await p.kill('SIGTERM');
    await p.start();
    bob = (await p.login({ email: 'bob@example.org', password: 'a quiet river under stones' })).access_token;
    const mine = await p.api('GET', '/api/policies/mine', undefined, bob);
    assert.equal(mine.body.version, 2);
    assert.equal((await run(body)).status, 201);
    assert.equal((await run(body)).status, 403);
  });
});

test('the option command_policy is a floor that no request can lower', { timeout: 60000 }, async () => {
  const p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0', OGENT_COMMAND_POLICY: 'minimal' } });
  try {
    const admin = (await p.setUp()).access_token;
    for (const policy of [undefined, 'contained', 'guarded']) {
      const r = await p.api('POST', '/api/commands', { argv: ['rm', 'x'], policy }, admin);
      assert.equal(r.status, 403, r.text);
      assert.equal(r.body.policy, 'minimal');
    }
    const ok = await p.api('POST', '/api/commands?wait_ms=20000', { script: 'echo a | wc -l' }, admin);
    assert.equal(ok.body.exit_code, 0, ok.text);
  } finally {
    await p.stop();
  }
});
