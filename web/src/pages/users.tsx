import './../styles/pages.css';

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Mail as MailIcon, UserPlus } from 'lucide-react';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';
import { Link } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { rolesQuery, usersQuery } from '../api/queries';
import type { Role, User } from '../api/types';
import { Confirm, Dialog } from '../ui/dialog';
import { Badge, Failure, Field, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { AdminTabs } from './admin-tabs';
import { PasswordField } from './sign-in';
import { InviteForm, PendingAccess, UserAccess } from './user-access';
import { UserRights } from './user-rights';
import { useMay, useUser } from './user';

export function UsersPage(): ReactNode {
	useTitle('Users');
	const list = useInfiniteQuery(usersQuery);
	const roles = useQuery(rolesQuery);
	const mayManage = useMay('users.manage');
	const maySet = useMay('settings.manage');
	const [adding, setAdding] = useState(false);
	const [inviting, setInviting] = useState(false);
	const [editing, setEditing] = useState<User | null>(null);
	const users = list.data?.pages.flatMap((page) => page.items) ?? [];
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Users</h1>
					<p className="muted">Who may sign in, and what each may do.</p>
				</div>
				{mayManage && (
					<div className="row">
						{maySet && (
							<Link to="/users/providers" className="button">
								Sign-in providers
							</Link>
						)}
						{maySet && (
							<Link to="/users/webhooks" className="button">
								Security webhooks
							</Link>
						)}
						<button type="button" className="button" onClick={() => setInviting(true)}>
							<MailIcon aria-hidden size={17} /> Invite
						</button>
						<button type="button" className="button primary" onClick={() => setAdding(true)}>
							<UserPlus aria-hidden size={17} /> Add a user
						</button>
					</div>
				)}
			</div>
			<AdminTabs />
			{list.isPending && <Spinner label="Loading the users…" />}
			{list.isError && <Failure what="The users cannot be read" error={list.error} retry={() => void list.refetch()} />}
			<ul className="runs" aria-label="Users">
				{users.map((user) => (
					<Row key={user.id} user={user} onEdit={mayManage ? () => setEditing(user) : undefined} />
				))}
			</ul>
			{list.hasNextPage && (
				<button type="button" className="button" onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
					{list.isFetchingNextPage ? 'Loading…' : 'Load more'}
				</button>
			)}
			{mayManage && <PendingAccess />}
			<Dialog open={inviting} onClose={() => setInviting(false)} label="Invite somebody">
				<InviteForm roles={roles.data ?? []} onDone={() => setInviting(false)} />
			</Dialog>
			<Dialog open={adding} onClose={() => setAdding(false)} label="Add a user">
				<AddForm roles={roles.data ?? []} onDone={() => setAdding(false)} />
			</Dialog>
			<Dialog open={editing !== null} onClose={() => setEditing(null)} label="Change the user">
				{editing && (
					<>
						<EditForm user={editing} roles={roles.data ?? []} onDone={() => setEditing(null)} />
						<UserRights key={editing.id} user={editing} />
						{editing.kind !== 'service' && <UserAccess user={editing} />}
						<Removal user={editing} onDone={() => setEditing(null)} />
					</>
				)}
			</Dialog>
		</div>
	);
}

function Row({ user, onEdit }: { user: User; onEdit: (() => void) | undefined }): ReactNode {
	const isSelf = useUser().id === user.id;
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{user.name}</strong> {isSelf && <span className="muted">(you)</span>}
				<p className="run-answer">{user.email ?? (user.kind === 'service' ? 'a program' : 'the command line on this machine')}</p>
			</div>
			<div className="run-facts">
				{user.disabled ? <Badge tone="warn">{user.kind === 'service' ? 'Tokens are refused' : 'May not sign in'}</Badge> : <Badge tone="good">Active</Badge>}
				<span>{user.roles.length > 0 ? user.roles.join(', ') : 'no role'}</span>
				<span>
					since <ShortTime time={user.created_at} />
				</span>
			</div>
			{onEdit && (
				<button type="button" className="button small" aria-label={`Change ${user.name}`} onClick={onEdit}>
					Change
				</button>
			)}
		</li>
	);
}

/** What goes with a user, said before. */
function Removal({ user, onDone }: { user: User; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const isSelf = useUser().id === user.id;
	const [asking, setAsking] = useState(false);
	const remove = useMutation({
		mutationFn: () => unwrap(api.DELETE('/api/users/{id}', { params: { path: { id: user.id } } })),
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['users'] });
			onDone();
		},
	});
	if (isSelf) return null;
	return (
		<section className="stack" aria-label="Removal">
			<h2>Removal</h2>
			<div className="row">
				<button type="button" className="button danger ghost" onClick={() => setAsking(true)}>
					Remove {user.name}
				</button>
			</div>
			<Confirm
				open={asking}
				title={`Remove ${user.name}?`}
				text="Sessions and access tokens end at once. Conversations, runs, files, knowledge, schedules and keys of the user are deleted for good; agents and collections that others use become yours. To keep the way back open, take “May sign in” away instead."
				action="Remove"
				busy={remove.isPending}
				error={remove.error === null ? null : messageOf(remove.error)}
				onConfirm={() => remove.mutate()}
				onClose={() => {
					remove.reset();
					setAsking(false);
				}}
			/>
		</section>
	);
}

function RoleChoice({ all, chosen, onChange }: { all: Role[]; chosen: string[]; onChange: (chosen: string[]) => void }): ReactNode {
	return (
		<fieldset className="group-box">
			<legend>Roles</legend>
			{all.map((role) => (
				<label key={role.name} className="check">
					<input type="checkbox" checked={chosen.includes(role.name)} onChange={(e) => onChange(e.target.checked ? [...chosen, role.name] : chosen.filter((r) => r !== role.name))} />
					<span>
						<strong>{role.name}</strong>
						<span className="hint">{role.description}</span>
					</span>
				</label>
			))}
		</fieldset>
	);
}

function FormEnd({ error, busy, action, onCancel }: { error: unknown; busy: boolean; action: string; onCancel: () => void }): ReactNode {
	return (
		<>
			{error !== null && <Notice tone="bad">{messageOf(error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onCancel}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={busy}>
					{busy ? 'Saving…' : action}
				</button>
			</div>
		</>
	);
}

function AddForm({ roles, onDone }: { roles: Role[]; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const [name, setName] = useState('');
	const [email, setEmail] = useState('');
	const [password, setPassword] = useState('');
	const [chosen, setChosen] = useState(['member']);
	/* The same values sent again, after an answer was lost, make one user. */
	const sent = useRef({ values: '', key: '' });
	const create = useMutation({
		mutationFn: () => {
			const body = { name: name.trim(), email: email.trim(), password, roles: chosen };
			const values = JSON.stringify(body);
			if (sent.current.values !== values) sent.current = { values, key: newKey() };
			return unwrap(api.POST('/api/users', { body, params: { header: { 'Idempotency-Key': sent.current.key } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['users'] });
			onDone();
		},
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				create.mutate();
			}}
		>
			<h2>Add a user</h2>
			<Field label="Name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} autoFocus />
			<Field label="E-mail" type="email" required maxLength={254} autoComplete="off" value={email} onChange={(e) => setEmail(e.target.value)} />
			<PasswordField isNew value={password} onChange={setPassword} />
			<RoleChoice all={roles} chosen={chosen} onChange={setChosen} />
			<FormEnd error={create.error} busy={create.isPending} action="Add the user" onCancel={onDone} />
		</form>
	);
}

function EditForm({ user, roles, onDone }: { user: User; roles: Role[]; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const [name, setName] = useState(user.name);
	const [chosen, setChosen] = useState(user.roles);
	const [active, setActive] = useState(!user.disabled);
	const save = useMutation({
		mutationFn: () => unwrap(api.PATCH('/api/users/{id}', { params: { path: { id: user.id } }, body: { name: name.trim(), roles: chosen, disabled: !active } })),
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['users'] });
			onDone();
		},
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				save.mutate();
			}}
		>
			<h2>{user.email ?? user.name}</h2>
			<Field label="Name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} />
			<RoleChoice all={roles} chosen={chosen} onChange={setChosen} />
			<label className="check">
				<input type="checkbox" checked={active} onChange={(e) => setActive(e.target.checked)} />
				<span>
					<strong>May sign in</strong>
					<span className="hint">Without it, open sessions and access tokens end at once; runs and conversations stay.</span>
				</span>
			</label>
			<FormEnd error={save.error} busy={save.isPending} action="Save" onCancel={onDone} />
		</form>
	);
}
