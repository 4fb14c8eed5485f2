import './../styles/pages.css';

import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Link } from 'react-router';

import { approvalsQuery } from '../api/queries';
import type { Approval } from '../api/types';
import { Failure, ShortTime, Spinner, useTitle } from '../ui/parts';
import { ApprovalCard } from './approval-card';

function pending(approval: Approval) {
	const { id, kind, summary, reason, hash, expires_at: expiresAt } = approval;
	return { id, kind, summary, reason, hash, expiresAt, arguments: approval.arguments };
}

/** Everything that waits for a decision of this user. */
export function ApprovalsPage(): ReactNode {
	useTitle('Approvals');
	const list = useQuery(approvalsQuery);
	return (
		<div className="page">
			<h1>Approvals</h1>
			{list.isPending && <Spinner label="Loading…" />}
			{list.isError && <Failure what="The list cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.length === 0 && <p className="muted">Nothing waits for you. What an agent asks, and what needs a person’s approval, shows up here and in its conversation.</p>}
			<ul className="approvals">
				{list.data?.map((approval) => (
					<li key={approval.id}>
						<p className="muted">
							{approval.agent_name} · {approval.tool} · <ShortTime time={approval.created_at} /> · <Link to={`/chat/${approval.conversation_id}`}>Conversation</Link>
						</p>
						<ApprovalCard approval={pending(approval)} tool={approval.tool} />
					</li>
				))}
			</ul>
		</div>
	);
}
