// What every target of the exec service must do, from outside: exec.test.mjs and exec-ssh.test.mjs run it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startRole } from './platform.mjs';
import { events } from './sse.mjs';

// target: {name, start() -> environment of exec, ready(exec), stop(), place(workspace) -> where its commands see it, memory() -> exec's in
// KiB}, all but the name may be missing. `more(tools)` adds the tests that only this target has.
export function execSuite(target, more) {
  let auth, exec, admin, bob, eve;

  async function member(name) {
    const login = { email: `${name}@example.org`, password: 'a quiet river under stones' };
    const r = await auth.api('POST', '/api/users', { name, roles: ['member'], ...login }, admin);
    assert.equal(r.status, 201, r.text);
    return (await auth.login(login)).access_token;
  }

  before(async () => {
    auth = await startRole('auth');
    const more = target.start ? await target.start() : {};
    exec = await startRole('exec', { data: auth.data, env: { OGENT_COMMAND_RUNNING_MAX: '24', ...more } });
    await target.ready?.(exec, auth);
    admin = (await auth.setUp()).access_token;
    bob = await member('bob');
    eve = await member('eve');
  });

  after(async () => {
    await exec?.stop();
    await auth?.stop();
    await target.stop?.();
  });

  // The body with the target in it.
  const aimed = (body) => (target.name === 'local' || typeof body !== 'object' ? body : { ...body, target: target.name });

  const post = (body, { token = bob, key } = {}) =>
    exec.api('POST', '/api/commands', aimed(body), token, key ? { 'idempotency-key': key } : {});
  const get = (path, token = bob) => exec.api('GET', `/api/commands${path}`, undefined, token);

  function refused(r, status, code) {
    assert.equal(r.status, status, r.text);
    assert.match(r.headers['content-type'], /^application\/problem\+json/);
    assert.equal(r.body.code, code, r.text);
    assert.ok(r.body.detail.length > 10);
  }

  // Runs it with stream=1; returns {command, output, pieces}.
  async function run(body, { token = bob, key, path } = {}) {
    const how = { token, body: body && aimed(body), headers: key ? { 'idempotency-key': key } : {} };
    const result = { output: '', pieces: [], skipped: 0 };
    const stream = path ? events(exec.where(), 'GET', path, { token }) : events(exec.where(), 'POST', '/api/commands?stream=1', how);
    for await (const { event, data } of stream) {
      if (event === 'started') result.started = data.command;
      if (event === 'output') {
        result.output += data.data;
        result.pieces.push(data);
      }
      if (event === 'skipped') result.skipped += data.bytes;
      if (event === 'ended') result.command = data.command;
    }
    return result;
  }

  async function ended(id, token = bob) {
    for (let i = 0; i < 600; i++) {
      const r = await get(`/${id}`, token);
      assert.equal(r.status, 200, r.text);
      if (r.body.status !== 'running') return r.body;
      await sleep(25);
    }
    assert.fail('the command does not end');
  }

  const alive = (text) => {
    try {
      return execFileSync('pgrep', ['-f', text], { encoding: 'utf8' }).trim().split('\n');
    } catch {
      return [];
    }
  };

  describe('a command', () => {
    test('streams its events', async () => {
      const r = await run({ script: 'echo out; echo err >&2; printf ü; exit 3' });
      assert.equal(r.started.status, 'running');
      assert.equal(r.command.status, 'exited');
      assert.equal(r.command.exit_code, 3);
      assert.equal(r.command.signal, null);
      assert.equal(r.command.output_bytes, 10);
      assert.equal(r.command.truncated_bytes, 0);
      const of = (s) => r.pieces.filter((p) => p.stream === s).map((p) => p.data).join('');
      assert.equal(of('stdout'), 'out\nü');
      assert.equal(of('stderr'), 'err\n');
      assert.equal(r.pieces.reduce((n, p) => n + p.bytes, 0), 10);
      assert.ok(r.command.duration_ms >= 0 && r.command.usage.max_rss_kib > 0);
      assert.ok(Date.parse(r.command.ended_at) >= Date.parse(r.command.started_at));
    });

    test('is accepted with 201 and found by its id', async () => {
      const r = await post({ argv: ['printf', '%s|', 'a b', '$(id)', "it's"] });
      assert.equal(r.status, 201, r.text);
      assert.equal(r.headers.location, `/api/commands/${r.body.id}`);
      const c = await ended(r.body.id);
      assert.equal(c.exit_code, 0);
      assert.deepEqual(c.argv, ['printf', '%s|', 'a b', '$(id)', "it's"]);
      const out = await get(`/${r.body.id}/output`);
      assert.equal(out.text, "a b|$(id)|it's|");
      assert.equal(out.headers['x-ogent-output-bytes'], '15');
      assert.equal((await get(`/${r.body.id}/output?offset=4&limit=5`)).text, '$(id)');
    });

    test('gets its input, environment and working directory', async () => {
      const body = { script: 'cat; echo "$GREETING"; pwd', stdin: 'in\n', env: { GREETING: 'hello' }, cwd: 'sub', workspace: 'env-1' };
      await run({ script: 'mkdir sub', workspace: 'env-1' });
      assert.equal((await run(body)).output, `in\nhello\n${target.place?.('env-1') ?? '/workspace'}/sub\n`);
    });

    test('does not wait for input that nobody gives', async () => {
      assert.equal((await run({ script: 'cat; read x; echo done' })).output, 'done\n');
    });

    test('that does not exist is told by name', async () => {
      const r = await run({ argv: ['no-such-program'] });
      assert.equal(r.command.status, 'exited');
      assert.equal(r.command.exit_code, 127);
      assert.equal(r.command.reason, 'command not found: no-such-program');
    });

    test('is stopped by its time-out with everything it started', async () => {
      const r = await run({ script: '(setsid sleep 771.25 &) ; sleep 771.25', timeout_ms: 400 });
      assert.equal(r.command.status, 'timeout');
      assert.match(r.command.reason, /400 ms/);
      assert.deepEqual(alive('sleep 771.25'), []);
    });

    test('is cancelled with everything it started', async () => {
      const { body } = await post({ script: '(setsid sleep 772.25 &) ; echo on; sleep 772.25' });
      for await (const { event } of events(exec.where(), 'GET', `/api/commands/${body.id}/stream`, { token: bob })) if (event === 'output') break;
      const r = await exec.api('POST', `/api/commands/${body.id}/cancel`, undefined, bob);
      assert.equal(r.status, 202, r.text);
      assert.equal((await ended(body.id)).status, 'cancelled');
      assert.deepEqual(alive('sleep 772.25'), []);
      assert.equal((await exec.api('POST', `/api/commands/${body.id}/cancel`, undefined, bob)).body.status, 'cancelled');
    });

    test('writes invalid UTF-8 and the stream stays text', async () => {
      const r = await run({ script: "printf 'a\\377b\\303'; sleep 0.1; printf '\\251c'" });
      assert.equal(r.output, 'a\ufffdbéc');
    });

    test('keeps its files in the workspace', async () => {
      await run({ script: 'echo one > f', workspace: 'kept-1' });
      assert.equal((await run({ script: 'cat f; echo two >> f', workspace: 'kept-1' })).output, 'one\n');
      assert.equal((await run({ script: 'cat f 2>&1; ls -A', workspace: 'kept-2' })).command.exit_code, 0);
    });

    test('may write a gigabyte: head and tail are kept, memory stays flat', async () => {
      const memory = async () => (target.memory ? target.memory() : (await exec.api('GET', '/healthz')).body.rss_kib);
      const before = await memory();
      const { body } = await post({ script: 'head -c 1000000000 /dev/zero; echo end', timeout_ms: 60000 });
      const c = await ended(body.id);
      assert.equal(c.status, 'exited', JSON.stringify(c));
      assert.equal(c.output_bytes, 1000000004);
      assert.ok(c.truncated_bytes > 990000000);
      const tail = await get(`/${body.id}/output?offset=${c.output_bytes - 4}`);
      assert.equal(tail.text, 'end\n');
      const kib = await memory();
      assert.ok(kib - before < 24 * 1024, `${before} and then ${kib} KiB`);
    });

    test('that forks without end is stopped', async () => {
      const r = await run({ script: 'f() { f | f & }; f; sleep 5', timeout_ms: 1000 });
      assert.ok(['timeout', 'exited', 'signalled', 'oom'].includes(r.command.status), r.command.status);
      assert.equal((await run({ script: 'echo fine' })).output, 'fine\n');
    });
  });

  describe('a stream', () => {
    test('goes on from an offset', async () => {
      const { body } = await post({ script: 'for i in 1 2 3 4 5; do echo line$i; sleep 0.05; done' });
      const r = await run(undefined, { path: `/api/commands/${body.id}/stream?offset=6` });
      assert.equal(r.output, 'line2\nline3\nline4\nline5\n');
      assert.equal(r.pieces[0].offset, 6);
      assert.equal(r.command.exit_code, 0);
      const again = await run(undefined, { path: `/api/commands/${body.id}/stream` });
      assert.equal(again.output, 'line1\nline2\nline3\nline4\nline5\n');
    });

    test('comes at once', async () => {
      const began = Date.now();
      for await (const { event } of events(exec.where(), 'POST', '/api/commands?stream=1', { token: bob, body: aimed({ script: 'echo now; sleep 3' }) })) {
        if (event === 'output') break;
      }
      assert.ok(Date.now() - began < 2500);
    });

    test('of a silent command begins before its end, that of a short one is told whole', async () => {
      const began = Date.now();
      for await (const { event, data } of events(exec.where(), 'POST', '/api/commands?stream=1', { token: bob, body: aimed({ argv: ['/bin/sleep', '3'] }) })) {
        assert.equal(event, 'started');
        assert.ok(Date.now() - began < 2500);
        assert.equal((await exec.api('POST', `/api/commands/${data.command.id}/cancel`, {}, bob)).status, 202);
        break;
      }
      const short = await run({ argv: ['/bin/true'] });
      assert.equal(short.started.status, 'running');
      assert.equal(short.started.output_bytes, 0);
      assert.equal(short.command.exit_code, 0);
    });

    test('of a client that leaves does not end the command', async () => {
      let id;
      for await (const { event, data } of events(exec.where(), 'POST', '/api/commands?stream=1', { token: bob, body: aimed({ script: 'sleep 0.3; echo still' }) })) {
        id = data.command.id;
        if (event === 'started') break;
      }
      assert.equal((await ended(id)).exit_code, 0);
      assert.equal((await get(`/${id}/output`)).text, 'still\n');
    });

    test('of a flood that nobody reads does not hold it up', async () => {
      const stream = events(exec.where(), 'POST', '/api/commands?stream=1', { token: bob, body: aimed({ script: 'head -c 200000000 /dev/zero | tr "\\0" x; echo end' }) });
      const { value } = await stream.next();
      const c = await ended(value.data.command.id);
      assert.equal(c.exit_code, 0);
      let bytes = 0, last = '';
      for await (const { event, data } of stream) {
        if (event === 'output') ({ data: last } = data);
        if (event === 'output' || event === 'skipped') bytes += data.bytes;
      }
      assert.equal(bytes, 200000004);
      assert.ok(last.endsWith('end\n'));
    });
  });

  describe('an idempotency key', () => {
    test('attaches to the same command', async () => {
      const body = { script: 'echo ran >> log; cat log', workspace: 'key-1' };
      const first = await post(body, { key: 'k-1' });
      assert.equal(first.status, 201);
      const again = await post(body, { key: 'k-1' });
      assert.equal(again.status, 200);
      assert.equal(again.body.id, first.body.id);
      const streamed = await run(body, { key: 'k-1' });
      assert.equal(streamed.output, 'ran\n');
      assert.equal((await post({ ...body, key: 'k-2' })).status, 201);
    });

    test('of another request is refused', async () => {
      await post({ script: 'true' }, { key: 'k-3' });
      refused(await post({ script: 'false' }, { key: 'k-3' }), 422, 'idempotency_key_reused');
      assert.equal((await post({ script: 'false' }, { key: 'k-3', token: eve })).status, 201, 'keys are a user\'s own');
    });

    test('sent many times at once starts one command', async () => {
      const body = { script: 'echo ran >> log; wc -l < log', workspace: 'key-4' };
      const all = await Promise.all(Array.from({ length: 20 }, () => post(body, { key: 'k-4' })));
      assert.equal(new Set(all.map((r) => r.body.id)).size, 1);
      assert.equal(all.filter((r) => r.status === 201).length, 1);
      await ended(all[0].body.id);
      assert.equal((await get(`/${all[0].body.id}/output`)).text, '1\n');
    });
  });

  describe('access', () => {
    test('is for the owner and for who may see all', async () => {
      const { body } = await post({ script: 'echo mine' });
      await ended(body.id);
      for (const path of ['', '/stream', '/output']) refused(await get(`/${body.id}${path}`, eve), 404, 'not_found');
      refused(await exec.api('POST', `/api/commands/${body.id}/cancel`, undefined, eve), 404, 'not_found');
      assert.equal((await get(`/${body.id}`, admin)).status, 200);
      refused(await exec.api('GET', '/api/commands'), 401, 'unauthorized');
    });

    test('lists show the own commands, newest first, in pages', async () => {
      const token = await member('lister');
      const ids = [];
      for (let i = 0; i < 3; i++) ids.unshift((await post({ argv: ['true'] }, { token })).body.id);
      const first = await get('?limit=2', token);
      assert.deepEqual(first.body.items.map((c) => c.id), ids.slice(0, 2));
      const second = await get(`?limit=2&after=${first.body.next}`, token);
      assert.deepEqual(second.body.items.map((c) => c.id), ids.slice(2));
      assert.equal(second.body.next, null);
      assert.ok((await get('?limit=200', admin)).body.items.length > 3);
    });
  });

  describe('bad input', () => {
    const cases = [
      [{}, /argv or script/],
      [{ argv: ['a'], script: 'a' }, /argv or script/],
      [{ argv: [] }, /argv/],
      [{ argv: [''] }, /program/],
      [{ argv: ['a', 1] }, /strings/],
      [{ argv: 'ls' }, /argv/],
      [{ script: '' }, /script/],
      [{ script: 'x'.repeat(70000) }, /script/],
      [{ argv: ['echo', 'x'.repeat(140000)] }, /128 KiB/],
      [{ script: 'a', env: { 'A=B': 'c' } }, /env/],
      [{ script: 'a', env: { A: 1 } }, /env/],
      [{ script: 'a', timeout_ms: 0 }, /timeout_ms/],
      [{ script: 'a', timeout_ms: 1e9 }, /timeout_ms/],
      [{ script: 'a', workspace: '../x' }, /workspace/],
      [{ script: 'a', workspace: '' }, /workspace/],
      [{ script: 'a', cwd: 7 }, /cwd/],
      [{ script: 'a', profile: 'weak' }, /profile/],
    ];
    for (const [body, says] of cases) {
      test(JSON.stringify(body).slice(0, 60), async () => {
        const r = await post(body);
        refused(r, 422, 'invalid_field');
        assert.match(r.body.detail, says);
      });
    }

    test('of the wrong shape', async () => {
      refused(await post('{"script":"a\\u0000b"}'), 400, 'invalid_json');
      refused(await post('[]'), 400, 'invalid_json');
      refused(await exec.api('POST', '/api/commands', 'x', bob, { 'content-type': 'text/plain' }), 415, 'unsupported_media_type');
      refused(await get('/nonsense'), 404, 'not_found');
      assert.equal((await get('/..%2f..%2fkeys')).status, 400);
      const { body } = await post({ argv: ['true'] });
      await ended(body.id);
      refused(await get(`/${body.id}/output?offset=-1`), 400, 'bad_request');
      refused(await exec.api('DELETE', `/api/commands/${body.id}`, undefined, bob), 405, 'method_not_allowed');
    });

    test('a working directory that is not there is an error of the command', async () => {
      const r = await run({ script: 'pwd', cwd: '/nowhere' });
      assert.equal(r.command.status, 'error');
      assert.match(r.command.reason, /nowhere/);
    });

    test('too many at once are told to wait', async () => {
      const token = await member('greedy');
      const all = await Promise.all(Array.from({ length: 24 }, () => post({ script: 'sleep 30' }, { token })));
      assert.ok(all.every((r) => r.status === 201));
      const r = await post({ script: 'true' }, { token });
      refused(r, 429, 'too_many_commands');
      assert.ok(r.headers['retry-after']);
      assert.equal((await post({ script: 'true' })).status, 201, 'others are not held up');
      await Promise.all(all.map((a) => exec.api('POST', `/api/commands/${a.body.id}/cancel`, undefined, token)));
      for (const a of all) assert.equal((await ended(a.body.id, token)).status, 'cancelled');
    });
  });

  describe('faults', () => more({ get exec() { return exec; }, get auth() { return auth; }, get bob() { return bob; }, post, get, run, ended, alive, refused, aimed }));

  describe('afterwards', () => {
    test('nothing is left behind', async () => {
      assert.deepEqual(readdirSync(join(exec.data, 'exec/running')), []);
      assert.deepEqual(readdirSync(join(exec.data, 'exec/keys')).filter((n) => n.startsWith('.')), []);
    });
  });
}
