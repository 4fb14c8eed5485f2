import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, it } from 'vitest';

import { decodeEntities, emptyLexed, lexBlocks, plainText, safeHref } from './blocks';
import { Markdown } from './markdown';

const html = (text: string) => renderToStaticMarkup(<Markdown text={text} done />);

const sample = `# Title

A *paragraph* with \`code\`, **bold** and a [link](https://example.org/x?a=1&b=2).

- one
- two
  - inner

1. first
2. second

| name | size |
|:-----|-----:|
| a    | 1    |

\`\`\`sh
df -h
# not a heading

echo "still code"
\`\`\`

> quoted

Setext
===

Last line.`;

describe('the markdown renderer', () => {
	it('renders the usual blocks', () => {
		const out = html(sample);
		for (const part of ['<h3>Title</h3>', '<em>paragraph</em>', '<code>code</code>', '<li>', '<ol>', '<th data-align="left" scope="col">', '<blockquote>', 'df -h'])
			expect(out).toContain(part);
		expect(out).toContain('href="https://example.org/x?a=1&amp;b=2"');
	});

	it('has no way to HTML', () => {
		const out = html('<script>alert(1)</script>\n\nText <img src=x onerror=alert(1)> and **<b>bold</b>**');
		expect(out).not.toMatch(/<script|<img|<b>/);
		expect(out).toContain('&lt;script&gt;');
	});

	it('makes no link of a dangerous address', () => {
		const out = html('[a](javascript:alert(1)) [b](data:text/html,x) [c](  JaVaScRiPt:x) [d](mailto:a@example.org)');
		expect(out.match(/<a /g)).toHaveLength(1);
		expect(safeHref('vbscript:x')).toBeNull();
	});

	it('loads no foreign image', () => {
		const out = html('![logo](https://example.org/logo.png)');
		expect(out).not.toContain('<img');
		expect(out).toContain('>logo</a>');
	});

	it('shows references as characters, but not in code', () => {
		expect(html('a &lt; b &amp; c')).toContain('a &lt; b &amp; c');
		expect(html('`&lt;`')).toContain('<code>&amp;lt;</code>');
		expect(decodeEntities('&#65;&#x1F600;&unknown;&#0;')).toBe('A😀&unknown;\ufffd');
	});

	it('renders the same from growing text as from the whole, whatever the pieces', () => {
		for (const size of [1, 3, 7, 40]) {
			let lexed = emptyLexed;
			for (let end = 0; end < sample.length; end += size) lexed = lexBlocks(sample.slice(0, end), lexed);
			lexed = lexBlocks(sample, lexed, true);
			expect(lexed.blocks.map((b) => b.token.raw.trim())).toEqual(lexBlocks(sample, emptyLexed, true).blocks.map((b) => b.token.raw.trim()));
		}
	});

	it('keeps closed blocks as they are while text grows', () => {
		const before = lexBlocks(sample.slice(0, 200));
		const after = lexBlocks(sample, before);
		expect(before.closedBlocks).toBeGreaterThan(2);
		for (let i = 0; i < before.closedBlocks; i++) expect(after.blocks[i]).toBe(before.blocks[i]);
	});

	it('reads links by reference that are defined below', () => {
		let lexed = lexBlocks('See [it][1].\n\nMore.\n\n');
		lexed = lexBlocks('See [it][1].\n\nMore.\n\n[1]: https://example.org', lexed, true);
		expect(html('See [it][1].\n\nMore.\n\n[1]: https://example.org')).toContain('href="https://example.org"');
		expect(lexed.blocks).toHaveLength(2);
		expect(JSON.stringify(lexed.blocks[0])).toContain('"href":"https://example.org"');
	});

	it('lexes a long answer in a few milliseconds a step', () => {
		const long = `${sample}\n\n`.repeat(60);
		let lexed = emptyLexed;
		const steps: number[] = [];
		for (let end = 0; end < long.length; end += 200) {
			const from = performance.now();
			lexed = lexBlocks(long.slice(0, end), lexed);
			steps.push(performance.now() - from);
		}
		steps.sort((a, b) => a - b);
		expect(steps[Math.floor(steps.length / 2)]).toBeLessThan(5);
	});

	it('gives the words for an announcement', () => {
		expect(plainText('**Hello** `you`\n\n- a\n- b\n\n```sh\nx\n```')).toBe('Hello you a. b sh block');
		expect(plainText('Hello\n\n```sh\nx\n```', false)).toBe('Hello');
	});
});
