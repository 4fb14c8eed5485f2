import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';

import { ApiError } from '../api/error';
import { fetchEvents } from '../api/queries';
import type { ExecutionEvent } from '../api/types';
import { Follower } from '../live/follower';
import type { RunView } from '../live/reducer';
import { isEnded } from '../live/status';
import { follow, linkState, subscribeLink } from '../live/socket';

const pollMs = 3_000;
const betweenMs = 40;
const noFrameMs = 250;

let flushedAt = 0;

/* With the next frame but not with every one, since each lays the thread out again; a little later where no frames are drawn: in the
 * background, behind other windows. */
function schedule(flush: () => void): void {
	const early = flushedAt + betweenMs - performance.now();
	if (early > 0) setTimeout(() => atFrame(flush), early);
	else atFrame(flush);
}

function atFrame(flush: () => void): void {
	const once = () => {
		cancelAnimationFrame(frame);
		clearTimeout(timer);
		flushedAt = performance.now();
		flush();
	};
	const frame = requestAnimationFrame(once);
	const timer = setTimeout(once, noFrameMs);
}

/* It was deleted, or it is somebody else's now. */
const isFinal = (error: unknown) => error instanceof ApiError && (error.status === 403 || error.status === 404);

const none: ReadonlyMap<string, RunView> = new Map();

/** The executions of a conversation as they go on. `watch` shows one from its first event; those that start while the room is joined
 * come by themselves. Without a live connection the running ones are asked for every few seconds. */
export function useFollower(conversationId: string | undefined, room: string | undefined, onLive?: (event: ExecutionEvent) => void) {
	const [views, setViews] = useState(none);
	const follower = useRef<Follower | null>(null);
	const live = useRef(onLive);
	live.current = onLive;
	const early = useRef<string[]>([]);
	const link = useSyncExternalStore(subscribeLink, linkState);

	useEffect(() => {
		if (!conversationId || !room) return;
		const started = new Follower(conversationId, { fetchEvents, isFinal, changed: setViews, live: (event) => live.current?.(event), schedule });
		follower.current = started;
		setViews(none);
		for (const id of early.current.splice(0)) started.watch(id);
		const leave = follow(room, { joined: () => started.joined(), event: (event) => started.event(event) });
		return () => {
			leave();
			started.stop();
			follower.current = null;
		};
	}, [conversationId, room]);

	const isOpen = link.kind === 'open';
	const isActive = [...views.values()].some((view) => !isEnded(view.status));
	useEffect(() => {
		if (isOpen || !isActive) return;
		const timer = setInterval(() => follower.current?.joined(), pollMs);
		return () => clearInterval(timer);
	}, [isOpen, isActive]);

	const watch = useCallback((executionId: string) => {
		if (follower.current) follower.current.watch(executionId);
		else early.current.push(executionId);
	}, []);
	return { views, watch };
}
