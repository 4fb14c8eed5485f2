/* What an agent is set to besides name, instructions, tools and limits. */
import { useQuery } from '@tanstack/react-query';
import { Plus, Trash2 } from 'lucide-react';
import { useId, type ReactNode } from 'react';

import { policiesQuery } from '../api/queries';
import type { AgentInput } from '../api/types';
import { Field } from '../ui/parts';

export type Settings = Required<Pick<AgentInput, 'fallback_models' | 'policy' | 'variables' | 'budget' | 'retention'>>;
type Variable = Settings['variables'][number];
type Budget = NonNullable<AgentInput['budget']>;
type Retention = NonNullable<AgentInput['retention']>;

export const noBudget = { run_tokens: 0, run_cost_usd: 0, day_tokens: 0, day_cost_usd: 0 };

export function MoreSettings({ values, onChange }: { values: Settings; onChange: (part: Partial<Settings>) => void }): ReactNode {
	return (
		<>
			<Variables value={values.variables} onChange={(variables) => onChange({ variables })} />
			<Field
				label="Models when this one fails"
				hint="Asked in this order, with commas between them; at most five."
				defaultValue={values.fallback_models.join(', ')}
				onChange={(e) => onChange({ fallback_models: e.target.value.split(',').map((s) => s.trim()).filter(Boolean) })}
			/>
			<PolicyChoice value={values.policy} onChange={(policy) => onChange({ policy })} />
			<Numbers legend="Budget" fields={budgetFields} value={values.budget} empty="no limit" onChange={(budget) => onChange({ budget })} />
			<Numbers
				legend="Deleted after days"
				hint="Where this is sooner than the platform's own rules, which hold by default. A conversation that is kept stays with its runs."
				fields={retentionFields}
				value={values.retention}
				max={36_500}
				empty="default"
				onChange={(retention) => onChange({ retention })}
			/>
		</>
	);
}

type NumberField<Key> = { key: Key; label: string; hint?: string; step: number | 'any' };

/* Numbers of which each may be left out; 0 is the same. */
function Numbers<Value extends { [key in Key]?: number }, Key extends string & keyof Value>({
	legend,
	hint,
	fields,
	value,
	max,
	empty,
	onChange,
}: {
	legend: string;
	hint?: string;
	fields: NumberField<Key>[];
	value: Value;
	max?: number;
	empty: string;
	onChange: (value: Value) => void;
}): ReactNode {
	return (
		<fieldset className="group-box">
			<legend>{legend}</legend>
			{hint && <p className="hint">{hint}</p>}
			<div className="three">
				{fields.map(({ key, label, hint, step }) => (
					<Field
						key={key}
						label={label}
						hint={hint}
						type="number"
						min={0}
						max={max}
						step={step}
						defaultValue={value[key] || ''}
						placeholder={empty}
						onChange={(e) => onChange({ ...value, [key]: e.target.value === '' ? 0 : e.target.valueAsNumber })}
					/>
				))}
			</div>
		</fieldset>
	);
}

const budgetFields: NumberField<keyof Budget>[] = [
	{ key: 'run_tokens', label: 'Tokens of a run', step: 1 },
	{ key: 'run_cost_usd', label: 'Dollars of a run', step: 'any' },
	{ key: 'day_tokens', label: 'Tokens a day', step: 1 },
	{ key: 'day_cost_usd', label: 'Dollars a day', step: 'any' },
];

const retentionFields: NumberField<keyof Retention>[] = [
	{ key: 'conversation_days', label: 'Conversations', hint: 'That nobody used for so long', step: 1 },
	{ key: 'execution_days', label: 'Runs', hint: 'Since their end; messages stay', step: 1 },
	{ key: 'result_days', label: 'Results of tools', hint: 'With their events and commands', step: 1 },
	{ key: 'event_days', label: 'Events of runs', hint: 'What is shown of them again', step: 1 },
];

function PolicyChoice({ value, onChange }: { value: string | null; onChange: (policy: string | null) => void }): ReactNode {
	const id = useId();
	const policies = useQuery(policiesQuery);
	const names = (policies.data ?? []).map((p) => p.name);
	return (
		<div className="field">
			<label htmlFor={id}>Policy for commands</label>
			<select id={id} value={value ?? ''} onChange={(e) => onChange(e.target.value || null)} aria-describedby={`${id}-hint`}>
				<option value="">Only the one that always applies</option>
				{[...new Set([...names, ...(value ? [value] : [])])].map((name) => (
					<option key={name} value={name}>
						{name}
					</option>
				))}
			</select>
			<p className="hint" id={`${id}-hint`}>
				Its commands must pass this one too.
			</p>
		</div>
	);
}

function Variables({ value, onChange }: { value: Variable[]; onChange: (variables: Variable[]) => void }): ReactNode {
	const set = (at: number, part: Partial<Variable>) => onChange(value.map((v, i) => (i === at ? { ...v, ...part } : v)));
	return (
		<fieldset className="group-box">
			<legend>Variables</legend>
			<p className="hint">
				Stand in the instructions as <code>{'{{name}}'}</code>; each conversation may set its own values. <code>{'{{user.name}}'}</code>, <code>{'{{date}}'}</code> and others are always there.
			</p>
			{value.map((variable, i) => (
				<div key={i} className="three">
					<Field label="Name" required pattern="[a-z][a-z0-9_]{0,39}" title="a to z, 0 to 9 and _, a letter first" value={variable.name} onChange={(e) => set(i, { name: e.target.value })} />
					<Field label="What it is" maxLength={300} value={variable.description ?? ''} onChange={(e) => set(i, { description: e.target.value })} />
					<div className="row">
						<Field label="Value otherwise" placeholder="each conversation must set it" value={variable.default ?? ''} onChange={(e) => set(i, { default: e.target.value === '' ? null : e.target.value })} />
						<button type="button" className="icon-button" aria-label={`Remove the variable ${variable.name}`} onClick={() => onChange(value.filter((_, k) => k !== i))}>
							<Trash2 aria-hidden size={16} />
						</button>
					</div>
				</div>
			))}
			<button type="button" className="button small" onClick={() => onChange([...value, { name: '', description: '', default: null }])}>
				<Plus aria-hidden size={15} /> Add a variable
			</button>
		</fieldset>
	);
}
