import './../styles/pages.css';

import { useInfiniteQuery } from '@tanstack/react-query';
import { Search } from 'lucide-react';
import { useEffect, useState, type ReactNode } from 'react';
import { Link, useSearchParams } from 'react-router';

import { executionsQuery } from '../api/queries';
import type { Execution, ExecutionStatus } from '../api/types';
import { plainText } from '../markdown/blocks';
import { formatCount, formatDuration, plural, runStatus } from '../ui/format';
import { Badge, Failure, ShortTime, Spinner, useTitle } from '../ui/parts';

const searchDelayMs = 300;
const excerptChars = 400;
const statuses = Object.keys(runStatus) as ExecutionStatus[];

export function HistoryPage(): ReactNode {
	useTitle('History');
	const [params, setParams] = useSearchParams();
	const status = statuses.find((s) => s === params.get('status'));
	const q = params.get('q') ?? '';
	const [search, setSearch] = useState(q);
	const list = useInfiniteQuery(executionsQuery({ ...(status ? { status } : {}), ...(q ? { q } : {}) }));
	const items = list.data?.pages.flatMap((page) => page.items) ?? [];

	const set = (name: string, value: string) =>
		setParams(
			(old) => {
				const next = new URLSearchParams(old);
				if (value) next.set(name, value);
				else next.delete(name);
				return next;
			},
			{ replace: true },
		);
	/* Typing searches after a pause; the address keeps what is searched. */
	useEffect(() => {
		if (search.trim() === q) return;
		const timer = setTimeout(() => set('q', search.trim()), searchDelayMs);
		return () => clearTimeout(timer);
	});
	return (
		<div className="page">
			<h1>History</h1>
			<form className="filters" role="search" aria-label="Runs" onSubmit={(e) => e.preventDefault()}>
				<div className="search">
					<Search aria-hidden size={16} />
					<input type="search" aria-label="Search in questions and answers" placeholder="Search" value={search} maxLength={200} onChange={(e) => setSearch(e.target.value)} />
				</div>
				<label htmlFor="status" className="visually-hidden">
					Status
				</label>
				<select id="status" value={status ?? ''} onChange={(e) => set('status', e.target.value)}>
					<option value="">All statuses</option>
					{statuses.map((s) => (
						<option key={s} value={s}>
							{runStatus[s].label}
						</option>
					))}
				</select>
			</form>
			{list.isPending && <Spinner label="Loading the history…" />}
			{list.isError && <Failure what="The history cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.isSuccess && items.length === 0 && <p className="empty">{status || q ? 'No run fits. Change the search or the status.' : 'No run yet: every message you send becomes one.'}</p>}
			<ul className="runs">
				{items.map((execution) => (
					<Row key={execution.id} execution={execution} />
				))}
			</ul>
			{list.hasNextPage && (
				<button type="button" className="button" onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
					{list.isFetchingNextPage ? 'Loading…' : 'Load more'}
				</button>
			)}
		</div>
	);
}

function Row({ execution }: { execution: Execution }): ReactNode {
	const { label, tone } = runStatus[execution.status];
	const tokens = execution.usage.input_tokens + execution.usage.output_tokens;
	return (
		<li className="run-row">
			<div className="run-main">
				<Link to={`/runs/${execution.id}`}>{execution.input}</Link>
				<p className="run-answer">{execution.error?.message ?? plainText((execution.output ?? '').slice(0, excerptChars), false)}</p>
			</div>
			<div className="run-facts">
				<Badge tone={tone}>{label}</Badge>
				<span>{execution.agent_name}</span>
				<span>{plural(execution.commands, 'command')}</span>
				<span>{formatCount(tokens)} tokens</span>
				<span>{formatDuration(execution.duration_ms)}</span>
				<ShortTime time={execution.created_at} />
			</div>
		</li>
	);
}
