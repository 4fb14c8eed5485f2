import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Camera } from 'lucide-react';
import { useState, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { ApiError, messageOf } from '../api/error';
import { snapshotsQuery, type Snapshot } from '../api/files';
import { announce } from '../ui/announce';
import { Confirm } from '../ui/dialog';
import { formatBytes, formatExact, plural } from '../ui/format';
import { Failure, Spinner } from '../ui/parts';
import { useMay } from './user';

type Act = { kind: 'restore' | 'remove'; snapshot: Snapshot };

export function Snapshots({ workspace }: { workspace: string }): ReactNode {
	const queries = useQueryClient();
	const may = useMay('commands.run');
	const list = useQuery(snapshotsQuery(workspace));
	const [act, setAct] = useState<Act | null>(null);
	const params = { path: { id: workspace } };
	const make = useMutation({
		mutationFn: () => unwrap(api.POST('/api/workspaces/{id}/snapshots', { params, body: {} })),
		onSuccess: () => {
			announce('The snapshot is made.');
			void queries.invalidateQueries({ queryKey: ['snapshots', workspace] });
		},
	});
	const decide = useMutation({
		mutationFn: async ({ kind, snapshot }: Act) => {
			const path = { id: workspace, snapshot: snapshot.id };
			if (kind === 'restore') await unwrap(api.POST('/api/workspaces/{id}/snapshots/{snapshot}/restore', { params: { path } }));
			else await unwrap(api.DELETE('/api/workspaces/{id}/snapshots/{snapshot}', { params: { path } }));
		},
		onSuccess: () => {
			setAct(null);
			void queries.invalidateQueries({ queryKey: ['snapshots', workspace] });
			void queries.invalidateQueries({ queryKey: ['files', workspace] });
		},
	});
	if (list.error instanceof ApiError && list.error.status === 404) return null;
	return (
		<section aria-labelledby="snapshots">
			<div className="section-head">
				<h2 id="snapshots">Snapshots</h2>
				{may && (
					<button type="button" className="button small" disabled={make.isPending} onClick={() => make.mutate()}>
						<Camera aria-hidden size={16} /> Keep it as it is now
					</button>
				)}
			</div>
			{make.isError && (
				<p role="alert" className="field-error">
					{messageOf(make.error)}
				</p>
			)}
			{list.isPending && <Spinner label="Loading the snapshots…" />}
			{list.isError && <Failure what="The snapshots cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.length === 0 && <p className="muted">None is kept. A snapshot brings the workspace back as it was.</p>}
			{list.data && list.data.length > 0 && (
				<ul className="runs" aria-label="Snapshots">
					{list.data.map((snapshot) => (
						<li key={snapshot.id} className="run-row user-row">
							<div className="run-main">
								<strong>{snapshot.name || formatExact(snapshot.created_at)}</strong>
							</div>
							<div className="run-facts">
								<span>
									{plural(snapshot.files, 'file')}, {formatBytes(snapshot.bytes)}
								</span>
							</div>
							{may && (
								<div className="row">
									<button type="button" className="button small" aria-label={`Restore ${formatExact(snapshot.created_at)}`} onClick={() => setAct({ kind: 'restore', snapshot })}>
										Restore
									</button>
									<button type="button" className="button small" aria-label={`Delete ${formatExact(snapshot.created_at)}`} onClick={() => setAct({ kind: 'remove', snapshot })}>
										Delete
									</button>
								</div>
							)}
						</li>
					))}
				</ul>
			)}
			<Confirm
				open={act !== null}
				title={act?.kind === 'restore' ? 'Bring this state back?' : 'Delete this snapshot?'}
				text={act?.kind === 'restore' ? 'All files of the workspace become what they were; what was made since is gone.' : 'The workspace itself stays as it is.'}
				action={act?.kind === 'restore' ? 'Restore' : 'Delete'}
				busy={decide.isPending}
				error={decide.isError ? messageOf(decide.error) : null}
				onConfirm={() => act && decide.mutate(act)}
				onClose={() => setAct(null)}
			/>
		</section>
	);
}
