/* What an answer cites, as numbers in its text: a click shows the passage and where it stands. */
import { createContext, useContext, useState, type ReactNode } from 'react';
import { Link } from 'react-router';

import type { Citation } from '../api/types';
import { Dialog } from '../ui/dialog';

export const CitationsContext = createContext<readonly Citation[] | null>(null);

const mark = /\[(k-[0-9a-z]{8}(?:[,; ]+k-[0-9a-z]{8})*)\]/;
const previewChars = 300;

/** "handbook.md, page 3, Leave" */
export function placeOf(citation: Citation): string {
	const name = citation.title || citation.document || '';
	const parts = [name, citation.page ? `page ${citation.page}` : '', citation.heading === name ? '' : citation.heading ?? ''];
	return parts.filter(Boolean).join(', ');
}

/** The text with its citations as numbers; without any it is what it was. */
export function CitedText({ text }: { text: string }): ReactNode {
	const citations = useContext(CitationsContext);
	if (!citations || !mark.test(text)) return text;
	return text.split(mark).map((part, i) => (i % 2 === 0 ? part : part.split(/[,; ]+/).map((id) => <Mark key={`${i}${id}`} id={id} citation={citations.find((c) => c.id === id)} />)));
}

function Mark({ id, citation }: { id: string; citation: Citation | undefined }): ReactNode {
	const [open, setOpen] = useState(false);
	if (!citation?.found)
		return (
			<sup className="cite unfound" title="No search of this conversation has found this source: the model made it up.">
				?<span className="visually-hidden"> (source {id} was not found)</span>
			</sup>
		);
	return (
		<>
			<sup className="cite">
				<button type="button" title={`${placeOf(citation)}\n\n${(citation.text ?? '').slice(0, previewChars)}`} aria-label={`Source ${citation.number}: ${placeOf(citation)}`} onClick={() => setOpen(true)}>
					{citation.number}
				</button>
			</sup>
			{open && <Passage citation={citation} onClose={() => setOpen(false)} />}
		</>
	);
}

function Passage({ citation, onClose }: { citation: Citation; onClose: () => void }): ReactNode {
	return (
		<Dialog open onClose={onClose} label={`Source ${citation.number}`}>
			<h2>{placeOf(citation)}</h2>
			<blockquote className="passage">{citation.text}</blockquote>
			<div className="row end">
				<Link className="button" to={`/knowledge/documents/${citation.document_id}?piece=${citation.piece}`}>
					Open the document
				</Link>
				<button type="button" className="button primary" onClick={onClose} autoFocus>
					Close
				</button>
			</div>
		</Dialog>
	);
}

/** The sources of an answer, in a line below it. */
export function Sources({ citations }: { citations: readonly Citation[] }): ReactNode {
	const [shown, setShown] = useState<Citation | null>(null);
	const found = citations.filter((c) => c.found);
	if (found.length === 0) return null;
	return (
		<div className="sources">
			<span>Sources:</span>
			<ol>
				{found.map((c) => (
					<li key={c.id} value={c.number ?? undefined}>
						<button type="button" className="link-button" onClick={() => setShown(c)}>
							{c.number}. {placeOf(c)}
						</button>
					</li>
				))}
			</ol>
			{shown && <Passage citation={shown} onClose={() => setShown(null)} />}
		</div>
	);
}
