import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Link } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { call, saveAs } from '../api/files';
import { agentsQuery, batchesQuery, batchRowsQuery } from '../api/queries';
import type { Batch } from '../api/types';
import { Confirm, Dialog } from '../ui/dialog';
import type { Tone } from '../ui/format';
import { Badge, Failure, Field, Notice, Spinner } from '../ui/parts';

const reasons: Record<string, string> = {
	failures: 'too many rows failed',
	user_disabled: 'its owner is disabled or gone',
	right_lost: 'its owner has lost a right it needs',
	agent_archived: 'its agent is archived',
};
const tones: Record<Batch['status'], Tone> = { running: 'busy', paused: 'warn', stopped: 'bad', cancelled: 'warn', ended: 'good' };
const rowTones: Record<string, Tone> = { waiting: 'neutral', running: 'busy', succeeded: 'good', failed: 'bad', cancelled: 'warn' };
const mostBytes = 16 * 1024 * 1024;

/** Runs of an agent over the rows of a file. */
export function Batches(): ReactNode {
	const list = useQuery(batchesQuery);
	const [making, setMaking] = useState(false);
	const [shown, setShown] = useState<Batch | null>(null);
	const [removing, setRemoving] = useState<Batch | null>(null);
	return (
		<section aria-labelledby="batches">
			<div className="page-head">
				<h2 id="batches">Batches</h2>
				<button type="button" className="button primary" onClick={() => setMaking(true)}>
					<Plus aria-hidden size={17} /> New batch
				</button>
			</div>
			{list.isPending && <Spinner label="Loading the batches…" />}
			{list.isError && <Failure what="The batches cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.length === 0 && <p className="empty">No batch yet. A batch sends an agent one message for each row of a CSV or JSONL file.</p>}
			<ul className="runs" aria-label="Batches">
				{list.data?.map((b) => <Row key={b.id} batch={b} onShow={() => setShown(b)} onRemove={() => setRemoving(b)} />)}
			</ul>
			<Dialog open={making} onClose={() => setMaking(false)} label="New batch">
				{making && <BatchForm onDone={() => setMaking(false)} />}
			</Dialog>
			<Dialog open={shown !== null} onClose={() => setShown(null)} label="What became of each row">
				{shown && <Rows batch={shown} />}
			</Dialog>
			<Remove batch={removing} onDone={() => setRemoving(null)} />
		</section>
	);
}

async function download(batch: Batch, format: 'csv' | 'jsonl'): Promise<void> {
	const answer = await call('GET', `/api/batches/${batch.id}/results?format=${format}`);
	saveAs(await answer.blob(), `${batch.name.replaceAll(/[^\p{L}\p{N} ._-]/gu, '_')}.${format}`);
}

function Row({ batch: b, onShow, onRemove }: { batch: Batch; onShow: () => void; onRemove: () => void }): ReactNode {
	const queries = useQueryClient();
	const done = { onSuccess: () => void queries.invalidateQueries({ queryKey: ['batches'] }) };
	const path = { params: { path: { id: b.id } } };
	const set = useMutation({ mutationFn: (status: 'running' | 'paused' | 'cancelled') => unwrap(api.PATCH('/api/batches/{id}', { ...path, body: { status } })), ...done });
	const retry = useMutation({ mutationFn: () => unwrap(api.POST('/api/batches/{id}/retry', path)), ...done });
	const file = useMutation({ mutationFn: (format: 'csv' | 'jsonl') => download(b, format) });
	const isOver = b.status === 'ended' || b.status === 'cancelled';
	const over = b.rows.succeeded + b.rows.failed + b.rows.cancelled;
	const error = set.error ?? retry.error ?? file.error;
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{b.name}</strong> <span className="muted">{b.agent_name}</span>
				<p className="run-answer">
					<progress aria-label={`Rows of ${b.name}`} max={b.rows.total} value={over} /> {b.rows.succeeded} of {b.rows.total} done
					{b.rows.failed > 0 && `, ${b.rows.failed} failed`}
					{b.rows.running > 0 && `, ${b.rows.running} at work`}
				</p>
				<p role="status">{error !== null && messageOf(error)}</p>
			</div>
			<div className="run-facts">
				<Badge tone={tones[b.status]}>{b.status}</Badge>
				{b.reason && <span>{reasons[b.reason] ?? b.reason}</span>}
			</div>
			<div className="row">
				<button type="button" className="button small" onClick={onShow} aria-label={`Rows and answers of ${b.name}`}>
					Rows
				</button>
				<button type="button" className="button small" disabled={file.isPending} onClick={() => file.mutate('csv')} aria-label={`Download ${b.name} as CSV`}>
					CSV
				</button>
				{!isOver && (
					<button type="button" className="button small" disabled={set.isPending} onClick={() => set.mutate(b.status === 'running' ? 'paused' : 'running')} aria-label={`${b.status === 'running' ? 'Pause' : 'Resume'} ${b.name}`}>
						{b.status === 'running' ? 'Pause' : 'Resume'}
					</button>
				)}
				{!isOver && (
					<button type="button" className="button small" disabled={set.isPending} onClick={() => set.mutate('cancelled')} aria-label={`Cancel ${b.name}`}>
						Cancel
					</button>
				)}
				{b.status !== 'running' && b.rows.failed + b.rows.cancelled > 0 && (
					<button type="button" className="button small" disabled={retry.isPending} onClick={() => retry.mutate()} aria-label={`Run again what failed of ${b.name}`}>
						Try again
					</button>
				)}
				{b.rows.running === 0 && b.status !== 'running' && (
					<button type="button" className="button small" onClick={onRemove} aria-label={`Remove ${b.name}`}>
						Remove
					</button>
				)}
			</div>
		</li>
	);
}

function Rows({ batch }: { batch: Batch }): ReactNode {
	const list = useQuery(batchRowsQuery(batch.id));
	return (
		<div className="stack">
			<h2>{batch.name}</h2>
			{list.isPending && <Spinner label="Loading…" />}
			{list.isError && <Failure what="It cannot be read" error={list.error} />}
			{batch.rows.total > 200 && <p className="muted">The first 200 rows; the file has all.</p>}
			<ul className="runs" aria-label="Rows">
				{list.data?.map((r) => (
					<li key={r.number} className="run-row user-row">
						<div className="run-main">
							<span className="muted">{r.number}</span> {r.execution_id && <Link to={`/runs/${r.execution_id}`}>Run</Link>}
							<p className="run-answer">{(r.error?.message ?? r.output ?? '').slice(0, 300)}</p>
						</div>
						<div className="run-facts">
							<Badge tone={rowTones[r.status] ?? 'neutral'}>{r.status}</Badge>
						</div>
					</li>
				))}
			</ul>
		</div>
	);
}

function Remove({ batch, onDone }: { batch: Batch | null; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const remove = useMutation({
		mutationFn: async (id: string) => {
			await unwrap(api.DELETE('/api/batches/{id}', { params: { path: { id } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['batches'] });
			onDone();
		},
	});
	return (
		<Confirm
			open={batch !== null}
			title="Remove the batch?"
			text="Its rows and their list of answers go. Its runs and conversations stay."
			action="Remove"
			busy={remove.isPending}
			error={remove.isError ? messageOf(remove.error) : null}
			onConfirm={() => batch && remove.mutate(batch.id)}
			onClose={onDone}
		/>
	);
}

function BatchForm({ onDone }: { onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const agents = useQuery(agentsQuery);
	const [name, setName] = useState('');
	const [agent, setAgent] = useState('');
	const [message, setMessage] = useState('');
	const [concurrency, setConcurrency] = useState('4');
	const [file, setFile] = useState<File | null>(null);
	const make = useMutation({
		mutationFn: async () => {
			if (!file) throw new Error('Choose a file.');
			if (file.size > mostBytes) throw new Error('The file has more than 16 MiB: divide it.');
			const format = /\.(jsonl|ndjson)$/i.test(file.name) ? 'jsonl' : 'csv';
			const body = { name, agent_id: agent || (agents.data?.at(-1)?.id ?? ''), message, format, data: await file.text(), concurrency: Number(concurrency) } as const;
			return unwrap(api.POST('/api/batches', { params: { header: { 'Idempotency-Key': newKey() } }, body }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['batches'] });
			onDone();
		},
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				make.mutate();
			}}
		>
			<h2>New batch</h2>
			<Field label="Name" name="batch-name" required maxLength={200} value={name} onChange={(e) => setName(e.target.value)} />
			<div className="field">
				<label htmlFor="batch-file">File: CSV, whose first line names the columns, or JSONL</label>
				<input id="batch-file" type="file" accept=".csv,.jsonl,.ndjson,text/csv" required onChange={(e) => setFile(e.target.files?.[0] ?? null)} />
			</div>
			<div className="field">
				<label htmlFor="batch-agent">Agent</label>
				<select id="batch-agent" value={agent || agents.data?.at(-1)?.id} onChange={(e) => setAgent(e.target.value)}>
					{agents.data?.map((a) => (
						<option key={a.id} value={a.id}>
							{a.name}
						</option>
					))}
				</select>
			</div>
			<div className="field">
				<label htmlFor="batch-message">Message, with a place such as {'{{name}}'} for each column</label>
				<textarea id="batch-message" rows={4} required maxLength={200_000} value={message} onChange={(e) => setMessage(e.target.value)} />
			</div>
			<Field label="Runs at the same time" name="batch-concurrency" type="number" min={1} max={50} required value={concurrency} onChange={(e) => setConcurrency(e.target.value)} />
			{make.isError && <Notice tone="bad">{messageOf(make.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={make.isPending}>
					Begin
				</button>
			</div>
		</form>
	);
}
