import '@xterm/xterm/css/xterm.css';

import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { useEffect, useRef, useState, type ReactNode } from 'react';

import { TerminalLink, type TerminalState } from '../live/terminal-link';
import { announce } from '../ui/announce';
import { formatBytes, type Tone } from '../ui/format';
import { Badge } from '../ui/parts';
import { styleFreeDocument, withoutStyles } from '../ui/style-free';
import { Transcript } from '../ui/transcript';

const transcriptMs = 1_000;

const looks: Record<TerminalState['kind'], { label: string; tone: Tone }> = {
	connecting: { label: 'connecting', tone: 'neutral' },
	open: { label: 'connected', tone: 'good' },
	waiting: { label: 'disconnected, trying again', tone: 'warn' },
	ended: { label: 'ended', tone: 'neutral' },
	refused: { label: 'refused', tone: 'bad' },
};

/** One command's terminal, live. */
export function TerminalView({ id, onEnd }: { id: string; onEnd: () => void }): ReactNode {
	const box = useRef<HTMLDivElement>(null);
	const [state, setState] = useState<TerminalState>({ kind: 'connecting' });
	const [skipped, setSkipped] = useState(0);
	const [transcript] = useState(() => new Transcript());
	const [shownText, setShownText] = useState<string | null>(null);
	const ended = useRef(onEnd);
	ended.current = onEnd;

	useEffect(() => {
		if (!box.current) return;
		const term = new Terminal({
			documentOverride: styleFreeDocument(document),
			fontFamily: 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace',
			fontSize: 14,
			scrollback: 5_000,
			screenReaderMode: true,
			theme: { background: '#10141a', foreground: '#e6edf3' },
		});
		const fit = new FitAddon();
		term.loadAddon(fit);
		const place = box.current;
		withoutStyles(document, () => term.open(place));
		const link = new TerminalLink(id, {
			onBytes(bytes) {
				transcript.add(bytes);
				term.write(bytes);
			},
			onSkipped(n) {
				const text = `… ${formatBytes(n)} skipped …`;
				transcript.skipped(text);
				term.write(`\r\n\u001b[7m${text}\u001b[0m\r\n`);
				setSkipped((all) => all + n);
			},
			onState(next) {
				setState(next);
				if (next.kind !== 'ended') return;
				announce(`The terminal has ended. ${next.text}`);
				ended.current();
			},
		});
		const encoder = new TextEncoder();
		term.onData((text) => link.send(encoder.encode(text)));
		term.onBinary((text) => link.send(Uint8Array.from(text, (c) => c.charCodeAt(0))));
		term.onResize(({ rows, cols }) => link.resize(rows, cols));
		const refit = () => {
			fit.fit();
			link.resize(term.rows, term.cols);
		};
		refit();
		const watcher = new ResizeObserver(refit);
		watcher.observe(place);
		term.focus();
		return () => {
			watcher.disconnect();
			link.close();
			term.dispose();
		};
	}, [id, transcript]);

	const isShown = shownText !== null;
	useEffect(() => {
		if (!isShown) return;
		const timer = setInterval(() => setShownText(transcript.text), transcriptMs);
		return () => clearInterval(timer);
	}, [isShown, transcript]);

	const { label, tone } = looks[state.kind];
	return (
		<section aria-label="Terminal">
			<div className="terminal-line">
				<Badge tone={tone}>{label}</Badge>
				{state.kind === 'open' && !state.mayWrite && <span className="muted">You look on; its owner types.</span>}
				{(state.kind === 'ended' || state.kind === 'refused') && <span>{state.text}</span>}
				{skipped > 0 && <span className="muted">{formatBytes(skipped)} of output skipped</span>}
				<button type="button" className="button small" aria-expanded={isShown} onClick={() => setShownText(isShown ? null : transcript.text)}>
					{isShown ? 'Hide the text' : 'As plain text'}
				</button>
			</div>
			<div ref={box} className="terminal-box" />
			{isShown && (
				<pre className="panel transcript" tabIndex={0} role="group" aria-label="What the terminal showed, as plain text">
					{shownText || 'Nothing yet.'}
				</pre>
			)}
		</section>
	);
}
