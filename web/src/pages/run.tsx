import './../styles/pages.css';
import './../styles/chat.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { executionQuery } from '../api/queries';
import type { Call, ExecutionDetail } from '../api/types';
import { appendOutput, newCall, type CallItem, type Item } from '../live/reducer';
import { isEnded } from '../live/status';
import { Markdown } from '../markdown/markdown';
import { CommandCard } from '../ui/command-card';
import { CopyButton } from '../ui/copy-button';
import { formatCount, formatDuration, formatExact, formatSpan, runStatus } from '../ui/format';
import { Badge, Failure, Notice, Spinner, useTitle } from '../ui/parts';
import { useFollower } from './use-follower';
import { useMay } from './user';

export function RunPage(): ReactNode {
	const { id = '' } = useParams();
	return <Run key={id} id={id} />;
}

const statePollMs = 2_000;
const titleChars = 150; // more may be cut in the title

function Run({ id }: { id: string }): ReactNode {
	const queries = useQueryClient();
	const run = useQuery({ ...executionQuery(id), refetchInterval: (query) => (query.state.data && !isEnded(query.state.data.status) ? statePollMs : false) });
	useTitle(run.data ? `Run: ${run.data.input.slice(0, 60)}` : 'Run');
	const { views, watch } = useFollower(run.data?.conversation_id, run.data ? `execution:${id}` : undefined, (event) => {
		if (event.type === 'execution.ended') void queries.invalidateQueries({ queryKey: ['execution', id] });
	});
	const found = run.isSuccess;
	useEffect(() => {
		if (found) watch(id);
	}, [found, id, watch]);

	if (run.isPending) return <div className="page"><Spinner label="Loading the run…" /></div>;
	if (run.isError)
		return (
			<div className="page">
				<h1>Run</h1>
				<Failure what="The run cannot be shown" error={run.error} retry={() => void run.refetch()} />
			</div>
		);
	const execution = run.data;
	const view = views.get(id);
	const status = view && view.lastSeq > 0 ? view.status : execution.status;
	const items = view && view.items.length > 0 ? view.items : execution.calls.map(fromCall);
	const { label, tone } = runStatus[status];
	return (
		<div className="page">
			<p className="crumb">
				<Link to="/history">History</Link> / Run
			</p>
			<div className="page-head">
				<h1 className="run-title">{execution.input.split('\n', 1)[0]}</h1>
				<Badge tone={tone}>{label}</Badge>
			</div>
			<Facts execution={execution} />
			{(execution.input.includes('\n') || execution.input.length > titleChars) && (
				<section aria-labelledby="input">
					<h2 id="input">Input</h2>
					<div className="panel text">{execution.input}</div>
				</section>
			)}
			<Timeline items={withoutAnswer(items, execution.output)} calls={execution.calls} running={!isEnded(status)} execution={execution} />
			<Result execution={execution} />
			<p>
				<Link to={`/chat/${execution.conversation_id}`} className="button">
					Open the conversation
				</Link>{' '}
				<Link to={`/files/${execution.conversation_id}`} className="button">
					Its files
				</Link>
			</p>
			{isEnded(status) && <Again execution={execution} />}
		</div>
	);
}

/* A conversation with the messages and the files of that step. */
function ForkButton({ execution, step }: { execution: ExecutionDetail; step: number }): ReactNode {
	const navigate = useNavigate();
	const queries = useQueryClient();
	const mayChat = useMay('conversations.use');
	const fork = useMutation({
		mutationFn: () => unwrap(api.POST('/api/executions/{id}/fork', { params: { path: { id: execution.id }, header: { 'Idempotency-Key': newKey() } }, body: { step } })),
		onSuccess: (conversation) => {
			void queries.invalidateQueries({ queryKey: ['conversations'] });
			void navigate(`/chat/${conversation.id}`);
		},
	});
	if (!mayChat) return null;
	return (
		<p>
			<button type="button" className="button small ghost" aria-label={`Fork from here, after step ${step}`} disabled={fork.isPending} onClick={() => fork.mutate()}>
				{fork.isPending ? 'Forking…' : 'Fork from here'}
			</button>
			{fork.isError && (
				<span role="alert" className="field-error">
					{messageOf(fork.error)}
				</span>
			)}
		</p>
	);
}

/* The same message again, in a fork from before it; then both are shown side by side. */
function Again({ execution }: { execution: ExecutionDetail }): ReactNode {
	const navigate = useNavigate();
	const queries = useQueryClient();
	const mayChat = useMay('conversations.use');
	const replay = useMutation({
		mutationFn: async (same_version: boolean) => {
			const conversation = await unwrap(api.POST('/api/executions/{id}/fork', { params: { path: { id: execution.id }, header: { 'Idempotency-Key': newKey() } }, body: { step: 0, same_version } }));
			await unwrap(api.POST('/api/conversations/{id}/messages', { params: { path: { id: conversation.id }, header: { 'Idempotency-Key': newKey() } }, body: { content: execution.input } }));
			return conversation;
		},
		onSuccess: (conversation) => {
			void queries.invalidateQueries({ queryKey: ['conversations'] });
			void navigate(`/compare?a=${execution.conversation_id}&b=${conversation.id}`);
		},
	});
	if (!mayChat) return null;
	return (
		<p className="row">
			<button type="button" className="button" disabled={replay.isPending} onClick={() => replay.mutate(true)}>
				Run it again
			</button>
			<button type="button" className="button ghost" disabled={replay.isPending} onClick={() => replay.mutate(false)}>
				Again with the agent of now
			</button>
			{replay.isError && (
				<span role="alert" className="field-error">
					{messageOf(replay.error)}
				</span>
			)}
		</p>
	);
}

/* The answer has a place of its own below. */
function withoutAnswer(items: readonly Item[], answer: string | null): readonly Item[] {
	const last = items.at(-1);
	return answer !== null && last?.kind === 'text' && last.text === answer ? items.slice(0, -1) : items;
}

function fromCall(call: Call): CallItem {
	const base = { ...newCall(call.id, 1), name: call.name, arguments: call.arguments, command: call.command, startedAt: call.started_at };
	return {
		...appendOutput(base, 'stdout', call.output ?? ''),
		status: call.status,
		exitCode: call.exit_code,
		signal: call.signal,
		outputBytes: call.output_bytes,
		durationMs: call.duration_ms,
		message: call.message ?? null,
	};
}

function Facts({ execution }: { execution: ExecutionDetail }): ReactNode {
	const { usage } = execution;
	const about = usage.estimated ? 'about ' : '';
	const facts: [string, ReactNode][] = [
		['Agent', <Link to={`/agents/${execution.agent_id}`}>{execution.agent_name}</Link>],
		['Model', execution.model ? `${execution.model} (${execution.provider ?? '?'})` : '–'],
		['Started', formatExact(execution.started_at ?? execution.created_at)],
		['Ended', formatExact(execution.ended_at)],
		['Duration', formatDuration(execution.duration_ms)],
		['Steps', formatCount(execution.steps)],
		['Commands', formatCount(execution.commands)],
		['Tokens', `${about}${formatCount(usage.input_tokens)} in${usage.cached_tokens > 0 ? ` (${formatCount(usage.cached_tokens)} from the cache)` : ''}, ${formatCount(usage.output_tokens)} out`],
		['Cost', usage.cost_usd > 0 ? `${about}$${usage.cost_usd.toPrecision(3)}` : '–'],
	];
	return (
		<dl className="facts">
			{facts.map(([name, value]) => (
				<div key={name}>
					<dt>{name}</dt>
					<dd>{value}</dd>
				</div>
			))}
		</dl>
	);
}

function Timeline({ items, calls, running, execution }: { items: readonly Item[]; calls: readonly Call[]; running: boolean; execution: ExecutionDetail }): ReactNode {
	const steps = [...new Set(items.map((item) => item.step))];
	if (steps.length === 0) return running ? <Spinner label="Running…" /> : null;
	return (
		<section aria-labelledby="steps">
			<h2 id="steps">Steps</h2>
			<ol className="steps">
				{steps.map((step) => (
					<li key={step}>
						<h3>Step {step}</h3>
						{items
							.filter((item) => item.step === step)
							.map((item) =>
								item.kind === 'said' ? (
									<div key={item.messageId} className="bubble">
										{item.text}
									</div>
								) : item.kind === 'text' ? (
									<div key={item.messageId} className="answer">
										<Markdown text={item.text} done={item.done} />
									</div>
								) : (
									<div key={item.callId}>
										<CommandCard call={item} />
										<CallTimes call={calls.find((c) => c.id === item.callId)} />
									</div>
								),
							)}
						{!running && <ForkButton execution={execution} step={step} />}
					</li>
				))}
			</ol>
			{running && <Spinner label="Running…" />}
		</section>
	);
}

function CallTimes({ call }: { call: Call | undefined }): ReactNode {
	if (!call?.started_at) return null;
	return (
		<p className="muted small call-times">
			{formatSpan(call.started_at, call.ended_at)}
		</p>
	);
}

const advice: Record<string, string> = {
	step_limit: 'Raise the limit of steps in the agent, or ask for less at once.',
	time_limit: 'Raise the limit of seconds in the agent, or ask for less at once.',
};

function Result({ execution }: { execution: ExecutionDetail }): ReactNode {
	if (execution.error)
		return (
			<Notice tone="warn" title="The run failed">
				<p>{execution.error.message}</p>
				<p className="muted small">
					{advice[execution.error.code] ?? 'The conversation is still there: send the message again when the reason is gone.'} Code: <code>{execution.error.code}</code>
				</p>
			</Notice>
		);
	if (!execution.output) return null;
	return (
		<section aria-labelledby="answer">
			<div className="section-head">
				<h2 id="answer">Answer</h2>
				<CopyButton text={execution.output} what="answer" />
			</div>
			<div className="panel">
				<Markdown text={execution.output} done />
			</div>
		</section>
	);
}
