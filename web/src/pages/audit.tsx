import { useInfiniteQuery, useMutation, useQuery } from '@tanstack/react-query';
import { Download } from 'lucide-react';
import type { ReactNode } from 'react';
import { useSearchParams } from 'react-router';

import { messageOf } from '../api/error';
import { auditCheckQuery, auditQuery, fetchAudit, type AuditFilter } from '../api/queries';
import type { AuditEvent } from '../api/types';
import { Badge, Failure, Field, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { AdminTabs } from './admin-tabs';
import { auditCsv } from './audit-csv';

const mostRows = 10_000;
const names = ['event', 'outcome', 'actor', 'target', 'address', 'since', 'until'] as const;

/* A moment of this place as the services say it. */
const asTime = (local: string): string => (local ? new Date(local).toISOString() : '');

function filterOf(params: URLSearchParams): AuditFilter {
	const filter: Record<string, string> = {};
	for (const name of names) {
		const value = params.get(name) ?? '';
		const said = name === 'since' || name === 'until' ? asTime(value) : value.trim();
		if (said) filter[name] = said;
	}
	return filter as AuditFilter;
}

export function AuditPage(): ReactNode {
	useTitle('Audit log');
	const [params, setParams] = useSearchParams();
	const filter = filterOf(params);
	const list = useInfiniteQuery(auditQuery(filter));
	const events = list.data?.pages.flatMap((page) => page.items) ?? [];
	const put = (name: string, value: string): void =>
		setParams(
			(before) => {
				if (value) before.set(name, value);
				else before.delete(name);
				return before;
			},
			{ replace: true },
		);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Audit log</h1>
					<p className="muted">Who did what, to what, from where; in chained rows, so that no change goes unseen.</p>
				</div>
				<Export filter={filter} />
			</div>
			<AdminTabs />
			<Whole />
			<form className="filters" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
				<Field label="Event" placeholder="role.*" value={params.get('event') ?? ''} onChange={(e) => put('event', e.target.value)} />
				<label className="field">
					<span>Outcome</span>
					<select value={params.get('outcome') ?? ''} onChange={(e) => put('outcome', e.target.value)}>
						<option value="">any</option>
						<option value="success">success</option>
						<option value="failure">failure</option>
						<option value="denied">denied</option>
					</select>
				</label>
				<Field label="Who (id)" value={params.get('actor') ?? ''} onChange={(e) => put('actor', e.target.value)} />
				<Field label="To what" placeholder="role:cook" value={params.get('target') ?? ''} onChange={(e) => put('target', e.target.value)} />
				<Field label="Address" value={params.get('address') ?? ''} onChange={(e) => put('address', e.target.value)} />
				<Field label="From" type="datetime-local" value={params.get('since') ?? ''} onChange={(e) => put('since', e.target.value)} />
				<Field label="Until" type="datetime-local" value={params.get('until') ?? ''} onChange={(e) => put('until', e.target.value)} />
			</form>
			{list.isPending && <Spinner label="Loading the audit log…" />}
			{list.isError && <Failure what="The audit log cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data && events.length === 0 && <p className="empty">Nothing of that kind has happened.</p>}
			{events.length > 0 && <Events events={events} onFilter={put} />}
			{list.hasNextPage && (
				<div className="row">
					<button type="button" className="button" onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
						{list.isFetchingNextPage ? 'Loading…' : 'Load more'}
					</button>
				</div>
			)}
		</div>
	);
}

/** Whether the chain is whole. */
function Whole(): ReactNode {
	const check = useQuery(auditCheckQuery);
	if (check.isPending) return <Spinner label="Checking the chain…" />;
	if (check.isError) return <Failure what="The chain cannot be checked" error={check.error} retry={() => void check.refetch()} />;
	const { ok, rows, newest, hash, problem } = check.data;
	return (
		<div className="row">
			{ok ? <Badge tone="good">Whole: {rows} rows</Badge> : <Badge tone="bad">Broken at row {problem?.seq}</Badge>}
			{!ok && <span>{problem?.kind === 'removed' ? 'A row was removed there.' : problem?.kind === 'head' ? 'The end is not what was written.' : 'A row was changed or put in there.'}</span>}
			{ok && rows > 0 && (
				<span className="muted small" title={hash}>
					last row {newest}: <code>{hash.slice(0, 12)}…</code>
				</span>
			)}
			<button type="button" className="button small" disabled={check.isFetching} onClick={() => void check.refetch()}>
				{check.isFetching ? 'Checking…' : 'Check again'}
			</button>
		</div>
	);
}

const tones = { success: 'good', failure: 'warn', denied: 'bad' } as const;

function Events({ events, onFilter }: { events: AuditEvent[]; onFilter: (name: string, value: string) => void }): ReactNode {
	return (
		<div className="table-box" role="region" aria-label="Events" tabIndex={0}>
			<table>
				<thead>
					<tr>
						<th scope="col">When</th>
						<th scope="col">What</th>
						<th scope="col">Who</th>
						<th scope="col">To what</th>
						<th scope="col">From where</th>
					</tr>
				</thead>
				<tbody>
					{events.map((e) => (
						<tr key={e.seq}>
							<td>
								<ShortTime time={e.at} />
							</td>
							<td>
								{e.event}
								<div>
									<Badge tone={tones[e.outcome]}>{e.outcome}</Badge>
								</div>
								<Detail event={e} />
							</td>
							<td>
								{e.actor.id ? (
									<button type="button" className="link-button" onClick={() => onFilter('actor', e.actor.id)}>
										{e.actor.name || e.actor.id}
									</button>
								) : (
									e.actor.kind
								)}
							</td>
							<td>{e.target}</td>
							<td>{e.address}</td>
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}

function Detail({ event }: { event: AuditEvent }): ReactNode {
	return (
		<details>
			<summary>Row {event.seq}</summary>
			<pre>
				{JSON.stringify(event.detail ?? {}, null, 1)}
				{`\nrequest ${event.request_id}`}
			</pre>
		</details>
	);
}

async function download(filter: AuditFilter): Promise<{ rows: number; more: boolean }> {
	const events: AuditEvent[] = [];
	let after: string | undefined;
	do {
		const page = await fetchAudit(filter, after, 200);
		events.push(...page.items);
		after = page.next ?? undefined;
	} while (after && events.length < mostRows);
	const url = URL.createObjectURL(new Blob([auditCsv(events)], { type: 'text/csv' }));
	const link = document.createElement('a');
	link.href = url;
	link.download = `audit-${new Date().toISOString().slice(0, 10)}.csv`;
	link.click();
	setTimeout(() => URL.revokeObjectURL(url), 10_000);
	return { rows: events.length, more: after !== undefined };
}

function Export({ filter }: { filter: AuditFilter }): ReactNode {
	const get = useMutation({ mutationFn: () => download(filter) });
	return (
		<div className="stack">
			<div className="row end">
				<button type="button" className="button" disabled={get.isPending} onClick={() => get.mutate()}>
					<Download aria-hidden size={17} /> {get.isPending ? 'Collecting…' : 'Export as CSV'}
				</button>
			</div>
			{get.data?.more && <Notice tone="warn">The newest {get.data.rows} rows; narrow the filters for the others.</Notice>}
			{get.error !== null && <Notice tone="bad">{messageOf(get.error)}</Notice>}
		</div>
	);
}
