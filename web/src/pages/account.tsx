import './../styles/pages.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Link } from 'react-router';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { sessionsQuery } from '../api/queries';
import { refreshSession } from '../api/session';
import { Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';
import { AccountExport, AccountRemoval } from './account-data';
import { Factors } from './factors';
import { Identities } from './identities';
import { Memory } from './memory';
import { Programs } from './programs';
import { useReauth } from './reauth';
import { SessionList } from './sessions';
import { PasswordField } from './sign-in';
import { useUser } from './user';

export function AccountPage(): ReactNode {
	useTitle('Your account');
	const user = useUser();
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Your account</h1>
					<p className="muted">{user.email ?? 'The owner of this machine’s command line'}</p>
				</div>
			</div>
			<NameForm />
			{user.email && <EmailForm />}
			{user.email && <PasswordForm />}
			{user.email && <Factors />}
			{user.email && (
				<Section title="Linked accounts">
					<Identities />
				</Section>
			)}
			<Sessions />
			<Section title="What agents remember">
				<Memory />
			</Section>
			<Section title="Connected programs">
				<Programs />
				<p>
					<Link to="/tokens">Access tokens for programs of your own</Link>
				</p>
			</Section>
			<Section title="Your data as a file">
				<AccountExport />
			</Section>
			{user.email && (
				<Section title="Deleting the account">
					<AccountRemoval />
				</Section>
			)}
		</div>
	);
}

function Section({ title, children }: { title: string; children: ReactNode }): ReactNode {
	return (
		<section className="stack" aria-label={title}>
			<h2>{title}</h2>
			{children}
		</section>
	);
}

function Outcome({ error, done }: { error: unknown; done: string }): ReactNode {
	if (error !== null) return <Notice tone="bad">{messageOf(error)}</Notice>;
	return done ? <Notice tone="info">{done}</Notice> : null;
}

function NameForm(): ReactNode {
	const user = useUser();
	const [name, setName] = useState(user.name);
	const save = useMutation({
		mutationFn: () => unwrap(api.PATCH('/api/auth/me', { body: { name: name.trim() } })),
		onSuccess: () => refreshSession(),
	});
	return (
		<Section title="Name">
			<form
				className="stack"
				onSubmit={(event: FormEvent) => {
					event.preventDefault();
					save.mutate();
				}}
			>
				<Field label="Name" autoComplete="name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} />
				<Outcome error={save.error} done={save.isSuccess ? 'Saved.' : ''} />
				<div className="row">
					<button type="submit" className="button" disabled={save.isPending || name.trim() === user.name}>
						Save the name
					</button>
				</div>
			</form>
		</Section>
	);
}

function EmailForm(): ReactNode {
	const user = useUser();
	const reauth = useReauth();
	const [email, setEmail] = useState(user.email ?? '');
	const change = useMutation({ mutationFn: () => reauth.run(() => unwrap(api.POST('/api/auth/email', { body: { email: email.trim() } }))) });
	return (
		<Section title="E-mail address">
			<form
				className="stack"
				onSubmit={(event: FormEvent) => {
					event.preventDefault();
					change.mutate();
				}}
			>
				<Field label="E-mail" type="email" autoComplete="email" required maxLength={254} value={email} onChange={(e) => setEmail(e.target.value)} hint="A link goes there; it is your address when you open it." />
				<Outcome error={change.error} done={change.isSuccess ? `A link went to ${email.trim()}.` : ''} />
				<div className="row">
					<button type="submit" className="button" disabled={change.isPending}>
						Send the link
					</button>
				</div>
			</form>
			{reauth.dialog}
		</Section>
	);
}

function PasswordForm(): ReactNode {
	const queries = useQueryClient();
	const [current, setCurrent] = useState('');
	const [next, setNext] = useState('');
	const [endOthers, setEndOthers] = useState(true);
	const change = useMutation({
		mutationFn: () => unwrap(api.POST('/api/auth/password', { body: { current_password: current, new_password: next, end_other_sessions: endOthers } })),
		onSuccess: () => {
			setCurrent('');
			setNext('');
			void queries.invalidateQueries({ queryKey: ['sessions'] });
		},
	});
	return (
		<Section title="Password">
			<form
				className="stack"
				onSubmit={(event: FormEvent) => {
					event.preventDefault();
					change.mutate();
				}}
			>
				<PasswordField isNew={false} label="Current password" value={current} onChange={setCurrent} />
				<PasswordField isNew label="New password" value={next} onChange={setNext} />
				<label className="check">
					<input type="checkbox" checked={endOthers} onChange={(e) => setEndOthers(e.target.checked)} />
					<span>End my other sessions</span>
				</label>
				<Outcome error={change.error} done={change.isSuccess ? 'Changed.' : ''} />
				<div className="row">
					<button type="submit" className="button" disabled={change.isPending}>
						Change the password
					</button>
				</div>
			</form>
		</Section>
	);
}

function Sessions(): ReactNode {
	const queries = useQueryClient();
	const reauth = useReauth();
	const list = useQuery(sessionsQuery);
	const end = useMutation({
		mutationFn: (id: string | null) =>
			reauth.run(() => (id ? unwrap(api.DELETE('/api/auth/sessions/{id}', { params: { path: { id } } })) : unwrap(api.DELETE('/api/auth/sessions')))),
		onSettled: () => void queries.invalidateQueries({ queryKey: ['sessions'] }),
	});
	return (
		<Section title="Sessions">
			{list.isPending && <Spinner label="Loading the sessions…" />}
			{list.isError && <Failure what="The sessions cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data && <SessionList sessions={list.data} onEnd={(id) => end.mutate(id)} busy={end.isPending} />}
			<Outcome error={end.error} done="" />
			<div className="row">
				<button type="button" className="button" disabled={end.isPending} onClick={() => end.mutate(null)}>
					End all others
				</button>
			</div>
			{reauth.dialog}
		</Section>
	);
}
