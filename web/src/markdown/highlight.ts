/* Highlighting happens in a worker that starts with the first code block. */

/** A scope ('' for none) and its text. */
export type Piece = [scope: string, text: string];

const longest = 50_000; // characters; longer code stays plain

let worker: Worker | null = null;
let nextId = 1;
const waiting = new Map<number, (pieces: Piece[] | null) => void>();

function start(): Worker {
	const started = new Worker(new URL('./highlight.worker.ts', import.meta.url), { type: 'module' });
	started.onmessage = (message: MessageEvent<{ id: number; pieces: Piece[] | null }>) => {
		waiting.get(message.data.id)?.(message.data.pieces);
		waiting.delete(message.data.id);
	};
	started.onerror = () => {
		for (const resolve of waiting.values()) resolve(null);
		waiting.clear();
	};
	return started;
}

/** The code in coloured pieces; null when the language is unknown or the code too long. */
export function highlight(code: string, lang: string): Promise<Piece[] | null> {
	if (code.length > longest || typeof Worker === 'undefined') return Promise.resolve(null);
	worker ??= start();
	const id = nextId++;
	return new Promise((resolve) => {
		waiting.set(id, resolve);
		worker?.postMessage({ id, code, lang });
	});
}
