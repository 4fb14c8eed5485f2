/* What becomes of all that is one's own. */
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { call, saveAs } from '../api/files';
import { signOut } from '../api/session';
import { Confirm } from '../ui/dialog';
import { formatBytes } from '../ui/format';
import { Failure, Notice, ShortTime, Spinner } from '../ui/parts';
import { useReauth } from './reauth';

const pollMs = 2_000;
const exportsQuery = queryOptions({
	queryKey: ['exports'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/account/exports', { signal }))).items,
	staleTime: 0,
	refetchInterval: (query) => (query.state.data?.some((e) => !e.ended_at) ? pollMs : false),
});

/** Made in the background, there for some days, for its person alone. */
export function AccountExport(): ReactNode {
	const queries = useQueryClient();
	const list = useQuery(exportsQuery);
	const make = useMutation({
		mutationFn: () => unwrap(api.POST('/api/account/exports')),
		onSuccess: () => queries.invalidateQueries({ queryKey: ['exports'] }),
	});
	const save = useMutation({
		mutationFn: async (id: string) => saveAs(await (await call('GET', `/api/account/exports/${id}/content`)).blob(), 'ogent-account.tar.gz'),
	});
	const newest = list.data?.[0];
	const isBusy = make.isPending || (newest !== undefined && !newest.ended_at);
	const failure = make.error ?? save.error;
	return (
		<>
			<p className="muted">Conversations, runs, files, knowledge, memory, schedules and the rest of what is yours, as one archive. No passwords or keys are in it.</p>
			{list.isError && <Failure what="The exports cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{failure !== null && <Notice tone="bad">{messageOf(failure)}</Notice>}
			{newest?.error && <Notice tone="bad">{newest.error.message}</Notice>}
			{isBusy && <Spinner label="The file is being made…" />}
			{newest?.status === 'succeeded' && (
				<p>
					<button type="button" className="button" disabled={save.isPending} onClick={() => save.mutate(newest.id)}>
						Save the file ({formatBytes(newest.size)})
					</button>{' '}
					<span className="muted">
						made <ShortTime time={newest.created_at} />
						{newest.expires_at && (
							<>
								, kept until <ShortTime time={newest.expires_at} />
							</>
						)}
					</span>
				</p>
			)}
			<div className="row">
				<button type="button" className="button" disabled={isBusy} onClick={() => make.mutate()}>
					{newest ? 'Make a new file' : 'Make the file'}
				</button>
			</div>
		</>
	);
}

export function AccountRemoval(): ReactNode {
	const reauth = useReauth();
	const [asking, setAsking] = useState(false);
	const remove = useMutation({
		mutationFn: () => reauth.run(() => unwrap(api.DELETE('/api/auth/me'))),
		onSuccess: () => signOut(),
	});
	return (
		<>
			<p className="muted">Conversations, runs, files, knowledge, schedules, keys and your agents are deleted for good. Agents and collections that others use go to the owner of this installation.</p>
			<div className="row">
				<button type="button" className="button danger ghost" onClick={() => setAsking(true)}>
					Delete my account
				</button>
			</div>
			<Confirm
				open={asking}
				title="Delete your account?"
				text="Everything of yours is deleted for good, and you are signed out everywhere. There is no way back."
				action="Delete for good"
				busy={remove.isPending}
				error={remove.error === null ? null : messageOf(remove.error)}
				onConfirm={() => remove.mutate()}
				onClose={() => {
					remove.reset();
					setAsking(false);
				}}
			/>
			{reauth.dialog}
		</>
	);
}
