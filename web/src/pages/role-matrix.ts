import type { Role } from '../api/types';

/** Whether a pattern of a role covers a permission or a narrower pattern, as the services say it. */
export function covers(granted: string, wanted: string): boolean {
	if (granted === '*') return true;
	if (granted.endsWith('.*')) return wanted.startsWith(granted.slice(0, -1)) && wanted.length > granted.length - 1;
	if (granted === wanted) return true;
	return wanted.startsWith(`${granted}.`) && !wanted.endsWith('*');
}

export interface Cell {
	/** own: the role names it; covered: by a wider one, which `by` names. */
	state: 'own' | 'covered' | 'off';
	by: string;
}

export function cellOf(patterns: string[], wanted: string): Cell {
	const wider = patterns.find((p) => p !== wanted && covers(p, wanted));
	if (wider) return { state: 'covered', by: wider };
	return { state: patterns.includes(wanted) ? 'own' : 'off', by: '' };
}

/** The patterns once a cell is switched. What a new, wider one covers is not named besides. */
export function switched(patterns: string[], wanted: string): string[] {
	if (patterns.includes(wanted)) return patterns.filter((p) => p !== wanted);
	return [...patterns.filter((p) => !covers(wanted, p)), wanted].sort();
}

/** Rows of the matrix: each kind of permission with its pattern and its names. */
export function groupsOf(names: string[]): { pattern: string; names: string[] }[] {
	const groups = new Map<string, string[]>();
	for (const name of [...names].sort()) {
		const kind = name.split('.')[0] ?? name;
		groups.set(kind, [...(groups.get(kind) ?? []), name]);
	}
	return [...groups].map(([kind, list]) => ({ pattern: `${kind}.*`, names: list }));
}

/** Patterns of a role that no row of the matrix shows, such as a permission below another one. */
export function extrasOf(role: Role, names: string[]): string[] {
	return role.permissions.filter((p) => p !== '*' && !names.includes(p) && !(p.endsWith('.*') && names.some((n) => n.startsWith(p.slice(0, -1)))));
}

export const same = (a: string[], b: string[]): boolean => a.length === b.length && [...a].sort().join() === [...b].sort().join();
