// Writes src/api/schema.d.ts anew from docs/openapi.yaml and fails when the committed file differs (--write keeps the new one).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const committed = join(web, 'src/api/schema.d.ts');
const folder = mkdtempSync(join(tmpdir(), 'ogent-api-'));
try {
	const fresh = join(folder, 'schema.d.ts');
	const cli = join(web, 'node_modules/openapi-typescript/bin/cli.js');
	execFileSync(process.execPath, [cli, join(web, '../docs/openapi.yaml'), '-o', fresh, '--default-non-nullable=false'], {
		stdio: ['ignore', 'ignore', 'inherit'],
	});
	const text = readFileSync(fresh, 'utf8');
	if (process.argv.includes('--write')) {
		writeFileSync(committed, text);
	} else if (readFileSync(committed, 'utf8') !== text) {
		console.error('src/api/schema.d.ts does not match docs/openapi.yaml: run `npm run check:api -- --write` and commit it.');
		process.exitCode = 1;
	}
} finally {
	rmSync(folder, { recursive: true, force: true });
}
