import { queryOptions, useQuery } from '@tanstack/react-query';
import { useId, useState, type FormEvent, type ReactNode } from 'react';
import { Link } from 'react-router';

import { ApiError, apiErrorFrom, messageOf, unreachable } from '../api/error';
import { hasPasskeys } from '../api/passkey';
import { postOpen, signIn, signInWithPasskey } from '../api/session';
import { Field, Logo, Notice, useTitle } from '../ui/parts';
import { ProviderButtons } from './provider-buttons';
import { SecondStep, stepOf, type Step } from './second-step';
import { NoToken } from './setup';

export const passwordMinimum = 15;

export function useSetupState() {
	return queryOptions({
		queryKey: ['setup'],
		queryFn: async () => {
			const answer = await fetch('/api/auth/setup', { headers: { Accept: 'application/json' } }).catch(() => {
				throw unreachable();
			});
			const body: unknown = await answer.json().catch(() => null);
			if (!answer.ok) throw apiErrorFrom(answer.status, body);
			return body as { needed: boolean; registration: 'open' | 'invite' | 'closed' };
		},
	});
}

export function PasswordField({
	value,
	onChange,
	isNew,
	label = 'Password',
}: {
	value: string;
	onChange: (value: string) => void;
	isNew: boolean;
	label?: string;
}): ReactNode {
	const [shown, setShown] = useState(false);
	const id = useId();
	const missing = passwordMinimum - [...value].length;
	return (
		<div className="field">
			<label htmlFor={id}>{label}</label>
			<div className="input-with-button">
				<input
					id={id}
					name="password"
					type={shown ? 'text' : 'password'}
					autoComplete={isNew ? 'new-password' : 'current-password'}
					required
					minLength={isNew ? passwordMinimum : undefined}
					maxLength={1024}
					value={value}
					onChange={(e) => onChange(e.target.value)}
					aria-describedby={isNew ? `${id}-hint` : undefined}
				/>
				<button type="button" className="button ghost" aria-pressed={shown} aria-label="Show password" onClick={() => setShown(!shown)}>
					{shown ? 'Hide' : 'Show'}
				</button>
			</div>
			{isNew && (
				<p className="hint" id={`${id}-hint`}>
					At least {passwordMinimum} characters. Anything goes, spaces too: a few random words are good. Not your e-mail name, nor “ogent”.
					{value !== '' && missing > 0 && ` ${missing} more to go.`}
				</p>
			)}
		</div>
	);
}

export function SignInPage({ expired }: { expired: boolean }): ReactNode {
	useTitle('Sign in');
	const setup = useQuery(useSetupState());
	const [registering, setRegistering] = useState(false);
	const [name, setName] = useState('');
	const [email, setEmail] = useState('');
	const [password, setPassword] = useState('');
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<unknown>(null);
	const [sentTo, setSentTo] = useState('');
	const [step, setStep] = useState<Step | null>(null);

	async function passkey(): Promise<void> {
		setError(null);
		await signInWithPasskey().catch(setError);
	}

	async function submit(event: FormEvent): Promise<void> {
		event.preventDefault();
		setBusy(true);
		setError(null);
		try {
			if (registering) {
				await postOpen('/api/auth/register', { name: name.trim(), email: email.trim(), password });
				setSentTo(email.trim());
				setRegistering(false);
				setBusy(false);
			} else {
				await signIn({ email: email.trim(), password });
			}
		} catch (e) {
			const next = stepOf(e);
			setStep(next);
			setError(next ? null : e);
			setBusy(false);
		}
	}

	return (
		<main className="gate">
			<div className="gate-card">
				<Logo />
				<h1>{setup.data?.needed ? 'Welcome to Ogent' : registering ? 'Create an account' : 'Sign in to Ogent'}</h1>
				{sentTo && (
					<Notice tone="info" title="Look into your mail">
						A link went to {sentTo}. Open it to confirm the address. Where there is no mail, an administrator has the link.
					</Notice>
				)}
				{expired && <Notice tone="info">Your session has ended. Sign in to go on where you were.</Notice>}
				{setup.data?.needed ? (
					<NoToken />
				) : step ? (
					<SecondStep step={step} onBack={() => setStep(null)} />
				) : (
					<form onSubmit={(e) => void submit(e)} className="stack">
						{registering && <Field label="Name" name="name" autoComplete="name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} />}
						<Field label="E-mail" name="email" type="email" autoComplete="username" required maxLength={254} value={email} onChange={(e) => setEmail(e.target.value)} autoFocus />
						<PasswordField isNew={registering} value={password} onChange={setPassword} />
						{error !== null && (
							<Notice tone="bad">
								<p>{messageOf(error)}</p>
								{error instanceof ApiError && error.status === 0 && <p className="small">What you typed is kept.</p>}
							</Notice>
						)}
						<button type="submit" className="button primary wide" disabled={busy}>
							{registering ? 'Create the account' : busy ? 'Signing in…' : 'Sign in'}
						</button>
						{!registering && hasPasskeys() && (
							<button type="button" className="button wide" onClick={() => void passkey()}>
								Sign in with a passkey
							</button>
						)}
						{!registering && <ProviderButtons />}
					</form>
				)}
				{setup.data && !setup.data.needed && !registering && !step && (
					<Link to="/forgot" className="link-button">
						Forgot your password?
					</Link>
				)}
				{setup.data?.registration === 'open' && !setup.data.needed && !step && (
					<button
						type="button"
						className="link-button"
						onClick={() => {
							setRegistering(!registering);
							setError(null);
						}}
					>
						{registering ? 'I have an account: sign in' : 'No account yet? Create one'}
					</button>
				)}
			</div>
		</main>
	);
}
