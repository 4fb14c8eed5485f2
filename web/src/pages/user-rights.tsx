import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { X } from 'lucide-react';
import { useState, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { permissionsQuery, userPermissionsQuery } from '../api/queries';
import type { DirectPermissions, User } from '../api/types';
import { Badge, Failure, Notice, Spinner } from '../ui/parts';
import { groupsOf } from './role-matrix';
import { useMay } from './user';

/** What a user is granted and denied besides the roles, and why he may or may not do something. */
export function UserRights({ user }: { user: User }): ReactNode {
	const permissions = useQuery(permissionsQuery);
	const direct = useQuery(userPermissionsQuery(user.id));
	const [chosen, setChosen] = useState('');
	const names = groupsOf((permissions.data ?? []).map((p) => p.name)).flatMap((g) => [g.pattern, ...g.names]);
	const failed = permissions.isError ? permissions : direct.isError ? direct : null;
	return (
		<section className="stack" aria-label="Rights">
			<h2>Rights</h2>
			{(permissions.isPending || direct.isPending) && <Spinner label="Loading the rights…" />}
			{failed && <Failure what="The rights cannot be read" error={failed.error} retry={() => void failed.refetch()} />}
			{direct.data && (
				<>
					<label className="field">
						<span>Permission</span>
						<select value={chosen} onChange={(e) => setChosen(e.target.value)}>
							<option value="">Choose one</option>
							{names.map((name) => (
								<option key={name} value={name}>
									{name}
								</option>
							))}
						</select>
					</label>
					<Why user={user} permission={chosen} />
					<Direct user={user} direct={direct.data} chosen={chosen} />
				</>
			)}
		</section>
	);
}

function Why({ user, permission }: { user: User; permission: string }): ReactNode {
	const why = useQuery({
		queryKey: ['rights', user.id, 'why', permission],
		queryFn: ({ signal }) => unwrap(api.POST('/api/permissions/check', { signal, body: { permissions: [permission], user_id: user.id } })),
		enabled: permission !== '',
		staleTime: 0,
	});
	const answer = why.data?.items[0];
	if (why.isError) return <Notice tone="bad">{messageOf(why.error)}</Notice>;
	if (!answer) return null;
	return (
		<p className="row" role="status">
			<Badge tone={answer.allowed ? 'good' : 'bad'}>{answer.allowed ? 'May' : 'May not'}</Badge> <span>{answer.explanation}</span>
		</p>
	);
}

function Direct({ user, direct, chosen }: { user: User; direct: DirectPermissions; chosen: string }): ReactNode {
	const queries = useQueryClient();
	const mayManage = useMay('roles.manage');
	const put = useMutation({
		mutationFn: (body: DirectPermissions) => unwrap(api.PUT('/api/users/{id}/permissions', { params: { path: { id: user.id } }, body })),
		onSettled: () => void queries.invalidateQueries({ queryKey: ['rights', user.id] }),
	});
	const without = (name: string): DirectPermissions => ({ grants: direct.grants.filter((p) => p !== name), denials: direct.denials.filter((p) => p !== name) });
	const rows = [...direct.grants.map((name) => ({ name, word: 'granted', tone: 'good' as const })), ...direct.denials.map((name) => ({ name, word: 'denied', tone: 'bad' as const }))];
	return (
		<>
			{mayManage && (
				<div className="row">
					<button type="button" className="button small" disabled={!chosen || put.isPending} onClick={() => put.mutate({ ...without(chosen), grants: [...without(chosen).grants, chosen] })}>
						Grant it
					</button>
					<button type="button" className="button small" disabled={!chosen || put.isPending} onClick={() => put.mutate({ ...without(chosen), denials: [...without(chosen).denials, chosen] })}>
						Deny it
					</button>
				</div>
			)}
			{rows.length === 0 && <p className="hint">Nothing is granted or denied besides the roles. A denial wins over every grant.</p>}
			<ul className="chips" aria-label="Grants and denials">
				{rows.map(({ name, word, tone }) => (
					<li key={name}>
						<Badge tone={tone}>
							{name} {word}
						</Badge>
						{mayManage && (
							<button type="button" className="icon-button small" aria-label={`${name} is ${word} no more`} disabled={put.isPending} onClick={() => put.mutate(without(name))}>
								<X aria-hidden size={15} />
							</button>
						)}
					</li>
				))}
			</ul>
			{put.error !== null && <Notice tone="bad">{messageOf(put.error)}</Notice>}
		</>
	);
}
