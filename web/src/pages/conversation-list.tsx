import { useInfiniteQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { NavLink } from 'react-router';

import { conversationsQuery } from '../api/queries';
import { isEnded } from '../live/status';
import { ShortTime } from '../ui/parts';

export function ConversationList(): ReactNode {
	const list = useInfiniteQuery(conversationsQuery);
	const items = list.data?.pages.flatMap((page) => page.items) ?? [];
	return (
		<nav aria-label="Conversations" className="conversations">
			<h2>Conversations</h2>
			{list.isError && (
				<p className="muted small">
					The list cannot be read.{' '}
					<button type="button" className="link-button" onClick={() => void list.refetch()}>
						Try again
					</button>
				</p>
			)}
			{list.isSuccess && items.length === 0 && <p className="muted small">Your conversations will be listed here.</p>}
			<ul>
				{items.map((c) => (
					<li key={c.id}>
						<NavLink to={`/chat/${c.id}`}>
							<span className="title">{c.title || 'New conversation'}</span>
							{c.last_execution && !isEnded(c.last_execution.status) ? (
								<span className="running-dot" role="img" aria-label="running" />
							) : (
								<span className="when">
									<ShortTime time={c.updated_at} />
								</span>
							)}
						</NavLink>
					</li>
				))}
			</ul>
			{list.hasNextPage && (
				<button type="button" className="button ghost small" onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
					Load more
				</button>
			)}
		</nav>
	);
}
