import './../styles/chat.css';

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useState, type ReactNode } from 'react';
import { useNavigate, useParams, useSearchParams } from 'react-router';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { agentsQuery, conversationQuery, threadQuery } from '../api/queries';
import type { Agent, Execution, ExecutionEvent, WhenBusy } from '../api/types';
import { isEnded } from '../live/status';
import { plainText } from '../markdown/blocks';
import { announce } from '../ui/announce';
import { Failure, Notice, Spinner, useTitle } from '../ui/parts';
import { Composer, takeDraft } from './composer';
import { ConversationHead } from './conversation-head';
import { activeGroup, buildGroups } from './groups';
import { sendAgain, sendMessage, takeBack, useOutbox, type Delivery, type Outgoing } from './outbox';
import { ModelLine } from './shell';
import { Thread } from './thread';
import { useFollower } from './use-follower';
import { useMay } from './user';

const suggestions = ['How much disk space is free?', 'How much memory is in use?', 'Which kernel is this?', 'List the files in the workspace'];

export function ChatPage(): ReactNode {
	const { id } = useParams();
	const [params] = useSearchParams();
	const agentId = params.get('agent') ?? '';
	return id ? <ConversationPage key={id} id={id} /> : <NewChatPage key={`new ${agentId}`} agentId={agentId} />;
}

/* What happens around a message once it is on its way. */
function useDelivery(watch: (executionId: string) => void): Delivery {
	const navigate = useNavigate();
	const queries = useQueryClient();
	return useMemo(
		() => ({
			onConversation(id: string) {
				void navigate(`/chat/${id}`, { replace: true });
			},
			onSent(execution: Execution) {
				watch(execution.id);
				/* The message stays on the screen until the thread is read again. */
				const { queryKey } = threadQuery(execution.conversation_id);
				queries.setQueryData(queryKey, (old) => ({
					messages: old?.messages ?? [],
					executions: [execution, ...(old?.executions ?? []).filter((e) => e.id !== execution.id)],
				}));
				void queries.invalidateQueries({ queryKey });
				void queries.invalidateQueries({ queryKey: ['conversations'] });
			},
		}),
		[navigate, queries, watch],
	);
}

function NewChatPage({ agentId }: { agentId: string }): ReactNode {
	useTitle('New chat');
	const agents = useQuery(agentsQuery);
	const outgoing = useOutbox(null);
	const delivery = useDelivery(noWatch);
	const may = useMay('conversations.use');
	const [chosen, setChosen] = useState(agentId);
	const agent = agents.data?.find((a) => a.id === chosen) ?? agents.data?.at(-1);
	const [draftVersion, setDraftVersion] = useState(0);

	if (agents.isError)
		return (
			<div className="page">
				<Failure what="The agents cannot be read" error={agents.error} retry={() => void agents.refetch()} />
			</div>
		);
	if (!may)
		return (
			<div className="page">
				<h1>Chat</h1>
				<Notice tone="info">Your role may look at runs, not start conversations. An administrator can give you another role.</Notice>
			</div>
		);
	const send = (text: string, whenBusy?: WhenBusy, files?: File[]) => sendMessage(null, agent?.id, text, delivery, whenBusy, files);
	const takeOver = (entry: Outgoing) => {
		takeDraft('new', entry.text, entry.files);
		takeBack(entry.key);
		setDraftVersion((v) => v + 1);
	};
	return (
		<div className="chat">
			<div className="thread-scroll">
				<div className="thread welcome">
					<h1>What shall I do?</h1>
					{agents.isPending ? <Spinner label="Loading the agents…" /> : <AgentChoice agents={agents.data} agent={agent} onChoose={setChosen} />}
					{outgoing.length === 0 && (
						<ul className="suggestions" aria-label="Suggestions">
							{suggestions.map((text) => (
								<li key={text}>
									<button type="button" className="suggestion" disabled={!agent} onClick={() => send(text)}>
										{text}
									</button>
								</li>
							))}
						</ul>
					)}
					<Thread groups={[]} outgoing={outgoing} onRetry={(entry) => sendAgain(entry, delivery)} onEdit={takeOver} />
				</div>
			</div>
			<Composer key={draftVersion} draftKey="new" busy={outgoing.some((o) => o.state === 'sending')} disabled={!agent} onSend={send} agent={agent} foot={<ModelLine />} />
		</div>
	);
}

const noWatch = () => undefined;

function AgentChoice({ agents, agent, onChoose }: { agents: Agent[]; agent: Agent | undefined; onChoose: (id: string) => void }): ReactNode {
	if (!agent) return <Notice tone="warn">There is no agent yet. Create one under Agents, then come back.</Notice>;
	if (agents.length === 1)
		return (
			<p className="muted">
				{agent.name} is ready. {agent.description}
			</p>
		);
	return (
		<div className="agent-choice">
			<label htmlFor="agent-choice">Agent</label>
			<select id="agent-choice" value={agent.id} onChange={(event) => onChoose(event.target.value)}>
				{agents.map((a) => (
					<option key={a.id} value={a.id}>
						{a.name}
					</option>
				))}
			</select>
			{agent.description && <p className="muted">{agent.description}</p>}
		</div>
	);
}

function ConversationPage({ id }: { id: string }): ReactNode {
	const queries = useQueryClient();
	const conversation = useQuery(conversationQuery(id));
	const thread = useQuery(threadQuery(id));
	const agents = useQuery(agentsQuery);
	const outgoing = useOutbox(id);
	const may = useMay('conversations.use');
	useTitle(conversation.data?.title || 'Conversation');

	const onLive = useCallback(
		(event: ExecutionEvent) => {
			if (event.type === 'message.done' && event.data.content && !event.data.tool_calls?.length) announce(`Answer: ${plainText(event.data.content)}`);
			if (event.type === 'execution.started') void queries.invalidateQueries({ queryKey: ['conversations'] });
			if (event.type !== 'execution.ended') return;
			if (event.data.status === 'failed') announce(`The run failed: ${event.data.error?.message ?? ''}`);
			if (event.data.status === 'cancelled') announce('Stopped.');
			void queries.invalidateQueries({ queryKey: ['conversations'] });
			void queries.invalidateQueries({ queryKey: ['conversation', id] });
			void queries.invalidateQueries({ queryKey: ['executions'] });
		},
		[queries, id],
	);
	const { views, watch } = useFollower(id, `conversation:${id}`, onLive);
	const delivery = useDelivery(watch);

	/* What runs is shown from its events. So is what ran commands, once it is in view: events keep stdout and stderr apart. */
	const executions = thread.data?.executions;
	useEffect(() => {
		for (const execution of executions ?? []) if (!isEnded(execution.status)) watch(execution.id);
	}, [executions, watch]);

	const groups = useMemo(() => buildGroups(thread.data?.messages ?? [], thread.data?.executions ?? [], views), [thread.data, views]);
	const active = activeGroup(groups);
	/* Its first event may be here before the answer to its sending. */
	const unseen = outgoing.filter((entry) => entry.state === 'failed' || entry.text !== active?.input);
	const [draftVersion, setDraftVersion] = useState(0);
	const agent = agents.data?.find((a) => a.id === conversation.data?.agent_id);

	if (thread.isError || conversation.isError)
		return (
			<div className="page">
				<h1>Conversation</h1>
				<Failure
					what="The conversation cannot be shown"
					error={thread.error ?? conversation.error}
					retry={() => {
						void thread.refetch();
						void conversation.refetch();
					}}
				/>
			</div>
		);
	return (
		<div className="chat">
			{conversation.data && <ConversationHead conversation={conversation.data} />}
			<Thread
				scrolls
				conversation={id}
				loading={thread.isPending}
				groups={groups}
				onSeen={watch}
				outgoing={unseen}
				onRetry={(entry) => sendAgain(entry, delivery)}
				onEdit={(entry) => {
					takeDraft(id, entry.text, entry.files);
					takeBack(entry.key);
					setDraftVersion((v) => v + 1);
				}}
			/>
			{may && (
				<Composer
					key={draftVersion}
					draftKey={id}
					busy={outgoing.some((o) => o.state === 'sending')}
					disabled={thread.isPending}
					onSend={(text, whenBusy, files) => sendMessage(id, undefined, text, delivery, whenBusy, files)}
					agent={agent}
					stop={active?.executionId ? <StopButton key={active.executionId} executionId={active.executionId} /> : undefined}
					onStop={active?.executionId ? () => void cancel(active.executionId as string).catch((e: unknown) => announce(messageOf(e))) : undefined}
					foot={<ModelLine />}
				/>
			)}
		</div>
	);
}

function cancel(executionId: string): Promise<Execution> {
	return unwrap(api.POST('/api/executions/{id}/cancel', { params: { path: { id: executionId } } }));
}

function StopButton({ executionId }: { executionId: string }): ReactNode {
	const [state, setState] = useState<'idle' | 'stopping'>('idle');
	const [error, setError] = useState('');
	return (
		<>
			{error && (
				<span role="alert" className="field-error">
					{error}
				</span>
			)}
			<button
				type="button"
				className="button stop"
				disabled={state === 'stopping'}
				onClick={() => {
					setState('stopping');
					setError('');
					cancel(executionId).catch((e: unknown) => {
						setState('idle');
						setError(messageOf(e));
					});
				}}
			>
				<span className="stop-square" aria-hidden />
				{state === 'stopping' ? 'Stopping…' : 'Stop'}
			</button>
		</>
	);
}
