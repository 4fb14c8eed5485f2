/* “Sign in with …”: a button for each provider that is switched on. */
import { queryOptions, useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';

import { messageOf } from '../api/error';
import { startProvider } from '../api/session';
import { Notice } from '../ui/parts';

export const signInProviders = queryOptions({
	queryKey: ['sign-in-providers'],
	queryFn: async ({ signal }) => {
		const answer = await fetch('/api/auth/sso', { signal, headers: { Accept: 'application/json' } });
		return answer.ok ? ((await answer.json()) as { items: { name: string; label: string }[] }).items : [];
	},
	staleTime: 60_000,
});

export function ProviderButtons(): ReactNode {
	const list = useQuery(signInProviders);
	const [error, setError] = useState<unknown>(null);
	return (
		<>
			{list.data?.map((provider) => (
				<button
					key={provider.name}
					type="button"
					className="button wide"
					onClick={() => {
						setError(null);
						startProvider(provider.name).catch(setError);
					}}
				>
					Sign in with {provider.label}
				</button>
			))}
			{error !== null && <Notice tone="bad">{messageOf(error)}</Notice>}
		</>
	);
}
