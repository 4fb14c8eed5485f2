import { useState, type FormEvent, type ReactNode } from 'react';

import { ApiError, messageOf } from '../api/error';
import { hasPasskeys } from '../api/passkey';
import { signInWithCode, signInWithPasskey } from '../api/session';
import { Field, Notice } from '../ui/parts';

export interface Step {
	ticket: string;
	methods: string[];
}

/** What a sign-in is waiting for, or null when it failed for another reason. */
export function stepOf(error: unknown): Step | null {
	return error instanceof ApiError && error.code === 'second_factor_required' ? (error.body as Step) : null;
}

/** After the password: a passkey, a code of the app, or a recovery code. */
export function SecondStep({ step, onBack }: { step: Step; onBack: () => void }): ReactNode {
	const [code, setCode] = useState('');
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<unknown>(null);
	const byPasskey = step.methods.includes('passkey') && hasPasskeys();
	const byApp = step.methods.includes('totp');

	async function go(act: () => Promise<void>): Promise<void> {
		setBusy(true);
		setError(null);
		try {
			await act();
		} catch (e) {
			setError(e);
			setBusy(false);
		}
	}

	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				void go(() => signInWithCode({ ticket: step.ticket, code }));
			}}
		>
			{byPasskey && (
				<button type="button" className="button primary wide" disabled={busy} onClick={() => void go(() => signInWithPasskey(step.ticket))}>
					Confirm with a passkey
				</button>
			)}
			<Field
				label={byApp ? 'Code of your app, or a recovery code' : 'Recovery code'}
				name="code"
				autoComplete="one-time-code"
				required
				maxLength={64}
				value={code}
				onChange={(e) => setCode(e.target.value)}
				autoFocus={!byPasskey}
			/>
			{error !== null && (
				<Notice tone="bad">
					<p>{messageOf(error)}</p>
				</Notice>
			)}
			<button type="submit" className={byPasskey ? 'button wide' : 'button primary wide'} disabled={busy}>
				Go on with the code
			</button>
			<button type="button" className="link-button" onClick={onBack}>
				Back
			</button>
		</form>
	);
}
