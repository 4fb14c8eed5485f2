/* Whom something is shared with. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';

import { messageOf } from '../api/error';
import { rolesQuery } from '../api/queries';
import type { Agent } from '../api/types';
import { Notice } from '../ui/parts';
import { useMay } from './user';

type Share = Agent['shares'][number];
const rights = [
	{ right: 'use' as const, label: 'Use' },
	{ right: 'edit' as const, label: 'Change' },
	{ right: 'share' as const, label: 'Share' },
];

export function Sharing({ name, initial, put, onDone }: { name: string; initial: Share[]; put: (shares: Share[]) => Promise<unknown>; onDone: () => void }): ReactNode {
	const mayRead = useMay('users.read');
	const roles = useQuery({ ...rolesQuery, enabled: mayRead });
	const [shares, setShares] = useState<Share[]>(initial);
	const names = [...new Set(['*', ...(roles.data ?? []).map((r) => r.name), ...shares.map((s) => s.role)])];
	const save = useMutation({
		mutationFn: () => put(shares),
		onSuccess: onDone,
	});
	const has = (role: string, right: Share['rights'][number]) => shares.some((s) => s.role === role && (right === 'use' || s.rights.includes(right)));
	const set = (role: string, right: Share['rights'][number], on: boolean) => {
		const others = shares.filter((s) => s.role !== role);
		const old = shares.find((s) => s.role === role)?.rights ?? [];
		if (right === 'use' && !on) return setShares(others);
		const next = on ? [...new Set([...old, 'use' as const, right])] : old.filter((r) => r !== right);
		setShares([...others, { role, rights: next.length > 0 ? next : ['use'] }]);
	};
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				save.mutate();
			}}
		>
			<h2>Share {name}</h2>
			<p className="muted">Without a right nobody but its owner and administrators knows of it.</p>
			<div className="table-box" role="region" aria-label="Rights by role (table)" tabIndex={0}>
				<table>
					<caption className="visually-hidden">Rights by role</caption>
					<thead>
						<tr>
							<th scope="col">Role</th>
							{rights.map(({ right, label }) => (
								<th key={right} scope="col">
									{label}
								</th>
							))}
						</tr>
					</thead>
					<tbody>
						{names.map((role) => (
							<tr key={role}>
								<th scope="row">{role === '*' ? 'Everyone' : role}</th>
								{rights.map(({ right, label }) => (
									<td key={right}>
										<input type="checkbox" aria-label={`${label}: ${role === '*' ? 'everyone' : role}`} checked={has(role, right)} onChange={(e) => set(role, right, e.target.checked)} />
									</td>
								))}
							</tr>
						))}
					</tbody>
				</table>
			</div>
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Close
				</button>
				<button type="submit" className="button primary" disabled={save.isPending}>
					{save.isPending ? 'Saving…' : 'Save'}
				</button>
			</div>
		</form>
	);
}
