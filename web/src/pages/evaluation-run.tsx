import './../styles/pages.css';
import './../styles/admin.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { Link, useParams } from 'react-router';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { comparisonQuery, evaluationRowsQuery, evaluationRunQuery, isBusy, mostShown, type ComparedCase, type EvaluationRow, type EvaluationRun, type Passed } from '../api/evaluations';
import { call, saveAs } from '../api/files';
import { formatCount, formatDuration, type Tone } from '../ui/format';
import { Badge, Failure, Notice, Spinner, useTitle } from '../ui/parts';
import { expectedText, percent, runTones } from './evaluation';

const filters: Record<Passed, string> = { all: 'All', true: 'Passed', false: 'Not passed', open: 'Not graded' };

/** What has come of one run, while it runs too. */
export function EvaluationRunPage(): ReactNode {
	const { id = '' } = useParams();
	const run = useQuery(evaluationRunQuery(id));
	const [passed, setPassed] = useState<Passed>('all');
	useTitle(run.data?.name ?? 'Run of a set');
	if (run.isPending) return <div className="page"><Spinner label="Loading the run…" /></div>;
	if (run.isError) return <div className="page"><Failure what="The run cannot be read" error={run.error} retry={() => void run.refetch()} /></div>;
	const r = run.data;
	return (
		<div className="page">
			<p>
				<Link to={`/evaluations/${r.evaluation_id}`}>Back to the set</Link>
			</p>
			<div className="page-head">
				<div>
					<h1>{r.name}</h1>
					<p className="muted">
						<Link to={`/agents/${r.agent_id}`}>{r.agent_name}</Link>, version {r.agent_version}
					</p>
				</div>
				<Badge tone={runTones[r.status]}>{r.status}</Badge>
			</div>
			<Steering run={r} />
			<Facts run={r} />
			<section aria-labelledby="results">
				<div className="page-head">
					<h2 id="results">Results</h2>
					<div className="field">
						<label htmlFor="results-filter">Show</label>
						<select id="results-filter" value={passed} onChange={(e) => setPassed(e.target.value as Passed)}>
							{Object.entries(filters).map(([key, label]) => (
								<option key={key} value={key}>
									{label}
								</option>
							))}
						</select>
					</div>
				</div>
				<Rows run={r} passed={passed} />
			</section>
		</div>
	);
}

function Steering({ run: r }: { run: EvaluationRun }): ReactNode {
	const queries = useQueryClient();
	const path = { params: { path: { id: r.id } } };
	const done = { onSuccess: () => void queries.invalidateQueries({ queryKey: ['evaluation-runs', r.id] }) };
	const set = useMutation({ mutationFn: (status: 'running' | 'paused' | 'cancelled') => unwrap(api.PATCH('/api/evaluations/runs/{id}', { ...path, body: { status } })), ...done });
	const retry = useMutation({ mutationFn: () => unwrap(api.POST('/api/evaluations/runs/{id}/retry', path)), ...done });
	const file = useMutation({
		mutationFn: async (format: 'csv' | 'jsonl') => saveAs(await (await call('GET', `/api/evaluations/runs/${r.id}/results?format=${format}`)).blob(), `results.${format}`),
	});
	const isOver = r.status === 'ended' || r.status === 'cancelled';
	const error = set.error ?? retry.error ?? file.error;
	return (
		<>
			{error !== null && <Notice tone="bad">{messageOf(error)}</Notice>}
			<div className="row">
				{!isOver && (
					<button type="button" className="button" disabled={set.isPending} onClick={() => set.mutate(r.status === 'running' ? 'paused' : 'running')}>
						{r.status === 'running' ? 'Pause' : 'Resume'}
					</button>
				)}
				{!isOver && (
					<button type="button" className="button" disabled={set.isPending} onClick={() => set.mutate('cancelled')}>
						Cancel
					</button>
				)}
				{r.status !== 'running' && r.results.open + r.rows.failed > 0 && (
					<button type="button" className="button" disabled={retry.isPending} onClick={() => retry.mutate()}>
						Run again what failed
					</button>
				)}
				<button type="button" className="button" disabled={file.isPending} onClick={() => file.mutate('csv')}>
					Results as CSV
				</button>
				<button type="button" className="button" disabled={file.isPending} onClick={() => file.mutate('jsonl')}>
					Results as JSONL
				</button>
			</div>
		</>
	);
}

function Facts({ run: r }: { run: EvaluationRun }): ReactNode {
	const graded = r.results.passed + r.results.failed;
	return (
		<>
			<p className="run-answer" role="status">
				<progress aria-label="Graded" max={r.rows.total} value={graded} /> {r.results.passed} of {graded} passed ({percent(r.results.pass_rate)})
				{r.results.open > 0 && `, ${r.results.open} not graded`}
				{r.rows.judging > 0 && `, ${r.rows.judging} at the judge`}
			</p>
			<p className="facts-line">
				<span>mean score {r.results.mean_score?.toFixed(2) ?? '–'}</span>
				<span>{formatCount(r.results.tokens)} tokens</span>
				<span>${r.results.cost_usd.toFixed(4)}</span>
				{r.results.judge_cost_usd > 0 && <span>judges ${r.results.judge_cost_usd.toFixed(4)}</span>}
				{r.medians && <span>median {formatDuration(r.medians.latency_ms)}</span>}
				{r.medians && <span>median ${r.medians.cost_usd.toFixed(6)}</span>}
			</p>
		</>
	);
}

const verdict = (passed: boolean | null): { label: string; tone: Tone } => (passed === null ? { label: 'not graded', tone: 'neutral' } : passed ? { label: 'passed', tone: 'good' } : { label: 'not passed', tone: 'bad' });

function Rows({ run, passed }: { run: EvaluationRun; passed: Passed }): ReactNode {
	const rows = useQuery(evaluationRowsQuery(run.id, passed, isBusy(run)));
	if (rows.isPending) return <Spinner label="Loading the results…" />;
	if (rows.isError) return <Failure what="The results cannot be read" error={rows.error} />;
	return (
		<>
			{rows.data.length === 0 && <p className="empty">None.</p>}
			{rows.data.length === mostShown && <p className="muted">The first {mostShown}; the files have all.</p>}
			<ul className="runs" aria-label="Results">
				{rows.data.map((row) => (
					<Row key={row.number} row={row} />
				))}
			</ul>
		</>
	);
}

function Row({ row }: { row: EvaluationRow }): ReactNode {
	const { label, tone } = verdict(row.passed);
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>
					{row.case}
					{row.repeat > 1 && `.${row.repeat}`} {row.input.slice(0, 200)}
				</strong>
				<p className="run-answer">{(row.error?.message ?? row.output ?? '').slice(0, 400)}</p>
				{row.passed === false && row.expected !== null && <p className="muted small">Expected: {expectedText(row.expected).slice(0, 200)}</p>}
				<ul className="small">
					{row.grades.map((g, i) => (
						<li key={i}>
							{g.name}: {verdict(g.passed).label}
							{g.type === 'model' && g.score !== null && ` (${g.score.toFixed(2)})`}
							{g.reason && `. ${g.reason}`} {g.execution_id && <Link to={`/runs/${g.execution_id}`}>Judge’s run</Link>}
						</li>
					))}
				</ul>
			</div>
			<div className="run-facts">
				<Badge tone={tone}>{label}</Badge>
				{row.latency_ms !== null && <span>{formatDuration(row.latency_ms)}</span>}
				{row.cost_usd !== null && row.cost_usd > 0 && <span>${row.cost_usd.toFixed(6)}</span>}
				{row.conversation_id && (
					<Link to={`/chat/${row.conversation_id}`} aria-label={`Conversation of case ${row.case}, time ${row.repeat}`}>
						Conversation
					</Link>
				)}
			</div>
		</li>
	);
}

/* ---- Two of them ---- */

const changes: Record<ComparedCase['change'], { label: string; tone: Tone }> = {
	worse: { label: 'got worse', tone: 'bad' },
	improved: { label: 'improved', tone: 'good' },
	both_passed: { label: 'passed in both', tone: 'neutral' },
	both_failed: { label: 'passed in none', tone: 'warn' },
	changed: { label: 'the case was changed', tone: 'neutral' },
	added: { label: 'only in the second', tone: 'neutral' },
	removed: { label: 'only in the first', tone: 'neutral' },
	open: { label: 'not graded', tone: 'neutral' },
};
const order = Object.keys(changes);

export function EvaluationComparisonPage(): ReactNode {
	const { id = '', other = '' } = useParams();
	useTitle('Two runs of a set');
	const c = useQuery(comparisonQuery(id, other));
	const file = useMutation({
		mutationFn: async () => saveAs(await (await call('GET', `/api/evaluations/runs/${encodeURIComponent(id)}/comparison?with=${encodeURIComponent(other)}&format=csv`)).blob(), 'comparison.csv'),
	});
	if (c.isPending) return <div className="page"><Spinner label="Comparing…" /></div>;
	if (c.isError) return <div className="page"><Failure what="The runs cannot be compared" error={c.error} retry={() => void c.refetch()} /></div>;
	const { base, other: second, counts, p_value, cases } = c.data;
	const sorted = [...cases].sort((a, b) => order.indexOf(a.change) - order.indexOf(b.change) || a.case - b.case);
	return (
		<div className="page">
			<p>
				<Link to={`/evaluations/${base.evaluation_id}`}>Back to the set</Link>
			</p>
			<div className="page-head">
				<h1>Two runs of {base.name}</h1>
				<button type="button" className="button" disabled={file.isPending} onClick={() => file.mutate()}>
					As CSV
				</button>
			</div>
			{file.isError && <Notice tone="bad">{messageOf(file.error)}</Notice>}
			<div className="table-box" role="region" aria-label="Both runs (table)" tabIndex={0}>
				<table>
					<caption className="visually-hidden">Both runs</caption>
					<thead>
						<tr>
							<th scope="col">Run</th>
							<th scope="col">Passed</th>
							<th scope="col">Median cost</th>
							<th scope="col">Median time</th>
						</tr>
					</thead>
					<tbody>
						{[base, second].map((r, i) => (
							<tr key={i}>
								<th scope="row">
									<Link to={`/evaluations/runs/${r.id}`}>
										{r.agent_name} v{r.agent_version}
									</Link>
								</th>
								<td>{percent(r.results.pass_rate)}</td>
								<td>{r.medians ? `$${r.medians.cost_usd.toFixed(6)}` : '–'}</td>
								<td>{r.medians ? formatDuration(r.medians.latency_ms) : '–'}</td>
							</tr>
						))}
					</tbody>
				</table>
			</div>
			<p role="status">
				{counts.improved} improved, {counts.worse} got worse, {counts.both_passed} passed in both, {counts.both_failed} in none
				{counts.left_out > 0 && `, ${counts.left_out} left out`}. p = {p_value.toPrecision(3)}:{' '}
				{p_value < 0.05 ? 'such a difference is unlikely to be chance.' : 'the difference may be chance.'}
			</p>
			<div className="table-box" role="region" aria-label="Cases (table)" tabIndex={0}>
				<table>
					<caption className="visually-hidden">Cases of both runs</caption>
					<thead>
						<tr>
							<th scope="col">Case</th>
							<th scope="col">First</th>
							<th scope="col">Second</th>
							<th scope="col">Change</th>
						</tr>
					</thead>
					<tbody>
						{sorted.map((k) => (
							<tr key={k.case_id}>
								<th scope="row">
									{k.case} {k.input.slice(0, 120)}
								</th>
								<td>{k.base ? `${k.base.passed} of ${k.base.graded}` : '–'}</td>
								<td>{k.other ? `${k.other.passed} of ${k.other.graded}` : '–'}</td>
								<td>
									<Badge tone={changes[k.change].tone}>{changes[k.change].label}</Badge>
								</td>
							</tr>
						))}
					</tbody>
				</table>
			</div>
		</div>
	);
}
