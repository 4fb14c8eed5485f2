import './../styles/pages.css';

import { useQuery } from '@tanstack/react-query';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router';

import { messageOf } from '../api/error';
import { acceptInvitation, postOpen, verifyAddress } from '../api/session';
import { Failure, Field, Logo, Notice, Spinner, useTitle } from '../ui/parts';
import { linkToken } from './link-token';
import { PasswordField } from './sign-in';

interface LinkInfo {
	kind: string;
	email: string;
	name: string | null;
}

/** What a link of a mail leads to, and /forgot, which asks for one. Looking at the page uses no link up. */
export function LinkPage({ path }: { path: string }): ReactNode {
	if (path === '/forgot') return <ForgotPage />;
	return <TokenPage path={path} />;
}

function Card({ title, children }: { title: string; children: ReactNode }): ReactNode {
	useTitle(title);
	return (
		<main className="gate">
			<div className="gate-card">
				<Logo />
				<h1>{title}</h1>
				{children}
			</div>
		</main>
	);
}

/* A form that is sent once and then shows what came of it. */
function useSending(send: () => Promise<unknown>, done: () => void) {
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<unknown>(null);
	async function submit(event: FormEvent): Promise<void> {
		event.preventDefault();
		setBusy(true);
		setError(null);
		try {
			await send();
			done();
		} catch (e) {
			setError(e);
		}
		setBusy(false);
	}
	return { busy, error, submit: (event: FormEvent) => void submit(event) };
}

function FormEnd({ error, busy, action }: { error: unknown; busy: boolean; action: string }): ReactNode {
	return (
		<>
			{error !== null && <Notice tone="bad">{messageOf(error)}</Notice>}
			<button type="submit" className="button primary wide" disabled={busy}>
				{busy ? 'One moment…' : action}
			</button>
		</>
	);
}

function ForgotPage(): ReactNode {
	const [email, setEmail] = useState('');
	const [sent, setSent] = useState(false);
	const form = useSending(() => postOpen('/api/auth/forgot', { email: email.trim() }), () => setSent(true));
	return (
		<Card title="Forgot your password?">
			{sent ? (
				<Notice tone="info" title="Look into your mail">
					If {email} has an account here, a link to choose a new password is on its way. Where there is no mail, an administrator has it.
				</Notice>
			) : (
				<form onSubmit={form.submit} className="stack">
					<p className="muted">A link to choose a new one is sent to you.</p>
					<Field label="E-mail" name="email" type="email" autoComplete="username" required maxLength={254} value={email} onChange={(e) => setEmail(e.target.value)} autoFocus />
					<FormEnd error={form.error} busy={form.busy} action="Send the link" />
				</form>
			)}
			<Link to="/" className="link-button">
				Back to sign-in
			</Link>
		</Card>
	);
}

const titles: Record<string, string> = {
	'/verify': 'Confirm your e-mail address',
	'/invite': 'Welcome to Ogent',
	'/reset': 'Choose a new password',
	'/confirm-email': 'Confirm your e-mail address',
};

function TokenPage({ path }: { path: string }): ReactNode {
	const token = linkToken();
	const link = useQuery({
		queryKey: ['link', token],
		queryFn: async () => (await postOpen('/api/auth/link', { token })) as LinkInfo,
		staleTime: Infinity,
	});
	const [done, setDone] = useState('');
	return (
		<Card title={titles[path] ?? 'Link'}>
			{done ? (
				<>
					<Notice tone="info">{done}</Notice>
					<Link to="/" className="button primary wide">
						Go on
					</Link>
				</>
			) : link.isPending ? (
				<Spinner label="Looking at the link…" />
			) : link.isError ? (
				<>
					<Failure what="This link cannot be used" error={link.error} />
					<Link to="/" className="link-button">
						Go to sign-in
					</Link>
				</>
			) : path === '/invite' ? (
				<InviteForm token={token} link={link.data} />
			) : path === '/verify' ? (
				<VerifyForm token={token} link={link.data} />
			) : path === '/reset' ? (
				<ResetForm token={token} link={link.data} onDone={() => setDone('Your password is changed and all sessions have ended. Sign in with the new one.')} />
			) : (
				<ConfirmForm token={token} link={link.data} onDone={() => setDone(`${link.data.email} is your address now.`)} />
			)}
		</Card>
	);
}

interface FormProps {
	token: string;
	link: LinkInfo;
}

function InviteForm({ token, link }: FormProps): ReactNode {
	const navigate = useNavigate();
	const [name, setName] = useState(link.name ?? '');
	const [password, setPassword] = useState('');
	const form = useSending(() => acceptInvitation({ token, name: name.trim(), password }), () => void navigate('/chat', { replace: true }));
	return (
		<form onSubmit={form.submit} className="stack">
			<p className="muted">You are invited as {link.email}. Choose a name and a password.</p>
			<input type="hidden" name="username" autoComplete="username" value={link.email} readOnly />
			<Field label="Name" name="name" autoComplete="name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} autoFocus />
			<PasswordField isNew value={password} onChange={setPassword} />
			<FormEnd error={form.error} busy={form.busy} action="Create the account" />
		</form>
	);
}

function VerifyForm({ token, link }: FormProps): ReactNode {
	const navigate = useNavigate();
	const [password, setPassword] = useState('');
	const form = useSending(() => verifyAddress({ token, password }), () => void navigate('/chat', { replace: true }));
	return (
		<form onSubmit={form.submit} className="stack">
			<p className="muted">To finish signing up as {link.email}, enter the password that you chose.</p>
			<PasswordField isNew={false} value={password} onChange={setPassword} />
			<FormEnd error={form.error} busy={form.busy} action="Confirm and sign in" />
		</form>
	);
}

function ResetForm({ token, link, onDone }: FormProps & { onDone: () => void }): ReactNode {
	const [password, setPassword] = useState('');
	const form = useSending(() => postOpen('/api/auth/reset', { token, password }), onDone);
	return (
		<form onSubmit={form.submit} className="stack">
			<p className="muted">For {link.email}. All open sessions end.</p>
			<PasswordField isNew label="New password" value={password} onChange={setPassword} />
			<FormEnd error={form.error} busy={form.busy} action="Change the password" />
		</form>
	);
}

function ConfirmForm({ token, link, onDone }: FormProps & { onDone: () => void }): ReactNode {
	const form = useSending(() => postOpen('/api/auth/email/confirm', { token }), onDone);
	return (
		<form onSubmit={form.submit} className="stack">
			<p className="muted">{link.email} is to be the address of your account.</p>
			<FormEnd error={form.error} busy={form.busy} action="Confirm" />
		</form>
	);
}
