import { Plus } from 'lucide-react';
import { useId, useState, type FormEvent, type ReactNode } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import type { Evaluation, EvaluationGrader } from '../api/evaluations';
import { Field, Notice } from '../ui/parts';

type Type = EvaluationGrader['type'];

const types: Record<Type, string> = {
	exact: 'The answer is the text',
	contains: 'The answer contains the text',
	regex: 'The answer matches a regular expression',
	numeric: 'The last number in the answer is right',
	json_equals: 'The answer is the JSON value',
	json_subset: 'The answer has at least this JSON',
	json_schema: 'The answer fits a JSON Schema',
	model: 'A model judges by a rubric',
	tool_called: 'A tool was called',
	tool_not_called: 'A tool was not called',
	status: 'The run succeeded',
	max_steps: 'At most so many steps',
	max_tokens: 'At most so many tokens',
	max_cost_usd: 'Costs at most so many dollars',
	max_latency_ms: 'Takes at most so many milliseconds',
};

/** What the form holds: JSON as the text that is typed. */
interface Draft {
	key: number;
	type: Type;
	name: string;
	weight: string;
	isRequired: boolean;
	value: string;
	ignoresCase: boolean;
	tolerance: string;
	tool: string;
	model: string;
	/** What the form does not show. */
	rest: Partial<EvaluationGrader>;
}

const hasText: ReadonlySet<Type> = new Set(['exact', 'contains', 'regex']);
const hasJson: ReadonlySet<Type> = new Set(['json_equals', 'json_subset', 'json_schema']);
const hasLimit: ReadonlySet<Type> = new Set(['max_steps', 'max_tokens', 'max_cost_usd', 'max_latency_ms']);
const hasTool: ReadonlySet<Type> = new Set(['tool_called', 'tool_not_called']);

let keys = 0;

function draftOf(grader: EvaluationGrader): Draft {
	const { type, name, weight, required, value, ignore_case, tolerance, tool, model, rubric, schema, ...rest } = grader;
	const shown = type === 'model' ? rubric : type === 'json_schema' ? schema : value;
	return {
		key: keys++,
		type,
		name: name ?? '',
		weight: String(weight ?? 1),
		isRequired: required ?? false,
		value: shown === undefined ? '' : typeof shown === 'string' ? shown : JSON.stringify(shown, null, 2),
		ignoresCase: ignore_case ?? false,
		tolerance: String(tolerance ?? 0),
		tool: tool ?? '',
		model: model ?? '',
		rest,
	};
}

function json(text: string, d: Draft): Record<string, unknown> {
	try {
		return JSON.parse(text) as Record<string, unknown>;
	} catch {
		throw new Error(`“${d.name || types[d.type]}”: this is no JSON.`);
	}
}

function graderOf(d: Draft): EvaluationGrader {
	const g: EvaluationGrader = { ...d.rest, type: d.type, weight: Number(d.weight), required: d.isRequired };
	if (d.name) g.name = d.name;
	if (hasText.has(d.type) && d.value) g.value = d.value;
	if (d.type === 'exact' || d.type === 'contains') g.ignore_case = d.ignoresCase;
	if (d.type === 'numeric') g.tolerance = Number(d.tolerance);
	if ((hasLimit.has(d.type) || d.type === 'numeric') && d.value) g.value = Number(d.value);
	if (d.type === 'json_schema') g.schema = json(d.value, d);
	else if (hasJson.has(d.type) && d.value) g.value = json(d.value, d);
	if (hasTool.has(d.type)) g.tool = d.tool;
	if (d.type === 'model') g.rubric = d.value;
	if (d.type === 'model' && d.model) g.model = d.model;
	return g;
}

/** The graders of a set, and what a case needs to pass. */
export function Graders({ set }: { set: Evaluation }): ReactNode {
	const queries = useQueryClient();
	const [drafts, setDrafts] = useState(() => set.graders.map(draftOf));
	const [passScore, setPassScore] = useState(String(set.pass_score));
	const [isChanged, setChanged] = useState(false);
	const change = (next: Draft[]): void => {
		setDrafts(next);
		setChanged(true);
	};
	const save = useMutation({
		mutationFn: async () => unwrap(api.PATCH('/api/evaluations/{id}', { params: { path: { id: set.id } }, body: { graders: drafts.map(graderOf), pass_score: Number(passScore) } })),
		onSuccess: () => {
			setChanged(false);
			void queries.invalidateQueries({ queryKey: ['evaluations'] });
		},
	});
	return (
		<section aria-labelledby="graders">
			<div className="page-head">
				<h2 id="graders">Graders</h2>
				<button type="button" className="button" onClick={() => change([...drafts, draftOf({ type: 'contains' })])}>
					<Plus aria-hidden size={17} /> Add a grader
				</button>
			</div>
			<form
				className="stack"
				onSubmit={(event: FormEvent) => {
					event.preventDefault();
					save.mutate();
				}}
			>
				{drafts.map((d, i) => (
					<Grader key={d.key} draft={d} number={i + 1} onChange={(to) => change(drafts.map((x) => (x.key === d.key ? to : x)))} onRemove={() => change(drafts.filter((x) => x.key !== d.key))} />
				))}
				<Field
					label="A case passes from this score on, from 0 to 1"
					name="pass-score"
					type="number"
					min={0}
					max={1}
					step="any"
					required
					value={passScore}
					onChange={(e) => {
						setPassScore(e.target.value);
						setChanged(true);
					}}
					hint="The mean of the graders by weight; with 1 all must pass."
				/>
				{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
				<div className="row">
					<button type="submit" className="button primary" disabled={!isChanged || save.isPending}>
						Save the graders
					</button>
					<p role="status">{save.isSuccess && !isChanged && 'Saved.'}</p>
				</div>
			</form>
		</section>
	);
}

function Grader({ draft: d, number, onChange, onRemove }: { draft: Draft; number: number; onChange: (to: Draft) => void; onRemove: () => void }): ReactNode {
	const id = useId();
	const set = (part: Partial<Draft>): void => onChange({ ...d, ...part });
	return (
		<fieldset className="group-box stack">
			<legend>
				Grader {number}
				{d.name && `: ${d.name}`}
			</legend>
			<div className="three">
				<div className="field">
					<label htmlFor={`${id}-type`}>What it looks at</label>
					<select id={`${id}-type`} value={d.type} onChange={(e) => set({ type: e.target.value as Type, value: '', rest: {} })}>
						{Object.entries(types).map(([type, label]) => (
							<option key={type} value={type}>
								{label}
							</option>
						))}
					</select>
				</div>
				<Field label="Name" maxLength={100} value={d.name} onChange={(e) => set({ name: e.target.value })} />
				<Field label="Weight" type="number" min={0} max={1000} step="any" required value={d.weight} onChange={(e) => set({ weight: e.target.value })} />
			</div>
			{hasText.has(d.type) && <Field label={d.type === 'regex' ? 'Expression; empty: what the case expects' : 'Text; empty: what the case expects'} value={d.value} onChange={(e) => set({ value: e.target.value })} />}
			{(d.type === 'exact' || d.type === 'contains') && <Check label="Upper and lower case do not matter" isOn={d.ignoresCase} onChange={(ignoresCase) => set({ ignoresCase })} />}
			{d.type === 'numeric' && (
				<div className="three">
					<Field label="Number; empty: what the case expects" type="number" step="any" value={d.value} onChange={(e) => set({ value: e.target.value })} />
					<Field label="Tolerance" type="number" min={0} step="any" required value={d.tolerance} onChange={(e) => set({ tolerance: e.target.value })} />
				</div>
			)}
			{hasLimit.has(d.type) && <Field label="At most" type="number" min={0} step="any" required value={d.value} onChange={(e) => set({ value: e.target.value })} />}
			{hasTool.has(d.type) && <Field label="Tool" required maxLength={128} value={d.tool} onChange={(e) => set({ tool: e.target.value })} />}
			{(hasJson.has(d.type) || d.type === 'model') && (
				<div className="field">
					<label htmlFor={`${id}-long`}>{d.type === 'model' ? 'Rubric: when an answer is good' : d.type === 'json_schema' ? 'JSON Schema' : 'JSON object; empty: what the case expects'}</label>
					<textarea id={`${id}-long`} rows={4} maxLength={d.type === 'model' ? 8000 : undefined} required={d.type === 'model' || d.type === 'json_schema'} value={d.value} onChange={(e) => set({ value: e.target.value })} />
				</div>
			)}
			{d.type === 'model' && <Field label="Model; empty: the default one" maxLength={200} value={d.model} onChange={(e) => set({ model: e.target.value })} />}
			<div className="row">
				<Check label="A case cannot pass without it" isOn={d.isRequired} onChange={(isRequired) => set({ isRequired })} />
				<button type="button" className="button small" onClick={onRemove} aria-label={`Remove grader ${number}`}>
					Remove
				</button>
			</div>
		</fieldset>
	);
}

function Check({ label, isOn, onChange }: { label: string; isOn: boolean; onChange: (isOn: boolean) => void }): ReactNode {
	return (
		<label className="check">
			<input type="checkbox" checked={isOn} onChange={(e) => onChange(e.target.checked)} />
			<span>{label}</span>
		</label>
	);
}
