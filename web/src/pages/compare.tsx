import './../styles/pages.css';
import './../styles/admin.css';
import './../styles/chat.css';

import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'react-router';

import { conversationQuery, threadQuery, workspaceFilesQuery } from '../api/queries';
import type { Message } from '../api/types';
import { formatBytes } from '../ui/format';
import { Badge, Failure, Spinner, useTitle } from '../ui/parts';

/** Two branches of a conversation side by side: messages and files. */
export function ComparePage(): ReactNode {
	useTitle('Compare');
	const [params] = useSearchParams();
	const a = params.get('a') ?? '', b = params.get('b') ?? '';
	const left = useQuery({ ...threadQuery(a), enabled: a !== '' });
	const right = useQuery({ ...threadQuery(b), enabled: b !== '' });
	if (!a || !b) return <div className="page"><h1>Compare</h1><p className="empty">Fork a run first: its conversation leads here.</p></div>;
	if (left.isPending || right.isPending) return <div className="page"><Spinner label="Loading both…" /></div>;
	if (left.isError || right.isError)
		return (
			<div className="page">
				<h1>Compare</h1>
				<Failure what="The conversations cannot be read" error={left.error ?? right.error} />
			</div>
		);
	const common = countCommon(left.data.messages, right.data.messages);
	return (
		<div className="page wide">
			<h1>Compare</h1>
			<p className="muted">The first {common} messages are the same.</p>
			<div className="side-by-side">
				<Side place="Left" id={a} messages={left.data.messages} common={common} />
				<Side place="Right" id={b} messages={right.data.messages} common={common} />
			</div>
			<Files a={a} b={b} />
		</div>
	);
}

const saysSame = (x: Message, y: Message) => x.role === y.role && x.content === y.content && JSON.stringify(x.tool_calls) === JSON.stringify(y.tool_calls);

function countCommon(a: readonly Message[], b: readonly Message[]): number {
	let n = 0;
	for (; n < a.length && n < b.length; n++) {
		const x = a[n], y = b[n];
		if (!x || !y || !saysSame(x, y)) break;
	}
	return n;
}

const roles = { user: 'You', assistant: 'Agent', tool: 'Result' };

function Side({ place, id, messages, common }: { place: string; id: string; messages: readonly Message[]; common: number }): ReactNode {
	const conversation = useQuery(conversationQuery(id));
	return (
		<section aria-label={`${place} conversation`}>
			<h2>
				<Link to={`/chat/${id}`}>{conversation.data?.title || 'Conversation'}</Link>
			</h2>
			{common > 0 && <p className="muted small">{common} common messages</p>}
			{messages.slice(common).map((message) => (
				<div key={`${message.seq}`} className="panel other">
					<p className="muted small">{roles[message.role]}</p>
					{message.content && <div className="text">{message.content}</div>}
					{(message.tool_calls ?? []).map((call) => (
						<pre key={call.id}>
							{call.name} {typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments)}
						</pre>
					))}
				</div>
			))}
			{messages.length === common && <p className="empty">Nothing else.</p>}
		</section>
	);
}

function Files({ a, b }: { a: string; b: string }): ReactNode {
	const left = useQuery(workspaceFilesQuery(a));
	const right = useQuery(workspaceFilesQuery(b));
	if (left.isPending || right.isPending) return <Spinner label="Comparing the files…" />;
	if (left.isError || right.isError) return <Failure what="The files cannot be compared" error={left.error ?? right.error} />;
	const names = [...new Set([...left.data.keys(), ...right.data.keys()])].sort();
	return (
		<section aria-labelledby="files">
			<h2 id="files">Files</h2>
			{names.length === 0 && <p className="empty">Neither has a file.</p>}
			{names.length > 0 && (
				<div className="table-box" role="region" aria-label="Files of both workspaces (table)" tabIndex={0}>
					<table>
						<caption className="visually-hidden">Files of both workspaces</caption>
						<thead>
							<tr>
								<th scope="col">File</th>
								<th scope="col">Left</th>
								<th scope="col">Right</th>
								<th scope="col">
									<span className="visually-hidden">Difference</span>
								</th>
							</tr>
						</thead>
						<tbody>
							{names.map((name) => {
								const x = left.data.get(name), y = right.data.get(name);
								const same = x && y && x.size === y.size && x.text === y.text && (x.text !== null || x.modified === y.modified);
								return (
									<tr key={name}>
										<th scope="row">{name}</th>
										<td>{x ? formatBytes(x.size) : '–'}</td>
										<td>{y ? formatBytes(y.size) : '–'}</td>
										<td>{same ? 'same' : <Badge tone="warn">{x && y ? 'differs' : x ? 'left only' : 'right only'}</Badge>}</td>
									</tr>
								);
							})}
						</tbody>
					</table>
				</div>
			)}
		</section>
	);
}
