import './../styles/pages.css';
import './../styles/admin.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Play, Plus } from 'lucide-react';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { casesQuery, evaluationQuery, evaluationRunsQuery, mostShown, type Evaluation, type EvaluationCase, type EvaluationRun } from '../api/evaluations';
import { call, saveAs } from '../api/files';
import { agentsQuery, agentVersionsQuery } from '../api/queries';
import { Confirm, Dialog } from '../ui/dialog';
import { plural, type Tone } from '../ui/format';
import { Badge, Failure, Field, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { Graders } from './evaluation-graders';

export const runTones: Record<EvaluationRun['status'], Tone> = { running: 'busy', paused: 'warn', stopped: 'bad', cancelled: 'warn', ended: 'good' };
export const percent = (rate: number | null): string => (rate === null ? '–' : `${(100 * rate).toFixed(1)} %`);

/** One set: its runs, its cases and its graders. */
export function EvaluationPage(): ReactNode {
	const { id = '' } = useParams();
	const set = useQuery(evaluationQuery(id));
	useTitle(set.data?.name ?? 'Evaluation');
	if (set.isPending) return <div className="page"><Spinner label="Loading the set…" /></div>;
	if (set.isError) return <div className="page"><Failure what="The set cannot be read" error={set.error} retry={() => void set.refetch()} /></div>;
	return (
		<div className="page">
			<p>
				<Link to="/evaluations">Evaluations</Link>
			</p>
			<div className="page-head">
				<div>
					<h1>{set.data.name}</h1>
					{set.data.description && <p className="muted">{set.data.description}</p>}
				</div>
				<RemoveSet set={set.data} />
			</div>
			<Runs set={set.data} />
			<Cases set={set.data} />
			<Graders key={set.data.id} set={set.data} />
		</div>
	);
}

function RemoveSet({ set }: { set: Evaluation }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const [asking, setAsking] = useState(false);
	const remove = useMutation({
		mutationFn: async () => {
			await unwrap(api.DELETE('/api/evaluations/{id}', { params: { path: { id: set.id } } }));
		},
		onSuccess: () => {
			void navigate('/evaluations');
			void queries.invalidateQueries({ queryKey: ['evaluations'], exact: true });
		},
	});
	return (
		<>
			<button type="button" className="button" onClick={() => setAsking(true)}>
				Remove the set
			</button>
			<Confirm
				open={asking}
				title="Remove the set?"
				text="Its cases, its runs and their results go. The conversations stay."
				action="Remove"
				busy={remove.isPending}
				error={remove.isError ? messageOf(remove.error) : null}
				onConfirm={() => remove.mutate()}
				onClose={() => setAsking(false)}
			/>
		</>
	);
}

/* ---- Runs ---- */

function Runs({ set }: { set: Evaluation }): ReactNode {
	const runs = useQuery(evaluationRunsQuery(set.id));
	const navigate = useNavigate();
	const [beginning, setBeginning] = useState(false);
	const [chosen, setChosen] = useState<string[]>([]);
	/* The older one is what the newer one is measured by. */
	const pair = (runs.data ?? []).filter((r) => chosen.includes(r.id)).reverse();
	return (
		<section aria-labelledby="runs">
			<div className="page-head">
				<h2 id="runs">Runs</h2>
				<div className="row">
					<button type="button" className="button" disabled={pair.length !== 2} onClick={() => void navigate(`/evaluations/runs/${pair[0]?.id}/with/${pair[1]?.id}`)}>
						Compare two
					</button>
					<button type="button" className="button primary" onClick={() => setBeginning(true)}>
						<Play aria-hidden size={17} /> Run it
					</button>
				</div>
			</div>
			{runs.isPending && <Spinner label="Loading the runs…" />}
			{runs.isError && <Failure what="The runs cannot be read" error={runs.error} />}
			{runs.data?.length === 0 && <p className="empty">It was not run yet.</p>}
			{runs.data && runs.data.length > 0 && (
				<div className="table-box" role="region" aria-label="Runs (table)" tabIndex={0}>
					<table>
						<caption className="visually-hidden">Runs of this set</caption>
						<thead>
							<tr>
								<th scope="col">Compare</th>
								<th scope="col">Run</th>
								<th scope="col">Agent</th>
								<th scope="col">Passed</th>
								<th scope="col">Cost</th>
								<th scope="col">State</th>
							</tr>
						</thead>
						<tbody>
							{runs.data.map((r) => (
								<tr key={r.id}>
									<td>
										<input
											type="checkbox"
											aria-label={`Compare the run of ${r.agent_name}, version ${r.agent_version}, ${r.created_at}`}
											checked={chosen.includes(r.id)}
											onChange={(e) => setChosen(e.target.checked ? [...chosen.slice(-1), r.id] : chosen.filter((x) => x !== r.id))}
										/>
									</td>
									<th scope="row">
										<Link to={`/evaluations/runs/${r.id}`}>{r.name}</Link> <ShortTime time={r.created_at} />
									</th>
									<td>
										{r.agent_name} v{r.agent_version}
									</td>
									<td>
										{r.results.passed} of {r.results.passed + r.results.failed} ({percent(r.results.pass_rate)})
									</td>
									<td>${r.results.cost_usd.toFixed(4)}</td>
									<td>
										<Badge tone={runTones[r.status]}>{r.status}</Badge>
									</td>
								</tr>
							))}
						</tbody>
					</table>
				</div>
			)}
			<Dialog open={beginning} onClose={() => setBeginning(false)} label="Run the set">
				<Begin set={set} onClose={() => setBeginning(false)} />
			</Dialog>
		</section>
	);
}

function Begin({ set, onClose }: { set: Evaluation; onClose: () => void }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const agents = useQuery(agentsQuery);
	const [wanted, setAgent] = useState('');
	const agent = wanted || (agents.data?.at(-1)?.id ?? '');
	const versions = useQuery({ ...agentVersionsQuery(agent), enabled: agent !== '' });
	const [version, setVersion] = useState('');
	const [repeats, setRepeats] = useState('1');
	const [concurrency, setConcurrency] = useState('4');
	const begin = useMutation({
		mutationFn: () =>
			unwrap(
				api.POST('/api/evaluations/{id}/runs', {
					params: { path: { id: set.id }, header: { 'Idempotency-Key': newKey() } },
					body: { agent_id: agent, ...(version && { agent_version: Number(version) }), repeats: Number(repeats), concurrency: Number(concurrency) },
				}),
			),
		onSuccess: (run) => {
			void queries.invalidateQueries({ queryKey: ['evaluations', set.id, 'runs'] });
			void navigate(`/evaluations/runs/${run.id}`);
		},
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				begin.mutate();
			}}
		>
			<h2>Run the set</h2>
			<div className="field">
				<label htmlFor="evaluation-agent">Agent</label>
				<select
					id="evaluation-agent"
					value={agent}
					onChange={(e) => {
						setAgent(e.target.value);
						setVersion('');
					}}
				>
					{agents.data?.map((a) => (
						<option key={a.id} value={a.id}>
							{a.name}
						</option>
					))}
				</select>
			</div>
			<div className="field">
				<label htmlFor="evaluation-version">Version</label>
				<select id="evaluation-version" value={version} onChange={(e) => setVersion(e.target.value)}>
					<option value="">the newest</option>
					{versions.data?.map((v) => (
						<option key={v.version} value={v.version}>
							{v.version}
						</option>
					))}
				</select>
			</div>
			<Field label="Each case so often" name="evaluation-repeats" type="number" min={1} max={20} required value={repeats} onChange={(e) => setRepeats(e.target.value)} />
			<Field label="Runs at the same time" name="evaluation-concurrency" type="number" min={1} max={50} required value={concurrency} onChange={(e) => setConcurrency(e.target.value)} />
			{begin.isError && <Notice tone="bad">{messageOf(begin.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onClose}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={begin.isPending || !agent}>
					Begin
				</button>
			</div>
		</form>
	);
}

/* ---- Cases ---- */

export const expectedText = (expected: unknown): string => (expected === null || expected === undefined ? '' : typeof expected === 'string' ? expected : JSON.stringify(expected));

function Cases({ set }: { set: Evaluation }): ReactNode {
	const queries = useQueryClient();
	const cases = useQuery(casesQuery(set.id));
	const [edited, setEdited] = useState<EvaluationCase | 'new' | null>(null);
	const [importing, setImporting] = useState(false);
	const refresh = (): void => void queries.invalidateQueries({ queryKey: ['evaluations', set.id] });
	const remove = useMutation({
		mutationFn: async (caseId: string) => {
			await unwrap(api.DELETE('/api/evaluations/{id}/cases/{case_id}', { params: { path: { id: set.id, case_id: caseId } } }));
		},
		onSuccess: refresh,
	});
	const file = useMutation({
		mutationFn: async () => saveAs(await (await call('GET', `/api/evaluations/${set.id}/cases/export?format=jsonl`)).blob(), `${set.name.replaceAll(/[^\p{L}\p{N} ._-]/gu, '_')}.jsonl`),
	});
	const error = remove.error ?? file.error;
	return (
		<section aria-labelledby="cases">
			<div className="page-head">
				<h2 id="cases">Cases ({set.cases})</h2>
				<div className="row">
					<button type="button" className="button" onClick={() => setImporting(true)}>
						Import
					</button>
					<button type="button" className="button" disabled={file.isPending} onClick={() => file.mutate()}>
						Export
					</button>
					<button type="button" className="button" onClick={() => setEdited('new')}>
						<Plus aria-hidden size={17} /> Add a case
					</button>
				</div>
			</div>
			{cases.isPending && <Spinner label="Loading the cases…" />}
			{cases.isError && <Failure what="The cases cannot be read" error={cases.error} />}
			{error !== null && <Notice tone="bad">{messageOf(error)}</Notice>}
			{cases.data?.length === 0 && <p className="empty">No case yet. Add one, or import a CSV or JSONL file.</p>}
			{set.cases > mostShown && <p className="muted">The first {mostShown}; an export has all.</p>}
			<ul className="runs" aria-label="Cases">
				{cases.data?.map((k, i) => (
					<li key={k.id} className="run-row user-row">
						<div className="run-main">
							<strong>{k.input.slice(0, 200)}</strong>
							<p className="run-answer">{expectedText(k.expected).slice(0, 200)}</p>
							{k.tags.length > 0 && <p className="muted small">{k.tags.join(', ')}</p>}
						</div>
						<div className="row">
							<button type="button" className="button small" onClick={() => setEdited(k)} aria-label={`Edit case ${i + 1}`}>
								Edit
							</button>
							<button type="button" className="button small" disabled={remove.isPending} onClick={() => remove.mutate(k.id)} aria-label={`Remove case ${i + 1}`}>
								Remove
							</button>
						</div>
					</li>
				))}
			</ul>
			<Dialog open={edited !== null} onClose={() => setEdited(null)} label="Case">
				{edited && (
					<CaseForm
						set={set}
						of={edited === 'new' ? null : edited}
						onDone={() => {
							setEdited(null);
							refresh();
						}}
					/>
				)}
			</Dialog>
			<Dialog open={importing} onClose={() => setImporting(false)} label="Import cases">
				<Import
					set={set}
					onDone={() => {
						setImporting(false);
						refresh();
					}}
				/>
			</Dialog>
		</section>
	);
}

function expectedOf(text: string, isJson: boolean): unknown {
	if (text === '') return null;
	if (!isJson) return text;
	try {
		return JSON.parse(text) as unknown;
	} catch {
		throw new Error('What is expected is no JSON.');
	}
}

function variablesOf(text: string): Record<string, string> {
	const lines = text.split('\n').filter((line) => line.trim() !== '');
	return Object.fromEntries(
		lines.map((line) => {
			const at = line.indexOf('=');
			if (at < 1) throw new Error(`“${line.slice(0, 40)}” is no NAME=value.`);
			return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
		}),
	);
}

function CaseForm({ set, of, onDone }: { set: Evaluation; of: EvaluationCase | null; onDone: () => void }): ReactNode {
	const [input, setInput] = useState(of?.input ?? '');
	const [expected, setExpected] = useState(expectedText(of?.expected));
	const [isJson, setJson] = useState(of !== null && of.expected !== null && typeof of.expected !== 'string');
	const [variables, setVariables] = useState(Object.entries(of?.variables ?? {}).map(([k, v]) => `${k}=${v}`).join('\n'));
	const [tags, setTags] = useState(of?.tags.join(', ') ?? '');
	const save = useMutation({
		mutationFn: async () => {
			const body = { input, expected: expectedOf(expected, isJson), variables: variablesOf(variables), tags: tags.split(/[,;]/).map((t) => t.trim()).filter(Boolean) };
			if (of) return unwrap(api.PATCH('/api/evaluations/{id}/cases/{case_id}', { params: { path: { id: set.id, case_id: of.id } }, body }));
			return unwrap(api.POST('/api/evaluations/{id}/cases', { params: { path: { id: set.id }, header: { 'Idempotency-Key': newKey() } }, body }));
		},
		onSuccess: onDone,
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				save.mutate();
			}}
		>
			<h2>{of ? 'Change the case' : 'New case'}</h2>
			<div className="field">
				<label htmlFor="case-input">What the agent is asked</label>
				<textarea id="case-input" rows={4} required value={input} onChange={(e) => setInput(e.target.value)} />
			</div>
			<div className="field">
				<label htmlFor="case-expected">What is expected; may be empty</label>
				<textarea id="case-expected" rows={3} value={expected} onChange={(e) => setExpected(e.target.value)} />
			</div>
			<label className="check">
				<input type="checkbox" checked={isJson} onChange={(e) => setJson(e.target.checked)} />
				<span>It is JSON</span>
			</label>
			<div className="field">
				<label htmlFor="case-variables">Variables of the instructions, NAME=value in each line</label>
				<textarea id="case-variables" rows={2} value={variables} onChange={(e) => setVariables(e.target.value)} />
			</div>
			<Field label="Tags, between commas" name="case-tags" value={tags} onChange={(e) => setTags(e.target.value)} />
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
			<div className="row end">
				<button type="submit" className="button primary" disabled={save.isPending}>
					Save the case
				</button>
			</div>
		</form>
	);
}

function Import({ set, onDone }: { set: Evaluation; onDone: () => void }): ReactNode {
	const [file, setFile] = useState<File | null>(null);
	const [replaces, setReplaces] = useState(false);
	const take = useMutation({
		mutationFn: async () => {
			if (!file) throw new Error('Choose a file.');
			const format = /\.csv$/i.test(file.name) ? 'csv' : 'jsonl';
			return unwrap(api.POST('/api/evaluations/{id}/cases/import', { params: { path: { id: set.id }, header: { 'Idempotency-Key': newKey() } }, body: { format, data: await file.text(), replace: replaces } }));
		},
		onSuccess: onDone,
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				take.mutate();
			}}
		>
			<h2>Import cases</h2>
			<div className="field">
				<label htmlFor="cases-file">File: CSV with the columns input and expected, or JSONL</label>
				<input id="cases-file" type="file" accept=".csv,.jsonl,.ndjson,text/csv" required onChange={(e) => setFile(e.target.files?.[0] ?? null)} />
			</div>
			<label className="check">
				<input type="checkbox" checked={replaces} onChange={(e) => setReplaces(e.target.checked)} />
				<span>Remove the {plural(set.cases, 'case')} that the file does not name by their ids</span>
			</label>
			{take.isError && <Notice tone="bad">{messageOf(take.error)}</Notice>}
			<div className="row end">
				<button type="submit" className="button primary" disabled={take.isPending}>
					Take them
				</button>
			</div>
		</form>
	);
}
