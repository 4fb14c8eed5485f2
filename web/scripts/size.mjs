// Prints what the browser loads, gzipped, beside its budget in KB of 1024 bytes; fails above the hard limit. --json prints one object.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const dist = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist');
const gzipped = (name) => gzipSync(readFileSync(join(dist, name)), { level: 9 }).length;
const assets = readdirSync(join(dist, 'assets')).map((name) => `assets/${name}`);
const html = readFileSync(join(dist, 'index.html'), 'utf8');

/** A chunk and all that it imports statically. */
function closure(entry, seen = new Set()) {
	if (seen.has(entry)) return seen;
	seen.add(entry);
	const code = readFileSync(join(dist, entry), 'utf8');
	for (const [, name] of code.matchAll(/(?:\bfrom|\bimport)\s*"\.\/([\w.-]+\.js)"/g)) closure(`assets/${name}`, seen);
	return seen;
}
const sum = (names) => [...names].reduce((total, name) => total + gzipped(name), 0);

const entry = html.match(/<script[^>]+src="\/(assets\/[\w.-]+\.js)"/)[1];
const initial = closure(entry);
const chat = assets.find((name) => /\/chat-[\w-]+\.js$/.test(name));
const worker = assets.filter((name) => /worker-[\w-]+\.js$/.test(name));
const rows = [
	['initial_js', sum(initial), 115, 130],
	['first_chat_view', sum(new Set([...initial, ...closure(chat), ...worker])), 165, 190],
	['css', sum(assets.filter((name) => name.endsWith('.css'))), 12, 18],
];
const kb = (bytes) => Math.round((bytes / 1024) * 10) / 10;
if (process.argv.includes('--json')) {
	console.log(JSON.stringify(Object.fromEntries(rows.map(([name, bytes]) => [name, kb(bytes)]))));
} else {
	for (const [name, bytes, aim, fail] of rows) console.log(`${name.padEnd(16)} ${kb(bytes).toFixed(1).padStart(6)} KB gzip   aim ${aim}, fails above ${fail}`);
}
if (rows.some(([, bytes, , fail]) => bytes > fail * 1024)) {
	console.error('Over the size budget.');
	process.exitCode = 1;
}
