import { ArrowUp, Paperclip } from 'lucide-react';
import { useEffect, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';

import { mostAttachments } from '../api/attachments';
import type { Agent, WhenBusy } from '../api/types';
import { PickedFiles } from './attachments';

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

/* Files are not text: they stay as long as the page does. */
const draftFiles = new Map<string, File[]>();

function writeFiles(key: string, files: File[]): void {
	if (files.length > 0) draftFiles.set(key, files);
	else draftFiles.delete(key);
}

/** Puts a message back into the composer, text and files, before what is being written there. */
export function takeDraft(key: string, text: string, files: File[] = []): void {
	const old = readDraft(key);
	writeDraft(key, old ? `${text}\n${old}` : text);
	writeFiles(key, [...files, ...(draftFiles.get(key) ?? [])].slice(0, mostAttachments));
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
	onSend: (text: string, whenBusy?: WhenBusy, files?: File[]) => void;
	onStop?: () => void;
	foot?: ReactNode;
}): ReactNode {
	const [text, setText] = useState(() => readDraft(draftKey));
	const [files, setFiles] = useState<File[]>(() => draftFiles.get(draftKey) ?? []);
	const [fileError, setFileError] = useState('');
	const picker = useRef<HTMLInputElement>(null);
	const area = useRef<HTMLTextAreaElement>(null);
	const [waits, setWaits] = useState(false); // what was said by Enter while nothing can be sent
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
		setWaits(false);
		setText(next);
		writeDraft(draftKey, next);
	}

	function changeFiles(next: File[]): void {
		setFiles(next);
		writeFiles(draftKey, next);
	}

	function send(whenBusy?: WhenBusy): void {
		if (blank) return;
		setWaits(held);
		if (held) return;
		onSend(text.trim(), whenBusy, files);
		change('');
		changeFiles([]);
		setFileError('');
		area.current?.focus({ preventScroll: true });
	}

	function attach(more: Iterable<File>): void {
		const all = [...files, ...more];
		changeFiles(all.slice(0, mostAttachments));
		setFileError(all.length > mostAttachments ? `A message takes ${mostAttachments} files; the rest was left out.` : '');
	}

	/* Its turn has come. */
	useEffect(() => {
		if (waits && !held) send();
	});

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
			<div
				className="composer-box"
				onDragOver={(event) => {
					if (event.dataTransfer.types.includes('Files')) event.preventDefault();
				}}
				onDrop={(event) => {
					if (event.dataTransfer.files.length === 0) return;
					event.preventDefault();
					attach(event.dataTransfer.files);
				}}
			>
				<PickedFiles files={files} onRemove={(file) => changeFiles(files.filter((f) => f !== file))} />
				{fileError && (
					<p role="alert" className="field-error">
						{fileError}
					</p>
				)}
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
					onPaste={(event) => {
						if (event.clipboardData.files.length === 0) return;
						event.preventDefault();
						attach(event.clipboardData.files);
					}}
					aria-describedby="composer-hint"
				/>
				<div className="composer-bar">
					<input
						ref={picker}
						type="file"
						multiple
						hidden
						aria-label="Files to attach"
						onChange={(event) => {
							attach(event.target.files ?? []);
							event.target.value = '';
						}}
					/>
					<button type="button" className="icon-button" aria-label="Attach images or texts" title="Attach images or texts" disabled={disabled} onClick={() => picker.current?.click()}>
						<Paperclip aria-hidden size={18} />
					</button>
					<span className="muted small" id="composer-hint">
						{agent && <span className="composer-agent">{agent.name}</span>}
						<span className="keys">{stop ? 'Enter sends it after this run, Esc stops the run' : 'Enter sends, Shift+Enter makes a new line'}</span>
					</span>
					{stop}
					{stop !== undefined && !blank && files.length === 0 && (
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
