import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { useNavigate } from 'react-router';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import type { AgentFile, AgentImport } from '../api/types';
import { Notice } from '../ui/parts';

const states = { missing: 'is not here', different: 'is another one here', unchecked: 'could not be looked for' };

export function ImportAgent({ onDone }: { onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const [file, setFile] = useState<AgentFile | null>(null);
	const [finding, setFinding] = useState<AgentImport | null>(null);
	const look = useMutation({
		mutationFn: async (chosen: File) => {
			const body = JSON.parse(await chosen.text()) as AgentFile;
			const answer = await unwrap(api.POST('/api/agents/import', { params: { query: { dry_run: true } }, body }));
			return { body, finding: answer as AgentImport };
		},
		onMutate: () => setFinding(null),
		onSuccess: (found) => {
			setFile(found.body);
			setFinding(found.finding);
		},
	});
	const make = useMutation({
		mutationFn: (body: AgentFile) => unwrap(api.POST('/api/agents/import', { params: { query: { skip_missing: true } }, body })),
		onSuccess: (agent) => {
			void queries.invalidateQueries({ queryKey: ['agents'] });
			onDone();
			if ('id' in agent) void navigate(`/agents/${agent.id as string}`);
		},
	});
	const missing = finding?.missing ?? [];
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				if (file) make.mutate(file);
			}}
		>
			<h2>Import an agent</h2>
			<div className="field">
				<label htmlFor="agent-file">File</label>
				<input
					id="agent-file"
					type="file"
					accept=".json,application/json"
					onChange={(e) => {
						const chosen = e.target.files?.[0];
						if (chosen) look.mutate(chosen);
					}}
				/>
				<p className="hint">One that “Export” wrote, here or elsewhere.</p>
			</div>
			{look.isError && <Notice tone="bad">{messageOf(look.error)}</Notice>}
			{make.isError && <Notice tone="bad">{messageOf(make.error)}</Notice>}
			{finding && (
				<Notice tone={missing.length > 0 ? 'warn' : 'info'} title={String((finding.agent as { name?: string }).name ?? 'An agent')}>
					{missing.length === 0 && <p>All that it needs is here.</p>}
					{missing.length > 0 && (
						<ul>
							{missing.map((m) => (
								<li key={`${m.kind} ${m.name}`}>
									{m.kind} <strong>{m.name}</strong> {states[m.state]}
								</li>
							))}
						</ul>
					)}
					{missing.some((m) => m.state === 'missing') && <p>What is not here is left out.</p>}
				</Notice>
			)}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Close
				</button>
				<button type="submit" className="button primary" disabled={!finding || make.isPending}>
					Import
				</button>
			</div>
		</form>
	);
}
