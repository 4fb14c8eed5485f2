import { useRef, useState, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { ApiError } from '../api/error';
import { usePasskey } from '../api/passkey';
import { Dialog } from '../ui/dialog';
import { FactorForm } from './factor-form';

interface Asked {
	act: string;
	methods: string[];
}

/** What an act is waiting for, or null when it failed for another reason. */
function askedBy(error: unknown): Asked | null {
	return error instanceof ApiError && error.code === 'confirmation_required' ? (error.body as Asked) : null;
}

async function confirmByPasskey(act: string): Promise<string> {
	const { ticket, public_key } = await unwrap(api.POST('/api/auth/confirmations/options', { body: { act } }));
	const credential = await usePasskey(public_key);
	return (await unwrap(api.POST('/api/auth/confirmations', { body: { act, ticket, credential } }))).confirmation;
}

/** For acts that may need one's second factor: `run` asks for it when the server does, and repeats the act with the confirmation. */
export function useConfirmation(): { run: <T>(act: (confirmation?: string) => Promise<T>) => Promise<T>; dialog: ReactNode } {
	const [asked, setAsked] = useState<Asked | null>(null);
	const waiting = useRef<((confirmation: string | null) => void) | null>(null);

	function close(confirmation: string | null): void {
		setAsked(null);
		waiting.current?.(confirmation);
		waiting.current = null;
	}

	async function run<T>(act: (confirmation?: string) => Promise<T>): Promise<T> {
		try {
			return await act();
		} catch (e) {
			const needs = askedBy(e);
			if (!needs) throw e;
			const confirmation = await new Promise<string | null>((resolve) => {
				waiting.current = resolve;
				setAsked(needs);
			});
			if (confirmation === null) throw new Error('Nothing was decided: it was not confirmed.', { cause: e });
			return act(confirmation);
		}
	}

	const dialog = (
		<Dialog open={asked !== null} onClose={() => close(null)} label="Confirm that it is you">
			{asked && (
				<div className="stack">
					<h2>Confirm that it is you</h2>
					<p className="muted">What you are about to allow is risky. This confirms just this one thing.</p>
					<FactorForm
						methods={asked.methods}
						withCode={async (code) => close((await unwrap(api.POST('/api/auth/confirmations', { body: { act: asked.act, code } }))).confirmation)}
						withPasskey={async () => close(await confirmByPasskey(asked.act))}
						back="Cancel"
						onBack={() => close(null)}
					/>
				</div>
			)}
		</Dialog>
	);
	return { run, dialog };
}
