/* An execution as the thread shows it, built from numbered events. Pure: the same events give the same view, however they were cut into
 * pieces, in whichever batches they came, and however often each was delivered. */
import type { CallStatus, Execution, ExecutionEvent, ExecutionStatus, ToolCall, Usage } from '../api/types';
import { isEnded } from './status';

/** Output shown of one command: its last 200,000 characters. */
export const shownOutputChars = 200_000;

export interface OutputPiece {
	stream: 'stdout' | 'stderr';
	text: string;
}

export interface TextItem {
	kind: 'text';
	step: number; // the call of the model that wrote it, from 1
	messageId: string;
	text: string;
	bytes: number; // UTF-8 length of text
	done: boolean;
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
	hiddenChars: number; // cut off the front of what is shown
	skippedBytes: number; // left out by the server
	/* Raw bytes of both streams so far; null after text whose raw length cannot be told (U+FFFD may stand for invalid bytes). */
	nextOffset: number | null;
	outputBytes: number | null;
	exitCode: number | null;
	signal: number | string | null;
	durationMs: number | null;
	message: string | null;
}

export type Item = TextItem | CallItem;

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
		hiddenChars: 0,
		skippedBytes: 0,
		nextOffset: 0,
		outputBytes: null,
		exitCode: null,
		signal: null,
		durationMs: null,
		message: null,
	};
}

export function appendOutput(call: CallItem, stream: OutputPiece['stream'], text: string): CallItem {
	if (text === '') return call;
	const output = call.output.slice();
	const last = output.at(-1);
	if (last?.stream === stream) output[output.length - 1] = { stream, text: last.text + text };
	else output.push({ stream, text });
	let over = call.shownChars + text.length - shownOutputChars;
	const hiddenChars = call.hiddenChars + Math.max(0, over);
	while (over > 0 && output[0]) {
		if (output[0].text.length > over) output[0] = { stream: output[0].stream, text: output[0].text.slice(over) };
		else {
			over -= output[0].text.length;
			output.shift();
			continue;
		}
		over = 0;
	}
	return { ...call, output, hiddenChars, shownChars: Math.min(shownOutputChars, call.shownChars + text.length) };
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
	return replaceItem(view, index, { kind: 'text', step, messageId: data.message_id, text: data.content, bytes: utf8Length(data.content), done: true });
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
	return replaceItem(view, index, { ...old, skippedBytes: old.skippedBytes + data.bytes, nextOffset });
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
	});
}

function onEnded(view: RunView, data: Data<'execution.ended'>): RunView {
	const lost: CallStatus = data.status === 'cancelled' ? 'cancelled' : 'lost';
	const items = view.items.map((item): Item => {
		if (item.kind === 'text') return item.done ? item : { ...item, done: true };
		return item.status === 'running' || item.status === 'queued' ? { ...item, status: lost } : item;
	});
	return { ...view, items, status: data.status, state: 'ended', error: data.error, usage: data.usage, durationMs: data.duration_ms, retry: null };
}

function onEvent(view: RunView, event: ExecutionEvent, tolerant: boolean): RunView | null {
	switch (event.type) {
		case 'execution.started':
			return { ...view, status: 'running', input: event.data.input, inputMessageId: event.data.message_id };
		case 'execution.state':
			return { ...view, status: isEnded(view.status) ? view.status : 'running', state: event.data.state, step: event.data.step || view.step, retry: null };
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
