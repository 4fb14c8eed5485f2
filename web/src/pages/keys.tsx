import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { keysQuery } from '../api/queries';
import { Confirm } from '../ui/dialog';
import { Badge, Failure, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { AdminTabs } from './admin-tabs';

const tones = { next: 'busy', active: 'good', old: 'warn' } as const;
const words = { next: 'signs soon', active: 'signs now', old: 'still good' } as const;

export function KeysPage(): ReactNode {
	useTitle('Signing keys');
	const queries = useQueryClient();
	const keys = useQuery(keysQuery);
	const [dropping, setDropping] = useState(false);
	const rotate = useMutation({
		mutationFn: (compromised: boolean) => unwrap(api.POST('/api/auth/keys/rotate', { body: { compromised } })),
		onSuccess: () => setDropping(false),
		onSettled: () => void queries.invalidateQueries({ queryKey: ['keys'] }),
	});
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Signing keys</h1>
					<p className="muted">They sign the tokens by which people are known to every service. The next one is published some minutes before it signs.</p>
				</div>
				<div className="row">
					<button type="button" className="button danger ghost" onClick={() => setDropping(true)}>
						A key is known to others
					</button>
					<button type="button" className="button primary" disabled={rotate.isPending} onClick={() => rotate.mutate(false)}>
						Make the next key
					</button>
				</div>
			</div>
			<AdminTabs />
			{keys.isPending && <Spinner label="Loading the keys…" />}
			{keys.isError && <Failure what="The keys cannot be read" error={keys.error} retry={() => void keys.refetch()} />}
			{rotate.error !== null && !dropping && <Notice tone="bad">{messageOf(rotate.error)}</Notice>}
			<ul className="runs" aria-label="Signing keys">
				{(keys.data ?? []).map((key) => (
					<li key={key.kid} className="run-row">
						<div className="run-main">
							<strong>
								<code>{key.kid}</code>
							</strong>{' '}
							<span className="muted">{key.algorithm}</span>
						</div>
						<div className="run-facts">
							<Badge tone={tones[key.state]}>{words[key.state]}</Badge>
							<span>
								signs from <ShortTime time={key.active_from} />
							</span>
							{key.gone_at && (
								<span>
									gone at <ShortTime time={key.gone_at} />
								</span>
							)}
						</div>
					</li>
				))}
			</ul>
			<Confirm
				open={dropping}
				title="Drop all keys?"
				text="A new key signs at once and the others are good for nothing any more: every access token is refused until its session is refreshed. Do this when a key may be known to others."
				action="Drop them"
				busy={rotate.isPending}
				error={rotate.error === null ? null : messageOf(rotate.error)}
				onConfirm={() => rotate.mutate(true)}
				onClose={() => {
					rotate.reset();
					setDropping(false);
				}}
			/>
		</div>
	);
}
