import { describe, expect, test } from 'vitest';

import { Transcript } from './transcript';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a transcript', () => {
	test('is what was shown, without colours and positions', () => {
		const t = new Transcript();
		t.add(bytes('\u001b[?2004h\u001b[32mready> \u001b[0mls\r\nfile\r\n'));
		expect(t.text).toBe('ready> ls\nfile');
	});
	test('has characters whole that came in pieces', () => {
		const t = new Transcript();
		const all = bytes('grün 😀');
		for (const byte of all) t.add(Uint8Array.of(byte));
		expect(t.text).toBe('grün 😀');
	});
	test('leaves out what was taken back, and tells what is missing', () => {
		const t = new Transcript();
		t.add(bytes('lx\b \bs'));
		t.skipped('… 2.0 MB skipped …');
		expect(t.text).toBe('ls\n… 2.0 MB skipped …');
	});
});
