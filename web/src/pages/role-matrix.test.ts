import { expect, test } from 'vitest';

import { cellOf, covers, groupsOf, same, switched } from './role-matrix';

test('a pattern covers what the services say it covers', () => {
	const table: [string, string, boolean][] = [
		['*', 'agents.read', true],
		['*', 'agents.*', true],
		['agents.*', 'agents.read', true],
		['agents.*', 'agents.*', true],
		['agents.*', 'agents', false],
		['agents.*', 'agents.', false],
		['agents.read', 'agents.read', true],
		['agents.read', 'agents.readers', false],
		['channels.read', 'channels.read.kitchen', true],
		['channels.read', 'channels.read.*', false],
		['agents.read', 'agents.*', false],
	];
	for (const [granted, wanted, yes] of table) expect(covers(granted, wanted), `${granted} ${wanted}`).toBe(yes);
});

test('a cell says by what it is covered', () => {
	expect(cellOf(['agents.*'], 'agents.read')).toEqual({ state: 'covered', by: 'agents.*' });
	expect(cellOf(['agents.read'], 'agents.read')).toEqual({ state: 'own', by: '' });
	expect(cellOf([], 'agents.read')).toEqual({ state: 'off', by: '' });
});

test('switching a kind on takes the place of its names', () => {
	expect(switched(['agents.read', 'models.read'], 'agents.*')).toEqual(['agents.*', 'models.read']);
	expect(switched(['agents.*'], 'agents.*')).toEqual([]);
	expect(switched(['models.read'], 'agents.read')).toEqual(['agents.read', 'models.read']);
});

test('permissions stand by kind', () => {
	expect(groupsOf(['b.y', 'a.z', 'a.x'])).toEqual([
		{ pattern: 'a.*', names: ['a.x', 'a.z'] },
		{ pattern: 'b.*', names: ['b.y'] },
	]);
	expect(same(['a', 'b'], ['b', 'a'])).toBe(true);
});
