import { useState, type FormEvent, type ReactNode } from 'react';

import { messageOf } from '../api/error';
import { hasPasskeys } from '../api/passkey';
import { Field, Notice } from '../ui/parts';

interface Ways {
	/** What the server takes: passkey, totp, recovery_code. */
	methods: string[];
	withCode: (code: string) => Promise<void>;
	withPasskey: () => Promise<void>;
	/** Words of the link that leads away from here. */
	back: string;
	onBack: () => void;
}

/** Asks for a second factor: a passkey, a code of the app, or a recovery code. Stays until one of the ways worked. */
export function FactorForm({ methods, withCode, withPasskey, back, onBack }: Ways): ReactNode {
	const [code, setCode] = useState('');
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<unknown>(null);
	const byPasskey = methods.includes('passkey') && hasPasskeys();
	const byApp = methods.includes('totp');

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
				event.stopPropagation();
				void go(() => withCode(code));
			}}
		>
			{byPasskey && (
				<button type="button" className="button primary wide" disabled={busy} onClick={() => void go(withPasskey)}>
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
				{back}
			</button>
		</form>
	);
}
