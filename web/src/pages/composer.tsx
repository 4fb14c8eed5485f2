import { ArrowUp } from 'lucide-react';
import { useEffect, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';

import type { Agent, WhenBusy } from '../api/types';

const mostRows = 10;
const draftKeyPrefix = 'ogent-draft-';

function readDraft(key: string): string {
	try {
		return sessionStorage.getItem(draftKeyPrefix + key) ?? '';
	} catch {
		return '';
	}
}

function writeDraft(key: string, text: string): void {
	try {
		if (text) sessionStorage.setItem(draftKeyPrefix + key, text);
		else sessionStorage.removeItem(draftKeyPrefix + key);
	} catch {
		/* the draft lives as long as the page */
	}
}

/** Puts text that could not be sent back into the composer, before what is being written there. */
export function takeDraft(key: string, text: string): void {
	const old = readDraft(key);
	writeDraft(key, old ? `${text}\n${old}` : text);
}

export function Composer({
	draftKey,
	busy,
	disabled,
	agent,
	stop,
	onSend,
	onStop,
	foot,
}: {
	draftKey: string;
	busy: boolean;
	disabled: boolean;
	agent: Agent | undefined;
	stop?: ReactNode;
	onSend: (text: string, whenBusy?: WhenBusy) => void;
	onStop?: () => void;
	foot?: ReactNode;
}): ReactNode {
	const [text, setText] = useState(() => readDraft(draftKey));
	const area = useRef<HTMLTextAreaElement>(null);
	const blank = text.trim() === '';
	const held = disabled || busy;

	useEffect(() => {
		if (!matchMedia('(pointer: coarse)').matches) area.current?.focus({ preventScroll: true });
	}, []);

	/* The Stop button takes the focus along when it goes. */
	const stops = stop !== undefined;
	useEffect(() => {
		if (!stops && document.activeElement === document.body && !matchMedia('(pointer: coarse)').matches) area.current?.focus({ preventScroll: true });
	}, [stops]);

	function change(next: string): void {
		setText(next);
		writeDraft(draftKey, next);
	}

	function send(whenBusy?: WhenBusy): void {
		if (blank || held) return;
		onSend(text.trim(), whenBusy);
		change('');
		area.current?.focus({ preventScroll: true });
	}

	function onKeyDown(event: KeyboardEvent): void {
		if (event.nativeEvent.isComposing) return;
		if (event.key === 'Escape' && onStop) {
			event.preventDefault();
			onStop();
		}
		if (event.key !== 'Enter' || event.shiftKey || matchMedia('(pointer: coarse)').matches) return;
		event.preventDefault();
		send();
	}

	return (
		<form
			className="composer"
			aria-label="New message"
			onSubmit={(event) => {
				event.preventDefault();
				send();
			}}
		>
			<div className="composer-box">
				<label htmlFor="composer-text" className="visually-hidden">
					Message
				</label>
				<textarea
					id="composer-text"
					ref={area}
					rows={Math.min(mostRows, text.split('\n').length)}
					value={text}
					maxLength={200_000}
					placeholder={agent ? `Ask ${agent.name}…` : 'Write a message…'}
					onChange={(event) => change(event.target.value)}
					onKeyDown={onKeyDown}
					aria-describedby="composer-hint"
				/>
				<div className="composer-bar">
					<span className="muted small" id="composer-hint">
						{agent && <span className="composer-agent">{agent.name}</span>}
						<span className="keys">{stop ? 'Enter sends it after this run, Esc stops the run' : 'Enter sends, Shift+Enter makes a new line'}</span>
					</span>
					{stop}
					{stop !== undefined && !blank && (
						<button type="button" className="button" disabled={held} title="Tell the agent at its next step" onClick={() => send('steer')}>
							Tell it now
						</button>
					)}
					{(stop === undefined || !blank) && (
						<button type="submit" className="send" disabled={blank || held} aria-label={stop === undefined ? 'Send' : 'Send after this run'}>
							<ArrowUp aria-hidden size={20} />
						</button>
					)}
				</div>
			</div>
			<div className="composer-foot">{foot}</div>
		</form>
	);
}
