import type { ReactNode } from 'react';

import { ApiError } from '../api/error';
import { signInWithCode, signInWithPasskey } from '../api/session';
import { FactorForm } from './factor-form';

export interface Step {
	ticket: string;
	methods: string[];
}

/** What a sign-in is waiting for, or null when it failed for another reason. */
export function stepOf(error: unknown): Step | null {
	return error instanceof ApiError && error.code === 'second_factor_required' ? (error.body as Step) : null;
}

/** After the password. */
export function SecondStep({ step, onBack }: { step: Step; onBack: () => void }): ReactNode {
	return (
		<FactorForm
			methods={step.methods}
			withCode={(code) => signInWithCode({ ticket: step.ticket, code })}
			withPasskey={() => signInWithPasskey(step.ticket)}
			back="Back"
			onBack={onBack}
		/>
	);
}
