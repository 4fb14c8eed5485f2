import { expect, test } from 'vitest';

import { allows } from './client';

test('a permission covers itself and what is below it, a pattern all of a kind', () => {
	expect(allows(['*'], 'users.manage')).toBe(true);
	expect(allows(['agents.*'], 'agents.write')).toBe(true);
	expect(allows(['agents.write'], 'agents.write')).toBe(true);
	expect(allows(['channels.read'], 'channels.read.news')).toBe(true);
	expect(allows(['agents.write'], 'agents.write_any')).toBe(false);
	expect(allows(['agents.read'], 'agents.write')).toBe(false);
	expect(allows([], 'agents.read')).toBe(false);
});

test('a denial wins over every grant', () => {
	expect(allows(['*', '!users.*'], 'users.manage')).toBe(false);
	expect(allows(['*', '!users.*'], 'agents.read')).toBe(true);
	expect(allows(['!agents.write', 'agents.*'], 'agents.write')).toBe(false);
});
