import { useSyncExternalStore, type ReactNode } from 'react';

let text = '';
let listeners: (() => void)[] = [];

/** Has a screen reader say something when it is idle. For finished things only, never for streaming text. */
export function announce(message: string): void {
	/* The same words twice must still be a change. */
	text = message === text ? `${message}\u00a0` : message;
	for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
	listeners = [...listeners, listener];
	return () => {
		listeners = listeners.filter((l) => l !== listener);
	};
}

/** The one live region of the page. */
export function Announcer(): ReactNode {
	const said = useSyncExternalStore(subscribe, () => text);
	return (
		<div className="visually-hidden" role="log" aria-live="polite" aria-atomic="true" aria-label="Announcements">
			{said}
		</div>
	);
}
