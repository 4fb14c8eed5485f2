import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus, Trash2 } from 'lucide-react';
import { useState, type FormEvent, type KeyboardEvent, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { permissionsQuery, rolesQuery } from '../api/queries';
import type { Permission, Role } from '../api/types';
import { Confirm, Dialog } from '../ui/dialog';
import { Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';
import { AdminTabs } from './admin-tabs';
import { cellOf, extrasOf, groupsOf, same, switched } from './role-matrix';
import { useMay } from './user';

export function RolesPage(): ReactNode {
	useTitle('Roles');
	const roles = useQuery(rolesQuery);
	const permissions = useQuery(permissionsQuery);
	const mayManage = useMay('roles.manage');
	const [adding, setAdding] = useState(false);
	const failed = roles.isError ? roles : permissions.isError ? permissions : null;
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Roles</h1>
					<p className="muted">What each role may do. A change is felt at once by everybody who has it.</p>
				</div>
				{mayManage && (
					<button type="button" className="button primary" onClick={() => setAdding(true)}>
						<Plus aria-hidden size={17} /> Make a role
					</button>
				)}
			</div>
			<AdminTabs />
			{(roles.isPending || permissions.isPending) && <Spinner label="Loading the roles…" />}
			{failed && <Failure what="The roles cannot be read" error={failed.error} retry={() => void failed.refetch()} />}
			{roles.data && permissions.data && <Matrix roles={roles.data} permissions={permissions.data} mayManage={mayManage} />}
			<Dialog open={adding} onClose={() => setAdding(false)} label="Make a role">
				<AddForm onDone={() => setAdding(false)} />
			</Dialog>
		</div>
	);
}

function Matrix({ roles, permissions, mayManage }: { roles: Role[]; permissions: Permission[]; mayManage: boolean }): ReactNode {
	const queries = useQueryClient();
	const [drafts, setDrafts] = useState<Record<string, string[]>>({});
	const [removing, setRemoving] = useState<Role | null>(null);
	const now = (role: Role): string[] => drafts[role.name] ?? role.permissions;
	const changed = roles.filter((r) => !same(now(r), r.permissions));
	const save = useMutation({
		mutationFn: async () => {
			for (const role of changed) {
				await unwrap(api.PATCH('/api/roles/{name}', { params: { path: { name: role.name } }, body: { permissions: now(role) } }));
				setDrafts(({ [role.name]: _, ...rest }) => rest);
			}
		},
		onSettled: () => void queries.invalidateQueries({ queryKey: ['roles'] }),
	});
	const remove = useMutation({
		mutationFn: (name: string) => unwrap(api.DELETE('/api/roles/{name}', { params: { path: { name } } })),
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['roles'] });
			setRemoving(null);
		},
	});
	return (
		<>
			{mayManage && <p className="hint">Arrow keys move between the boxes, the space bar switches one. A pale box is held by a wider permission.</p>}
			<Grid roles={roles} permissions={permissions} now={now} mayManage={mayManage} onSwitch={(role, name) => setDrafts({ ...drafts, [role.name]: switched(now(role), name) })} onRemove={setRemoving} />
			{save.error !== null && <Notice tone="bad">{messageOf(save.error)}</Notice>}
			{changed.length > 0 && (
				<div className="save-bar" role="status">
					<span>
						Changed and not saved: <strong>{changed.map((r) => r.name).join(', ')}</strong>
					</span>
					<div className="row">
						<button type="button" className="button" onClick={() => setDrafts({})}>
							Discard
						</button>
						<button type="button" className="button primary" disabled={save.isPending} onClick={() => save.mutate()}>
							{save.isPending ? 'Saving…' : 'Save the roles'}
						</button>
					</div>
				</div>
			)}
			<Confirm
				open={removing !== null}
				title={`Remove the role ${removing?.name ?? ''}?`}
				text="Nobody has it; its permissions are forgotten."
				action="Remove"
				busy={remove.isPending}
				error={remove.error === null ? null : messageOf(remove.error)}
				onConfirm={() => removing && remove.mutate(removing.name)}
				onClose={() => {
					remove.reset();
					setRemoving(null);
				}}
			/>
		</>
	);
}

const moves: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

interface GridProps {
	roles: Role[];
	permissions: Permission[];
	now: (role: Role) => string[];
	mayManage: boolean;
	onSwitch: (role: Role, name: string) => void;
	onRemove: (role: Role) => void;
}

/* One stop of the tab key: within the boxes the arrows go on. */
function Grid({ roles, permissions, now, mayManage, onSwitch, onRemove }: GridProps): ReactNode {
	const [at, setAt] = useState('0:0');
	const names = permissions.map((p) => p.name);
	const about = new Map(permissions.map((p) => [p.name, p.description]));
	const rows = groupsOf(names).flatMap((g) => [{ name: g.pattern, isGroup: true }, ...g.names.map((name) => ({ name, isGroup: false }))]);

	function onKey(event: KeyboardEvent<HTMLTableElement>): void {
		const move = moves[event.key];
		const cell = (event.target as HTMLElement).dataset['cell'];
		if (!move || !cell) return;
		event.preventDefault();
		const [row, column] = cell.split(':').map(Number) as [number, number];
		const next = `${row + move[0]}:${column + move[1]}`;
		event.currentTarget.querySelector<HTMLElement>(`[data-cell="${next}"]`)?.focus();
	}

	return (
		<div className="table-box">
			<table className="matrix" onKeyDown={onKey}>
				<caption className="visually-hidden">Roles and their permissions</caption>
				<thead>
					<tr>
						<th scope="col">Permission</th>
						{roles.map((role) => (
							<th key={role.name} scope="col" title={role.description}>
								{role.name}
								<div className="hint">{role.users === 1 ? '1 user' : `${role.users} users`}</div>
								{mayManage && !role.built_in && role.users === 0 && (
									<button type="button" className="icon-button small" aria-label={`Remove the role ${role.name}`} onClick={() => onRemove(role)}>
										<Trash2 aria-hidden size={15} />
									</button>
								)}
							</th>
						))}
					</tr>
				</thead>
				<tbody>
					{rows.map(({ name, isGroup }, row) => (
						<tr key={name} className={isGroup ? 'kind' : ''}>
							<th scope="row">
								{name}
								{!isGroup && <div className="hint">{about.get(name)}</div>}
							</th>
							{roles.map((role, column) => (
								<td key={role.name}>
									<Box
										role={role}
										name={name}
										patterns={now(role)}
										cell={`${row}:${column}`}
										isStop={at === `${row}:${column}`}
										isFixed={!mayManage || role.name === 'admin'}
										onFocus={setAt}
										onSwitch={onSwitch}
									/>
								</td>
							))}
						</tr>
					))}
					<Extras roles={roles} names={names} />
				</tbody>
			</table>
		</div>
	);
}

interface BoxProps {
	role: Role;
	name: string;
	patterns: string[];
	cell: string;
	isStop: boolean;
	isFixed: boolean;
	onFocus: (cell: string) => void;
	onSwitch: (role: Role, name: string) => void;
}

function Box({ role, name, patterns, cell, isStop, isFixed, onFocus, onSwitch }: BoxProps): ReactNode {
	const { state, by } = cellOf(patterns, name);
	const isOff = isFixed || state === 'covered';
	const why = state === 'covered' ? `, by ${by}` : '';
	return (
		<input
			type="checkbox"
			data-cell={cell}
			tabIndex={isStop ? 0 : -1}
			checked={state !== 'off'}
			aria-disabled={isOff || undefined}
			aria-label={`${role.name}: ${name}${why}`}
			title={`${role.name}: ${name}${why}`}
			onFocus={() => onFocus(cell)}
			onChange={() => {
				if (!isOff) onSwitch(role, name);
			}}
		/>
	);
}

function Extras({ roles, names }: { roles: Role[]; names: string[] }): ReactNode {
	if (roles.every((r) => extrasOf(r, names).length === 0)) return null;
	return (
		<tr>
			<th scope="row">Narrower ones</th>
			{roles.map((role) => (
				<td key={role.name}>
					{extrasOf(role, names).map((p) => (
						<div key={p}>
							<code>{p}</code>
						</div>
					))}
				</td>
			))}
		</tr>
	);
}

function AddForm({ onDone }: { onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const [name, setName] = useState('');
	const [description, setDescription] = useState('');
	const make = useMutation({
		mutationFn: () => unwrap(api.POST('/api/roles', { body: { name: name.trim(), description: description.trim(), permissions: [] } })),
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['roles'] });
			onDone();
		},
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				make.mutate();
			}}
		>
			<h2>Make a role</h2>
			<Field label="Name" required maxLength={63} pattern="[a-z][a-z0-9_\-]*" value={name} onChange={(e) => setName(e.target.value)} hint="Small letters, digits, - and _." autoFocus />
			<Field label="What it is for" maxLength={400} value={description} onChange={(e) => setDescription(e.target.value)} />
			<p className="hint">It may do nothing yet: switch its permissions on in the table.</p>
			{make.error !== null && <Notice tone="bad">{messageOf(make.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={make.isPending}>
					Make the role
				</button>
			</div>
		</form>
	);
}
