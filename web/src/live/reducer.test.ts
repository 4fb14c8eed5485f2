import { describe, expect, it } from 'vitest';

import type { ExecutionEvent } from '../api/types';
import { applyEvent, dropBytes, emptyView, shownOutputChars, shownOutputLines, utf8Length, type CallItem, type RunView, type TextItem } from './reducer';
import { sampleRun, event } from './sample';

function play(events: ExecutionEvent[], view: RunView = emptyView('e1', 'c1')): RunView {
	return events.reduce((v, e) => applyEvent(v, e).view, view);
}

describe('the reducer of execution events', () => {
	it('builds text, command, output and end from a whole run', () => {
		const view = play(sampleRun());
		expect(view.status).toBe('succeeded');
		expect(view.input).toBe('How much disk space is free?');
		expect(view.items.map((i) => i.kind)).toEqual(['text', 'call', 'text']);
		const call = view.items[1] as CallItem;
		expect(call.output).toEqual([
			{ stream: 'stdout', text: 'Filesystem\n', lines: 1, bytes: 0 },
			{ stream: 'stderr', text: 'df: warning\n', lines: 1, bytes: 0 },
			{ stream: 'stdout', text: '/dev/vda1 40G\n', lines: 1, bytes: 0 },
		]);
		expect([call.status, call.exitCode, call.durationMs]).toEqual(['exited', 0, 12]);
		expect((view.items[2] as TextItem).text).toBe('40 GB – enough.');
	});

	it('is the same when every event comes twice or thrice', () => {
		const events = sampleRun();
		const doubled = events.flatMap((e, i) => [e, ...events.slice(Math.max(0, i - 3), i + 1)]);
		expect(play(doubled)).toEqual(play(events));
	});

	it('is the same from merged pieces, also when a part of a piece was applied before', () => {
		const events = sampleRun();
		const merged = sampleRun({ merged: true });
		const whole = play(events);
		const untilSecondDelta = events.findIndex((e) => e.type === 'text.delta') + 2;
		const half = play(events.slice(0, untilSecondDelta));
		expect(play(merged)).toEqual(whole);
		expect(play(merged, half)).toEqual(whole);
	});

	it('reports a gap in the text and leaves the view as it was', () => {
		const events = sampleRun();
		const second = events.findIndex((e) => e.type === 'text.delta') + 1;
		const before = play(events.slice(0, second - 1));
		const { view, result } = applyEvent(before, events[second]!);
		expect(result).toBe('gap');
		expect(view).toBe(before);
	});

	it('reports a gap in the output of a command', () => {
		const view = play([event(1, 'call.started', { call_id: 'a', name: 'shell', arguments: {}, command: 'x' })]);
		const late = event(9, 'call.output', { call_id: 'a', stream: 'stdout', offset: 4, text: 'late' });
		expect(applyEvent(view, late).result).toBe('gap');
		expect(applyEvent(view, late, true).result).toBe('applied');
	});

	it('takes holes in seq as legal', () => {
		const spread = sampleRun().map((e) => ({ ...e, seq: e.seq * 64 }));
		expect({ ...play(spread), lastSeq: 0 }).toEqual({ ...play(sampleRun()), lastSeq: 0 });
	});

	it('counts offsets in bytes, not in characters', () => {
		const view = play([
			event(1, 'text.delta', { message_id: 'm', offset: 0, text: 'é😀' }),
			event(2, 'text.delta', { message_id: 'm', offset: 6, text: '!' }),
		]);
		expect((view.items[0] as TextItem).text).toBe('é😀!');
		expect(utf8Length('aé–😀')).toBe(new TextEncoder().encode('aé–😀').length);
		expect(dropBytes('é😀x', 6)).toBe('x');
	});

	it('does not trust offsets after bytes that were no UTF-8', () => {
		const view = play([
			event(1, 'call.started', { call_id: 'a', name: 'shell', arguments: {}, command: 'x' }),
			event(2, 'call.output', { call_id: 'a', stream: 'stdout', offset: 0, text: '\ufffd' }),
			event(3, 'call.output', { call_id: 'a', stream: 'stdout', offset: 1, text: 'ok' }),
		]);
		expect((view.items[0] as CallItem).output).toEqual([{ stream: 'stdout', text: '\ufffdok', lines: 0, bytes: 0 }]);
	});

	it('discards the text of an attempt that is repeated', () => {
		const view = play([
			event(1, 'text.delta', { message_id: 'm', offset: 0, text: 'half' }),
			event(2, 'text.reset', { message_id: 'm' }),
			event(3, 'text.delta', { message_id: 'm', offset: 0, text: 'whole' }),
		]);
		expect(view.items).toHaveLength(1);
		expect((view.items[0] as TextItem).text).toBe('whole');
	});

	it('takes the finished message as the truth and ignores late pieces of it', () => {
		const view = play([
			event(1, 'text.delta', { message_id: 'm', offset: 0, text: 'Hel' }),
			event(2, 'message.done', { message_id: 'm', content: 'Hello', tool_calls: null }),
			event(3, 'text.delta', { message_id: 'm', offset: 3, text: 'lo' }),
		]);
		expect((view.items[0] as TextItem).text).toBe('Hello');
	});

	it('shows no empty text when a message only calls tools', () => {
		const view = play([event(1, 'message.done', { message_id: 'm', content: '', tool_calls: [] })]);
		expect(view.items).toEqual([]);
	});

	it.each([
		['characters', `${'x'.repeat(99)}\n`, shownOutputChars / 100],
		['lines', 'y\n', shownOutputLines],
	])('keeps the end of long output, by %s, the same whatever the pieces', (_, line, kept) => {
		const started = event(1, 'call.started', { call_id: 'a', name: 'shell', arguments: {}, command: 'yes' });
		const text = line.repeat(kept * 3);
		const pieces = (size: number) => {
			const list = [started];
			for (let at = 0; at < text.length; at += size)
				list.push(event(2 + at, 'call.output', { call_id: 'a', stream: 'stdout', offset: at, text: text.slice(at, at + size) }));
			return play(list).items[0] as CallItem;
		};
		const small = pieces(777);
		expect(small.output.map((p) => p.text).join('')).toBe(line.repeat(kept));
		expect(small.hiddenChars).toBe(line.length * kept * 2);
		expect([small.shownChars, small.shownLines]).toEqual([line.length * kept, kept]);
		expect({ ...pieces(1_000_000), nextOffset: 0 }).toEqual({ ...small, nextOffset: 0 });
	});

	it('marks the place where the server left output out', () => {
		const view = play([
			event(1, 'call.started', { call_id: 'a', name: 'shell', arguments: {}, command: 'x' }),
			event(2, 'call.output', { call_id: 'a', stream: 'stdout', offset: 0, text: 'head' }),
			event(3, 'call.output_skipped', { call_id: 'a', bytes: 1000 }),
			event(4, 'call.output', { call_id: 'a', stream: 'stdout', offset: 1004, text: 'tail' }),
		]);
		expect((view.items[0] as CallItem).output.map((p) => p.text || p.bytes)).toEqual(['head', 1000, 'tail']);
	});

	it('ends running commands with a cancelled execution', () => {
		const view = play([
			event(1, 'call.started', { call_id: 'a', name: 'shell', arguments: {}, command: 'sleep 60' }),
			event(2, 'execution.ended', { status: 'cancelled', output: null, error: null, usage: { input_tokens: 0, output_tokens: 0, cached_tokens: 0, cost_usd: 0, estimated: true }, duration_ms: 5 }),
		]);
		expect((view.items[0] as CallItem).status).toBe('cancelled');
		expect(view.status).toBe('cancelled');
	});

	it('counts an unknown event and shows nothing of it', () => {
		const view = play([event(4, 'something.new' as 'execution.state', { state: 'thinking', step: 1 })]);
		expect(view.lastSeq).toBe(4);
		expect(view.items).toEqual([]);
	});
});
