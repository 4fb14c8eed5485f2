/* The administrator's page of providers by which people sign in. */
import './../styles/pages.css';

import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState, type FormEvent, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { rolesQuery } from '../api/queries';
import type { IdentityProvider } from '../api/types';
import { CopyButton } from '../ui/copy-button';
import { Confirm, Dialog } from '../ui/dialog';
import { Badge, Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';
import { useReauth } from './reauth';

const providersQuery = queryOptions({
	queryKey: ['identity-providers'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/auth/providers', { signal }))).items,
});

const methods: Record<IdentityProvider['auth_method'], string> = {
	client_secret_basic: 'Secret in the Authorization header',
	client_secret_post: 'Secret in the form',
	none: 'No secret (public client)',
};

export function ProvidersPage(): ReactNode {
	useTitle('Sign-in providers');
	const list = useQuery(providersQuery);
	const [editing, setEditing] = useState<IdentityProvider | 'new' | null>(null);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Sign-in providers</h1>
					<p className="muted">Where people have accounts that sign them in here, by OpenID Connect.</p>
				</div>
				<button type="button" className="button primary" onClick={() => setEditing('new')}>
					<Plus aria-hidden size={17} /> Add a provider
				</button>
			</div>
			{list.isPending && <Spinner label="Loading the providers…" />}
			{list.isError && <Failure what="The providers cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.length === 0 && <p className="empty">People sign in with their passwords and passkeys only.</p>}
			<ul className="runs" aria-label="Sign-in providers">
				{list.data?.map((p) => <Row key={p.name} provider={p} onEdit={() => setEditing(p)} />)}
			</ul>
			<Dialog open={editing !== null} onClose={() => setEditing(null)} label={editing === 'new' ? 'Add a provider' : 'Change the provider'}>
				{editing !== null && <Form provider={editing === 'new' ? null : editing} onDone={() => setEditing(null)} />}
			</Dialog>
		</div>
	);
}

function Row({ provider, onEdit }: { provider: IdentityProvider; onEdit: () => void }): ReactNode {
	const queries = useQueryClient();
	const reauth = useReauth();
	const [removing, setRemoving] = useState(false);
	const path = { params: { path: { name: provider.name } } };
	const test = useMutation({ mutationFn: () => unwrap(api.POST('/api/auth/providers/{name}/test', path)) });
	const remove = useMutation({
		mutationFn: () => reauth.run(() => unwrap(api.DELETE('/api/auth/providers/{name}', path))),
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['identity-providers'] });
			setRemoving(false);
		},
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{provider.label}</strong> <span className="muted">{provider.name}</span>
				<p className="run-answer">{provider.issuer}</p>
				<p className="run-answer">
					<code>{provider.redirect_uri}</code> <CopyButton text={provider.redirect_uri} what="the redirect URI" />
				</p>
				<p role="status">
					{test.isPending && 'Testing…'}
					{test.data && (test.data.ok ? `It answers, with ${test.data.keys} keys.` : test.data.error)}
					{test.isError && messageOf(test.error)}
				</p>
			</div>
			<div className="run-facts">
				{!provider.enabled && <Badge tone="warn">off</Badge>}
				<span>{provider.sign_up ? `new accounts as ${provider.default_role}` : 'linked accounts only'}</span>
			</div>
			<div className="row">
				<button type="button" className="button small" disabled={test.isPending} onClick={() => test.mutate()} aria-label={`Test ${provider.label}`}>
					Test
				</button>
				<button type="button" className="button small" onClick={onEdit} aria-label={`Change ${provider.label}`}>
					Change
				</button>
				<button type="button" className="button small" onClick={() => setRemoving(true)} aria-label={`Remove ${provider.label}`}>
					Remove
				</button>
			</div>
			<Confirm
				open={removing}
				title="Remove the provider?"
				text="Nobody signs in by it any more, and what was linked is forgotten. The accounts stay."
				action="Remove"
				busy={remove.isPending}
				error={remove.isError ? messageOf(remove.error) : null}
				onConfirm={() => remove.mutate()}
				onClose={() => setRemoving(false)}
			/>
			{reauth.dialog}
		</li>
	);
}

function Check({ label, checked, onChange }: { label: string; checked: boolean; onChange: (on: boolean) => void }): ReactNode {
	return (
		<label className="check">
			<input type="checkbox" checked={checked} onChange={(e) => onChange(e.target.checked)} />
			<span>{label}</span>
		</label>
	);
}

function Form({ provider, onDone }: { provider: IdentityProvider | null; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const roles = useQuery(rolesQuery);
	const reauth = useReauth();
	const [name, setName] = useState(provider?.name ?? '');
	const [label, setLabel] = useState(provider?.label ?? '');
	const [issuer, setIssuer] = useState(provider?.issuer ?? '');
	const [clientId, setClientId] = useState(provider?.client_id ?? '');
	const [secret, setSecret] = useState('');
	const [method, setMethod] = useState(provider?.auth_method ?? 'client_secret_basic');
	const [enabled, setEnabled] = useState(provider?.enabled ?? true);
	const [signUp, setSignUp] = useState(provider?.sign_up ?? false);
	const [role, setRole] = useState(provider?.default_role ?? 'member');
	const [domains, setDomains] = useState(provider?.domains.join(', ') ?? '');
	const [trusts, setTrusts] = useState(provider?.trusts_second_factor ?? false);
	const save = useMutation({
		mutationFn: () =>
			reauth.run(async () => {
				const common = {
					label: label.trim() || name,
					client_id: clientId.trim(),
					...(secret ? { client_secret: secret } : {}),
					auth_method: method,
					enabled,
					sign_up: signUp,
					default_role: role,
					domains: domains.toLowerCase().split(/[\s,]+/).filter(Boolean),
					trusts_second_factor: trusts,
				};
				if (provider) await unwrap(api.PATCH('/api/auth/providers/{name}', { params: { path: { name: provider.name } }, body: common }));
				else await unwrap(api.POST('/api/auth/providers', { body: { ...common, name, issuer: issuer.trim() } }));
			}),
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['identity-providers'] });
			void queries.invalidateQueries({ queryKey: ['sign-in-providers'] });
			onDone();
		},
	});
	return (
		<>
			<form
				className="stack"
				onSubmit={(event: FormEvent) => {
					event.preventDefault();
					save.mutate();
				}}
			>
				<h2>{provider ? `Change ${provider.label}` : 'Add a provider'}</h2>
				{!provider && <Field label="Name in addresses" required maxLength={32} pattern="[a-z0-9][a-z0-9\-]*" autoComplete="off" value={name} onChange={(e) => setName(e.target.value)} hint="A word such as acme: answers come to /sso/acme/callback." autoFocus />}
				<Field label="Label of the button" maxLength={100} autoComplete="off" value={label} onChange={(e) => setLabel(e.target.value)} />
				{!provider && <Field label="Issuer" type="url" required maxLength={500} autoComplete="off" value={issuer} onChange={(e) => setIssuer(e.target.value)} hint="The provider's address, as its description has it." />}
				<Field label="Client id" required maxLength={255} autoComplete="off" value={clientId} onChange={(e) => setClientId(e.target.value)} />
				<label className="field">
					<span>How this platform shows who it is</span>
					<select value={method} onChange={(e) => setMethod(e.target.value as IdentityProvider['auth_method'])}>
						{Object.entries(methods).map(([value, text]) => (
							<option key={value} value={value}>
								{text}
							</option>
						))}
					</select>
				</label>
				{method !== 'none' && <Field label="Client secret" type="password" required={!provider?.has_secret} maxLength={1000} autoComplete="off" value={secret} onChange={(e) => setSecret(e.target.value)} hint={provider?.has_secret ? 'Empty: it stays as it is.' : 'Kept sealed, never shown again.'} />}
				<Check label="People can sign in by it" checked={enabled} onChange={setEnabled} />
				<Check label="Who has no account gets one" checked={signUp} onChange={setSignUp} />
				{signUp && (
					<>
						<label className="field">
							<span>Role of new accounts</span>
							<select value={role} onChange={(e) => setRole(e.target.value)}>
								{(roles.data ?? [{ name: role }]).map((r) => (
									<option key={r.name} value={r.name}>
										{r.name}
									</option>
								))}
							</select>
						</label>
						<Field label="Domains of their addresses" autoComplete="off" value={domains} onChange={(e) => setDomains(e.target.value)} hint="example.org, example.com; empty: all. The provider must have verified the address." />
					</>
				)}
				<Check label="A second factor at the provider is enough" checked={trusts} onChange={setTrusts} />
				{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
				<div className="row end">
					<button type="button" className="button" onClick={onDone}>
						Cancel
					</button>
					<button type="submit" className="button primary" disabled={save.isPending}>
						{save.isPending ? 'Saving…' : 'Save'}
					</button>
				</div>
			</form>
			{reauth.dialog}
		</>
	);
}
