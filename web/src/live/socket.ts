/* The one WebSocket of the tab: signs in with the first message, joins the rooms that are asked for, comes back after a break with
 * jittered back-off, and tells its listeners when they may have missed something (`joined`). */
import type { ExecutionEvent } from '../api/types';
import { accessToken, freshToken, refreshSession, sessionState, subscribeSession } from '../api/session';

export type LinkState = { kind: 'off' } | { kind: 'connecting' } | { kind: 'open' } | { kind: 'waiting'; retryAt: number };

export interface RoomListener {
	/** The room's events arrive from now on; what came before must be read otherwise. */
	joined(): void;
	event(event: ExecutionEvent): void;
}

const pingEveryMs = 25_000;
const pongWithinMs = 10_000;
const openWithinMs = 10_000;
const firstWaitMs = 500;
const longestWaitMs = 15_000;
const joinAgainMs = 1_000;

let link: LinkState = { kind: 'off' };
let socket: WebSocket | null = null;
let ready = false;
let sentToken = '';
let attempt = 0;
let nextId = 1;
let waitTimer: ReturnType<typeof setTimeout> | undefined;
let watchdog: ReturnType<typeof setTimeout> | undefined;
const rooms = new Map<string, Set<RoomListener>>();
const asked = new Map<number, string>();
const watchers = new Set<() => void>();

export function linkState(): LinkState {
	return link;
}

export function subscribeLink(watcher: () => void): () => void {
	watchers.add(watcher);
	return () => watchers.delete(watcher);
}

function setLink(next: LinkState): void {
	link = next;
	for (const watcher of watchers) watcher();
}

function send(message: Record<string, unknown>): void {
	if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function sendJoin(room: string): void {
	const id = nextId++;
	asked.set(id, room);
	send({ type: 'join', room, id });
}

/* The server could not ask whether the room is ours. */
function joinLater(room: string): void {
	const on = socket;
	setTimeout(() => {
		if (socket === on && ready && rooms.has(room)) sendJoin(room);
	}, joinAgainMs);
}

/* Whatever arrives proves that the link lives; silence is met with a ping, and silence after it with a new connection. */
function watch(): void {
	clearTimeout(watchdog);
	watchdog = setTimeout(() => {
		send({ type: 'ping' });
		watchdog = setTimeout(() => drop(), pongWithinMs);
	}, pingEveryMs);
}

function drop(): void {
	const old = socket;
	socket = null;
	ready = false;
	asked.clear();
	clearTimeout(watchdog);
	if (old) {
		old.onopen = old.onmessage = old.onclose = null;
		old.close();
	}
	scheduleRetry();
}

function scheduleRetry(): void {
	if (sessionState().kind !== 'signed-in') {
		setLink({ kind: 'off' });
		return;
	}
	const longest = Math.min(longestWaitMs, firstWaitMs * 2 ** attempt++);
	const wait = longest / 2 + (Math.random() * longest) / 2;
	setLink({ kind: 'waiting', retryAt: Date.now() + wait });
	clearTimeout(waitTimer);
	waitTimer = setTimeout(() => void connect(), wait);
}

function onMessage(text: string): void {
	const message = JSON.parse(text) as { type: string; room?: string; id?: number; code?: string; event?: ExecutionEvent };
	watch();
	if (message.type === 'ready') {
		ready = true;
		attempt = 0;
		setLink({ kind: 'open' });
		for (const room of rooms.keys()) sendJoin(room);
	} else if (message.type === 'joined' && message.room) {
		asked.delete(message.id ?? 0);
		for (const listener of rooms.get(message.room) ?? []) listener.joined();
	} else if (message.type === 'event' && message.event) {
		dispatch(message.room ?? '', message.event);
	} else if (message.type === 'error') {
		const room = asked.get(message.id ?? 0);
		asked.delete(message.id ?? 0);
		if (room && message.code === 'unavailable') joinLater(room);
	}
}

/* One copy comes per connection even when two of our rooms are meant, so everybody whom the event concerns is told. */
function dispatch(room: string, event: ExecutionEvent): void {
	const told = new Set<RoomListener>();
	for (const name of [room, `conversation:${event.conversation_id}`, `execution:${event.execution_id}`]) {
		for (const listener of rooms.get(name) ?? []) {
			if (told.has(listener)) continue;
			told.add(listener);
			listener.event(event);
		}
	}
}

async function connect(): Promise<void> {
	clearTimeout(waitTimer);
	if (socket || sessionState().kind !== 'signed-in') return;
	setLink({ kind: 'connecting' });
	let token: string;
	try {
		token = await freshToken();
	} catch {
		scheduleRetry();
		return;
	}
	if (!token || socket) return;
	const ws = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/ws`);
	socket = ws;
	watchdog = setTimeout(() => drop(), openWithinMs);
	ws.onopen = () => {
		sentToken = token;
		send({ type: 'auth', token });
	};
	ws.onmessage = (message: MessageEvent<string>) => onMessage(message.data);
	ws.onclose = (event) => {
		if (socket !== ws) return;
		if (event.code === 4401 && accessToken() === sentToken) void refreshSession().catch(() => undefined).finally(() => drop());
		else drop();
	};
}

/** Skips the rest of the wait. */
export function reconnectNow(): void {
	if (link.kind !== 'waiting') return;
	void connect();
}

/** Joins a room until the returned function is called. */
export function follow(room: string, listener: RoomListener): () => void {
	const listeners = rooms.get(room) ?? new Set();
	const first = listeners.size === 0;
	listeners.add(listener);
	rooms.set(room, listeners);
	if (ready && first) sendJoin(room);
	else if (ready) listener.joined();
	if (!socket && link.kind === 'off') void connect();
	return () => {
		listeners.delete(listener);
		if (listeners.size > 0) return;
		rooms.delete(room);
		if (ready) send({ type: 'leave', room });
	};
}

/** Starts with the session, renews the token on the open link, ends with the session. */
export function startLink(): () => void {
	const onSession = () => {
		if (sessionState().kind !== 'signed-in') {
			if (socket || link.kind !== 'off') drop();
			clearTimeout(waitTimer);
		} else if (!socket) {
			attempt = 0;
			void connect();
		} else if (ready && accessToken() !== sentToken) {
			sentToken = accessToken();
			send({ type: 'auth', token: sentToken });
		}
	};
	const off = subscribeSession(onSession);
	window.addEventListener('online', reconnectNow);
	onSession();
	return () => {
		off();
		window.removeEventListener('online', reconnectNow);
	};
}
