import { useQuery } from '@tanstack/react-query';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';

import { api, isApiError, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { reauthenticate, reauthenticateAt } from '../api/session';
import { Dialog } from '../ui/dialog';
import { Notice } from '../ui/parts';
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

/** For acts that need the password given a short while ago: `run` asks for it when the server does, and repeats the act. */
export function useReauth(): { run: <T>(act: () => Promise<T>) => Promise<T>; dialog: ReactNode } {
	const [open, setOpen] = useState(false);
	const [password, setPassword] = useState('');
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<unknown>(null);
	const waiting = useRef<((given: boolean) => void) | null>(null);

	function close(given: boolean): void {
		setOpen(false);
		setPassword('');
		setError(null);
		waiting.current?.(given);
		waiting.current = null;
	}

	async function submit(event: FormEvent): Promise<void> {
		event.preventDefault();
		setBusy(true);
		try {
			await reauthenticate({ password });
			close(true);
		} catch (e) {
			setError(e);
		}
		setBusy(false);
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
			<form onSubmit={(e) => void submit(e)} className="stack">
				<h2>Your password again</h2>
				<p className="muted">This needs it given within the last five minutes.</p>
				<PasswordField isNew={false} value={password} onChange={setPassword} />
				{error !== null && <Notice tone="bad">{messageOf(error)}</Notice>}
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
		</Dialog>
	);
	return { run, dialog };
}
