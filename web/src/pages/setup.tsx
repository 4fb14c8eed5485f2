import { useQuery } from '@tanstack/react-query';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router';

import { ApiError, messageOf } from '../api/error';
import { setUp } from '../api/session';
import { Field, Failure, Logo, Notice, Spinner, useTitle } from '../ui/parts';
import { PasswordField, useSetupState } from './sign-in';
import { linkToken } from './link-token';

export function SetupPage(): ReactNode {
	useTitle('Set up');
	const state = useQuery(useSetupState());
	return (
		<main className="gate">
			<div className="gate-card">
				<Logo />
				<h1>Set up Ogent</h1>
				{state.isPending && <Spinner label="Asking Ogent…" />}
				{state.isError && <Failure what="Set-up cannot start" error={state.error} retry={() => void state.refetch()} />}
				{state.data && !state.data.needed && <Done />}
				{state.data?.needed && (linkToken() ? <SetupForm /> : <NoToken />)}
			</div>
		</main>
	);
}

function Done(): ReactNode {
	return (
		<>
			<Notice tone="info">This Ogent is set up already. Sign in with the account that was made then.</Notice>
			<Link to="/" className="button primary wide">
				Sign in
			</Link>
		</>
	);
}

export function NoToken(): ReactNode {
	return (
		<Notice tone="info" title="Open the set-up link">
			<p>
				<code>ogent up</code> prints a link that works once, for 30 minutes. Open it here to become the administrator. To get a new link, stop Ogent and start it again.
			</p>
		</Notice>
	);
}

function SetupForm(): ReactNode {
	const navigate = useNavigate();
	const [name, setName] = useState('');
	const [email, setEmail] = useState('');
	const [password, setPassword] = useState('');
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<unknown>(null);

	async function submit(event: FormEvent): Promise<void> {
		event.preventDefault();
		setBusy(true);
		setError(null);
		try {
			await setUp({ token: linkToken(), name: name.trim(), email: email.trim(), password });
			void navigate('/chat', { replace: true });
		} catch (e) {
			setError(e);
			setBusy(false);
		}
	}

	const gone = error instanceof ApiError && error.status === 410;
	return (
		<form onSubmit={(e) => void submit(e)} className="stack">
			<p className="muted">You become the administrator of this installation.</p>
			<Field label="Name" name="name" autoComplete="name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} autoFocus />
			<Field label="E-mail" name="email" type="email" autoComplete="username" required maxLength={254} value={email} onChange={(e) => setEmail(e.target.value)} />
			<PasswordField isNew value={password} onChange={setPassword} />
			{error !== null && (
				<Notice tone="bad">
					<p>{messageOf(error)}</p>
					{gone && <Link to="/">Go to sign-in</Link>}
				</Notice>
			)}
			<button type="submit" className="button primary wide" disabled={busy}>
				{busy ? 'Creating the account…' : 'Create the administrator'}
			</button>
		</form>
	);
}
