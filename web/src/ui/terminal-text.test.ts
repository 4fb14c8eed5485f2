import { describe, expect, it } from 'vitest';

import { terminalText } from './terminal-text';

describe('text of a terminal', () => {
	it('loses colours and titles', () => {
		expect(terminalText('\u001b[1;31mred\u001b[0m \u001b]0;title\u0007x\u001b(B')).toBe('red x');
	});
	it('overwrites a line after a carriage return', () => {
		expect(terminalText('10%\r50%\r100% done\nnext\r\n')).toBe('100% done\nnext\n');
		expect(terminalText('abcdef\rxy')).toBe('xycdef');
	});
	it('drops other control characters and keeps tabs and lines', () => {
		expect(terminalText('a\u0007\tb\nc')).toBe('a\tb\nc');
	});
});
