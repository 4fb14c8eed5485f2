/* The providers by which the user signs in: linked, unlinked. */
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { linkProvider } from '../api/session';
import type { Identity } from '../api/types';
import { Badge, Failure, Notice, ShortTime, Spinner } from '../ui/parts';
import { signInProviders } from './provider-buttons';
import { useReauth } from './reauth';

export const identitiesQuery = queryOptions({
	queryKey: ['identities'],
	queryFn: async ({ signal }) => await unwrap(api.GET('/api/auth/identities', { signal })),
	staleTime: 0,
});

export function Identities(): ReactNode {
	const list = useQuery(identitiesQuery);
	const providers = useQuery(signInProviders);
	const reauth = useReauth();
	const link = useMutation({
		mutationFn: (provider: string) =>
			reauth.run(async () => linkProvider((await unwrap(api.POST('/api/auth/identities', { body: { provider } }))).authorization_url)),
	});
	const open = providers.data?.filter((p) => !list.data?.items.some((i) => i.provider === p.name)) ?? [];
	return (
		<>
			<p className="muted">Other accounts that sign you in here.</p>
			{list.isPending && <Spinner label="Loading…" />}
			{list.isError && <Failure what="The linked accounts cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.items.length === 0 && <p>None is linked.</p>}
			<ul className="runs" aria-label="Linked accounts">
				{list.data?.items.map((identity) => <Row key={identity.id} identity={identity} />)}
			</ul>
			{link.isError && <Notice tone="bad">{messageOf(link.error)}</Notice>}
			<div className="row">
				{open.map((p) => (
					<button key={p.name} type="button" className="button" disabled={link.isPending} onClick={() => link.mutate(p.name)}>
						Link {p.label}
					</button>
				))}
			</div>
			{reauth.dialog}
		</>
	);
}

function Row({ identity }: { identity: Identity }): ReactNode {
	const queries = useQueryClient();
	const reauth = useReauth();
	const remove = useMutation({
		mutationFn: () => reauth.run(() => unwrap(api.DELETE('/api/auth/identities/{id}', { params: { path: { id: identity.id } } }))),
		onSuccess: () => queries.invalidateQueries({ queryKey: ['identities'] }),
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{identity.label}</strong>
				<p className="run-answer">{identity.email ?? 'no address told'}</p>
				{remove.isError && <Notice tone="bad">{messageOf(remove.error)}</Notice>}
			</div>
			<div className="run-facts">
				{!identity.enabled && <Badge tone="warn">off</Badge>}
				<span>
					since <ShortTime time={identity.created_at} />
				</span>
			</div>
			<button type="button" className="button small" aria-label={`Unlink ${identity.label}`} disabled={remove.isPending} onClick={() => remove.mutate()}>
				Unlink
			</button>
			{reauth.dialog}
		</li>
	);
}
