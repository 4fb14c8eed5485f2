import { ChevronDown, SquareTerminal } from 'lucide-react';
import { memo, useEffect, useId, useLayoutEffect, useRef, useState, type ReactNode } from 'react';

import type { CallItem } from '../live/reducer';
import { CopyButton } from './copy-button';
import { callStatus, formatBytes, formatCount, formatDuration } from './format';
import { Badge } from './parts';
import { terminalText } from './terminal-text';

const tickMs = 200;
const toolNames: Record<string, string> = { shell: 'Command', ask_human: 'Question' };

function useElapsed(since: string | null, running: boolean): number | null {
	const [now, setNow] = useState(() => Date.now());
	useEffect(() => {
		if (!running) return;
		const timer = setInterval(() => setNow(Date.now()), tickMs);
		return () => clearInterval(timer);
	}, [running]);
	if (!running || !since) return null;
	return Math.max(0, now - new Date(since).getTime());
}

function argumentText(call: CallItem): string {
	if (call.command) return call.command;
	return typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments ?? {}, null, 2);
}

export const CommandCard = memo(function CommandCard({ call }: { call: CallItem }): ReactNode {
	const [open, setOpen] = useState(true);
	const id = useId();
	const running = call.status === 'running' || call.status === 'queued';
	const elapsed = useElapsed(call.startedAt, running);
	const { label, tone } = callStatus(call.status, call.exitCode, call.signal);
	const command = argumentText(call);
	const note = call.status === 'cancelled' ? null : call.message; // the badge says that
	const hasStderr = call.output.some((piece) => piece.stream === 'stderr');
	return (
		<div className={`command-card ${tone}`} role="group" aria-label={`Command: ${command.split('\n', 1)[0]}`} data-status={call.status}>
			<div className="command-head">
				<button type="button" className="command-toggle" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
					<ChevronDown aria-hidden size={16} className={open ? 'chevron' : 'chevron closed'} />
					<SquareTerminal aria-hidden size={16} />
					<span className="command-name">{open ? toolNames[call.name] ?? call.name : command.split('\n', 1)[0]}</span>
				</button>
				<Badge tone={tone}>{label}</Badge>
				<span className="command-time">{running ? elapsed !== null && formatDuration(Math.floor(elapsed / 100) * 100) : formatDuration(call.durationMs)}</span>
			</div>
			{open && (
				<div className="command-body" id={id}>
					<div className="command-line">
						<pre>
							<code>
								{call.command !== null && <span className="prompt" aria-hidden>$ </span>}
								{command}
							</code>
						</pre>
						<CopyButton text={command} what="command" />
					</div>
					<Output call={call} running={running} hasStderr={hasStderr} hasNote={note !== null} />
					{note && <p className="command-message">{note}</p>}
				</div>
			)}
		</div>
	);
});

function Output({ call, running, hasStderr, hasNote }: { call: CallItem; running: boolean; hasStderr: boolean; hasNote: boolean }): ReactNode {
	const box = useRef<HTMLPreElement>(null);
	const stick = useRef(true);
	useLayoutEffect(() => {
		const element = box.current;
		if (element && running && stick.current) element.scrollTop = element.scrollHeight;
	}, [call.output, running]);
	if (call.output.length === 0) {
		if (running) return <p className="command-empty">Waiting for output…</p>;
		return hasNote || call.status === 'waiting' ? null : <p className="command-empty">No output.</p>;
	}
	const text = call.output.map((piece) => piece.text).join('');
	return (
		<>
			{call.hiddenChars > 0 && (
				<p className="command-note">
					Only the end is shown: {formatCount(call.hiddenChars)} characters before it are not.
				</p>
			)}
			<pre
				ref={box}
				className="output"
				tabIndex={0}
				role="group"
				aria-label="Output"
				onScroll={(event) => {
					const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
					stick.current = scrollHeight - scrollTop - clientHeight < 24;
				}}
			>
				{call.output.map((piece, i) => (
					<span key={i} className={piece.stream}>
						{piece.stream === 'skipped' ? `\n… ${formatBytes(piece.bytes)} left out …\n` : terminalText(piece.text)}
					</span>
				))}
			</pre>
			<div className="command-foot">
				{call.outputBytes !== null && <span>{formatBytes(call.outputBytes)}</span>}
				{hasStderr && <span className="stderr-key">stderr is marked</span>}
				{call.skippedBytes > 0 && <span>{formatBytes(call.skippedBytes)} left out</span>}
				<CopyButton text={text} what="output" />
			</div>
		</>
	);
}
