/* The thread of a conversation: one group per message of the user, with what its execution made of it. */
import type { Attachment } from '../api/attachments';
import type { Execution, ExecutionStatus, Message } from '../api/types';
import { appendOutput, newCall, utf8Length, type CallItem, type Item, type RunView } from '../live/reducer';
import { isEnded } from '../live/status';

export interface Group {
	key: string;
	executionId: string | null;
	input: string;
	attachments: Attachment[];
	items: Item[];
	status: ExecutionStatus;
	state: RunView['state'] | null;
	error: RunView['error'];
	retry: RunView['retry'];
	waiting: boolean;
	notices: RunView['notices'];
	durationMs: number | null;
	lastSeq: number; // the last event it is made of; 0: made of stored messages
}

const callStatuses = new Set(['exited', 'signalled', 'timeout', 'cancelled', 'oom', 'cpu', 'quota', 'lost', 'error', 'done', 'rejected']);

const text = (value: unknown) => (typeof value === 'string' ? value : null);
const number = (value: unknown) => (typeof value === 'number' ? value : null);

/** A finished call as its stored result tells it. */
function finishCall(call: CallItem, message: Message): CallItem {
	const result = message.result ?? {};
	const status = text(result.status);
	const output = text(result.output) ?? '';
	return {
		...appendOutput(call, 'stdout', output),
		status: status && callStatuses.has(status) ? (status as CallItem['status']) : 'error',
		exitCode: number(result.exit_code),
		signal: text(result.signal) ?? number(result.signal),
		outputBytes: number(result.output_bytes) ?? utf8Length(output),
		durationMs: number(result.duration_ms),
		message: text(result.message) ?? (status ? null : message.content),
	};
}

function commandOf(argument: unknown): string | null {
	return typeof argument === 'object' && argument !== null && 'command' in argument ? text(argument.command) : null;
}

function addAssistant(items: Item[], message: Message, step: number): void {
	if (message.content !== '')
		items.push({ kind: 'text', step, messageId: message.id, text: message.content, bytes: utf8Length(message.content), done: true, ...(message.citations ? { citations: message.citations } : {}) });
	for (const call of message.tool_calls ?? [])
		items.push({ ...newCall(call.id, step), name: call.name, arguments: call.arguments, command: commandOf(call.arguments), startedAt: message.created_at });
}

function addTool(items: Item[], message: Message): void {
	const index = items.findLastIndex((item) => item.kind === 'call' && item.callId === message.tool_call_id);
	if (index >= 0) items[index] = finishCall(items[index] as CallItem, message);
}

function fromMessages(messages: readonly Message[]): Map<string, Group> {
	const groups = new Map<string, Group>();
	for (const message of messages) {
		const key = message.execution_id ?? message.id;
		let group = groups.get(key);
		if (!group) {
			group = { key, executionId: message.execution_id, input: '', attachments: [], items: [], status: 'succeeded', state: null, error: null, retry: null, waiting: false, notices: [], durationMs: null, lastSeq: 0 };
			groups.set(key, group);
		}
		if (message.role === 'user' && group.items.length > 0)
			group.items.push({ kind: 'said', step: group.items.at(-1)?.step ?? 1, messageId: message.id, text: message.content });
		else if (message.role === 'user') Object.assign(group, { input: message.content, attachments: message.attachments });
		else if (message.role === 'assistant') addAssistant(group.items, message, (group.items.at(-1)?.step ?? 0) + 1);
		else addTool(group.items, message);
	}
	return groups;
}

function withView(group: Group, view: RunView): Group {
	return {
		...group,
		input: view.input ?? group.input,
		items: view.items,
		status: view.status,
		state: view.state,
		error: view.error,
		retry: view.retry,
		waiting: view.waiting,
		notices: view.notices,
		durationMs: view.durationMs,
		lastSeq: view.lastSeq,
	};
}

/** Stored messages and executions, with the views of those executions that are followed by their events: a view replaces what is stored
 * of its execution, so nothing is shown twice. */
export function buildGroups(messages: readonly Message[], executions: readonly Execution[], views: ReadonlyMap<string, RunView>): Group[] {
	const groups = fromMessages(messages);
	for (const execution of executions.toReversed()) {
		const group = groups.get(execution.id);
		const { id, input, status, state, error, duration_ms } = execution;
		if (group) Object.assign(group, { status, state, error, durationMs: duration_ms });
		else groups.set(id, { key: id, executionId: id, input, attachments: [], items: [], status, state, error, retry: null, waiting: false, notices: [], durationMs: duration_ms, lastSeq: 0 });
	}
	for (const [id, view] of views) {
		if (view.lastSeq === 0) continue;
		const group = groups.get(id) ?? { key: id, executionId: id, input: '', attachments: [], items: [], status: 'queued', state: null, error: null, retry: null, waiting: false, notices: [], durationMs: null, lastSeq: 0 };
		groups.set(id, withView(group as Group, view));
	}
	return [...groups.values()];
}

export function activeGroup(groups: readonly Group[]): Group | undefined {
	const open = groups.filter((group) => !isEnded(group.status));
	return open.find((group) => group.status !== 'queued') ?? open.at(-1);
}
