import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const key = 'ogent-theme';
const order: Theme[] = ['system', 'light', 'dark'];
const listeners = new Set<() => void>();
let theme: Theme = read();

function read(): Theme {
	try {
		const stored = localStorage.getItem(key) as Theme | null;
		return stored && order.includes(stored) ? stored : 'system';
	} catch {
		return 'system';
	}
}

export function applyTheme(): void {
	if (theme === 'system') delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = theme;
}

export function nextTheme(): void {
	theme = order[(order.indexOf(theme) + 1) % order.length] ?? 'system';
	try {
		localStorage.setItem(key, theme);
	} catch {
		/* kept for this page only */
	}
	applyTheme();
	for (const listener of listeners) listener();
}

export function useTheme(): Theme {
	return useSyncExternalStore(
		(listener) => {
			listeners.add(listener);
			return () => listeners.delete(listener);
		},
		() => theme,
	);
}
