import './../styles/pages.css';
import './../styles/knowledge.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { BookOpen, Plus } from 'lucide-react';
import { useId, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { collectionsQuery } from '../api/queries';
import type { KnowledgeCollection } from '../api/types';
import { Dialog } from '../ui/dialog';
import { formatBytes, plural } from '../ui/format';
import { Badge, Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';
import { useMay } from './user';

const languages: KnowledgeCollection['language'][] = ['english', 'simple', 'danish', 'dutch', 'finnish', 'french', 'german', 'hungarian', 'italian', 'norwegian', 'portuguese', 'romanian', 'russian', 'spanish', 'swedish', 'turkish'];

export function KnowledgePage(): ReactNode {
	useTitle('Knowledge');
	const collections = useQuery(collectionsQuery);
	const mayWrite = useMay('knowledge.write');
	const [making, setMaking] = useState(false);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Knowledge</h1>
					<p className="muted">Documents that agents search, and that their answers cite.</p>
				</div>
				{mayWrite && (
					<button type="button" className="button primary" onClick={() => setMaking(true)}>
						<Plus aria-hidden size={17} /> New collection
					</button>
				)}
			</div>
			{collections.isPending && <Spinner label="Loading the collections…" />}
			{collections.isError && <Failure what="The collections cannot be read" error={collections.error} retry={() => void collections.refetch()} />}
			{collections.data?.length === 0 && <p className="empty">There is no collection yet.{mayWrite && ' Make one, then drop files into it.'}</p>}
			<ul className="cards" aria-label="Collections">
				{collections.data?.map((c) => <CollectionCard key={c.id} collection={c} />)}
			</ul>
			<Dialog open={making} onClose={() => setMaking(false)} label="New collection">
				<CollectionForm onClose={() => setMaking(false)} />
			</Dialog>
		</div>
	);
}

function CollectionCard({ collection: c }: { collection: KnowledgeCollection }): ReactNode {
	return (
		<li className="card">
			<h2>
				<BookOpen aria-hidden size={18} /> <Link to={`/knowledge/${c.id}`}>{c.name}</Link>
			</h2>
			{c.description && <p>{c.description}</p>}
			<p className="muted">
				{plural(c.documents.total, 'document')}, {formatBytes(c.bytes)}
			</p>
			<div className="row">
				{c.shared && <Badge tone="neutral">for everybody</Badge>}
				{c.documents.working > 0 && <Badge tone="warn">{c.documents.working} being read</Badge>}
				{c.documents.failed > 0 && <Badge tone="bad">{c.documents.failed} failed</Badge>}
				{c.documents.stale > 0 && <Badge tone="warn">{c.documents.stale} to be indexed anew</Badge>}
			</div>
		</li>
	);
}

function CollectionForm({ onClose }: { onClose: () => void }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const id = useId();
	const mayShare = useMay('knowledge.manage');
	const [name, setName] = useState('');
	const [description, setDescription] = useState('');
	const [language, setLanguage] = useState<KnowledgeCollection['language']>('english');
	const [model, setModel] = useState('');
	const [shared, setShared] = useState(false);
	const key = useRef(newKey());
	const make = useMutation({
		mutationFn: () =>
			unwrap(
				api.POST('/api/knowledge/collections', {
					params: { header: { 'Idempotency-Key': key.current } },
					body: { name: name.trim(), description, language, shared, ...(model.trim() ? { embedding_model: model.trim() } : {}) },
				}),
			),
		onSuccess: (made) => {
			void queries.invalidateQueries({ queryKey: ['knowledge'] });
			onClose();
			void navigate(`/knowledge/${made.id}`);
		},
		onError: () => (key.current = newKey()),
	});
	const submit = (event: FormEvent) => {
		event.preventDefault();
		if (!make.isPending) make.mutate();
	};
	return (
		<form onSubmit={submit}>
			<h2>New collection</h2>
			<Field label="Name" value={name} required maxLength={100} autoFocus onChange={(e) => setName(e.target.value)} />
			<Field label="Description" value={description} maxLength={1000} onChange={(e) => setDescription(e.target.value)} />
			<div className="field">
				<label htmlFor={id}>Language</label>
				<select id={id} value={language} onChange={(e) => setLanguage(e.target.value as KnowledgeCollection['language'])}>
					{languages.map((l) => (
						<option key={l} value={l}>
							{l === 'simple' ? 'several, or another one' : l}
						</option>
					))}
				</select>
			</div>
			<Field label="Embedding model" value={model} maxLength={200} hint="A model for embeddings, such as openai/text-embedding-3-small. Without one, what is written alike is found." onChange={(e) => setModel(e.target.value)} />
			{mayShare && (
				<label className="check">
					<input type="checkbox" checked={shared} onChange={(e) => setShared(e.target.checked)} /> For everybody
				</label>
			)}
			{make.isError && <Notice tone="bad">{messageOf(make.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onClose}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={!name.trim() || make.isPending}>
					Make it
				</button>
			</div>
		</form>
	);
}
