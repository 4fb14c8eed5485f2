/* Which operations of HTTP APIs an agent may call. */
import { useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';

import { apiQuery, apisQuery } from '../api/queries';
import type { AgentApi, ApiSource } from '../api/types';
import { Failure, Field, Spinner } from '../ui/parts';

const most = 48;

export function ApiChoice({ value, onChange }: { value: AgentApi[]; onChange: (apis: AgentApi[]) => void }): ReactNode {
	const apis = useQuery(apisQuery);
	const total = value.reduce((sum, entry) => sum + entry.operations.length, 0);
	if (apis.isError) return <Failure what="The APIs cannot be read" error={apis.error} retry={() => void apis.refetch()} />;
	const gone = value.filter((entry) => apis.data && !apis.data.some((source) => source.id === entry.id));
	if (apis.data?.length === 0 && value.length === 0) return null;
	return (
		<fieldset className="group-box">
			<legend>APIs</legend>
			<p className="hint">
				Operations that it may call, {most} at the most; {total} chosen. Who talks to it needs the API shared too.
			</p>
			{apis.data?.map((source) => (
				<Source
					key={source.id}
					source={source}
					entry={value.find((e) => e.id === source.id)}
					full={total >= most}
					onChange={(entry) => onChange([...value.filter((e) => e.id !== source.id), ...(entry.operations.length > 0 ? [entry] : [])])}
				/>
			))}
			{gone.map((entry) => (
				<p key={entry.id} className="hint">
					{entry.operations.length} operations of an API that you cannot see.{' '}
					<button type="button" className="button small" onClick={() => onChange(value.filter((e) => e.id !== entry.id))}>
						Take them away
					</button>
				</p>
			))}
		</fieldset>
	);
}

function Source({ source, entry, full, onChange }: { source: ApiSource; entry: AgentApi | undefined; full: boolean; onChange: (entry: AgentApi) => void }): ReactNode {
	const [isOpen, setOpen] = useState(false);
	return (
		<details onToggle={(e) => setOpen(e.currentTarget.open)}>
			<summary>
				{source.name}: {entry?.operations.length ?? 0} chosen
			</summary>
			{isOpen && <Operations id={source.id} entry={entry ?? { id: source.id, operations: [] }} full={full} onChange={onChange} />}
		</details>
	);
}

type Mode = NonNullable<AgentApi['approval']>[string];

function Operations({ id, entry, full, onChange }: { id: string; entry: AgentApi; full: boolean; onChange: (entry: AgentApi) => void }): ReactNode {
	const loaded = useQuery(apiQuery(id));
	const [words, setWords] = useState('');
	if (loaded.isPending) return <Spinner label="Loading the operations…" />;
	if (loaded.isError) return <Failure what="The operations cannot be read" error={loaded.error} retry={() => void loaded.refetch()} />;
	const all = loaded.data.operations ?? [];
	const shown = all.filter((o) => `${o.name} ${o.method} ${o.path} ${o.summary}`.toLowerCase().includes(words.trim().toLowerCase()));
	const choose = (name: string, on: boolean) => {
		const approval = Object.fromEntries(Object.entries(entry.approval ?? {}).filter(([key]) => key !== name));
		onChange({ ...entry, operations: on ? [...entry.operations, name] : entry.operations.filter((n) => n !== name), approval });
	};
	const setMode = (name: string, mode: Mode | '') => {
		const others = Object.fromEntries(Object.entries(entry.approval ?? {}).filter(([key]) => key !== name));
		onChange({ ...entry, approval: mode === '' ? others : { ...others, [name]: mode } });
	};
	return (
		<>
			{all.length > 10 && <Field label={`Search the operations of ${loaded.data.name}`} type="search" value={words} onChange={(e) => setWords(e.target.value)} />}
			{shown.map((o) => {
				const isChosen = entry.operations.includes(o.name);
				return (
					<div key={o.name} className="row">
						<label className="check">
							<input type="checkbox" checked={isChosen} disabled={!isChosen && (full || o.problem !== null)} onChange={(e) => choose(o.name, e.target.checked)} />
							<span>
								<strong>{o.name}</strong>
								<span className="hint">
									{o.method} {o.path} {o.problem ?? o.summary}
								</span>
							</span>
						</label>
						{isChosen && (
							<select aria-label={`When you approve ${o.name}`} value={entry.approval?.[o.name] ?? ''} onChange={(e) => setMode(o.name, e.target.value as Mode | '')}>
								<option value="">As the agent</option>
								<option value="never">Never asked</option>
								<option value="risky">When it is risky</option>
								<option value="always">Always</option>
							</select>
						)}
					</div>
				);
			})}
		</>
	);
}
