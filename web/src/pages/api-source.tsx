import './../styles/admin.css';
import './../styles/pages.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent, type ReactNode } from 'react';
import { useNavigate, useParams } from 'react-router';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { apiQuery } from '../api/queries';
import type { ApiSource } from '../api/types';
import { Confirm, Dialog } from '../ui/dialog';
import { Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';
import { Sharing } from './agent-sharing';
import { useMay, useUser } from './user';

export function ApiSourcePage(): ReactNode {
	const { id = '' } = useParams();
	const loaded = useQuery(apiQuery(id));
	useTitle(loaded.data?.name ?? 'API');
	if (loaded.isPending) return <div className="page"><Spinner label="Loading the API…" /></div>;
	if (loaded.isError)
		return (
			<div className="page">
				<h1>API</h1>
				<Failure what="The API cannot be shown" error={loaded.error} retry={() => void loaded.refetch()} />
			</div>
		);
	return <Loaded source={loaded.data} />;
}

function Loaded({ source }: { source: ApiSource }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const isOwn = useUser().id === source.owner_id;
	const managesAll = useMay('apis.use_any');
	const [removing, setRemoving] = useState(false);
	const [sharing, setSharing] = useState(false);
	const mayEdit = source.rights.includes('edit');
	const params = { path: { id: source.id } };
	const renew = () => queries.invalidateQueries({ queryKey: ['apis'] });
	const read = useMutation({ mutationFn: () => unwrap(api.PUT('/api/apis/{id}/document', { params, body: {} })), onSuccess: () => void renew() });
	const remove = useMutation({
		mutationFn: async () => {
			await unwrap(api.DELETE('/api/apis/{id}', { params }));
		},
		onSuccess: () => {
			void navigate('/apis', { replace: true });
			queries.removeQueries({ queryKey: apiQuery(source.id).queryKey });
			void renew();
		},
	});
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>{source.name}</h1>
					<p className="muted">
						{source.base_url} · version {source.document_version || 'unknown'}
					</p>
				</div>
				<div className="row">
					{mayEdit && source.url !== null && (
						<button type="button" className="button" disabled={read.isPending} onClick={() => read.mutate()}>
							{read.isPending ? 'Reading…' : 'Read the document again'}
						</button>
					)}
					{source.rights.includes('share') && (
						<button type="button" className="button" onClick={() => setSharing(true)}>
							Share
						</button>
					)}
					{(isOwn || managesAll) && (
						<button type="button" className="button danger ghost" onClick={() => setRemoving(true)}>
							Remove
						</button>
					)}
				</div>
			</div>
			{read.isError && <Notice tone="bad">{messageOf(read.error)}</Notice>}
			{source.description && <p>{source.description}</p>}
			{mayEdit && <Place key={source.base_url} source={source} />}
			{mayEdit && source.schemes.length > 0 && <Credentials source={source} />}
			<Operations source={source} />
			<Confirm
				open={removing}
				title={`Remove ${source.name}?`}
				text="Its credentials are deleted, and agents have its operations no more."
				action="Remove"
				busy={remove.isPending}
				error={remove.isError ? messageOf(remove.error) : null}
				onConfirm={() => remove.mutate()}
				onClose={() => setRemoving(false)}
			/>
			<Dialog open={sharing} onClose={() => setSharing(false)} label={`Share ${source.name}`}>
				{sharing && (
					<Sharing
						name={source.name}
						initial={source.shares}
						put={(shares) => unwrap(api.PUT('/api/apis/{id}/shares', { params, body: { shares } }))}
						onDone={() => {
							setSharing(false);
							void renew();
						}}
					/>
				)}
			</Dialog>
		</div>
	);
}

function Place({ source }: { source: ApiSource }): ReactNode {
	const queries = useQueryClient();
	const [address, setAddress] = useState(source.base_url);
	const save = useMutation({
		mutationFn: () => unwrap(api.PATCH('/api/apis/{id}', { params: { path: { id: source.id }, header: { 'If-Match': `"${source.version}"` } }, body: { base_url: address.trim() } })),
		onSuccess: () => void queries.invalidateQueries({ queryKey: ['apis'] }),
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				save.mutate();
			}}
		>
			<Field label="Address" hint="Another host or port drops the credentials." value={address} onChange={(e) => setAddress(e.target.value)} required maxLength={500} />
			<div className="row">
				<button type="submit" className="button" disabled={save.isPending || address.trim() === source.base_url}>
					Save the address
				</button>
			</div>
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
		</form>
	);
}

type Scheme = ApiSource['schemes'][number];
const schemeWords = (s: Scheme) => (s.type === 'basic' ? 'name and password' : s.type === 'bearer' ? 'bearer token' : `key in ${s.in ?? ''} “${s.parameter ?? ''}”`);

function Credentials({ source }: { source: ApiSource }): ReactNode {
	return (
		<>
			<h2>Credentials</h2>
			<p className="muted">Stored sealed, sent to {source.base_url} only, and never shown again.</p>
			{source.schemes.map((s) => (
				<Credential key={`${s.name}/${String(s.set)}/${s.end ?? ''}`} source={source} scheme={s} />
			))}
		</>
	);
}

function Credential({ source, scheme }: { source: ApiSource; scheme: Scheme }): ReactNode {
	const queries = useQueryClient();
	const [user, setUser] = useState('');
	const [value, setValue] = useState('');
	const save = useMutation({
		mutationFn: (credential: { value: string } | { username: string; password: string } | null) =>
			unwrap(api.PATCH('/api/apis/{id}', { params: { path: { id: source.id }, header: { 'If-Match': `"${source.version}"` } }, body: { credentials: { [scheme.name]: credential } } })),
		onSuccess: () => void queries.invalidateQueries({ queryKey: ['apis'] }),
	});
	const isBasic = scheme.type === 'basic';
	return (
		<form
			className="group-box"
			aria-label={`Credentials for ${scheme.name}`}
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				save.mutate(isBasic ? { username: user, password: value } : { value });
			}}
		>
			<p>
				<strong>{scheme.name}</strong> <span className="muted">{schemeWords(scheme)}</span> — {scheme.set ? `set${scheme.end ? ` (${isBasic ? '' : '…'}${scheme.end})` : ''}` : 'not set'}
			</p>
			{scheme.description && <p className="hint">{scheme.description}</p>}
			<div className="stack">
				{isBasic && <Field label="Username" autoComplete="off" value={user} onChange={(e) => setUser(e.target.value)} required maxLength={200} />}
				<Field label={isBasic ? 'Password' : 'Secret'} type="password" autoComplete="off" value={value} onChange={(e) => setValue(e.target.value)} required maxLength={4096} />
				<div className="row">
					<button type="submit" className="button" disabled={save.isPending}>
						{scheme.set ? 'Replace' : 'Set'}
					</button>
					{scheme.set && (
						<button type="button" className="button danger ghost" disabled={save.isPending} onClick={() => save.mutate(null)} aria-label={`Take away the credentials for ${scheme.name}`}>
							Take away
						</button>
					)}
				</div>
			</div>
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
		</form>
	);
}

function Operations({ source }: { source: ApiSource }): ReactNode {
	const [words, setWords] = useState('');
	const all = source.operations ?? [];
	const shown = all.filter((o) => `${o.name} ${o.method} ${o.path} ${o.summary}`.toLowerCase().includes(words.trim().toLowerCase()));
	return (
		<>
			<h2>Operations</h2>
			<p className="muted">Agents are given them one by one, on their own pages.</p>
			{all.length > 10 && <Field label="Search" type="search" value={words} onChange={(e) => setWords(e.target.value)} />}
			<div className="table-box" role="region" aria-label="Operations (table)" tabIndex={0}>
				<table>
					<caption className="visually-hidden">Operations</caption>
					<thead>
						<tr>
							<th scope="col">Tool</th>
							<th scope="col">Request</th>
							<th scope="col">What for</th>
						</tr>
					</thead>
					<tbody>
						{shown.map((o) => (
							<tr key={o.name}>
								<th scope="row">
									<code>{o.tool}</code>
								</th>
								<td>
									<code>
										{o.method} {o.path}
									</code>
								</td>
								<td>{o.problem === null ? o.summary : `Cannot be called: ${o.problem}`}</td>
							</tr>
						))}
					</tbody>
				</table>
			</div>
			{shown.length === 0 && <p className="empty">Nothing was found.</p>}
		</>
	);
}
