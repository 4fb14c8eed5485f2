import { useQueryClient } from '@tanstack/react-query';
import { Check, Hand, Pencil, X } from 'lucide-react';
import { useId, useState, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import type { ApprovalDecision } from '../api/types';
import type { PendingApproval } from '../live/reducer';
import { announce } from '../ui/announce';
import { formatShort } from '../ui/format';
import { useConfirmation } from './confirmation';
import { useMay } from './user';

type Mode = 'idle' | 'editing' | 'rejecting' | 'sending' | 'decided';

const titles = { call: 'May it do this?', command: 'May this command run?', question: 'The agent asks' };

/* A command line is edited as it is, anything else as JSON. */
function editText(approval: PendingApproval): string {
	const { command } = approval.arguments;
	return typeof command === 'string' ? command : JSON.stringify(approval.arguments, null, 2);
}

function editedArguments(approval: PendingApproval, text: string): Record<string, unknown> {
	if (typeof approval.arguments.command === 'string') return { ...approval.arguments, command: text };
	const value: unknown = JSON.parse(text);
	if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('The arguments must be a JSON object.');
	return value as Record<string, unknown>;
}

/** Something that waits for a person, and what he can say. */
export function ApprovalCard({ approval, tool }: { approval: PendingApproval; tool: string }): ReactNode {
	const queries = useQueryClient();
	const confirmation = useConfirmation();
	const may = useMay('executions.approve');
	const [mode, setMode] = useState<Mode>('idle');
	const [text, setText] = useState('');
	const [error, setError] = useState('');
	const id = useId();
	const isQuestion = approval.kind === 'question';

	function decide(make: () => ApprovalDecision, done: string): void {
		const before = mode;
		let body: ApprovalDecision;
		try {
			body = make();
		} catch (e) {
			setError(messageOf(e));
			return;
		}
		setMode('sending');
		setError('');
		confirmation
			.run((given) => unwrap(api.POST('/api/approvals/{id}', { params: { path: { id: approval.id } }, body: given === undefined ? body : { ...body, confirmation: given } })))
			.then(() => {
				setMode('decided');
				announce(done);
				void queries.invalidateQueries({ queryKey: ['approvals'] });
			})
			.catch((e: unknown) => {
				setMode(before);
				setError(messageOf(e));
			});
	}
	const submit = () => {
		if (isQuestion) decide(() => ({ decision: 'answer', message: text.trim() }), 'Answered.');
		else if (mode === 'editing') decide(() => ({ decision: 'edit', arguments: editedArguments(approval, text) }), 'Approved with changes.');
		else decide(() => ({ decision: 'reject', message: text.trim() }), 'Rejected.');
	};
	const change = (next: Mode, value: string) => {
		setMode(next);
		setText(value);
		setError('');
	};
	const busy = mode === 'sending' || mode === 'decided';
	const asksText = isQuestion || mode === 'editing' || mode === 'rejecting';
	return (
		<section className="approval-card" aria-labelledby={`${id}-title`} data-approval={approval.id}>
			<h3 id={`${id}-title`}>
				<Hand aria-hidden size={16} /> {titles[approval.kind]}
			</h3>
			{isQuestion ? (
				<p>{approval.summary}</p>
			) : (
				<pre className="approval-what" tabIndex={0} role="group" aria-label={`Arguments of ${tool}`}>
					{approval.summary ?? JSON.stringify(approval.arguments, null, 2)}
				</pre>
			)}
			{approval.reason && <p className="muted small">{approval.reason}</p>}
			{!may && <p className="muted">Your role may not decide this: an administrator or operator can.</p>}
			{may && (
				<form
					onSubmit={(event) => {
						event.preventDefault();
						submit();
					}}
				>
					{asksText && (
						<>
							<label htmlFor={`${id}-text`}>{isQuestion ? 'Your answer' : mode === 'editing' ? 'Run this instead' : 'What the agent is told (optional)'}</label>
							<textarea id={`${id}-text`} rows={mode === 'editing' ? 4 : 2} value={text} disabled={busy} onChange={(event) => setText(event.target.value)} />
						</>
					)}
					<div className="row">
						{asksText ? (
							<>
								<button type="submit" className="button primary" disabled={busy || (isQuestion && text.trim() === '')}>
									{isQuestion ? 'Answer' : mode === 'editing' ? 'Approve the change' : 'Reject'}
								</button>
								{!isQuestion && (
									<button type="button" className="button ghost" onClick={() => change('idle', '')}>
										Back
									</button>
								)}
								{isQuestion && (
									<button type="button" className="button ghost" disabled={busy} onClick={() => decide(() => ({ decision: 'reject' }), 'Not answered.')}>
										Do not answer
									</button>
								)}
							</>
						) : (
							<>
								<button type="button" className="button primary" disabled={busy} onClick={() => decide(() => ({ decision: 'approve', hash: approval.hash }), 'Approved.')}>
									<Check aria-hidden size={16} /> Approve
								</button>
								<button type="button" className="button" disabled={busy} onClick={() => change('editing', editText(approval))}>
									<Pencil aria-hidden size={16} /> Edit
								</button>
								<button type="button" className="button" disabled={busy} onClick={() => change('rejecting', '')}>
									<X aria-hidden size={16} /> Reject
								</button>
							</>
						)}
						<span className="muted small">until {formatShort(approval.expiresAt)}</span>
					</div>
				</form>
			)}
			{error && (
				<p role="alert" className="field-error">
					{error}
				</p>
			)}
			{confirmation.dialog}
		</section>
	);
}
