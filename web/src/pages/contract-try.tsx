import { useMutation } from '@tanstack/react-query';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';

import { authorizedFetch } from '../api/client';
import { messageOf, unreachable } from '../api/error';
import { addressOf, curlOf, sampleOf, typeText, type Contract, type Operation } from '../contract/openapi';
import { CopyButton } from '../ui/copy-button';
import { Field, Notice } from '../ui/parts';

const shownMax = 200_000; // characters of an answer

interface Shown {
	status: string;
	type: string;
	requestId: string;
	text: string;
	ms: number;
	done: boolean;
}

async function ask(operation: Operation, target: string, headers: Record<string, string>, body: string, signal: AbortSignal): Promise<Response> {
	const all = body ? { ...headers, 'Content-Type': operation.body?.type ?? 'application/json' } : headers;
	const request = new Request(location.origin + target, { method: operation.method, headers: all, signal, ...(body ? { body } : {}) });
	if (!operation.isPublic) return authorizedFetch(request);
	try {
		return await fetch(request);
	} catch (error) {
		throw signal.aborted ? error : unreachable();
	}
}

const readable = /json|text|javascript|xml|asciicast/;

/* Piece by piece, since a stream of events may never end. */
async function read(answer: Response, show: (text: string) => void): Promise<void> {
	if (!readable.test(answer.headers.get('Content-Type') ?? 'text')) {
		show(`${(await answer.arrayBuffer()).byteLength} bytes that are no text`);
		return;
	}
	const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
	let text = '';
	for (let piece = await reader?.read(); piece && !piece.done && text.length < shownMax; piece = await reader?.read()) show((text += piece.value));
	if (text.length >= shownMax) {
		await reader?.cancel();
		show(`${text.slice(0, shownMax)}\n… the rest is not shown`);
	}
}

function pretty(shown: Shown): string {
	if (!shown.done || !shown.type.includes('json')) return shown.text;
	try {
		return JSON.stringify(JSON.parse(shown.text), null, 2);
	} catch {
		return shown.text;
	}
}

/** A form for one request, its line for a shell, and the answer as it comes. */
export function TryOperation({ doc, operation, signedIn }: { doc: Contract; operation: Operation; signedIn: boolean }): ReactNode {
	const [values, setValues] = useState<Record<string, string>>({});
	const [body, setBody] = useState(() => (operation.body?.type.includes('json') ? JSON.stringify(sampleOf(doc, operation.body.schema), null, 2) : ''));
	const [shown, setShown] = useState<Shown | null>(null);
	const stop = useRef<AbortController | null>(null);
	const { target, headers } = addressOf(operation, values);
	const send = useMutation({
		mutationFn: async () => {
			const control = new AbortController();
			const started = performance.now();
			stop.current = control;
			setShown(null);
			const answer = await ask(operation, target, headers, body, control.signal);
			const head = {
				status: `${answer.status} ${answer.statusText}`,
				type: answer.headers.get('Content-Type') ?? '',
				requestId: answer.headers.get('X-Request-Id') ?? '',
				ms: Math.round(performance.now() - started),
			};
			setShown({ ...head, text: '', done: false });
			await read(answer, (text) => setShown({ ...head, text, done: false })).catch((error: unknown) => {
				if (!control.signal.aborted) throw error;
			});
			setShown((s) => s && { ...s, done: true });
		},
	});
	const inputs = operation.parameters.filter((p) => p.in !== 'cookie');
	const line = curlOf(location.origin, operation, target, headers, body);
	const isBlocked = !operation.isPublic && !signedIn;
	return (
		<form
			className="stack try"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				send.mutate();
			}}
		>
			<h3>Try it</h3>
			{inputs.map((p) => {
				const key = `${p.in}:${p.name}`;
				return <Field key={key} label={p.name} hint={typeText(doc, p.schema)} required={p.required ?? false} value={values[key] ?? ''} onChange={(e) => setValues({ ...values, [key]: e.target.value })} />;
			})}
			{operation.body && (
				<label className="field">
					Body, {operation.body.type}
					<textarea rows={Math.min(14, body.split('\n').length + 1)} spellCheck={false} value={body} onChange={(e) => setBody(e.target.value)} />
				</label>
			)}
			<div className="curl">
				<code>{line}</code>
				<CopyButton text={line} what="the line for a shell" />
			</div>
			<div className="row">
				<button type="submit" className="button primary" disabled={send.isPending || isBlocked}>
					{send.isPending ? 'Waiting…' : 'Send'}
				</button>
				{send.isPending && (
					<button type="button" className="button" onClick={() => stop.current?.abort()}>
						Stop
					</button>
				)}
				{isBlocked && <span className="muted">Sign in to send this one.</span>}
			</div>
			{send.isError && !stop.current?.signal.aborted && <Notice tone="bad">{messageOf(send.error)}</Notice>}
			{shown && (
				<div className="answer-shown" role="status" aria-label="Answer">
					<p>
						<strong>{shown.status}</strong>{' '}
						<span className="muted">
							{shown.ms} ms · {shown.type || 'no body'} {shown.requestId && `· request ${shown.requestId}`}
						</span>
					</p>
					{shown.text && <pre>{pretty(shown)}</pre>}
				</div>
			)}
		</form>
	);
}
