// Workspaces and their files, archives and snapshots, on exec's own machine.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { filesSuite } from '../lib/files_suite.mjs';

filesSuite({ name: 'local' }, (t) => {
  const { api, bytes, make, put, refused } = t;

  test('a target that there is not is told', async () => {
    await make('target-1');
    for (const [method, path] of [['GET', '/target-1/files'], ['GET', '/target-1/archive'], ['POST', '/target-1/snapshots'], ['GET', '/target-1'], ['GET', '']])
      refused(await api(method, `${path}?target=ssh`), 422, 'unknown_target');
    assert.equal((await api('GET', '/target-1/files?target=local')).status, 200);
  });

  test('nobody waits for a file behind the archives of others', async () => {
    await make('large');
    await make('small');
    for (const name of ['a', 'b']) await put('large', name, randomBytes(15 << 20));
    await put('small', 'f', 'small');
    const began = performance.now();
    const archives = Array.from({ length: 8 }, () => bytes('/large/archive?format=tar.gz').then((r) => r.status));
    await sleep(200);
    const asked = performance.now();
    for (let i = 0; i < 3; i++) assert.equal((await api('GET', '/small/files/f')).text, 'small');
    const waited = performance.now() - asked;
    assert.deepEqual(await Promise.all(archives), Array(8).fill(200));
    const all = performance.now() - began;
    assert.ok(waited * 4 < all, `${waited} of ${all} ms`);
  });
});
