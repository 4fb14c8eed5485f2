import './../styles/pages.css';
import './../styles/knowledge.css';

import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';

import { authorizedFetch } from '../api/client';
import { apiErrorFrom, messageOf } from '../api/error';
import { collectionQuery, documentQuery, piecesQuery } from '../api/queries';
import type { KnowledgeDocument, KnowledgePiece } from '../api/types';
import { formatBytes, plural } from '../ui/format';
import { Failure, Notice, Spinner, useTitle } from '../ui/parts';

const before = 3; // pieces shown above the one that is cited
const page = 20;

export function DocumentPage(): ReactNode {
	const { id = '' } = useParams();
	const document = useQuery(documentQuery(id));
	useTitle(document.data?.title || document.data?.name || 'Document');
	return (
		<div className="page">
			{document.isPending && <Spinner label="Loading the document…" />}
			{document.isError && <Failure what="The document cannot be read" error={document.error} retry={() => void document.refetch()} />}
			{document.data && <Head document={document.data} />}
			{document.data?.searchable && <Pieces key={id} document={document.data} />}
		</div>
	);
}

function Head({ document: d }: { document: KnowledgeDocument }): ReactNode {
	const collection = useQuery(collectionQuery(d.collection_id));
	const [error, setError] = useState('');
	const download = async () => {
		setError('');
		const answer = await authorizedFetch(new Request(`${location.origin}/api/knowledge/documents/${d.id}/content`));
		if (!answer.ok) throw apiErrorFrom(answer.status, await answer.json().catch(() => null));
		const link = globalThis.document.createElement('a');
		link.href = URL.createObjectURL(await answer.blob());
		link.download = d.name;
		link.click();
		URL.revokeObjectURL(link.href);
	};
	return (
		<div className="page-head">
			<div>
				<p className="muted">
					<Link to={`/knowledge/${d.collection_id}`}>{collection.data?.name ?? 'Collection'}</Link>
				</p>
				<h1>{d.title || d.name}</h1>
				<p className="muted">
					{d.name} · {formatBytes(d.size)}
					{d.pages !== null && ` · ${plural(d.pages, 'page')}`} · {plural(d.pieces, 'piece')}
				</p>
				{d.error && <Notice tone={d.status === 'failed' ? 'bad' : 'warn'}>{d.error.message}</Notice>}
				{error && <p role="alert" className="field-error">{error}</p>}
			</div>
			<button type="button" className="button" onClick={() => void download().catch((e: unknown) => setError(messageOf(e)))}>
				Download
			</button>
		</div>
	);
}

/* The pieces around the one in the address, which is marked. */
function Pieces({ document }: { document: KnowledgeDocument }): ReactNode {
	const [params] = useSearchParams();
	const wanted = params.has('piece') ? Number(params.get('piece')) : null;
	const [from, setFrom] = useState(Math.max(0, (wanted ?? 0) - before));
	const pieces = useQuery(piecesQuery(document.id, from));
	return (
		<>
			{pieces.isPending && <Spinner label="Loading the text…" />}
			{pieces.isError && <Failure what="The text cannot be read" error={pieces.error} retry={() => void pieces.refetch()} />}
			<ol className="passages" aria-label="Text">
				{pieces.data?.map((p) => <Piece key={p.number} piece={p} marked={p.number === wanted} />)}
			</ol>
			<div className="row">
				<button type="button" className="button" disabled={from === 0} onClick={() => setFrom(Math.max(0, from - page))}>
					Before
				</button>
				<button type="button" className="button" disabled={from + page >= document.pieces} onClick={() => setFrom(from + page)}>
					Go on
				</button>
			</div>
		</>
	);
}

function Piece({ piece, marked }: { piece: KnowledgePiece; marked: boolean }): ReactNode {
	const element = useRef<HTMLLIElement>(null);
	useEffect(() => {
		if (marked) element.current?.scrollIntoView({ block: 'center' });
	}, [marked]);
	return (
		<li ref={element} className={marked ? 'marked' : undefined} aria-current={marked ? 'true' : undefined}>
			<span className="muted">
				{piece.page !== null && `page ${piece.page} `}
				{piece.heading}
			</span>
			<blockquote className="passage">{piece.text}</blockquote>
		</li>
	);
}
