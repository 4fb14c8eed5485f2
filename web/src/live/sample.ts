/* Events for the tests: one small run with text, a command that writes to both streams, and an answer. */
import type { ExecutionEvent } from '../api/types';

export function event<T extends ExecutionEvent['type']>(seq: number, type: T, data: Extract<ExecutionEvent, { type: T }>['data'], executionId = 'e1'): ExecutionEvent {
	return { seq, execution_id: executionId, conversation_id: 'c1', at: '2026-01-01T00:00:00.000Z', type, data } as ExecutionEvent;
}

export function sampleRun({ merged = false } = {}): ExecutionEvent[] {
	const usage = { input_tokens: 20, output_tokens: 10, cached_tokens: 0, cost_usd: 0, estimated: false };
	const first = merged
		? [event(5, 'text.delta', { message_id: 'm1', offset: 0, text: 'Let me look.' })]
		: [
				event(3, 'text.delta', { message_id: 'm1', offset: 0, text: 'Let ' }),
				event(4, 'text.delta', { message_id: 'm1', offset: 4, text: 'me ' }),
				event(5, 'text.delta', { message_id: 'm1', offset: 7, text: 'look.' }),
			];
	const last = merged
		? [event(16, 'text.delta', { message_id: 'm2', offset: 0, text: '40 GB – enough.' })]
		: [
				event(14, 'text.delta', { message_id: 'm2', offset: 0, text: '40 GB –' }),
				event(15, 'text.delta', { message_id: 'm2', offset: 9, text: ' enough' }),
				event(16, 'text.delta', { message_id: 'm2', offset: 16, text: '.' }),
			];
	return [
		event(1, 'execution.started', { input: 'How much disk space is free?', message_id: 'u1' }),
		event(2, 'execution.state', { state: 'thinking', step: 1 }),
		...first,
		event(6, 'message.done', { message_id: 'm1', content: 'Let me look.', tool_calls: [{ id: 'a', name: 'shell', arguments: { command: 'df -h' } }] }),
		event(7, 'execution.state', { state: 'tooling', step: 1 }),
		event(8, 'call.started', { call_id: 'a', name: 'shell', arguments: { command: 'df -h' }, command: 'df -h' }),
		event(9, 'call.output', { call_id: 'a', stream: 'stdout', offset: 0, text: 'Filesystem\n' }),
		event(10, 'call.output', { call_id: 'a', stream: 'stderr', offset: 11, text: 'df: warning\n' }),
		event(11, 'call.output', { call_id: 'a', stream: 'stdout', offset: 23, text: '/dev/vda1 40G\n' }),
		event(12, 'call.done', { call_id: 'a', status: 'exited', exit_code: 0, signal: null, output_bytes: 37, duration_ms: 12, message: null }),
		event(13, 'execution.state', { state: 'thinking', step: 2 }),
		...last,
		event(17, 'message.done', { message_id: 'm2', content: '40 GB – enough.', tool_calls: null }),
		event(18, 'execution.ended', { status: 'succeeded', output: '40 GB – enough.', error: null, usage, duration_ms: 900 }),
	];
}

/** A run whose server is killed twice, in its text and in its command: what was shown until the second death, and what is stored in the
 * end. The numbers go on above those that may have been shown. */
export function restartedRun(): { shown: ExecutionEvent[]; stored: ExecutionEvent[] } {
	const usage = { input_tokens: 20, output_tokens: 10, cached_tokens: 0, cost_usd: 0, estimated: false };
	const begin = [event(1, 'execution.started', { input: 'Count.', message_id: 'u1' }), event(2, 'execution.state', { state: 'thinking', step: 1 })];
	const lostText = [event(3, 'text.delta', { message_id: 'm1', offset: 0, text: 'I co' }), event(4, 'text.delta', { message_id: 'm1', offset: 4, text: 'unt' })];
	const middle = [
		event(4097, 'text.reset', { message_id: 'm1' }),
		event(4098, 'text.delta', { message_id: 'm1', offset: 0, text: 'Now I count.' }),
		event(4099, 'message.done', { message_id: 'm1', content: 'Now I count.', tool_calls: [{ id: 'a', name: 'shell', arguments: { command: 'seq 4' } }] }),
		event(4100, 'execution.state', { state: 'tooling', step: 1 }),
		event(4101, 'call.started', { call_id: 'a', name: 'shell', arguments: { command: 'seq 4' }, command: 'seq 4' }),
		event(4102, 'call.output', { call_id: 'a', stream: 'stdout', offset: 0, text: '1\n' }),
	];
	const lostOutput = [event(4103, 'call.output', { call_id: 'a', stream: 'stdout', offset: 2, text: '2\n' })];
	const end = [
		event(8193, 'call.output', { call_id: 'a', stream: 'stdout', offset: 2, text: '2\n3\n4\n' }),
		event(8194, 'call.done', { call_id: 'a', status: 'exited', exit_code: 0, signal: null, output_bytes: 8, duration_ms: 9, message: null }),
		event(8195, 'execution.state', { state: 'thinking', step: 2 }),
		event(8196, 'text.delta', { message_id: 'm2', offset: 0, text: 'Done.' }),
		event(8197, 'message.done', { message_id: 'm2', content: 'Done.', tool_calls: null }),
		event(8198, 'execution.ended', { status: 'succeeded', output: 'Done.', error: null, usage, duration_ms: 900 }),
	];
	return { shown: [...begin, ...lostText, ...middle, ...lostOutput], stored: [...begin, ...middle, ...end] };
}
