import { ArrowDown, Hand, Info, LoaderCircle } from 'lucide-react';
import { Fragment, memo, useEffect, useLayoutEffect, useRef, useState, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router';

import { useQueryClient } from '@tanstack/react-query';

import { readAttachment, type Attachment } from '../api/attachments';
import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { isEnded } from '../live/status';
import { CitationsContext, Sources } from '../markdown/citations';
import { Markdown } from '../markdown/markdown';
import { CommandCard } from '../ui/command-card';
import { ApprovalCard } from './approval-card';
import { CopyButton } from '../ui/copy-button';
import { formatDuration } from '../ui/format';
import { Notice, Spinner } from '../ui/parts';
import { SentFiles } from './attachments';
import { takeDraft } from './composer';
import type { Group } from './groups';
import type { Outgoing } from './outbox';
import { useMay } from './user';

interface ThreadProps {
	groups: Group[];
	/** Whose messages these are; without it there are none yet. */
	conversation?: string;
	outgoing: Outgoing[];
	onRetry: (entry: Outgoing) => void;
	onEdit: (entry: Outgoing) => void;
	/** A run with commands comes into view. */
	onSeen?: (executionId: string) => void;
	loading?: boolean;
	scrolls?: boolean;
}

const nearEnd = 80; // px

export function Thread({ scrolls = false, loading = false, ...props }: ThreadProps): ReactNode {
	if (!scrolls) return <Entries {...props} />;
	return (
		<Scroller>
			<div className="thread">
				{loading && <Spinner label="Loading the conversation…" />}
				<Entries {...props} />
			</div>
		</Scroller>
	);
}

/* Stays at the end while the end is in view, and never pulls a reader down. */
function Scroller({ children }: { children: ReactNode }): ReactNode {
	const box = useRef<HTMLDivElement>(null);
	const stick = useRef(true);
	const [away, setAway] = useState(false);
	const toEnd = () => {
		const element = box.current;
		if (element) element.scrollTop = element.scrollHeight;
	};
	useLayoutEffect(() => {
		if (stick.current) toEnd();
	});
	useEffect(() => {
		const content = box.current?.firstElementChild;
		if (!content) return;
		const observer = new ResizeObserver(() => {
			if (stick.current) toEnd();
		});
		observer.observe(content);
		return () => observer.disconnect();
	}, []);
	return (
		<div className="thread-frame">
			<div
				className="thread-scroll"
				ref={box}
				onScroll={(event) => {
					const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
					stick.current = scrollHeight - scrollTop - clientHeight < nearEnd;
					setAway(!stick.current);
				}}
			>
				{children}
			</div>
			{away && (
				<button
					type="button"
					className="to-end"
					onClick={() => {
						stick.current = true;
						toEnd();
					}}
				>
					<ArrowDown aria-hidden size={16} /> Latest
				</button>
			)}
		</div>
	);
}

function Entries({ groups, conversation = '', outgoing, onRetry, onEdit, onSeen }: ThreadProps): ReactNode {
	return (
		<>
			{groups.map((group) => (
				<GroupView key={group.key} group={group} conversation={conversation} onSeen={onSeen} />
			))}
			{outgoing.map((entry) => (
				<div key={entry.key} className="group">
					<div className={`bubble ${entry.state}`}>{entry.text}</div>
					{entry.files.length > 0 && <p className="muted small outgoing-files">{entry.files.map((file) => file.name).join(', ')}</p>}
					{entry.state === 'sending' ? (
						<p className="activity">
							<LoaderCircle aria-hidden size={15} className="spin" /> Sending…
						</p>
					) : (
						<Notice tone="bad" title="Not sent">
							<p>{messageOf(entry.error)}</p>
							<div className="row">
								<button type="button" className="button" onClick={() => onRetry(entry)}>
									Send again
								</button>
								<button type="button" className="button ghost" onClick={() => onEdit(entry)}>
									Edit
								</button>
							</div>
						</Notice>
					)}
				</div>
			))}
		</>
	);
}

function sameGroup(a: Group, b: Group): boolean {
	return (
		a.items.length === b.items.length &&
		a.items.every((item, i) => item === b.items[i]) &&
		a.input === b.input &&
		a.attachments.length === b.attachments.length &&
		a.status === b.status &&
		a.state === b.state &&
		a.retry === b.retry &&
		a.waiting === b.waiting &&
		a.notices === b.notices &&
		a.error?.message === b.error?.message &&
		a.durationMs === b.durationMs &&
		a.lastSeq === b.lastSeq
	);
}

const seenAhead = '600px';

function useSeen(executionId: string | null, onSeen: ((executionId: string) => void) | undefined) {
	const element = useRef<HTMLElement>(null);
	useEffect(() => {
		if (!element.current || !executionId || !onSeen) return;
		const observer = new IntersectionObserver(
			(entries) => {
				if (!entries.some((entry) => entry.isIntersecting)) return;
				observer.disconnect();
				onSeen(executionId);
			},
			{ rootMargin: seenAhead },
		);
		observer.observe(element.current);
		return () => observer.disconnect();
	}, [executionId, onSeen]);
	return element;
}

const GroupView = memo(
	function GroupView({ group, conversation, onSeen }: { group: Group; conversation: string; onSeen: ThreadProps['onSeen'] }): ReactNode {
		const hasCalls = group.items.some((item) => item.kind === 'call');
		const element = useSeen(hasCalls ? group.executionId : null, onSeen);
		return (
			<article
				ref={element}
				className="group"
				aria-label={`You: ${group.input.slice(0, 80)}`}
				data-execution={group.executionId ?? undefined}
				data-status={group.status}
				data-last-event={group.lastSeq}
			>
				<div className="bubble">{group.input}</div>
				<SentFiles conversation={conversation} files={group.attachments} />
				<Items group={group} />
				{group.notices.map((notice, i) => (
					<p key={i} className="activity" data-notice>
						<Info aria-hidden size={15} /> {notice}
					</p>
				))}
				<GroupEnd group={group} />
			</article>
		);
	},
	(a, b) => a.onSeen === b.onSeen && sameGroup(a.group, b.group),
);

function Items({ group }: { group: Group }): ReactNode {
	return group.items.map((item) =>
		item.kind === 'said' ? (
			<div key={item.messageId} className="bubble">
				{item.text}
			</div>
		) : item.kind === 'text' ? (
			<div key={item.messageId} className="answer">
				<CitationsContext value={item.citations ?? null}>
					<Markdown text={item.text} done={item.done} />
				</CitationsContext>
				{item.citations && <Sources citations={item.citations} />}
			</div>
		) : (
			<Fragment key={item.callId}>
				<CommandCard call={item} />
				{item.approval && <ApprovalCard approval={item.approval} tool={item.name} />}
			</Fragment>
		),
	);
}

const activities = { loading: 'Starting…', thinking: 'Thinking…', tooling: 'Running a command…', saving: 'Saving…', approving: 'Waiting for your decision…', paused: 'Paused: a budget is used up.', ended: 'Ending…' };

/* A message that waits for the run before it. */
function TakeBack({ executionId }: { executionId: string }): ReactNode {
	return <RunAction executionId={executionId} path="/api/executions/{id}/cancel" label="Take back" />;
}

/* A run that a budget has paused. */
function Resume({ executionId }: { executionId: string }): ReactNode {
	return <RunAction executionId={executionId} path="/api/executions/{id}/resume" label="Go on" />;
}

function RunAction({ executionId, path, label }: { executionId: string; path: '/api/executions/{id}/cancel' | '/api/executions/{id}/resume'; label: string }): ReactNode {
	const queries = useQueryClient();
	const [error, setError] = useState('');
	return (
		<>
			<button
				type="button"
				className="button small ghost"
				onClick={() =>
					unwrap(api.POST(path, { params: { path: { id: executionId } } }))
						.then(() => queries.invalidateQueries({ queryKey: ['conversation'] }))
						.catch((e: unknown) => setError(messageOf(e)))
				}
			>
				{label}
			</button>
			{error && <span role="alert" className="field-error">{error}</span>}
		</>
	);
}

/* A branch from before this message: with the same message again, or with it in the composer. This conversation stays. */
function Branch({ executionId, input, files }: { executionId: string; input: string; files: Attachment[] }): ReactNode {
	const navigate = useNavigate();
	const queries = useQueryClient();
	const [state, setState] = useState<{ busy: boolean; error: string }>({ busy: false, error: '' });
	if (!useMay('conversations.use')) return null;
	const branch = async (again: boolean) => {
		setState({ busy: true, error: '' });
		try {
			const { id } = await unwrap(api.POST('/api/executions/{id}/fork', { params: { path: { id: executionId }, header: { 'Idempotency-Key': newKey() } }, body: { step: 0 } }));
			if (again) await unwrap(api.POST('/api/conversations/{id}/messages', { params: { path: { id }, header: { 'Idempotency-Key': newKey() } }, body: { content: input, ...(files.length > 0 ? { attachments: files.map((f) => f.id) } : {}) } }));
			else takeDraft(id, input, await Promise.all(files.map(async (f) => readAttachment(id, f.id).then((blob) => new File([blob], f.name, { type: blob.type })))));
			void queries.invalidateQueries({ queryKey: ['conversations'] });
			void navigate(`/chat/${id}`);
		} catch (e) {
			setState({ busy: false, error: messageOf(e) });
		}
	};
	return (
		<>
			<button type="button" className="link-button" disabled={state.busy} onClick={() => void branch(false)}>
				Edit
			</button>
			<button type="button" className="link-button" disabled={state.busy} onClick={() => void branch(true)}>
				Again
			</button>
			{state.error && <span role="alert" className="field-error">{state.error}</span>}
		</>
	);
}

function GroupEnd({ group }: { group: Group }): ReactNode {
	if (!isEnded(group.status))
		return (
			<p className="activity">
				{group.status === 'waiting' || group.status === 'paused' ? <Hand aria-hidden size={15} /> : <LoaderCircle aria-hidden size={15} className="spin" />}
				{group.retry ? `${group.retry.reason.replace(/\.?$/, '.')} Attempt ${group.retry.attempt + 1} follows.` : group.status === 'queued' || group.waiting ? 'Waiting for its turn…' : group.status === 'waiting' ? activities.approving : group.status === 'paused' ? activities.paused : activities[group.state ?? 'thinking']}
				{group.status === 'queued' && group.executionId && group.lastSeq === 0 && <TakeBack executionId={group.executionId} />}
				{group.status === 'paused' && group.executionId && <Resume executionId={group.executionId} />}
			</p>
		);
	const answer = group.items.findLast((item) => item.kind === 'text');
	return (
		<>
			{group.status === 'failed' && (
				<Notice tone="warn" title="The run failed">
					<p>{group.error?.message ?? 'No reason was given.'}</p>
				</Notice>
			)}
			{group.status === 'cancelled' && <p className="activity">Stopped.</p>}
			<div className="group-foot">
				{answer && <CopyButton text={answer.text} what="answer" />}
				{group.executionId && <Link to={`/runs/${group.executionId}`}>Run details</Link>}
				{group.executionId && <Branch executionId={group.executionId} input={group.input} files={group.attachments} />}
				{group.durationMs !== null && <span>{formatDuration(group.durationMs)}</span>}
			</div>
		</>
	);
}
