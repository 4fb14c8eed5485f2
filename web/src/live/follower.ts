/* Follows the executions of one conversation so that each view is complete and nothing is in it twice: live events come by the socket, and
 * whenever something may have been missed (joined, reconnected, a hole in the numbers) the events after the last applied one are read by
 * HTTP, while live events wait in a buffer. Holes are legal, so a hole in what was read is none. No React here. */
import type { ExecutionEvent } from '../api/types';
import { applyEvent, emptyView, type RunView } from './reducer';
import { isEnded } from './status';

export interface EventPage {
	items: ExecutionEvent[];
	last_event: number;
	ended: boolean;
}

export interface FollowerPorts {
	fetchEvents(executionId: string, after: number): Promise<EventPage>;
	/** Some views changed. */
	changed(views: ReadonlyMap<string, RunView>): void;
	/** An event was applied as it happened, not while catching up. */
	live?(event: ExecutionEvent): void;
	/** Runs `flush` soon, at most once a frame. */
	schedule(flush: () => void): void;
	/** Whether asking again would not help. */
	isFinal?(error: unknown): boolean;
	retryMs?: number;
}

interface Followed {
	view: RunView;
	catching: boolean;
	again: boolean; // something else may have been missed while catching up
	waiting: ExecutionEvent[];
	gaps: number; // in a row, each waits longer for the missing events to be stored
	wake: (() => void) | null; // ends the wait for the next attempt
}

const defaultRetryMs = 2_000;
const gapWaitMs = 50;

function wait(run: Followed, ms: number): Promise<void> {
	return new Promise((resolve) => {
		const end = () => {
			clearTimeout(timer);
			run.wake = null;
			resolve();
		};
		const timer = setTimeout(end, ms);
		run.wake = end;
	});
}

export class Follower {
	private readonly runs = new Map<string, Followed>();
	private views: Map<string, RunView> = new Map();
	private queue: ExecutionEvent[] = [];
	private scheduled = false;
	private stopped = false;
	private readonly conversationId: string;
	private readonly ports: FollowerPorts;

	constructor(conversationId: string, ports: FollowerPorts) {
		this.conversationId = conversationId;
		this.ports = ports;
	}

	/** Shows this execution from its events, from the first one on. */
	watch(executionId: string): void {
		if (this.runs.has(executionId)) return;
		this.add(executionId);
		void this.catchUp(executionId);
	}

	/** The room was joined, perhaps again: whatever is not over may have gone on. */
	joined(): void {
		for (const [id, run] of this.runs) {
			if (isEnded(run.view.status)) continue;
			void this.catchUp(id);
			run.wake?.();
		}
	}

	/** A live event of the conversation. */
	event(event: ExecutionEvent): void {
		this.queue.push(event);
		if (this.scheduled) return;
		this.scheduled = true;
		this.ports.schedule(() => this.flush());
	}

	stop(): void {
		this.stopped = true;
	}

	private add(executionId: string): Followed {
		const run: Followed = { view: emptyView(executionId, this.conversationId), catching: false, again: false, waiting: [], gaps: 0, wake: null };
		this.runs.set(executionId, run);
		return run;
	}

	private flush(): void {
		this.scheduled = false;
		if (this.stopped) return;
		const events = this.queue;
		this.queue = [];
		for (const event of events) this.take(event);
		this.publish();
	}

	private take(event: ExecutionEvent): void {
		let run = this.runs.get(event.execution_id);
		if (!run) {
			run = this.add(event.execution_id);
			if (event.type !== 'execution.started') {
				run.waiting.push(event);
				void this.catchUp(event.execution_id);
				return;
			}
		}
		if (run.catching) run.waiting.push(event);
		else this.apply(run, event);
	}

	private apply(run: Followed, event: ExecutionEvent): void {
		const isNext = event.seq <= run.view.lastSeq + 1;
		const { view, result } = isNext ? applyEvent(run.view, event) : { view: run.view, result: 'gap' };
		run.view = view;
		if (result === 'applied') {
			run.gaps = 0;
			this.ports.live?.(event);
		} else if (result === 'gap') {
			run.waiting.push(event);
			void this.catchUp(event.execution_id, Math.min(defaultRetryMs, gapWaitMs * run.gaps++));
		}
	}

	private async catchUp(executionId: string, waitMs = 0): Promise<void> {
		const run = this.runs.get(executionId);
		if (!run) return;
		if (run.catching) {
			run.again = true;
			return;
		}
		run.catching = true;
		if (waitMs > 0) await wait(run, waitMs);
		do {
			run.again = false;
			try {
				await this.readMissed(run);
			} catch (error) {
				if (this.stopped) return;
				if (this.ports.isFinal?.(error)) {
					run.waiting = [];
					break;
				}
				run.again = true;
				await wait(run, this.ports.retryMs ?? defaultRetryMs);
			}
			if (this.stopped) return;
		} while (run.again);
		run.catching = false;
		const waiting = run.waiting;
		run.waiting = [];
		for (const event of waiting) {
			if (run.catching) run.waiting.push(event);
			else this.apply(run, event);
		}
		this.publish();
	}

	/* From the last applied event on; when the offsets do not fit even then, everything from the first event on. */
	private async readMissed(run: Followed): Promise<void> {
		const id = run.view.executionId;
		const fits = await this.readFrom(run, run.view, false);
		if (!fits) await this.readFrom(run, emptyView(id, this.conversationId), true);
		this.publish();
	}

	/* Page after page. False: there is a gap before what came, and nothing was taken from its page. */
	private async readFrom(run: Followed, start: RunView, tolerant: boolean): Promise<boolean> {
		let view = start;
		for (;;) {
			const page = await this.ports.fetchEvents(view.executionId, view.lastSeq);
			const before = view.lastSeq;
			for (const event of page.items) {
				const applied = applyEvent(view, event, tolerant);
				if (applied.result === 'gap') return false;
				view = applied.view;
			}
			run.view = view;
			if (view.lastSeq === before || view.lastSeq >= page.last_event) return true;
		}
	}

	private publish(): void {
		if (this.stopped) return;
		let changed = false;
		for (const [id, run] of this.runs) {
			if (this.views.get(id) === run.view) continue;
			if (!changed) this.views = new Map(this.views);
			changed = true;
			this.views.set(id, run.view);
		}
		if (changed) this.ports.changed(this.views);
	}
}
