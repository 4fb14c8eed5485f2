/* A program asks to act for the user: /consent#request=…, where auth has sealed the program's request. */
import '../styles/pages.css';

import { useMutation, useQuery } from '@tanstack/react-query';
import { useEffect, useState, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { signOut } from '../api/session';
import { Failure, Logo, Notice, Spinner, useTitle } from '../ui/parts';
import { useUser } from './user';

export function ConsentPage(): ReactNode {
	useTitle('Connect a program');
	const [request] = useState(() => new URLSearchParams(location.hash.slice(1)).get('request') ?? '');
	const wish = useQuery({
		queryKey: ['authorization', request],
		queryFn: () => read(request),
		staleTime: Infinity,
		gcTime: 0,
	});
	return (
		<main className="gate">
			<div className="gate-card">
				<Logo />
				<h1>Connect a program</h1>
				{wish.isPending && <Spinner label="Reading what it asks for…" />}
				{wish.isError && <Failure what="This cannot be answered" error={wish.error} retry={() => void wish.refetch()} />}
				{wish.data && <Wish request={request} wish={wish.data} />}
			</div>
		</main>
	);
}

type Authorization = Awaited<ReturnType<typeof read>>;
const read = (request: string) => unwrap(api.POST('/api/auth/authorizations', { body: { request } }));

function Wish({ request, wish }: { request: string; wish: Authorization }): ReactNode {
	const user = useUser();
	const { client, scopes } = wish;
	const decision = useMutation({
		mutationFn: (approve: boolean) => unwrap(api.POST('/api/auth/authorizations/decision', { body: { request, approve } })),
		onSuccess: ({ redirect_to }) => location.replace(redirect_to),
	});
	const again = wish.is_remembered && !wish.must_sign_in;
	const { mutate } = decision;
	useEffect(() => {
		if (again) mutate(true);
	}, [again, mutate]);
	if (wish.must_sign_in)
		return (
			<>
				<Notice tone="info">
					<p>
						<strong>{client.name}</strong> wants you to sign in anew.
					</p>
				</Notice>
				<button type="button" className="button primary wide" onClick={() => void signOut()}>
					Sign in again
				</button>
			</>
		);
	const busy = decision.isPending || decision.isSuccess;
	return (
		<div className="stack">
			<p>
				<strong>{client.name}</strong> wants to act for you, <strong>{user.name}</strong>
				{user.email && ` (${user.email})`}.
			</p>
			{scopes.length > 0 ? (
				<>
					<p>It could:</p>
					<ul aria-label="What it could do">
						{scopes.map((scope) => (
							<li key={scope.name}>
								{scope.description} <span className="muted small">{scope.name}</span>
							</li>
						))}
					</ul>
				</>
			) : (
				<p>It asks for nothing that you may do yourself.</p>
			)}
			<p className="muted small">
				The answer goes to <strong>{client.answers_go_to}</strong>.{client.uri && ` It names ${client.uri} as its page.`}
			</p>
			{!client.is_proven && (
				<Notice tone="warn">The name is the program's own word. Go on only if you have just started it yourself.</Notice>
			)}
			{decision.isError && <Notice tone="bad">{messageOf(decision.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" disabled={busy} onClick={() => mutate(false)}>
					Deny
				</button>
				<button type="button" className="button primary" disabled={busy} onClick={() => mutate(true)}>
					{busy ? 'Going back…' : 'Allow'}
				</button>
			</div>
		</div>
	);
}
