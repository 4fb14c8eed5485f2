// Workspaces and their files, archives and snapshots, on exec's own machine.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { filesSuite } from '../lib/files_suite.mjs';

filesSuite({ name: 'local' }, (t) => {
  const { api, make, refused } = t;

  test('a target that there is not is told', async () => {
    await make('target-1');
    for (const [method, path] of [['GET', '/target-1/files'], ['GET', '/target-1/archive'], ['POST', '/target-1/snapshots'], ['GET', '/target-1'], ['GET', '']])
      refused(await api(method, `${path}?target=ssh`), 422, 'unknown_target');
    assert.equal((await api('GET', '/target-1/files?target=local')).status, 200);
  });
});
