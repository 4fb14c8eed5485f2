import './../styles/pages.css';
import './../styles/admin.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { agentQuery, agentVersionsQuery, versionDiffQuery } from '../api/queries';
import { DiffText } from '../ui/diff-text';
import { Failure, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';

export function AgentVersionsPage(): ReactNode {
	const { id = '' } = useParams();
	const [params, setParams] = useSearchParams();
	const queries = useQueryClient();
	const agent = useQuery(agentQuery(id));
	const versions = useQuery(agentVersionsQuery(id));
	const newest = versions.data?.[0]?.version ?? 1;
	const to = Number(params.get('to')) || newest;
	const from = Number(params.get('from')) || Math.max(to - 1, 1);
	useTitle(agent.data ? `Versions of ${agent.data.agent.name}` : 'Versions');
	const restore = useMutation({
		mutationFn: (version: number) => unwrap(api.POST('/api/agents/{id}/versions/{version}/restore', { params: { path: { id, version } } })),
		onSuccess: () => {
			setParams({}, { replace: true });
			void queries.invalidateQueries({ queryKey: ['agents'] });
		},
	});
	const choose = (part: { from?: number; to?: number }) => setParams({ from: String(part.from ?? from), to: String(part.to ?? to) }, { replace: true });
	const mayRestore = agent.data?.agent.rights.includes('edit') ?? false;
	return (
		<div className="page">
			<p className="crumb">
				<Link to="/agents">Agents</Link> / <Link to={`/agents/${id}`}>{agent.data?.agent.name ?? 'Agent'}</Link> / Versions
			</p>
			<h1>Versions</h1>
			{versions.isPending && <Spinner label="Loading the versions…" />}
			{versions.isError && <Failure what="The versions cannot be read" error={versions.error} retry={() => void versions.refetch()} />}
			{restore.isError && <Notice tone="bad">{messageOf(restore.error)}</Notice>}
			<div className="table-box" role="region" aria-label="Versions, newest first; choose two to compare (table)" tabIndex={0}>
				<table>
					<caption className="visually-hidden">Versions, newest first; choose two to compare</caption>
					<thead>
						<tr>
							<th scope="col">Version</th>
							<th scope="col">Saved</th>
							<th scope="col">From</th>
							<th scope="col">To</th>
							<th scope="col">
								<span className="visually-hidden">Acts</span>
							</th>
						</tr>
					</thead>
					<tbody>
						{versions.data?.map((v) => (
							<tr key={v.version}>
								<th scope="row">{v.version}</th>
								<td>
									<ShortTime time={v.created_at} />
								</td>
								<td>
									<input type="radio" name="from" aria-label={`From version ${v.version}`} checked={from === v.version} onChange={() => choose({ from: v.version })} />
								</td>
								<td>
									<input type="radio" name="to" aria-label={`To version ${v.version}`} checked={to === v.version} onChange={() => choose({ to: v.version })} />
								</td>
								<td>
									{mayRestore && v.version !== newest && (
										<button type="button" className="button small" disabled={restore.isPending} aria-label={`Restore version ${v.version}`} onClick={() => restore.mutate(v.version)}>
											Restore
										</button>
									)}
								</td>
							</tr>
						))}
					</tbody>
				</table>
			</div>
			{versions.isSuccess && <Difference id={id} from={from} to={to} />}
		</div>
	);
}

const shown = (value: unknown) => (value === null || value === undefined ? 'nothing' : typeof value === 'string' ? value : JSON.stringify(value));

function Difference({ id, from, to }: { id: string; from: number; to: number }): ReactNode {
	const diff = useQuery(versionDiffQuery(id, from, to));
	if (diff.isPending) return <Spinner label="Comparing…" />;
	if (diff.isError) return <Failure what="The versions cannot be compared" error={diff.error} retry={() => void diff.refetch()} />;
	const fields = diff.data.fields.filter((f) => f.name !== 'instructions');
	return (
		<section aria-labelledby="difference">
			<h2 id="difference">
				From {from} to {to}
			</h2>
			{fields.length === 0 && !diff.data.instructions_diff && <p className="empty">They are the same.</p>}
			{fields.length > 0 && (
				<div className="table-box" role="region" aria-label="Changed settings (table)" tabIndex={0}>
					<table>
						<caption className="visually-hidden">Changed settings</caption>
						<thead>
							<tr>
								<th scope="col">Setting</th>
								<th scope="col">Was</th>
								<th scope="col">Is</th>
							</tr>
						</thead>
						<tbody>
							{fields.map((f) => (
								<tr key={f.name}>
									<th scope="row">{f.name}</th>
									<td>{shown(f.from)}</td>
									<td>{shown(f.to)}</td>
								</tr>
							))}
						</tbody>
					</table>
				</div>
			)}
			{diff.data.instructions_diff && (
				<>
					<h3>Instructions</h3>
					<DiffText text={diff.data.instructions_diff} label="What changed in the instructions" />
				</>
			)}
		</section>
	);
}
