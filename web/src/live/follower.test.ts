import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ExecutionEvent } from '../api/types';
import { Follower, type EventPage } from './follower';
import { applyEvent, emptyView, type RunView } from './reducer';
import { restartedRun, sampleRun } from './sample';

const whole = (events: ExecutionEvent[]) => events.reduce((v, e) => applyEvent(v, e).view, emptyView('e1', 'c1'));
declare const setImmediate: (callback: (value: unknown) => void) => void;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A server that holds `stored` events, answers when told, and fails the first `failures` requests. */
function bench({ failures = 0, retryMs = 1, isFinal = (): boolean => false } = {}) {
	const asked: number[] = [];
	const answers: (() => void)[] = [];
	const b = {
		stored: [] as ExecutionEvent[],
		asked,
		views: new Map() as ReadonlyMap<string, RunView>,
		live: [] as number[],
		async answerAll() {
			while (answers.length > 0) {
				answers.shift()!();
				await turn();
			}
		},
		/* Until nothing is asked for any more. */
		async settled() {
			for (let quiet = 0; quiet < 3; ) {
				await turn();
				vi.advanceTimersByTime(2_000);
				if (answers.length === 0) quiet++;
				else quiet = 0;
				await b.answerAll();
			}
		},
		follower: null as unknown as Follower,
	};
	b.follower = new Follower('c1', {
		fetchEvents: (_id, after) =>
			new Promise<EventPage>((resolve, reject) => {
				asked.push(after);
				answers.push(() => {
					if (failures-- > 0) reject(new Error('away'));
					else resolve({ items: b.stored.filter((e) => e.seq > after), last_event: 0, ended: false });
				});
			}),
		changed: (views) => (b.views = views),
		live: (e) => b.live.push(e.seq),
		schedule: (flush) => queueMicrotask(flush),
		isFinal,
		retryMs,
	});
	return b;
}

describe('the follower of a conversation', () => {
	beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
	afterEach(() => void vi.useRealTimers());

	it('applies a run that it sees from its start without asking', async () => {
		const b = bench();
		for (const e of sampleRun()) b.follower.event(e);
		await turn();
		expect(b.asked).toEqual([]);
		expect(b.views.get('e1')).toEqual(whole(sampleRun()));
	});

	it('reads what came before, holding live events back, when it comes in the middle', async () => {
		const events = sampleRun();
		for (let cut = 1; cut < events.length; cut++) {
			for (let stored = cut; stored <= events.length; stored++) {
				const b = bench();
				b.follower.watch('e1');
				b.stored = events.slice(0, stored);
				for (const e of events.slice(cut)) b.follower.event(e);
				await turn();
				await b.answerAll();
				expect(b.views.get('e1')).toEqual(whole(events));
			}
		}
	});

	it('misses nothing over a break in the connection', async () => {
		const events = sampleRun();
		for (let lost = 1; lost < events.length - 1; lost++) {
			const b = bench();
			for (const e of events.slice(0, lost)) b.follower.event(e);
			await turn();
			b.stored = events.slice(0, lost + 3);
			b.follower.joined();
			for (const e of events.slice(lost + 2)) b.follower.event(e);
			await turn();
			await b.answerAll();
			expect(b.views.get('e1')).toEqual(whole(events));
		}
	});

	/* The room is joined at `joined`, the list that is read then has only what was stored by then: any instant after the break. What is
	 * held until it is stored (an answer, a result, the end) is in every list that is read after it came. */
	it('misses nothing when what happened during the break is stored late', async () => {
		const held = new Set(['execution.started', 'message.done', 'call.done', 'execution.ended']);
		for (const events of [sampleRun(), sampleRun({ merged: true })]) {
			for (let lost = 1; lost < events.length; lost++) {
				for (let joined = lost; joined < events.length; joined++) {
					const lastHeld = events.slice(0, joined).findLastIndex((e) => held.has(e.type)) + 1;
					for (let stored = Math.max(lastHeld, 1); stored <= joined; stored++) {
						const b = bench();
						for (const e of events.slice(0, lost)) b.follower.event(e);
						await turn();
						b.stored = events.slice(0, stored);
						b.follower.joined();
						await b.answerAll();
						b.stored = events;
						for (const e of events.slice(joined)) b.follower.event(e);
						await b.settled();
						expect(b.views.get('e1'), `lost ${lost} joined ${joined} stored ${stored}`).toEqual(whole(events));
					}
				}
			}
		}
	});

	it('takes the numbers that a restart left out as they are', async () => {
		for (let cut = 1; cut < sampleRun().length; cut++) {
			const events = sampleRun().map((e, i) => (i < cut ? e : { ...e, seq: e.seq + 4096 }));
			const b = bench();
			for (const e of events.slice(0, cut)) b.follower.event(e);
			await turn();
			b.stored = events;
			for (const e of events.slice(cut)) b.follower.event(e);
			await b.settled();
			expect(b.views.get('e1')).toEqual(whole(events));
			expect(b.asked).toEqual([cut]);
		}
	});

	it('shows the same whether or not it saw what a killed server had not stored', async () => {
		const { shown, stored } = restartedRun();
		for (let lost = 0; lost <= shown.length; lost++) {
			for (let cut = 0; cut <= stored.length; cut++) {
				const b = bench();
				b.follower.watch('e1');
				await b.answerAll();
				for (const e of shown.slice(0, lost)) b.follower.event(e);
				await turn();
				b.stored = stored.slice(0, cut);
				b.follower.joined();
				await b.answerAll();
				b.stored = stored;
				for (const e of stored.slice(cut)) b.follower.event(e);
				b.follower.joined();
				await b.settled();
				expect(b.views.get('e1'), `lost ${lost} cut ${cut}`).toEqual(whole(stored));
			}
		}
	});

	it('does not wait for the next attempt when the room is joined again', async () => {
		const b = bench({ failures: 1, retryMs: 1_000_000 });
		b.stored = sampleRun();
		b.follower.watch('e1');
		await b.answerAll();
		b.follower.joined();
		await turn();
		await b.answerAll();
		expect(b.views.get('e1')).toEqual(whole(sampleRun()));
	});

	it('leaves a run alone that is not there any more', async () => {
		const b = bench({ failures: 9, isFinal: () => true });
		b.follower.watch('e1');
		await b.settled();
		expect(b.asked).toEqual([0]);
	});

	it('asks again from the last applied event when an offset shows a gap', async () => {
		const events = sampleRun();
		const b = bench();
		b.stored = events;
		for (const e of events) if (e.seq !== 4) b.follower.event(e);
		await turn();
		await b.answerAll();
		expect(b.asked).toEqual([3]);
		expect(b.views.get('e1')).toEqual(whole(events));
	});

	it('reads on where a list was cut', async () => {
		const events = sampleRun();
		let view: RunView | undefined;
		const follower = new Follower('c1', {
			fetchEvents: async (_id, after) => ({ items: events.filter((e) => e.seq > after).slice(0, 4), last_event: events.length, ended: false }),
			changed: (views) => (view = views.get('e1')),
			schedule: (flush) => queueMicrotask(flush),
		});
		follower.watch('e1');
		await turn();
		expect(view).toEqual(whole(events));
	});

	it('tries again when the server is away', async () => {
		const b = bench({ failures: 2 });
		b.stored = sampleRun();
		b.follower.watch('e1');
		await b.settled();
		expect(b.views.get('e1')).toEqual(whole(sampleRun()));
	});

	it('tells live events from those it has caught up with', async () => {
		const events = sampleRun();
		const b = bench();
		b.stored = events.slice(0, 10);
		b.follower.watch('e1');
		await b.answerAll();
		for (const e of events.slice(8)) b.follower.event(e);
		await turn();
		expect(b.live).toEqual(events.slice(10).map((e) => e.seq));
	});
});
