// Workspaces and their files, archives and snapshots, wherever they are: exec-files.test.mjs and exec-ssh-files.test.mjs run it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { startRole } from './platform.mjs';

// target: {name, start() -> environment of exec, ready(exec), stop(), place() -> the folder that has workspaces and snapshots}. `more(tools)` adds
// the tests that only this target has.
export function filesSuite(target, more) {
  let auth, exec, admin, bob, eve;
  const outside = mkdtempSync(join(tmpdir(), 'ogent-outside-'));
  const isLocal = target.name === 'local';
  const aimed = (path) => (isLocal ? path : `${path}${path.includes('?') ? '&' : '?'}target=${target.name}`);
  const place = () => target.place?.() ?? join(exec.data, 'exec');
  const at = (body) => (isLocal ? body : { ...body, target: target.name });

  async function member(name) {
    const login = { email: `${name}@example.org`, password: 'a quiet river under stones' };
    assert.equal((await auth.api('POST', '/api/users', { name, roles: ['member'], ...login }, admin)).status, 201);
    return (await auth.login(login)).access_token;
  }

  before(async () => {
    auth = await startRole('auth');
    exec = await startRole('exec', { data: auth.data, env: { OGENT_WORKSPACE_MAX: '32M', OGENT_WORKSPACE_SNAPSHOTS_MAX: '3', ...(await target.start?.()) } });
    await target.ready?.(exec);
    admin = (await auth.setUp()).access_token;
    bob = await member('bob');
    eve = await member('eve');
    writeFileSync(join(outside, 'secret'), 'secret');
  });

  after(async () => {
    await exec?.stop();
    await auth?.stop();
    await target.stop?.();
    rmSync(outside, { recursive: true, force: true });
  });

  const api = (method, path, body, token = bob, headers) => exec.api(method, aimed(`/api/workspaces${path}`), body, token, headers);
  const octets = { 'content-type': 'application/octet-stream' };
  const put = (ws, path, body, query = '', headers = {}) => api('PUT', `/${ws}/files/${path}${query}`, body, bob, { ...octets, ...headers });
  const host = (ws, path = '') => join(place(), 'workspaces', ws, path);

  // Exact bytes.
  function bytes(path, { token = bob, headers = {} } = {}) {
    return new Promise((done, fail) => {
      http.get({ ...exec.where(), path: aimed(`/api/workspaces${path}`), headers: { authorization: `Bearer ${token}`, ...headers } }, async (res) => {
        const chunks = [];
        for await (const c of res) chunks.push(c);
        done({ status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks) });
      }).on('error', fail);
    });
  }

  function refused(r, status, code) {
    assert.equal(r.status, status, r.text);
    assert.equal(r.body.code, code, r.text);
  }

  async function run(ws, script) {
    const r = await exec.api('POST', '/api/commands?output=100000', at({ script, workspace: ws, wait_ms: 30000 }), bob);
    assert.equal(r.status, 200, r.text);
    return r.body;
  }

  async function make(id) {
    const r = await api('POST', '', { id });
    assert.equal(r.status, 201, r.text);
    return id;
  }

  test('a workspace is made, listed, shown and removed', async () => {
    const r = await api('POST', '', { id: 'made-1' });
    assert.equal(r.status, 201, r.text);
    assert.equal(r.headers.location, '/api/workspaces/made-1');
    refused(await api('POST', '', { id: 'made-1' }), 409, 'already_exists');
    refused(await api('POST', '', { id: 'a/b' }), 422, 'invalid_field');
    const named = (await api('POST', '', {})).body.id;
    assert.match(named, /^[0-9a-f-]{36}$/);
    await run('made-1', 'echo hello > f; mkdir d');
    const one = (await api('GET', '/made-1')).body;
    assert.deepEqual([one.bytes, one.files, one.snapshots, one.running_commands], [6, 2, 0, 0]);
    const page = (await api('GET', '?limit=1')).body;
    assert.equal(page.items.length, 1);
    const rest = (await api('GET', `?after=${page.next}`)).body;
    assert.deepEqual([...page.items, ...rest.items].map((w) => w.id).sort(), ['made-1', named].sort());
    assert.equal((await api('DELETE', '/made-1')).status, 204);
    refused(await api('GET', '/made-1'), 404, 'not_found');
    assert.ok(!existsSync(host('made-1')));
    assert.deepEqual(readdirSync(join(place(), 'workspaces')).filter((n) => n.startsWith('.')), []);
  });

  test('a workspace is its user\'s: others find nothing there, and may not run in it', async () => {
    await make('own-1');
    await put('own-1', 'f', 'mine');
    for (const [method, path] of [['GET', '/own-1'], ['GET', '/own-1/files'], ['GET', '/own-1/files/f'], ['DELETE', '/own-1'], ['DELETE', '/own-1/files/f'], ['GET', '/own-1/archive'], ['POST', '/own-1/snapshots']])
      refused(await api(method, path, undefined, eve), 404, 'not_found');
    refused(await exec.api('POST', '/api/commands', at({ script: 'cat f', workspace: 'own-1' }), eve), 403, 'workspace_forbidden');
    assert.deepEqual((await api('GET', '', undefined, eve)).body.items, []);
    assert.equal((await api('GET', '/own-1/files/f', undefined, admin)).text, 'mine');
    refused(await api('GET', '/no-such/files'), 404, 'not_found');
    refused(await api('GET', '/..%2fx/files'), 400, 'target_invalid');
  });

  test('files go up and down byte-exact, replace whole, and belong to the workspace', async () => {
    await make('io-1');
    const data = randomBytes(3 << 20);
    refused(await put('io-1', 'a/b/data', data), 404, 'not_found');
    const r = await put('io-1', 'a/b/data', data, '?parents=1');
    assert.equal(r.status, 201, r.text);
    assert.deepEqual([r.body.name, r.body.type, r.body.size, r.body.mode], ['data', 'file', data.length, '644']);
    const got = await bytes('/io-1/files/a/b/data');
    assert.ok(got.body.equals(data));
    assert.equal(got.headers['content-length'], String(data.length));
    assert.equal(got.headers['x-content-type-options'], 'nosniff');
    assert.equal((await put('io-1', 'a/b/data', 'short', '?mode=755')).status, 200);
    assert.equal((await api('GET', '/io-1/files/a/b/data')).text, 'short');
    refused(await put('io-1', 'a/b/data', 'x', '', { 'if-none-match': '*' }), 409, 'already_exists');
    refused(await put('io-1', 'a/b', 'x'), 409, 'is_a_folder');
    assert.equal((await put('io-1', 'empty', '')).status, 201);
    assert.equal((await api('GET', '/io-1/files/empty')).text, '');
    const c = await run('io-1', 'stat -c "%a %U" a a/b/data; echo more >> a/b/data && echo from-inside > a/new; cat a/b/data');
    assert.equal(c.output.head, '755 ogent\n755 ogent\nshortmore\n');
    assert.equal((await api('GET', '/io-1/files/a/new')).text, 'from-inside\n');
    assert.deepEqual(readdirSync(host('io-1')).sort(), ['a', 'empty'], 'nothing is left of uploads');
  });

  test('parts of a file by Range', async () => {
    await make('range-1');
    await put('range-1', 'f', '0123456789');
    for (const [range, status, want] of [['bytes=2-4', 206, '234'], ['bytes=7-', 206, '789'], ['bytes=-3', 206, '789'], ['bytes=5-100', 206, '56789'], ['bytes=9-2', 200, '0123456789'], ['lines=1', 200, '0123456789'], ['bytes=0-1,4-5', 200, '0123456789']]) {
      const r = await bytes('/range-1/files/f', { headers: { range } });
      assert.deepEqual([r.status, r.body.toString()], [status, want], range);
      if (status === 206) assert.match(r.headers['content-range'], /^bytes \d+-\d+\/10$/);
    }
    const r = await bytes('/range-1/files/f', { headers: { range: 'bytes=10-' } });
    assert.equal(r.status, 416);
    assert.equal(r.headers['content-range'], 'bytes */10');
  });

  test('folders are listed in pages with what there is to know, made, moved and removed', async () => {
    await make('dir-1');
    for (const name of ['a', 'b', 'c']) await put('dir-1', `d/${name}`, name, '?parents=1');
    await run('dir-1', 'ln -s ../x d/link; mkfifo d/fifo; touch "d/ü \\" x"');
    const first = (await api('GET', '/dir-1/files/d?limit=2')).body;
    assert.deepEqual(first.items.map((i) => [i.name, i.type, i.size]), [['a', 'file', 1], ['b', 'file', 1]]);
    const rest = (await api('GET', `/dir-1/files/d?after=${first.next}`)).body;
    assert.deepEqual(rest.items.map((i) => [i.name, i.type, i.link]), [['c', 'file', null], ['fifo', 'other', null], ['link', 'link', '../x'], ['ü " x', 'file', null]]);
    assert.equal(rest.next, null);
    assert.equal((await api('GET', `/dir-1/files/d/${encodeURIComponent('ü " x')}`)).status, 200);
    assert.equal((await api('POST', '/dir-1/folders', { path: 'x/y', parents: true })).status, 201);
    refused(await api('POST', '/dir-1/folders', { path: 'x/y' }), 409, 'already_exists');
    assert.equal((await api('POST', '/dir-1/move', { from: 'd/a', to: 'x/y/z' })).status, 200);
    refused(await api('POST', '/dir-1/move', { from: 'd/b', to: 'x/y/z' }), 409, 'already_exists');
    assert.equal((await api('POST', '/dir-1/move', { from: 'd/b', to: 'x/y/z', replace: true })).body.name, 'z');
    assert.equal((await api('GET', '/dir-1/files/x/y/z')).text, 'b');
    refused(await api('DELETE', '/dir-1/files/x'), 409, 'not_empty');
    assert.equal((await api('DELETE', '/dir-1/files/x?recursive=1')).status, 204);
    assert.equal((await api('DELETE', '/dir-1/files/d/fifo')).status, 204);
    refused(await api('GET', '/dir-1/files/x'), 404, 'not_found');
    refused(await api('GET', '/dir-1/files/d/a/b'), 404, 'not_found');
    refused(await api('GET', '/dir-1/files/d/c/b'), 409, 'not_a_folder');
  });

  test('links that a command made lead nowhere, for reading, writing, listing, moving and removing', async () => {
    await make('link-1');
    const made = await run('link-1', `ln -s ${outside} out; ln -s ${outside}/secret file; ln -s ../../keys up; ln -s out/deeper chain; mkdir real; ln -s real inside; ln -s /proc/self/root proc; ls`);
    assert.equal(made.exit_code, 0, JSON.stringify(made));
    for (const path of ['out/secret', 'file', 'up', 'out', 'chain/x', 'inside/x', 'proc/etc/passwd']) refused(await api('GET', `/link-1/files/${path}`), 409, 'link_in_path');
    refused(await put('link-1', 'out/new', 'x'), 409, 'link_in_path');
    refused(await put('link-1', 'out/a/b/new', 'x', '?parents=1'), 409, 'link_in_path');
    refused(await api('POST', '/link-1/folders', { path: 'out/d' }), 409, 'link_in_path');
    refused(await api('POST', '/link-1/move', { from: 'real', to: 'out/real' }), 409, 'link_in_path');
    refused(await api('DELETE', '/link-1/files/out/secret'), 409, 'link_in_path');
    assert.equal((await put('link-1', 'file', 'mine')).status, 200, 'a link itself is replaced');
    assert.equal((await api('GET', '/link-1/files/file')).text, 'mine');
    assert.equal((await api('DELETE', '/link-1/files/out?recursive=1')).status, 204, 'the link goes, not what it names');
    for (const path of ['../x', 'a/../../x', '/etc/passwd', 'a//b', './a']) refused(await api('POST', '/link-1/folders', { path }), 422, 'invalid_path');
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    assert.deepEqual(readdirSync(outside), ['secret']);
  });

  test('FIFOs and sockets are not opened', async () => {
    await make('fifo-1');
    await run('fifo-1', `mkfifo pipe; perl -MSocket -e 'socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind($s, sockaddr_un("sock"))'`);
    for (const name of ['pipe', 'sock']) {
      refused(await api('GET', `/fifo-1/files/${name}`), 409, 'not_a_file');
      refused(await api('GET', `/fifo-1/files/${name}/x`), 409, 'not_a_folder');
      assert.equal((await put('fifo-1', name, 'now a file')).status, 200);
    }
  });

  test('every name of a folder comes once, page by page, also those that are no text', async () => {
    await make('names');
    await run('names', "for n in a '\\377b' '\\377c' 'd\\001\\033[2J' '\\303\\251'; do touch \"$(printf \"$n\")\"; done");
    const seen = [];
    for (let next = ''; next !== null && seen.length < 20; ) {
      const { body } = await api('GET', `/names/files?limit=1${next && `&after=${next}`}`);
      seen.push(...body.items.map((i) => i.name));
      ({ next } = body);
    }
    assert.deepEqual(seen, ['a', 'd\u0001\u001b[2J', 'é', '\ufffdb', '\ufffdc']);
  });

  test('limits: a file and a body that are too large', async () => {
    await make('limit-1');
    refused(await put('limit-1', 'f', Buffer.alloc((32 << 20) + 1)), 413, 'too_large');
    const r = await new Promise((done, fail) => {
      const req = http.request({ ...exec.where(), method: 'PUT', path: aimed('/api/workspaces/limit-1/files/f'), headers: { authorization: `Bearer ${bob}` } }, (res) => {
        res.resume();
        done(res.statusCode);
      });
      req.on('error', () => fail);
      for (let i = 0; i < 40; i++) req.write(Buffer.alloc(1 << 20));
      req.end();
    });
    assert.equal(r, 413);
    assert.deepEqual(readdirSync(host('limit-1')), []);
  });

  test('an upload whose client leaves is not there', async () => {
    await make('left-1');
    const req = http.request({ ...exec.where(), method: 'PUT', path: aimed('/api/workspaces/left-1/files/f'), headers: { authorization: `Bearer ${bob}` } });
    req.on('error', () => {});
    req.write(Buffer.alloc(1 << 20));
    await new Promise((d) => setTimeout(d, 100));
    req.destroy();
    for (let i = 0; i < 100 && (await api('POST', '/left-1/snapshots')).status !== 201; i++) await new Promise((d) => setTimeout(d, 20));
    assert.deepEqual(readdirSync(host('left-1')), []);
    assert.equal((await api('DELETE', '/left-1')).status, 204, 'nobody holds it');
  });

  test('a folder however deep goes', async () => {
    await make('deep-1');
    await put('deep-1', 'd/.deep.0/x/y', 'in the way of none', '?parents=1');
    await run('deep-1', 'cd d; for i in $(seq 1 400); do mkdir d; cd d || exit; echo x > f; done');
    assert.equal((await api('DELETE', '/deep-1/files/d?recursive=1')).status, 204);
    assert.deepEqual(readdirSync(host('deep-1')), []);
  });

  // ---- Archives ----

  const post = (ws, body, query = '') => api('POST', `/${ws}/archive${query}`, body, bob, octets);

  test('an archive has the files, folders and links, and unpacks to the same', async () => {
    await make('tar-1');
    await run('tar-1', 'mkdir -p a/b empty; head -c 100000 /dev/urandom > a/b/data; chmod 700 a/b/data; ln -s b/data a/link; mkfifo a/pipe; sha256sum a/b/data > sum');
    for (const format of ['tar', 'tar.gz']) {
      const dir = mkdtempSync(join(tmpdir(), 'ogent-tar-'));
      const got = await bytes(`/tar-1/archive?format=${format}`);
      assert.equal(got.status, 200);
      assert.match(got.headers['content-disposition'], new RegExp(`tar-1\\.${format}`));
      writeFileSync(join(dir, 'f'), got.body);
      const names = execFileSync('tar', ['tf', join(dir, 'f')], { encoding: 'utf8' }).trim().split('\n').sort();
      assert.deepEqual(names, ['a/', 'a/b/', 'a/b/data', 'a/link', 'empty/', 'sum']);
      const ws = await make(`un-${format.replace('.', '-')}`);
      const r = await post(ws, got.body);
      assert.equal(r.status, 200, r.text);
      const c = await run(ws, 'sha256sum -c sum && stat -c %a a/b/data && readlink a/link && stat -c %U a a/link empty && cat a/link | wc -c');
      assert.equal(c.output.head, 'a/b/data: OK\n700\nb/data\nogent\nogent\nogent\n100000\n');
      rmSync(dir, { recursive: true });
    }
    const part = await bytes('/tar-1/archive?path=a/b');
    assert.ok(part.body.includes('data') && !part.body.includes('a/b/data'));
    refused(await api('GET', '/tar-1/archive?format=zip'), 400, 'bad_request');
    refused(await api('GET', '/tar-1/archive?path=nowhere'), 404, 'not_found');
    for (const bad of ['a%00', 'a%', 'a%4', 'a%zz']) refused(await api('GET', `/tar-1/archive?path=${bad}`), 400, 'bad_request');
  });

  // One entry of a tar by hand, with whatever name and type.
  function entry(name, { type = '0', link = '', data = '', size = Buffer.byteLength(data), mode = '0000644' } = {}) {
    const h = Buffer.alloc(512);
    h.write(name, 0, 100);
    h.write(`${mode}\0`, 100);
    h.write('0000000\0', 108);
    h.write('0000000\0', 116);
    h.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
    h.write('00000000000\0', 136);
    h.write('        ', 148);
    h.write(type, 156);
    h.write(link, 157, 100);
    h.write('ustar\x0000', 257);
    h.write(`${h.reduce((n, b) => n + b, 0).toString(8).padStart(6, '0')}\0 `, 148);
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(data) / 512) * 512);
    body.write(data);
    return Buffer.concat([h, body]);
  }
  const tar = (...entries) => Buffer.concat([...entries, Buffer.alloc(1024)]);
  // What is said of the next entry in extended headers, and a name that is longer than a header.
  const pax = (said, next) => Buffer.concat([entry('pax', { type: 'x', data: Object.entries(said).map(([k, v]) => {
    const rest = Buffer.byteLength(` ${k}=${v}\n`);
    const n = [1, 2, 3, 4].map((d) => rest + d).find((all) => String(all).length + rest === all);
    return `${n} ${k}=${v}\n`;
  }).join('') }), next]);
  const longName = (name, next) => Buffer.concat([entry('././@LongLink', { type: 'L', data: `${name}\0` }), next]);

  test('an archive that would lead out, or is none, is refused whole', async () => {
    await make('evil-1');
    await put('evil-1', 'kept', 'kept');
    const fine = entry('fine', { data: 'x' });
    const cases = {
      absolute: entry(`${outside}/new`, { data: 'x' }),
      up: entry('../new', { data: 'x' }),
      'up inside': entry('a/../../new', { data: 'x' }),
      'link out': entry('l', { type: '2', link: outside }),
      'link up': entry('a/l', { type: '2', link: '../../x' }),
      'hard link out': entry('l', { type: '1', link: '/etc/passwd' }),
      'hard link up': entry('l', { type: '1', link: '../../keys' }),
      device: entry('null', { type: '3' }),
      'block device': entry('sda', { type: '4' }),
      fifo: entry('pipe', { type: '6' }),
    };
    for (const [what, e] of Object.entries(cases)) {
      const r = await post('evil-1', tar(fine, e));
      refused(r, 422, 'bad_archive');
      assert.deepEqual(readdirSync(host('evil-1')), ['kept'], what);
    }
    refused(await post('evil-1', 'this is no archive at all'.repeat(100)), 422, 'bad_archive');
    refused(await post('evil-1', tar(entry('f', { data: 'x', size: 100000 })).subarray(0, 800)), 422, 'bad_archive');
    const through = tar(entry('d', { type: '2', link: 'sub' }), entry('d/f', { data: 'x' }));
    refused(await post('evil-1', through), 409, 'link_in_path');
    refused(await post('evil-1', gzipSync(tar(entry('big', { data: 'x'.repeat(33 << 20) })))), 413, 'too_large');
    // Links count as files do, and so do headers that say nothing.
    const links = Buffer.concat(Array.from({ length: 5000 }, (_, i) => entry(`l${i}`, { type: '2', link: 'kept' })));
    refused(await post('evil-1', gzipSync(Buffer.concat([...Array(41).fill(links), Buffer.alloc(1024)]), { level: 1 })), 413, 'too_large');
    assert.ok(!readdirSync(host('evil-1')).includes('l0'));
    assert.deepEqual(readdirSync(outside), ['secret']);
  });

  test('an archive that lies about sizes, names or what it needs takes no more than it says', async () => {
    await make('lies');
    await put('lies', 'kept', 'kept');
    const hole = { 'GNU.sparse.major': 0, 'GNU.sparse.minor': 1, 'GNU.sparse.name': 's', 'GNU.sparse.map': '1099511627776,1', 'GNU.sparse.size': 10, 'GNU.sparse.numblocks': 1 };
    const x = entry('f', { data: 'x' });
    const lies = {
      'a byte behind the end': [pax(hole, x), 422],
      'the same as a map in the file': [pax({ 'GNU.sparse.major': 1, 'GNU.sparse.minor': 0, 'GNU.sparse.name': 's', 'GNU.sparse.realsize': 10 }, entry('f', { data: '1\n1099511627776\n1\n'.padEnd(512, '\0') + 'x' })), 422],
      'a size of all': [pax({ 'GNU.sparse.major': 1, 'GNU.sparse.minor': 0, 'GNU.sparse.name': 's', 'GNU.sparse.realsize': '9223372036854775807' }, entry('f', { data: '1\n0\n1\n'.padEnd(512, '\0') + 'x' })), 413],
      'a size below nothing': [pax({ size: -1 }, x), 422],
      'a size that overflows': [pax({ size: '99999999999999999999999' }, x), 422],
      'a name out of it in the map': [pax({ ...hole, 'GNU.sparse.name': '../../s' }, x), 422],
      'a long name out of it': [longName(`${'../'.repeat(60)}x`, x), 422],
      'a part that is too long': [longName('n'.repeat(256), x), 422],
      'bytes that are no text in a refusal': [entry('../\u001b]0;x\u0007\u202e', { data: 'x' }), 422],
      'a short path of thousands of folders': [Buffer.concat(Array.from({ length: 150 }, (_, i) => longName(`${i}/${'d/'.repeat(1900)}x`, x))), 413],
      'a second name of a protected file': [Buffer.concat([entry('.bashrc', { data: 'x' }), entry('a', { type: '1', link: '.bashrc' })]), 422],
      'a protected second name': [entry('.vscode/settings.json', { type: '1', link: 'kept' }), 422],
    };
    for (const [what, [data, status]] of Object.entries(lies)) {
      const r = await post('lies', gzipSync(tar(data)));
      assert.equal(r.status, status, `${what}: ${r.text}`);
      assert.deepEqual(readdirSync(host('lies')), ['kept'], what);
    }
    const fine = tar(entry('kept', { type: '1', link: 'kept' }), entry('set', { data: 'x', mode: '0006755' }), longName(`${'d/'.repeat(300)}x`, x), pax({ mtime: '9'.repeat(30), 'SCHILY.xattr.security.capability': 'x' }, entry('odd', { data: 'x' })));
    assert.equal((await post('lies', fine)).status, 200);
    assert.equal((await api('GET', '/lies/files/kept')).text, 'kept', 'a second name of itself');
    assert.equal(statSync(host('lies', 'set')).mode & 0o7777, 0o755);
    assert.equal((await api('DELETE', '/lies')).status, 204);
  });

  test('a file with a second name does not become a protected one', async () => {
    await make('second');
    await run('second', 'mkdir d; echo x > a; ln a b; echo y > d/c; ln d/c e; echo z > f');
    refused(await api('POST', '/second/move', { from: 'a', to: '.bashrc' }), 409, 'second_name');
    refused(await api('POST', '/second/move', { from: 'd', to: '.vscode' }), 409, 'second_name');
    assert.equal((await api('POST', '/second/move', { from: 'f', to: '.bashrc' })).status, 200);
    assert.equal((await run('second', 'cat .bashrc')).output.head, 'z\n');
  });

  test('an archive does not write through a link that is there already', async () => {
    await make('evil-2');
    await run('evil-2', `ln -s ${outside} sub; ln -s ${outside}/secret file`);
    refused(await post('evil-2', tar(entry('sub/new', { data: 'x' }))), 409, 'link_in_path');
    assert.equal((await post('evil-2', tar(entry('file', { data: 'x' })))).status, 200);
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    assert.ok(statSync(host('evil-2', 'file')).isFile());
  });

  // ---- Snapshots ----

  test('a snapshot is of one moment, restored at once and whole, with links, modes and owner', async () => {
    await make('snap-1');
    await run('snap-1', 'mkdir d; echo one > d/f; chmod 750 d; ln -s d/f l; echo x > gone');
    const made = await api('POST', '/snap-1/snapshots', { name: 'before' });
    assert.equal(made.status, 201, made.text);
    assert.equal(made.body.name, 'before');
    await run('snap-1', 'echo two > d/f; rm gone l; echo new > new; chmod 700 d');
    assert.equal((await api('POST', `/snap-1/snapshots/${made.body.id}/restore`)).status, 204);
    const c = await run('snap-1', 'cat d/f gone; readlink l; stat -c "%a %U" d; ls; echo again > d/f');
    assert.equal(c.output.head, 'one\nx\nd/f\n750 ogent\nd\ngone\nl\n');
    assert.equal((await api('POST', `/snap-1/snapshots/${made.body.id}/restore`)).status, 204);
    assert.equal((await api('GET', '/snap-1/files/d/f')).text, 'one\n', 'a snapshot does not change with the workspace');
    assert.deepEqual(readdirSync(join(place(), 'workspaces')).filter((n) => n.startsWith('.')), []);
    assert.equal((await api('DELETE', `/snap-1/snapshots/${made.body.id}`)).status, 204);
    assert.deepEqual((await api('GET', '/snap-1/snapshots')).body.items, []);
    refused(await api('POST', `/snap-1/snapshots/${made.body.id}/restore`), 404, 'not_found');
    refused(await api('DELETE', '/snap-1/snapshots/..'), 400, 'target_invalid');
  });

  test('snapshots are counted, and their bytes too', async () => {
    await make('snap-2');
    await put('snap-2', 'f', Buffer.alloc(12 << 20));
    for (let i = 0; i < 2; i++) assert.equal((await api('POST', '/snap-2/snapshots')).status, 201);
    refused(await api('POST', '/snap-2/snapshots'), 413, 'too_large');
    await api('DELETE', '/snap-2/files/f');
    assert.equal((await api('POST', '/snap-2/snapshots')).status, 201);
    refused(await api('POST', '/snap-2/snapshots'), 409, 'too_many');
    const { items } = (await api('GET', '/snap-2/snapshots')).body;
    assert.deepEqual(items.map((s) => s.bytes), [0, 12 << 20, 12 << 20]);
    assert.equal((await api('DELETE', '/snap-2')).status, 204);
    assert.ok(!existsSync(join(place(), 'snapshots/snap-2')));
  });

  test('a snapshot, a restore and a removal are refused while commands run', async () => {
    await make('busy-1');
    const snapshot = (await api('POST', '/busy-1/snapshots')).body.id;
    const { body } = await exec.api('POST', '/api/commands', at({ script: 'sleep 60', workspace: 'busy-1' }), bob);
    for (const [method, path] of [['POST', '/snapshots'], ['POST', `/snapshots/${snapshot}/restore`], ['DELETE', '']]) {
      const r = await api(method, `/busy-1${path}`);
      refused(r, 409, 'workspace_busy');
      assert.ok(r.headers['retry-after']);
    }
    assert.equal((await put('busy-1', 'f', 'x')).status, 201, 'files go in meanwhile');
    await exec.api('POST', `/api/commands/${body.id}/cancel`, undefined, bob);
    await exec.api('GET', `/api/commands/${body.id}?wait_ms=20000`, undefined, bob);
    assert.equal((await api('POST', '/busy-1/snapshots')).status, 201);
  });

  test('what a crash left of a snapshot or a removal goes at the next start', async () => {
    await make('crash-1');
    const kept = (await api('POST', '/crash-1/snapshots')).body.id;
    await exec.kill();
    const half = join(place(), 'snapshots/crash-1/01900000-0000-7000-8000-000000000000');
    mkdirSync(join(half, 'tree'), { recursive: true });
    writeFileSync(join(half, 'tree/f'), 'x');
    const trash = host('.trash.01900000-0000-7000-8000-000000000000');
    mkdirSync(trash);
    symlinkSync(outside, join(trash, 'l'));
    await exec.start();
    // A host that runs nothing of its own does it with the next work that has the workspace alone.
    if (!isLocal) assert.equal((await api('DELETE', `/crash-1/snapshots/${(await api('POST', '/crash-1/snapshots')).body.id}`)).status, 204);
    for (let i = 0; i < 200 && (existsSync(half) || existsSync(trash)); i++) await new Promise((d) => setTimeout(d, 20));
    assert.ok(!existsSync(half) && !existsSync(trash));
    assert.deepEqual((await api('GET', '/crash-1/snapshots')).body.items.map((s) => s.id), [kept]);
    assert.deepEqual(readdirSync(outside), ['secret']);
  });

  test('a protected file is changed by its user, but not under commands that run, which never see it change', async () => {
    await make('guarded');
    assert.equal((await put('guarded', '.bashrc', 'mine\n')).status, 201);
    const { body: c } = await exec.api('POST', '/api/commands', at({ script: 'read x; cat .bashrc; echo y > .vscode', workspace: 'guarded', stdin_open: true }), bob);
    for (let r; (r = await exec.api('GET', `/api/commands/${c.id}?wait_ms=20000`, undefined, bob)).body.waiting_for_input !== true; ) assert.equal(r.body.status, 'running');
    refused(await put('guarded', '.bashrc', 'other\n'), 409, 'workspace_busy');
    refused(await put('guarded', '.git/hooks/pre-commit', 'x', '?parents=1'), 409, 'workspace_busy');
    refused(await api('DELETE', '/guarded/files/.mcp.json'), 409, 'workspace_busy');
    refused(await api('POST', '/guarded/move', { from: '.bashrc', to: 'b' }), 409, 'workspace_busy');
    const tar = execFileSync('tar', ['c', '-C', outside, '--transform', 's/secret/.profile/', 'secret']);
    const r = await api('POST', '/guarded/archive', tar, bob, octets);
    assert.equal(r.status, 422, r.text);
    assert.match(r.body.detail, /protected file/);
    assert.equal((await put('guarded', 'free', 'x')).status, 201);
    const names = (await api('GET', '/guarded/files')).body.items.map((i) => i.name);
    assert.ok(!names.includes('.profile') && names.includes('.bashrc'), names.join());
    await exec.api('POST', `/api/commands/${c.id}/stdin?close=1`, '\n', bob, octets);
    let end;
    do end = (await exec.api('GET', `/api/commands/${c.id}?wait_ms=20000&output=1000`, undefined, bob)).body;
    while (end.status === 'running');
    assert.match(end.output.head, /^mine\n.*Read-only file system/s);
    assert.deepEqual(readdirSync(host('guarded')).sort(), ['.bashrc', 'free']);
    assert.equal((await put('guarded', '.bashrc', 'other\n')).status, 200);
  });

  // What is sent before `gate` is there first; the rest follows when it is done.
  function slowly(method, path, parts, gate) {
    return new Promise((done, fail) => {
      const req = http.request({ ...exec.where(), method, path: aimed(`/api/workspaces${path}`), headers: { authorization: `Bearer ${bob}`, ...octets } }, async (res) => {
        let text = '';
        for await (const c of res) text += c;
        done({ status: res.statusCode, text, body: text ? JSON.parse(text) : null });
      });
      req.on('error', fail);
      req.write(parts[0], () => gate().then(() => req.end(parts[1]), fail));
    });
  }

  test('what began before a command cannot put a protected file under it', async () => {
    await make('slow');
    const big = randomBytes(600000);
    let c;
    const command = async () => {
      c ??= (await exec.api('POST', '/api/commands', at({ script: 'read x; cat .bashrc', workspace: 'slow', stdin_open: true }), bob)).body;
      for (let r; (r = await exec.api('GET', `/api/commands/${c.id}?wait_ms=20000`, undefined, bob)).body.waiting_for_input !== true; ) assert.equal(r.body.status, 'running');
    };
    refused(await slowly('PUT', '/slow/files/.bashrc', [big, 'end'], command), 409, 'workspace_busy');
    refused(await slowly('PUT', '/slow/files/.git/hooks/pre-commit?parents=1', [big, 'end'], command), 409, 'workspace_busy');
    writeFileSync(join(outside, 'rc'), big);
    const tar = execFileSync('tar', ['c', '-C', outside, '--transform', 's/rc/.profile/', 'rc'], { maxBuffer: 1 << 22 });
    assert.equal((await slowly('POST', '/slow/archive', [tar.subarray(0, 500000), tar.subarray(500000)], command)).status, 422);
    assert.equal((await slowly('PUT', '/slow/files/free', [big, 'end'], command)).status, 201);
    await exec.api('POST', `/api/commands/${c.id}/stdin?close=1`, '\n', bob, octets);
    while ((await exec.api('GET', `/api/commands/${c.id}?wait_ms=20000`, undefined, bob)).body.status === 'running');
    assert.deepEqual(readdirSync(host('slow')), ['free']);
    const none = async () => {};
    assert.equal((await slowly('PUT', '/slow/files/.bashrc', [big, 'end'], none)).status, 201);
  });

  more?.({
    api, put, host, place, bytes, refused, run, make, slowly, outside, octets, at, aimed,
    get exec() {
      return exec;
    },
    get bob() {
      return bob;
    },
    get eve() {
      return eve;
    },
  });
}
