import './../styles/pages.css';
import './../styles/knowledge.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Search, Upload } from 'lucide-react';
import { useRef, useState, type DragEvent, type FormEvent, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router';

import { api, authorizedFetch, unwrap } from '../api/client';
import { apiErrorFrom, messageOf } from '../api/error';
import { collectionQuery, documentsQuery } from '../api/queries';
import type { KnowledgeCollection, KnowledgeDocument } from '../api/types';
import { Confirm } from '../ui/dialog';
import { formatBytes, plural } from '../ui/format';
import { Badge, Failure, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { useMay, useUser } from './user';

export function CollectionPage(): ReactNode {
	const { id = '' } = useParams();
	const collection = useQuery(collectionQuery(id));
	useTitle(collection.data?.name ?? 'Knowledge');
	if (collection.isPending)
		return (
			<div className="page">
				<Spinner label="Loading the collection…" />
			</div>
		);
	if (collection.isError)
		return (
			<div className="page">
				<Failure what="The collection cannot be read" error={collection.error} retry={() => void collection.refetch()} />
			</div>
		);
	return <Collection collection={collection.data} />;
}

function Collection({ collection }: { collection: KnowledgeCollection }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const manages = useMay('knowledge.manage');
	const mayChange = useUser().id === collection.owner_id || manages;
	const documents = useQuery(documentsQuery(collection.id));
	const [removing, setRemoving] = useState(false);
	const refresh = () => void queries.invalidateQueries({ queryKey: ['knowledge'] });
	const remove = useMutation({
		mutationFn: async () => {
			await unwrap(api.DELETE('/api/knowledge/collections/{id}', { params: { path: { id: collection.id } } }));
		},
		onSuccess: () => {
			refresh();
			void navigate('/knowledge');
		},
	});
	const index = useMutation({ mutationFn: () => unwrap(api.POST('/api/knowledge/collections/{id}/index', { params: { path: { id: collection.id } } })), onSettled: refresh });
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<p className="muted">
						<Link to="/knowledge">Knowledge</Link>
					</p>
					<h1>{collection.name}</h1>
					{collection.description && <p>{collection.description}</p>}
					<p className="muted">
						{collection.embedding_model ? `Vectors by ${collection.embedding_model}` : 'Built-in vectors'} · {collection.language} · {collection.shared ? 'for everybody' : 'own'}
					</p>
				</div>
				{mayChange && (
					<div className="row">
						<button type="button" className="button" disabled={index.isPending} onClick={() => index.mutate()}>
							Index all anew
						</button>
						<button type="button" className="button" onClick={() => setRemoving(true)}>
							Delete
						</button>
					</div>
				)}
			</div>
			{index.isError && <Failure what="The documents cannot be indexed" error={index.error} />}
			{collection.documents.stale > 0 && <Notice tone="warn">{plural(collection.documents.stale, 'document')} were indexed with another embedding model: index all anew to find them by it.</Notice>}
			<TryOut collection={collection} />
			<h2>Documents</h2>
			{mayChange && <Drop collectionId={collection.id} onSent={refresh} />}
			{documents.isPending && <Spinner label="Loading the documents…" />}
			{documents.isError && <Failure what="The documents cannot be read" error={documents.error} retry={() => void documents.refetch()} />}
			{documents.data?.length === 0 && <p className="empty">There is no document yet.</p>}
			<ul className="runs" aria-label="Documents">
				{documents.data?.map((d) => <DocumentRow key={d.id} document={d} mayChange={mayChange} onChanged={refresh} />)}
			</ul>
			<Confirm
				open={removing}
				title="Delete the collection?"
				text={`"${collection.name}" and its documents are deleted for good. Answers keep what they cite.`}
				action="Delete"
				busy={remove.isPending}
				error={remove.isError ? messageOf(remove.error) : null}
				onConfirm={() => remove.mutate()}
				onClose={() => setRemoving(false)}
			/>
		</div>
	);
}

interface Sending {
	name: string;
	state: 'sending' | 'known' | 'failed';
	why?: string;
}

async function send(collectionId: string, file: File): Promise<Sending> {
	const request = new Request(`${location.origin}/api/knowledge/collections/${collectionId}/documents?name=${encodeURIComponent(file.name)}`, {
		method: 'POST',
		body: await file.arrayBuffer(),
		headers: { 'Content-Type': file.type || 'application/octet-stream' },
	});
	const answer = await authorizedFetch(request);
	if (answer.ok) return { name: file.name, state: 'known', why: answer.status === 200 ? 'is there already' : '' };
	throw apiErrorFrom(answer.status, await answer.json().catch(() => null));
}

/* Files by mouse, or chosen by the button, one after the other. */
function Drop({ collectionId, onSent }: { collectionId: string; onSent: () => void }): ReactNode {
	const input = useRef<HTMLInputElement>(null);
	const [over, setOver] = useState(false);
	const [list, setList] = useState<Sending[]>([]);
	const sendAll = async (files: File[]) => {
		for (const file of files) {
			setList((old) => [...old.filter((s) => s.name !== file.name), { name: file.name, state: 'sending' }]);
			const done = await send(collectionId, file).catch((e: unknown): Sending => ({ name: file.name, state: 'failed', why: messageOf(e) }));
			setList((old) => old.flatMap((s) => (s.name !== file.name ? [s] : done.why ? [done] : [])));
			onSent();
		}
	};
	const drop = (event: DragEvent) => {
		event.preventDefault();
		setOver(false);
		void sendAll([...event.dataTransfer.files]);
	};
	return (
		<div
			className={`drop${over ? ' over' : ''}`}
			onDragOver={(e) => {
				e.preventDefault();
				setOver(true);
			}}
			onDragLeave={() => setOver(false)}
			onDrop={drop}
		>
			<p>Drop text, Markdown, HTML or PDF files here, or</p>
			<button type="button" className="button" onClick={() => input.current?.click()}>
				<Upload aria-hidden size={16} /> Choose files
			</button>
			<input
				ref={input}
				type="file"
				multiple
				hidden
				aria-label="Files"
				accept=".txt,.md,.markdown,.html,.htm,.pdf,text/*,application/pdf"
				onChange={(e) => {
					void sendAll([...(e.target.files ?? [])]);
					e.target.value = '';
				}}
			/>
			<div role="status">
				{list.map((s) => (
					<p key={s.name} className={s.state === 'failed' ? 'field-error' : 'muted'}>
						{s.name}: {s.state === 'sending' ? 'sending…' : s.why}
					</p>
				))}
			</div>
		</div>
	);
}

const statusNames = { queued: 'waiting', reading: 'being read', embedding: 'being indexed', ready: 'ready', failed: 'failed' };

function DocumentRow({ document: d, mayChange, onChanged }: { document: KnowledgeDocument; mayChange: boolean; onChanged: () => void }): ReactNode {
	const [removing, setRemoving] = useState(false);
	const index = useMutation({ mutationFn: () => unwrap(api.POST('/api/knowledge/documents/{id}/index', { params: { path: { id: d.id } } })), onSettled: onChanged });
	const remove = useMutation({
		mutationFn: async () => {
			await unwrap(api.DELETE('/api/knowledge/documents/{id}', { params: { path: { id: d.id } } }));
		},
		onSuccess: onChanged,
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<Link to={`/knowledge/documents/${d.id}`}>
					<strong>{d.name}</strong>
				</Link>
				{d.title && d.title !== d.name && <p className="run-answer">{d.title}</p>}
				{d.error && <p className={d.status === 'failed' ? 'field-error' : 'muted'}>{d.error.message}</p>}
				{d.status === 'embedding' && <progress max={d.pieces} value={d.done_pieces} aria-label={`${d.name}: ${d.done_pieces} of ${d.pieces} pieces`} />}
				{index.isError && <p className="field-error">{messageOf(index.error)}</p>}
			</div>
			<div className="run-facts">
				{d.stale && <Badge tone="warn">other model</Badge>}
				<Badge tone={d.status === 'ready' ? 'good' : d.status === 'failed' ? 'bad' : 'warn'}>{statusNames[d.status]}</Badge>
				<span>{formatBytes(d.size)}</span>
				{d.pages !== null && <span>{plural(d.pages, 'page')}</span>}
				{d.status === 'ready' && <span>{plural(d.pieces, 'piece')}</span>}
				<ShortTime time={d.created_at} />
			</div>
			{mayChange && (
				<div className="row">
					<button type="button" className="button small" disabled={index.isPending} onClick={() => index.mutate()} aria-label={`Index anew: ${d.name}`}>
						Index anew
					</button>
					<button type="button" className="button small" onClick={() => setRemoving(true)} aria-label={`Delete ${d.name}`}>
						Delete
					</button>
				</div>
			)}
			<Confirm
				open={removing}
				title="Delete the document?"
				text={`"${d.name}" is deleted for good.`}
				action="Delete"
				busy={remove.isPending}
				error={remove.isError ? messageOf(remove.error) : null}
				onConfirm={() => remove.mutate()}
				onClose={() => setRemoving(false)}
			/>
		</li>
	);
}

/* What an agent would find. */
function TryOut({ collection }: { collection: KnowledgeCollection }): ReactNode {
	const [query, setQuery] = useState('');
	const search = useMutation({ mutationFn: () => unwrap(api.POST('/api/knowledge/search', { body: { query: query.trim(), collections: [collection.id], limit: 5, mode: 'hybrid' } })) });
	const submit = (event: FormEvent) => {
		event.preventDefault();
		if (query.trim()) search.mutate();
	};
	return (
		<section aria-label="Try the search">
			<form className="filters" role="search" aria-label="Documents" onSubmit={submit}>
				<div className="search">
					<Search aria-hidden size={16} />
					<input type="search" aria-label="Ask the documents" placeholder="Ask the documents" value={query} maxLength={2000} onChange={(e) => setQuery(e.target.value)} />
				</div>
				<button type="submit" className="button" disabled={!query.trim() || search.isPending}>
					Search
				</button>
			</form>
			{search.isError && <Failure what="The documents cannot be searched" error={search.error} />}
			{search.data?.warning && <Notice tone="warn">{search.data.warning}</Notice>}
			{search.data?.items.length === 0 && <p className="empty">Nothing was found.</p>}
			<ol className="passages" aria-label="Found">
				{search.data?.items.map((p) => (
					<li key={p.id}>
						<Link to={`/knowledge/documents/${p.document_id}?piece=${p.piece}`}>{p.title || p.document}</Link>
						<span className="muted">
							{p.page !== null && `, page ${p.page}`}
							{p.heading && `, ${p.heading}`} · {[p.word_rank && `words ${p.word_rank}.`, p.vector_rank && `vectors ${p.vector_rank}.`].filter(Boolean).join(', ')}
						</span>
						<blockquote className="passage">{p.text}</blockquote>
					</li>
				))}
			</ol>
		</section>
	);
}
