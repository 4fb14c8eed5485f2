import './../styles/pages.css';
import './../styles/admin.css';

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { useSearchParams } from 'react-router';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { budgetQuery, usageQuery, usersQuery } from '../api/queries';
import type { UsageRow } from '../api/types';
import { formatCount } from '../ui/format';
import { Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';
import { useMay, useUser } from './user';

const groups = { day: 'Day', agent: 'Agent', model: 'Model', user: 'User' } as const;
type Group = keyof typeof groups;
const spans = [7, 30, 90];

const dayBefore = (days: number) => new Date(Date.now() - (days - 1) * 86_400_000).toISOString().slice(0, 10);
const money = (row: UsageRow) => `${row.estimated ? '~' : ''}$${row.cost_usd < 0.01 && row.cost_usd > 0 ? row.cost_usd.toPrecision(2) : row.cost_usd.toFixed(2)}`;

export function UsagePage(): ReactNode {
	useTitle('Usage');
	const [params, setParams] = useSearchParams();
	const group = (Object.keys(groups) as Group[]).find((g) => g === params.get('group')) ?? 'day';
	const days = spans.find((s) => String(s) === params.get('days')) ?? 30;
	const seesAll = useMay('executions.read_any');
	const usage = useQuery(usageQuery(group, dayBefore(days)));
	const set = (name: string, value: string) =>
		setParams(
			(old) => {
				old.set(name, value);
				return old;
			},
			{ replace: true },
		);
	return (
		<div className="page">
			<h1>Usage</h1>
			<div className="filters usage-filters">
				<label htmlFor="group">By</label>
				<select id="group" value={group} onChange={(e) => set('group', e.target.value)}>
					{(Object.keys(groups) as Group[])
						.filter((g) => g !== 'user' || seesAll)
						.map((g) => (
							<option key={g} value={g}>
								{groups[g]}
							</option>
						))}
				</select>
				<label htmlFor="days">Of the last</label>
				<select id="days" value={days} onChange={(e) => set('days', e.target.value)}>
					{spans.map((s) => (
						<option key={s} value={s}>
							{s} days
						</option>
					))}
				</select>
			</div>
			{usage.isPending && <Spinner label="Adding up…" />}
			{usage.isError && <Failure what="The usage cannot be read" error={usage.error} retry={() => void usage.refetch()} />}
			{usage.isSuccess && usage.data.items.length === 0 && <p className="empty">No model was asked in these days.</p>}
			{usage.isSuccess && usage.data.items.length > 0 && (
				<>
					{group === 'day' && <Bars rows={usage.data.items} from={dayBefore(days)} days={days} />}
					<Sums rows={usage.data.items} group={group} />
				</>
			)}
			<Budgets />
		</div>
	);
}

const tokensOf = (row: UsageRow) => row.input_tokens + row.output_tokens;

/* The table below says the same. */
function Bars({ rows, from, days }: { rows: UsageRow[]; from: string; days: number }): ReactNode {
	const start = Date.parse(from);
	const all = Array.from({ length: days }, (_, i) => {
		const day = new Date(start + i * 86_400_000).toISOString().slice(0, 10);
		return { day, tokens: rows.filter((r) => r.day === day).reduce((sum, r) => sum + tokensOf(r), 0) };
	});
	const most = Math.max(1, ...all.map((d) => d.tokens));
	return (
		<div role="img" aria-label={`Tokens by day, at most ${formatCount(most)} in one day; the table has the figures`}>
			<ul className="bars" aria-hidden>
				{all.map((d) => (
					<li key={d.day} title={`${d.day}: ${formatCount(d.tokens)} tokens`} style={{ height: `${(100 * d.tokens) / most}%` }} />
				))}
			</ul>
		</div>
	);
}

function nameOf(row: UsageRow, group: Group): string {
	if (group === 'agent') return row.agent_name ?? 'an agent that is gone';
	return row[group] ?? '';
}

function Sums({ rows, group }: { rows: UsageRow[]; group: Group }): ReactNode {
	const total = rows.reduce((sum, r) => ({ calls: sum.calls + r.calls, input: sum.input + r.input_tokens, output: sum.output + r.output_tokens, cost: sum.cost + r.cost_usd }), { calls: 0, input: 0, output: 0, cost: 0 });
	return (
		<div className="table-box" role="region" aria-label="Sums (table)" tabIndex={0}>
			<table>
				<caption className="visually-hidden">Tokens and money by {groups[group].toLowerCase()}</caption>
				<thead>
					<tr>
						<th scope="col">{groups[group]}</th>
						<th scope="col">Calls</th>
						<th scope="col">Tokens in</th>
						<th scope="col">From the cache</th>
						<th scope="col">Tokens out</th>
						<th scope="col">Cost</th>
					</tr>
				</thead>
				<tbody>
					{rows.map((row) => (
						<tr key={`${row[group]}`}>
							<th scope="row">{nameOf(row, group)}</th>
							<td>{formatCount(row.calls)}</td>
							<td>{formatCount(row.input_tokens)}</td>
							<td>{formatCount(row.cached_tokens)}</td>
							<td>{formatCount(row.output_tokens)}</td>
							<td>{money(row)}</td>
						</tr>
					))}
				</tbody>
				<tfoot>
					<tr>
						<th scope="row">All</th>
						<td>{formatCount(total.calls)}</td>
						<td>{formatCount(total.input)}</td>
						<td />
						<td>{formatCount(total.output)}</td>
						<td>${total.cost.toFixed(2)}</td>
					</tr>
				</tfoot>
			</table>
		</div>
	);
}

function Budgets(): ReactNode {
	const user = useUser();
	const maySet = useMay('settings.manage');
	const mayRead = useMay('users.read');
	const users = useInfiniteQuery({ ...usersQuery, enabled: mayRead && maySet });
	const [chosen, setChosen] = useState(user.id);
	const others = users.data?.pages.flatMap((p) => p.items) ?? [];
	return (
		<section aria-labelledby="budget">
			<h2 id="budget">Budget of a day</h2>
			{maySet && others.length > 1 && (
				<div className="field">
					<label htmlFor="whose">Whose</label>
					<select id="whose" value={chosen} onChange={(e) => setChosen(e.target.value)}>
						{others.map((u) => (
							<option key={u.id} value={u.id}>
								{u.name}
							</option>
						))}
					</select>
				</div>
			)}
			<BudgetOf key={chosen} id={chosen} maySet={maySet} />
			<p className="muted small">At 80 and 95 % a run tells it; at 100 % it is paused, and goes on with the next day (UTC) or when you let it.</p>
		</section>
	);
}

function BudgetOf({ id, maySet }: { id: string; maySet: boolean }): ReactNode {
	const queries = useQueryClient();
	const budget = useQuery(budgetQuery(id));
	const save = useMutation({
		mutationFn: (body: { day_tokens: number; day_cost_usd: number }) => unwrap(api.PUT('/api/usage/budgets/{id}', { params: { path: { id } }, body })),
		onSuccess: (now) => queries.setQueryData(budgetQuery(id).queryKey, now),
	});
	if (budget.isPending) return <Spinner label="Loading the budget…" />;
	if (budget.isError) return <Failure what="The budget cannot be read" error={budget.error} retry={() => void budget.refetch()} />;
	const b = budget.data;
	return (
		<>
			<Meter what="Tokens" used={b.used_tokens} limit={b.day_tokens} show={formatCount} />
			<Meter what="Money" used={b.used_cost_usd} limit={b.day_cost_usd} show={(n) => `$${n.toFixed(2)}`} />
			{maySet && (
				<form
					className="three"
					onSubmit={(event) => {
						event.preventDefault();
						const data = new FormData(event.currentTarget);
						save.mutate({ day_tokens: Number(data.get('tokens') || 0), day_cost_usd: Number(data.get('dollars') || 0) });
					}}
				>
					<Field label="Tokens a day" name="tokens" type="number" min={0} step={1} placeholder="no limit" defaultValue={b.day_tokens ?? ''} />
					<Field label="Dollars a day" name="dollars" type="number" min={0} step="any" placeholder="no limit" defaultValue={b.day_cost_usd ?? ''} />
					<div className="field">
						<button type="submit" className="button" disabled={save.isPending}>
							Save the budget
						</button>
						<span role="status" className="muted">
							{save.isSuccess ? 'Saved.' : ''}
						</span>
					</div>
				</form>
			)}
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
		</>
	);
}

function Meter({ what, used, limit, show }: { what: string; used: number; limit: number | null; show: (n: number) => string }): ReactNode {
	if (limit === null)
		return (
			<p>
				{what}: {show(used)} today, without limit.
			</p>
		);
	const part = Math.min(used / limit, 1);
	const tone = part >= 0.95 ? 'bad' : part >= 0.8 ? 'warn' : '';
	return (
		<div className="field">
			<p>
				{what}: {show(used)} of {show(limit)} today, {Math.round((100 * used) / limit)} %{tone && (tone === 'bad' ? ': nearly used up' : ': more than four fifths')}
			</p>
			<div className="meter" role="meter" aria-label={`${what} of today's budget`} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(part * 100)}>
				<span className={tone} style={{ width: `${part * 100}%` }} />
				<i style={{ left: '80%' }} aria-hidden />
				<i style={{ left: '95%' }} aria-hidden />
			</div>
		</div>
	);
}
