/* What agents remember of the user, to be looked at and forgotten. */
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import type { MemoryNote } from '../api/types';
import { Confirm } from '../ui/dialog';
import { Failure, Field, Notice, ShortTime, Spinner } from '../ui/parts';
import { useMay } from './user';

const memoryQuery = (q: string) =>
	queryOptions({
		queryKey: ['memory', q],
		queryFn: async ({ signal }) => unwrap(api.GET('/api/memory', { params: { query: q ? { q, limit: 100 } : { limit: 100 } }, signal })),
		staleTime: 0,
	});

const scopes = { user: 'for all your agents', agent: 'for one agent', shared: 'for everybody' };

export function Memory(): ReactNode {
	return useMay('conversations.use') ? <Notes /> : <p className="muted">Your role has no conversations.</p>;
}

function Notes(): ReactNode {
	const [text, setText] = useState('');
	const [words, setWords] = useState('');
	const [asking, setAsking] = useState(false);
	const queries = useQueryClient();
	const list = useQuery(memoryQuery(words));
	const clear = useMutation({
		mutationFn: () => unwrap(api.DELETE('/api/memory')),
		onSuccess: () => {
			setAsking(false);
			void queries.invalidateQueries({ queryKey: ['memory'] });
		},
	});
	function submit(event: FormEvent): void {
		event.preventDefault();
		setWords(text.trim());
	}
	return (
		<>
			<p className="muted">Notes that agents with the tool Memory have made about you and your work.</p>
			<form onSubmit={submit} className="row">
				<Field label="Search notes" type="search" maxLength={500} value={text} onChange={(e) => setText(e.target.value)} />
				<button type="submit" className="button">
					Search
				</button>
			</form>
			{list.isPending && <Spinner label="Loading the notes…" />}
			{list.isError && <Failure what="The notes cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.items.length === 0 && <p>{words ? 'Nothing was found.' : 'Nothing is remembered.'}</p>}
			<ul className="runs" aria-label="Notes">
				{list.data?.items.map((note) => <Row key={note.id} note={note} />)}
			</ul>
			{list.data?.next && <p className="muted">These are the newest 100. Search finds the others.</p>}
			{!words && (list.data?.items.some((note) => note.scope !== 'shared') ?? false) && (
				<p>
					<button type="button" className="button small" onClick={() => setAsking(true)}>
						Forget everything
					</button>
				</p>
			)}
			<Confirm
				open={asking}
				title="Forget everything?"
				text="All notes about you are deleted. What is shared with everybody stays."
				action="Forget"
				busy={clear.isPending}
				error={clear.isError ? messageOf(clear.error) : null}
				onConfirm={() => clear.mutate()}
				onClose={() => setAsking(false)}
			/>
		</>
	);
}

function Row({ note }: { note: MemoryNote }): ReactNode {
	const queries = useQueryClient();
	const mayShare = useMay('settings.manage');
	const remove = useMutation({
		mutationFn: () => unwrap(api.DELETE('/api/memory/{id}', { params: { path: { id: note.id } } })),
		onSuccess: () => queries.invalidateQueries({ queryKey: ['memory'] }),
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{note.name}</strong>
				<p className="run-answer">{note.value}</p>
				{remove.isError && <Notice tone="bad">{messageOf(remove.error)}</Notice>}
			</div>
			<div className="run-facts">
				<span>{scopes[note.scope]}</span>
				<span>
					<ShortTime time={note.updated_at} />
				</span>
			</div>
			{(note.scope !== 'shared' || mayShare) && (
				<button type="button" className="button small" aria-label={`Forget ${note.name}`} disabled={remove.isPending} onClick={() => remove.mutate()}>
					Forget
				</button>
			)}
		</li>
	);
}
