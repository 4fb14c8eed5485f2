/* An execution as the thread shows it, built from numbered events. Pure: the same events give the same view, however they were cut into
 * pieces, in whichever batches they came, and however often each was delivered. */
import type { CallStatus, Citation, Execution, ExecutionEvent, ExecutionStatus, ToolCall, Usage } from '../api/types';
import { isEnded } from './status';

/** Output shown of one command: the longest end of it within both. */
export const shownOutputChars = 200_000;
export const shownOutputLines = 5_000;

export interface OutputPiece {
	stream: 'stdout' | 'stderr' | 'skipped';
	text: string; // of skipped: empty
	lines: number; // line feeds in text
	bytes: number; // of skipped: how many are missing here
}

export interface TextItem {
	kind: 'text';
	step: number; // the call of the model that wrote it, from 1
	messageId: string;
	text: string;
	bytes: number; // UTF-8 length of text
	done: boolean;
	citations?: readonly Citation[];
}

export interface CallItem {
	kind: 'call';
	step: number;
	callId: string;
	startedAt: string | null;
	name: string;
	arguments: ToolCall['arguments'] | null;
	command: string | null;
	status: CallStatus;
	output: OutputPiece[];
	shownChars: number;
	shownLines: number;
	hiddenChars: number; // cut off the front of what is shown
	skippedBytes: number; // left out by the server
	/* Raw bytes of both streams so far; null after text whose raw length cannot be told (U+FFFD may stand for invalid bytes). */
	nextOffset: number | null;
	outputBytes: number | null;
	exitCode: number | null;
	signal: number | string | null;
	durationMs: number | null;
	message: string | null;
	approval: PendingApproval | null;
}

/** What a person is to decide about a call. */
export interface PendingApproval {
	id: string;
	kind: 'call' | 'command' | 'question';
	arguments: Record<string, unknown>;
	summary: string | null;
	reason: string | null;
	hash: string;
	expiresAt: string;
}

/** What was said to the execution while it was on. */
export interface SaidItem {
	kind: 'said';
	step: number;
	messageId: string;
	text: string;
}

export type Item = TextItem | CallItem | SaidItem;

export interface RunView {
	executionId: string;
	conversationId: string;
	lastSeq: number;
	status: ExecutionStatus;
	state: Execution['state'];
	step: number;
	input: string | null;
	inputMessageId: string | null;
	items: Item[];
	error: { code: string; message: string } | null;
	usage: Usage | null;
	durationMs: number | null;
	retry: { attempt: number; waitMs: number; reason: string } | null;
	waiting: boolean; // for its turn at the model
	notices: string[]; // what people should know about the models' calls
}

export type Applied = 'applied' | 'double' | 'gap';

export function emptyView(executionId: string, conversationId: string): RunView {
	return {
		executionId,
		conversationId,
		lastSeq: 0,
		status: 'queued',
		state: 'loading',
		step: 1,
		input: null,
		inputMessageId: null,
		items: [],
		error: null,
		usage: null,
		durationMs: null,
		retry: null,
		waiting: false,
		notices: [],
	};
}

export function utf8Length(text: string): number {
	let bytes = text.length;
	for (let i = 0; i < text.length; i++) {
		const unit = text.charCodeAt(i);
		if (unit < 0x80) continue;
		if (unit >= 0xd800 && unit <= 0xdbff && i + 1 < text.length) {
			bytes += 2; // two units, four bytes
			i++;
		} else bytes += unit < 0x800 ? 1 : 2;
	}
	return bytes;
}

/** The text without its first `bytes` UTF-8 bytes. */
export function dropBytes(text: string, bytes: number): string {
	return new TextDecoder().decode(new TextEncoder().encode(text).subarray(bytes));
}

function replaceItem(view: RunView, index: number, item: Item): RunView {
	const items = view.items.slice();
	if (index < 0) items.push(item);
	else items[index] = item;
	return { ...view, items };
}

const textIndex = (view: RunView, messageId: string) => view.items.findIndex((i) => i.kind === 'text' && i.messageId === messageId);
const callIndex = (view: RunView, callId: string) => view.items.findIndex((i) => i.kind === 'call' && i.callId === callId);

export function newCall(callId: string, step: number): CallItem {
	return {
		kind: 'call',
		step,
		callId,
		startedAt: null,
		name: 'shell',
		arguments: null,
		command: null,
		status: 'running',
		output: [],
		shownChars: 0,
		shownLines: 0,
		hiddenChars: 0,
		skippedBytes: 0,
		nextOffset: 0,
		outputBytes: null,
		exitCode: null,
		signal: null,
		durationMs: null,
		message: null,
		approval: null,
	};
}

function countLines(text: string): number {
	let lines = 0;
	for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++;
	return lines;
}

/* Where the text begins after its n-th line feed. */
function afterLine(text: string, n: number): number {
	let at = 0;
	for (let i = 0; i < n; i++) at = text.indexOf('\n', at) + 1;
	return at;
}

/* Cuts the front until both limits hold. The pieces are ours to change. */
function trimOutput(call: CallItem): CallItem {
	const { output } = call;
	let { shownChars, shownLines, hiddenChars } = call;
	while (shownChars > shownOutputChars || shownLines > shownOutputLines) {
		const first = output[0];
		if (!first) break;
		const lines = Math.min(first.lines, Math.max(0, shownLines - shownOutputLines));
		const cut = Math.min(first.text.length, Math.max(shownChars - shownOutputChars, afterLine(first.text, lines)));
		const gone = first.text.slice(0, cut);
		const goneLines = countLines(gone);
		if (cut === first.text.length) output.shift();
		else output[0] = { ...first, text: first.text.slice(cut), lines: first.lines - goneLines };
		shownChars -= cut;
		shownLines -= goneLines;
		hiddenChars += cut;
	}
	return { ...call, shownChars, shownLines, hiddenChars };
}

export function appendOutput(call: CallItem, stream: 'stdout' | 'stderr', text: string): CallItem {
	if (text === '') return call;
	const output = call.output.slice();
	const last = output.at(-1);
	const lines = countLines(text);
	if (last?.stream === stream) output[output.length - 1] = { ...last, text: last.text + text, lines: last.lines + lines };
	else output.push({ stream, text, lines, bytes: 0 });
	return trimOutput({ ...call, output, shownChars: call.shownChars + text.length, shownLines: call.shownLines + lines });
}

function appendSkipped(call: CallItem, bytes: number): CallItem {
	const output = call.output.slice();
	const last = output.at(-1);
	if (last?.stream === 'skipped') output[output.length - 1] = { ...last, bytes: last.bytes + bytes };
	else output.push({ stream: 'skipped', text: '', lines: 0, bytes });
	return { ...call, output, skippedBytes: call.skippedBytes + bytes };
}

type Data<T extends ExecutionEvent['type']> = Extract<ExecutionEvent, { type: T }>['data'];

/* null: text is missing before this piece. */
function onDelta(view: RunView, data: Data<'text.delta'>, tolerant: boolean): RunView | null {
	const index = textIndex(view, data.message_id);
	const old = index < 0 ? undefined : (view.items[index] as TextItem);
	const have = old?.bytes ?? 0;
	if (old?.done) return view;
	if (data.offset > have && !tolerant) return null;
	const text = data.offset < have ? dropBytes(data.text, have - data.offset) : data.text;
	if (old && text === '') return view;
	const bytes = Math.max(have, data.offset + utf8Length(data.text));
	return replaceItem(view, index, { kind: 'text', step: old?.step ?? view.step, messageId: data.message_id, text: (old?.text ?? '') + text, bytes, done: false });
}

function onMessageDone(view: RunView, data: Data<'message.done'>): RunView {
	const index = textIndex(view, data.message_id);
	if (index < 0 && data.content === '') return view;
	if (data.content === '') return { ...view, items: view.items.filter((_, i) => i !== index) };
	const step = (view.items[index] ?? view).step;
	return replaceItem(view, index, { kind: 'text', step, messageId: data.message_id, text: data.content, bytes: utf8Length(data.content), done: true, ...(data.citations ? { citations: data.citations } : {}) });
}

function onOutput(view: RunView, data: Data<'call.output'>, tolerant: boolean): RunView | null {
	const index = callIndex(view, data.call_id);
	const old = index < 0 ? newCall(data.call_id, view.step) : (view.items[index] as CallItem);
	const next = old.nextOffset;
	if (next !== null && data.offset > next && !tolerant) return null;
	const exact = !data.text.includes('\ufffd');
	let text = data.text;
	if (next !== null && data.offset < next && exact) text = dropBytes(text, next - data.offset);
	const call = appendOutput(old, data.stream, text);
	return replaceItem(view, index, { ...call, nextOffset: exact ? Math.max(next ?? 0, data.offset + utf8Length(data.text)) : null });
}

function onCallStarted(view: RunView, data: Data<'call.started'>, at: string): RunView {
	const index = callIndex(view, data.call_id);
	const old = index < 0 ? newCall(data.call_id, view.step) : (view.items[index] as CallItem);
	return replaceItem(view, index, { ...old, name: data.name, arguments: data.arguments, command: data.command, startedAt: at });
}

function onSkipped(view: RunView, data: Data<'call.output_skipped'>): RunView {
	const index = callIndex(view, data.call_id);
	if (index < 0) return view;
	const old = view.items[index] as CallItem;
	const nextOffset = old.nextOffset === null ? null : old.nextOffset + data.bytes;
	return replaceItem(view, index, { ...appendSkipped(old, data.bytes), nextOffset });
}

function onCallDone(view: RunView, data: Data<'call.done'>): RunView {
	const index = callIndex(view, data.call_id);
	const old = index < 0 ? newCall(data.call_id, view.step) : (view.items[index] as CallItem);
	return replaceItem(view, index, {
		...old,
		status: data.status,
		exitCode: data.exit_code,
		signal: data.signal,
		outputBytes: data.output_bytes,
		durationMs: data.duration_ms,
		message: data.message,
		approval: null,
	});
}

function onApprovalRequested(view: RunView, data: Data<'approval.requested'>): RunView {
	const index = callIndex(view, data.call_id);
	const old = index < 0 ? newCall(data.call_id, view.step) : (view.items[index] as CallItem);
	const approval = { id: data.approval_id, kind: data.kind, arguments: data.arguments, summary: data.summary, reason: data.reason, hash: data.hash, expiresAt: data.expires_at };
	return { ...replaceItem(view, index, { ...old, name: data.tool, status: 'waiting', approval }), status: 'waiting' };
}

function onApprovalDecided(view: RunView, data: Data<'approval.decided'>): RunView {
	const index = callIndex(view, data.call_id);
	const old = view.items[index];
	if (old?.kind !== 'call' || old.approval?.id !== data.approval_id) return view;
	return replaceItem(view, index, { ...old, status: 'running', approval: null });
}

function onEnded(view: RunView, data: Data<'execution.ended'>): RunView {
	const lost: CallStatus = data.status === 'cancelled' ? 'cancelled' : 'lost';
	const items = view.items.map((item): Item => {
		if (item.kind === 'said') return item;
		if (item.kind === 'text') return item.done ? item : { ...item, done: true };
		return item.status === 'running' || item.status === 'queued' || item.status === 'waiting' ? { ...item, status: lost, approval: null } : item;
	});
	return { ...view, items, status: data.status, state: 'ended', error: data.error, usage: data.usage, durationMs: data.duration_ms, retry: null, waiting: false };
}

const addNotice = (view: RunView, notice: string): RunView => ({ ...view, retry: null, notices: [...view.notices, notice] });

function onEvent(view: RunView, event: ExecutionEvent, tolerant: boolean): RunView | null {
	switch (event.type) {
		case 'execution.started':
			return { ...view, status: 'running', input: event.data.input, inputMessageId: event.data.message_id };
		case 'execution.state':
			return { ...view, status: isEnded(view.status) ? view.status : event.data.state === 'approving' ? 'waiting' : event.data.state === 'paused' ? 'paused' : 'running', state: event.data.state, step: event.data.step || view.step, retry: null, waiting: false };
		case 'text.delta':
			return onDelta(view, event.data, tolerant);
		case 'text.reset':
			return { ...view, items: view.items.filter((i) => !(i.kind === 'text' && i.messageId === event.data.message_id)) };
		case 'message.done':
			return onMessageDone(view, event.data);
		case 'call.started':
			return onCallStarted(view, event.data, event.at);
		case 'call.output':
			return onOutput(view, event.data, tolerant);
		case 'call.output_skipped':
			return onSkipped(view, event.data);
		case 'call.done':
			return onCallDone(view, event.data);
		case 'model.retry':
			return { ...view, retry: { attempt: event.data.attempt, waitMs: event.data.wait_ms, reason: event.data.reason } };
		case 'model.fallback':
			return addNotice(view, `${event.data.to} is asked instead of ${event.data.from}: ${event.data.reason}`);
		case 'model.waiting':
			return { ...view, waiting: true };
		case 'model.warning':
			return addNotice(view, event.data.message);
		case 'context.compacted':
			return addNotice(view, `What was said before is told to the model in short, from about ${event.data.tokens_before} tokens to ${event.data.tokens_after}. The messages stay.`);
		case 'approval.requested':
			return onApprovalRequested(view, event.data);
		case 'budget.warning':
			return view;
		case 'budget.paused':
			return { ...view, status: 'paused' };
		case 'message.added':
			return { ...view, items: [...view.items, { kind: 'said', step: view.step, messageId: event.data.message_id, text: event.data.content }] };
		case 'approval.decided':
			return onApprovalDecided(view, event.data);
		case 'execution.ended':
			return onEnded(view, event.data);
		default:
			void (event satisfies never); // an event of a newer server: counted, not shown
			return view;
	}
}

/** Applies one event. `gap` leaves the view as it was: read the events after `lastSeq` and come again. With `tolerant`, which is for events
 * that were read from the start and complete, a jump in the offsets is taken as it is. */
export function applyEvent(view: RunView, event: ExecutionEvent, tolerant = false): { view: RunView; result: Applied } {
	if (event.seq <= view.lastSeq) return { view, result: 'double' };
	const next = onEvent(view, event, tolerant);
	if (!next) return { view, result: 'gap' };
	return { view: { ...next, lastSeq: event.seq }, result: 'applied' };
}
