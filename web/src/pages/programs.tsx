/* The programs that the user has let in, and letting one out again. */
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import type { Consent } from '../api/types';
import { Failure, Notice, ShortTime, Spinner } from '../ui/parts';

const consentsQuery = queryOptions({
	queryKey: ['consents'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/auth/consents', { signal }))).items,
	staleTime: 0,
});

export function Programs(): ReactNode {
	const list = useQuery(consentsQuery);
	return (
		<>
			<p className="muted">What acts for you here, by OAuth: MCP clients and other programs that you have let in.</p>
			{list.isPending && <Spinner label="Loading the programs…" />}
			{list.isError && <Failure what="The programs cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.length === 0 && <p>No program acts for you.</p>}
			<ul className="runs" aria-label="Connected programs">
				{list.data?.map((consent) => <Row key={consent.id} consent={consent} />)}
			</ul>
		</>
	);
}

function Row({ consent }: { consent: Consent }): ReactNode {
	const queries = useQueryClient();
	const remove = useMutation({
		mutationFn: () => unwrap(api.DELETE('/api/auth/consents/{id}', { params: { path: { id: consent.id } } })),
		onSuccess: () => queries.invalidateQueries({ queryKey: ['consents'] }),
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{consent.name}</strong>
				<p className="run-answer">{consent.scopes.join(', ') || 'no rights'}</p>
				{remove.isError && <Notice tone="bad">{messageOf(remove.error)}</Notice>}
			</div>
			<div className="run-facts">
				<span>
					since <ShortTime time={consent.created_at} />
				</span>
			</div>
			<button type="button" className="button small" aria-label={`Disconnect ${consent.name}`} disabled={remove.isPending} onClick={() => remove.mutate()}>
				Disconnect
			</button>
		</li>
	);
}
