import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Bot, KeyRound } from 'lucide-react';
import { useState, type FormEvent, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { rolesQuery, tokensQuery, usersQuery } from '../api/queries';
import type { PersonalToken, User } from '../api/types';
import { CopyButton } from '../ui/copy-button';
import { Confirm, Dialog } from '../ui/dialog';
import { Failure, Field, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { AdminTabs } from './admin-tabs';
import { useMay, useUser } from './user';

/** For whom a token is made: null is oneself. */
type Owner = User | null;

export function TokensPage(): ReactNode {
	useTitle('Access tokens');
	const mayManage = useMay('tokens.manage');
	const mayAdd = useMay('users.manage');
	const mayList = useMay('users.read');
	const [making, setMaking] = useState<{ owner: Owner } | null>(null);
	const [adding, setAdding] = useState(false);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Access tokens</h1>
					<p className="muted">Programs sign in with them: a token may what its scopes say and its user may.</p>
				</div>
				<div className="row">
					{mayAdd && mayManage && (
						<button type="button" className="button" onClick={() => setAdding(true)}>
							<Bot aria-hidden size={17} /> Add a service account
						</button>
					)}
					<button type="button" className="button primary" onClick={() => setMaking({ owner: null })}>
						<KeyRound aria-hidden size={17} /> Make a token
					</button>
				</div>
			</div>
			<AdminTabs />
			<section aria-label="Yours">
				<h2>Yours</h2>
				<TokenList owner={null} />
			</section>
			{mayManage && mayList && <ServiceAccounts onMake={(owner) => setMaking({ owner })} />}
			<Dialog open={making !== null} onClose={() => setMaking(null)} label="Make a token">
				{making && <MakeForm owner={making.owner} onDone={() => setMaking(null)} />}
			</Dialog>
			<Dialog open={adding} onClose={() => setAdding(false)} label="Add a service account">
				<AddForm onDone={() => setAdding(false)} />
			</Dialog>
		</div>
	);
}

function ServiceAccounts({ onMake }: { onMake: (owner: User) => void }): ReactNode {
	const list = useInfiniteQuery(usersQuery);
	const accounts = (list.data?.pages.flatMap((page) => page.items) ?? []).filter((u) => u.kind === 'service');
	return (
		<section aria-label="Service accounts">
			<h2>Service accounts</h2>
			{list.isPending && <Spinner label="Loading the service accounts…" />}
			{list.isError && <Failure what="The service accounts cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data && accounts.length === 0 && <p className="muted">There is none. A service account is a user that is a program: it has roles and tokens, and nothing to sign in with.</p>}
			{accounts.map((account) => (
				<div key={account.id} className="stack">
					<div className="row">
						<h3>{account.name}</h3>
						<span className="muted">{account.roles.length > 0 ? account.roles.join(', ') : 'no role'}</span>
						<button type="button" className="button small" aria-label={`Make a token for ${account.name}`} onClick={() => onMake(account)}>
							Make a token
						</button>
					</div>
					<TokenList owner={account} />
				</div>
			))}
			{list.hasNextPage && (
				<div className="row">
					<button type="button" className="button" onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
						Look for more
					</button>
				</div>
			)}
		</section>
	);
}

function TokenList({ owner }: { owner: Owner }): ReactNode {
	const queries = useQueryClient();
	const list = useQuery(tokensQuery(owner?.id));
	const [revoking, setRevoking] = useState<PersonalToken | null>(null);
	const revoke = useMutation({
		mutationFn: (id: string) => unwrap(api.DELETE('/api/tokens/{id}', { params: { path: { id } } })),
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['tokens'] });
			setRevoking(null);
		},
	});
	if (list.isPending) return <Spinner label="Loading the tokens…" />;
	if (list.isError) return <Failure what="The tokens cannot be read" error={list.error} retry={() => void list.refetch()} />;
	return (
		<>
			{list.data.length === 0 && <p className="muted">There is no token.</p>}
			<ul className="runs" aria-label={owner ? `Tokens of ${owner.name}` : 'Your tokens'}>
				{list.data.map((token) => (
					<li key={token.id} className="run-row user-row">
						<div className="run-main">
							<strong>{token.name}</strong>
							<p className="run-answer">{token.scopes.join(' ')}</p>
						</div>
						<div className="run-facts">
							<span>
								until <ShortTime time={token.expires_at} />
							</span>
							<span>{token.last_used_at ? <>used <ShortTime time={token.last_used_at} /></> : 'never used'}</span>
						</div>
						<button type="button" className="button small" aria-label={`Revoke ${token.name}`} onClick={() => setRevoking(token)}>
							Revoke
						</button>
					</li>
				))}
			</ul>
			<Confirm
				open={revoking !== null}
				title={`Revoke ${revoking?.name ?? ''}?`}
				text="Programs that use it are signed out everywhere within a second. This cannot be undone."
				action="Revoke"
				busy={revoke.isPending}
				error={revoke.error === null ? null : messageOf(revoke.error)}
				onConfirm={() => revoking && revoke.mutate(revoking.id)}
				onClose={() => {
					revoke.reset();
					setRevoking(null);
				}}
			/>
		</>
	);
}

const lives = [7, 30, 90, 366];

function MakeForm({ owner, onDone }: { owner: Owner; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const rights = useUser().permissions.filter((p) => !p.startsWith('!'));
	const [name, setName] = useState('');
	const [scopes, setScopes] = useState('');
	const [days, setDays] = useState(90);
	const make = useMutation({
		mutationFn: () =>
			unwrap(api.POST('/api/tokens', { body: { name: name.trim(), scopes: scopes.split(/[\s,]+/).filter(Boolean), expires_in_days: days, ...(owner && { user_id: owner.id }) } })),
		onSuccess: () => void queries.invalidateQueries({ queryKey: ['tokens'] }),
	});
	if (make.data)
		return (
			<div className="stack">
				<h2>{make.data.name}</h2>
				<Notice tone="info" title="Copy the token now: it is shown this once">
					<code className="shown-once">{make.data.token}</code>
					<CopyButton text={make.data.token} what="the token" />
				</Notice>
				<div className="row end">
					<button type="button" className="button primary" onClick={onDone} autoFocus>
						I have it
					</button>
				</div>
			</div>
		);
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				make.mutate();
			}}
		>
			<h2>{owner ? `A token for ${owner.name}` : 'Make a token'}</h2>
			<Field label="Name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} hint="Where it is used." autoFocus />
			<Field label="Scopes" required value={scopes} onChange={(e) => setScopes(e.target.value)} hint="Permissions and patterns with blanks between, such as agents.read executions.*" />
			{rights.length <= 40 && (
				<ul className="chips" aria-label="Your rights">
					{rights.map((right) => (
						<li key={right}>
							<button type="button" className="button small" aria-label={`Add ${right}`} onClick={() => setScopes(`${scopes.trim()} ${right}`.trim())}>
								{right}
							</button>
						</li>
					))}
				</ul>
			)}
			<label className="field">
				<span>It ends after</span>
				<select value={days} onChange={(e) => setDays(Number(e.target.value))}>
					{lives.map((n) => (
						<option key={n} value={n}>
							{n === 366 ? 'a year' : `${n} days`}
						</option>
					))}
				</select>
			</label>
			{make.error !== null && <Notice tone="bad">{messageOf(make.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={make.isPending}>
					Make the token
				</button>
			</div>
		</form>
	);
}

function AddForm({ onDone }: { onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const roles = useQuery(rolesQuery);
	const [name, setName] = useState('');
	const [role, setRole] = useState('viewer');
	const add = useMutation({
		mutationFn: () => unwrap(api.POST('/api/users/service-accounts', { body: { name: name.trim(), roles: [role] } })),
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
				add.mutate();
			}}
		>
			<h2>Add a service account</h2>
			<Field label="Name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} autoFocus />
			<label className="field">
				<span>Role</span>
				<select value={role} onChange={(e) => setRole(e.target.value)}>
					{(roles.data ?? []).map((r) => (
						<option key={r.name} value={r.name}>
							{r.name}
						</option>
					))}
				</select>
			</label>
			{add.error !== null && <Notice tone="bad">{messageOf(add.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={add.isPending}>
					Add the account
				</button>
			</div>
		</form>
	);
}
