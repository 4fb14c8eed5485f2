import { useQuery } from '@tanstack/react-query';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';

import { api, isApiError, unwrap } from '../api/client';
import { ApiError, messageOf } from '../api/error';
import { hasPasskeys, usePasskey } from '../api/passkey';
import { reauthenticate, reauthenticateAt } from '../api/session';
import { Dialog } from '../ui/dialog';
import { Notice } from '../ui/parts';
import { FactorForm } from './factor-form';
import { PasswordField } from './sign-in';

/* Who signs in by a provider shows himself there; the page is opened anew afterwards. */
function OtherWays({ onError }: { onError: (e: unknown) => void }): ReactNode {
	const list = useQuery({ queryKey: ['identities'], queryFn: async ({ signal }) => await unwrap(api.GET('/api/auth/identities', { signal })) });
	return (
		<>
			{list.data?.items
				.filter((i) => i.enabled)
				.map((i) => (
					<button key={i.id} type="button" className="button wide" onClick={() => void reauthenticateAt(i.provider).catch(onError)}>
						Sign in again with {i.label}
					</button>
				))}
		</>
	);
}

/* With the password a passkey is the second factor, without it both. */
async function reauthenticateByPasskey(password?: string): Promise<void> {
	const { ticket, public_key } = await unwrap(api.POST('/api/auth/reauth/options'));
	await reauthenticate({ ...(password === undefined ? {} : { password }), ticket, credential: await usePasskey(public_key) });
}

const methodsAsked = (error: unknown): string[] | null =>
	error instanceof ApiError && error.code === 'second_factor_required' ? ((error.body as { methods?: string[] }).methods ?? []) : null;

/** For acts that need the password given a short while ago: `run` asks for it when the server does, and repeats the act. */
export function useReauth(): { run: <T>(act: () => Promise<T>) => Promise<T>; dialog: ReactNode } {
	const [open, setOpen] = useState(false);
	const [password, setPassword] = useState('');
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<unknown>(null);
	const [methods, setMethods] = useState<string[] | null>(null); // of the second step
	const waiting = useRef<((given: boolean) => void) | null>(null);

	function close(given: boolean): void {
		setOpen(false);
		setPassword('');
		setError(null);
		setMethods(null);
		waiting.current?.(given);
		waiting.current = null;
	}

	async function attempt(act: () => Promise<void>): Promise<void> {
		setBusy(true);
		setError(null);
		try {
			await act();
			close(true);
		} catch (e) {
			const next = methodsAsked(e);
			if (next) setMethods(next);
			else setError(e);
		}
		setBusy(false);
	}

	async function withFactor(act: () => Promise<void>): Promise<void> {
		await act();
		close(true);
	}

	async function run<T>(act: () => Promise<T>): Promise<T> {
		try {
			return await act();
		} catch (e) {
			if (!isApiError(e, 'reauth_required')) throw e;
			const given = await new Promise<boolean>((resolve) => {
				waiting.current = resolve;
				setOpen(true);
			});
			if (!given) throw e;
			return act();
		}
	}

	const dialog = (
		<Dialog open={open} onClose={() => close(false)} label="Your password again">
			{methods ? (
				<div className="stack">
					<h2>Your second factor</h2>
					<FactorForm
						methods={methods}
						withCode={(code) => withFactor(() => reauthenticate({ password, code }))}
						withPasskey={() => withFactor(() => reauthenticateByPasskey(password))}
						back="Cancel"
						onBack={() => close(false)}
					/>
				</div>
			) : (
				<form
					className="stack"
					onSubmit={(event: FormEvent) => {
						event.preventDefault();
						event.stopPropagation();
						void attempt(() => reauthenticate({ password }));
					}}
				>
					<h2>Your password again</h2>
					<p className="muted">This needs it given within the last five minutes.</p>
					<PasswordField isNew={false} value={password} onChange={setPassword} />
					{error !== null && <Notice tone="bad">{messageOf(error)}</Notice>}
					{open && hasPasskeys() && (
						<button type="button" className="button wide" disabled={busy} onClick={() => void attempt(() => reauthenticateByPasskey())}>
							Use a passkey instead
						</button>
					)}
					{open && <OtherWays onError={setError} />}
					<div className="row end">
						<button type="button" className="button" onClick={() => close(false)}>
							Cancel
						</button>
						<button type="submit" className="button primary" disabled={busy}>
							Go on
						</button>
					</div>
				</form>
			)}
		</Dialog>
	);
	return { run, dialog };
}
