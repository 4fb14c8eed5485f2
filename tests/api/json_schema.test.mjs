// The validator of JSON Schema beside the public suite, in the part that is supported.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const folder = join(dirname(createRequire(import.meta.url).resolve('json-schema-test-suite/package.json')), 'tests/draft4');
const program = join(dirname(process.env.OGENT_BIN), 'lib/io/json-schema-judge');

// Outside of what is supported: documents elsewhere, `dependencies` (2019-09 split it in two), and names of parts ("id").
const left = ['refRemote.json', 'dependencies.json', 'definitions.json'];
// draft-04 ignores what stands beside $ref, later ones do not.
const changed = ['ref overrides any sibling keywords'];

test('the public suite, in the part that is supported', () => {
  const cases = [];
  for (const file of readdirSync(folder).filter((f) => f.endsWith('.json') && !left.includes(f))) {
    for (const { description, schema, tests } of JSON.parse(readFileSync(join(folder, file), 'utf8'))) {
      if (changed.includes(description) || JSON.stringify(schema).includes('http://')) continue;
      for (const t of tests) cases.push({ name: `${file}: ${description}: ${t.description}`, schema, data: t.data, valid: t.valid });
    }
  }
  assert.ok(cases.length > 180, `only ${cases.length} cases`);
  const input = cases.map(({ schema, data }) => JSON.stringify({ schema, data })).join('\n') + '\n';
  const answers = execFileSync(program, { input, encoding: 'utf8' }).trim().split('\n');
  const wrong = cases.filter((c, i) => answers[i] !== (c.valid ? 'valid' : 'invalid')).map((c, i) => c.name);
  assert.deepEqual(wrong, []);
});
