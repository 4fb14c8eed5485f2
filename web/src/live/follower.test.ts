import { describe, expect, it } from 'vitest';

import type { ExecutionEvent } from '../api/types';
import { Follower, type EventPage } from './follower';
import { applyEvent, emptyView, type RunView } from './reducer';
import { sampleRun } from './sample';

const whole = (events: ExecutionEvent[]) => events.reduce((v, e) => applyEvent(v, e).view, emptyView('e1', 'c1'));
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

/** A server that holds `stored` events, answers when told, and fails the first `failures` requests. */
function bench({ failures = 0 } = {}) {
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
		retryMs: 1,
	});
	return b;
}

describe('the follower of a conversation', () => {
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

	it('tries again when the server is away', async () => {
		const b = bench({ failures: 2 });
		b.stored = sampleRun();
		b.follower.watch('e1');
		for (let i = 0; i < 20 && !b.views.has('e1'); i++) {
			await b.answerAll();
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
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
