import './../styles/pages.css';
import './../styles/contract.css';

import { useQuery } from '@tanstack/react-query';
import { Lock, Search } from 'lucide-react';
import { useId, useMemo, useState, type ReactNode } from 'react';
import { Link } from 'react-router';

import { groupsOf, matches, operationsOf, fieldsOf, typeText, type Answer, type Contract, type Operation, type Schema } from '../contract/openapi';
import { apiErrorFrom, unreachable } from '../api/error';
import { Markdown } from '../markdown/markdown';
import { Failure, Spinner, useTitle } from '../ui/parts';
import { TryOperation } from './contract-try';

async function readContract(): Promise<Contract> {
	const answer = await fetch('/api/openapi.json').catch(() => {
		throw unreachable();
	});
	if (!answer.ok) throw apiErrorFrom(answer.status, await answer.json().catch(() => null));
	return (await answer.json()) as Contract;
}

/** What the API offers, from its own contract; with a session each operation can be tried. */
export function ContractPage({ signedIn }: { signedIn: boolean }): ReactNode {
	useTitle('API');
	const contract = useQuery({ queryKey: ['contract'], queryFn: readContract, staleTime: Infinity });
	if (contract.isPending) return <div className="page"><Spinner label="Loading the contract…" /></div>;
	if (contract.isError) return <div className="page"><Failure what="The contract cannot be read" error={contract.error} retry={() => void contract.refetch()} /></div>;
	return <Browser doc={contract.data} signedIn={signedIn} />;
}

function Browser({ doc, signedIn }: { doc: Contract; signedIn: boolean }): ReactNode {
	const [words, setWords] = useState('');
	const operations = useMemo(() => operationsOf(doc), [doc]);
	const groups = groupsOf(doc, operations.filter((o) => matches(o, words)));
	return (
		<div className="page contract">
			<div className="page-head">
				<div>
					<h1>{doc.info.title} API</h1>
					<p className="muted">
						Version {doc.info.version} · {operations.length} operations · <a href="/api/openapi.json">openapi.json</a>
						{!signedIn && (
							<>
								{' '}· <Link to="/">sign in</Link> to try them
							</>
						)}
					</p>
				</div>
			</div>
			<details className="panel contract-about">
				<summary>Conventions</summary>
				<Markdown text={doc.info.description ?? ''} done />
			</details>
			<div className="search">
				<Search aria-hidden size={17} />
				<input type="search" aria-label="Search operations" placeholder="Search by path, name or permission" value={words} onChange={(e) => setWords(e.target.value)} />
			</div>
			{groups.length === 0 && <p className="empty">No operation has these words.</p>}
			{groups.map((group) => (
				<section key={group.tag} aria-label={group.tag}>
					<h2>{group.tag}</h2>
					<p className="muted">{group.description}</p>
					<ul className="runs">
						{group.operations.map((operation) => (
							<Row key={operation.id} doc={doc} operation={operation} signedIn={signedIn} />
						))}
					</ul>
				</section>
			))}
		</div>
	);
}

/* The address names the open operation, so that a link leads to it. */
function Row({ doc, operation, signedIn }: { doc: Contract; operation: Operation; signedIn: boolean }): ReactNode {
	const [open, setOpen] = useState(location.hash === `#${operation.id}`);
	const panel = useId();
	const toggle = () => {
		history.replaceState(history.state, '', open ? location.pathname : `#${operation.id}`);
		setOpen(!open);
	};
	return (
		<li className="operation">
			<button type="button" className="operation-head" aria-expanded={open} aria-controls={panel} onClick={toggle}>
				<span className={`method ${operation.method.toLowerCase()}`}>{operation.method}</span>
				<code>{operation.path}</code>
				<span className="muted">{operation.summary}</span>
				{!operation.isPublic && <Lock aria-label="needs a token" size={14} />}
			</button>
			<div id={panel} hidden={!open}>
				{open && <Details doc={doc} operation={operation} signedIn={signedIn} />}
			</div>
		</li>
	);
}

function Details({ doc, operation, signedIn }: { doc: Contract; operation: Operation; signedIn: boolean }): ReactNode {
	return (
		<div className="operation-body">
			{operation.permission && (
				<p>
					Needs the permission <code>{operation.permission}</code>.
				</p>
			)}
			{operation.description && <Markdown text={operation.description} done />}
			<Parameters doc={doc} operation={operation} />
			{operation.body && (
				<>
					<h3>Body</h3>
					<SchemaTable doc={doc} type={operation.body.type} schema={operation.body.schema} />
				</>
			)}
			<h3>Answers</h3>
			{operation.answers.map((answer) => (
				<AnswerPart key={answer.status} doc={doc} answer={answer} />
			))}
			<TryOperation doc={doc} operation={operation} signedIn={signedIn} />
		</div>
	);
}

function Parameters({ doc, operation }: { doc: Contract; operation: Operation }): ReactNode {
	if (operation.parameters.length === 0) return null;
	return (
		<>
			<h3>Parameters</h3>
			<table className="fields">
				<tbody>
					{operation.parameters.map((p) => (
						<tr key={`${p.in}:${p.name}`}>
							<th scope="row">
								<code>{p.name}</code> <span className="muted">{p.in}{p.required ? ', required' : ''}</span>
							</th>
							<td>
								<code>{typeText(doc, p.schema)}</code>
							</td>
							<td>{p.description}</td>
						</tr>
					))}
				</tbody>
			</table>
		</>
	);
}

function SchemaTable({ doc, type, schema }: { doc: Contract; type: string; schema: Schema | undefined }): ReactNode {
	const rows = fieldsOf(doc, schema);
	return (
		<>
			<p className="muted">
				{type}: <code>{typeText(doc, schema)}</code>
			</p>
			{rows.length > 0 && (
				<table className="fields">
					<tbody>
						{rows.map((row, i) => (
							<tr key={`${i}:${row.name}`}>
								<th scope="row">
									<code>{row.name}</code> {row.required && <span className="muted">required</span>}
								</th>
								<td>
									<code>{row.type}</code>
								</td>
								<td>{row.text}</td>
							</tr>
						))}
					</tbody>
				</table>
			)}
		</>
	);
}

function AnswerPart({ doc, answer }: { doc: Contract; answer: Answer }): ReactNode {
	return (
		<details className="answer">
			<summary>
				<code>{answer.status}</code> <Inline text={answer.description} />
			</summary>
			{answer.types.map(({ type, schema }) => (
				<SchemaTable key={type} doc={doc} type={type} schema={schema} />
			))}
		</details>
	);
}

/* `code` in a line of text. */
function Inline({ text }: { text: string }): ReactNode {
	return text.split('`').map((part, i) => (i % 2 ? <code key={i}>{part}</code> : <span key={i}>{part}</span>));
}
