/* What becomes of all that is one's own. */
import { useMutation } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { signOut } from '../api/session';
import { Confirm } from '../ui/dialog';
import { useReauth } from './reauth';

export function AccountRemoval(): ReactNode {
	const reauth = useReauth();
	const [asking, setAsking] = useState(false);
	const remove = useMutation({
		mutationFn: () => reauth.run(() => unwrap(api.DELETE('/api/auth/me'))),
		onSuccess: () => signOut(),
	});
	return (
		<>
			<p className="muted">Conversations, runs, files, knowledge, schedules, keys and your agents are deleted for good. Agents and collections that others use go to the owner of this installation.</p>
			<div className="row">
				<button type="button" className="button danger ghost" onClick={() => setAsking(true)}>
					Delete my account
				</button>
			</div>
			<Confirm
				open={asking}
				title="Delete your account?"
				text="Everything of yours is deleted for good, and you are signed out everywhere. There is no way back."
				action="Delete for good"
				busy={remove.isPending}
				error={remove.error === null ? null : messageOf(remove.error)}
				onConfirm={() => remove.mutate()}
				onClose={() => {
					remove.reset();
					setAsking(false);
				}}
			/>
			{reauth.dialog}
		</>
	);
}
