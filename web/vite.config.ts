import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const compressible = /\.(html|js|css|svg|json|txt)$/;
const minimum = 512; // bytes; below it a compressed copy gains nothing

/** Writes .br and .gz beside each compressible file, so that the server never compresses. */
function precompress(): Plugin {
	let dist = '';
	return {
		name: 'precompress',
		apply: 'build',
		configResolved(config) {
			dist = config.build.outDir;
		},
		closeBundle() {
			for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
				if (!entry.isFile() || !compressible.test(entry.name)) continue;
				const path = join(entry.parentPath, entry.name);
				const data = readFileSync(path);
				if (data.length < minimum) continue;
				writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
				writeFileSync(`${path}.br`, brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
			}
		},
	};
}

/** The landing page's chunk starts to load with the shell instead of after it. */
function preloadLanding(): Plugin {
	return {
		name: 'preload-landing',
		apply: 'build',
		transformIndexHtml: {
			order: 'post',
			handler(_html, { bundle }) {
				const chat = Object.values(bundle ?? {}).find((c) => c.type === 'chunk' && c.name === 'chat');
				return chat ? [{ tag: 'link', attrs: { rel: 'modulepreload', href: `/${chat.fileName}` }, injectTo: 'head' }] : [];
			},
		},
	};
}

const server = process.env.OGENT_URL ?? 'http://127.0.0.1:8420';

export default defineConfig({
	plugins: [react(), preloadLanding(), precompress()],
	build: { target: 'es2022', assetsInlineLimit: 0, cssCodeSplit: true, reportCompressedSize: false, modulePreload: { polyfill: false } },
	worker: { format: 'es' },
	server: { proxy: { '/api': server, '/ws': { target: server.replace(/^http/, 'ws'), ws: true } } },
	test: { environment: 'node', include: ['src/**/*.test.{ts,tsx}'] },
} as Parameters<typeof defineConfig>[0]);
