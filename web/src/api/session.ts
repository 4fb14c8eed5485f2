/* The session of this tab. The access token lives in memory only; the refresh token is an HttpOnly cookie that this code never sees.
 * One refresh runs at a time over all tabs (Web Locks), because each use replaces the cookie. */
import { apiErrorFrom, unreachable } from './error';
import { usePasskey } from './passkey';
import type { components } from './schema';
import type { Me, Session } from './types';

export type SessionState =
	| { kind: 'starting'; unreachable: boolean }
	| { kind: 'signed-out' }
	| { kind: 'signed-in'; user: Me }
	/* The session ended without a sign-out: the page stays below the sign-in form. */
	| { kind: 'expired'; user: Me };

const hintKey = 'ogent-signed-in';
const refreshEarlyMs = 60_000;
const startRetryMs = 2_000;

let state: SessionState = { kind: 'starting', unreachable: false };
let token = '';
let tokenEnds = 0; // ms since the epoch
let refreshing: Promise<boolean> | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();
const tabs = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('ogent-session');

export function sessionState(): SessionState {
	return state;
}

export function subscribeSession(listener: () => void): () => void {
	listeners.add(listener);
	return () => listeners.delete(listener);
}

export function accessToken(): string {
	return token;
}

function set(next: SessionState): void {
	state = next;
	for (const listener of listeners) listener();
}

/* Whether this browser has had a session: without it there is no cookie to try. It holds no secret. */
function setHint(on: boolean): void {
	try {
		if (on) localStorage.setItem(hintKey, '1');
		else localStorage.removeItem(hintKey);
	} catch {
		/* storage is off: the next load tries the cookie */
	}
}

function hasHint(): boolean {
	try {
		return localStorage.getItem(hintKey) !== null;
	} catch {
		return true;
	}
}

async function postAuth(path: string, body?: unknown): Promise<Response> {
	const headers: Record<string, string> = { 'X-Ogent-Client': 'web', Accept: 'application/json' };
	if (body !== undefined) headers['Content-Type'] = 'application/json';
	if (/\/(logout|reauth|callback)$/.test(path) && token) headers.Authorization = `Bearer ${token}`;
	try {
		return await fetch(path, { method: 'POST', headers, body: body === undefined ? undefined : JSON.stringify(body) });
	} catch {
		throw unreachable();
	}
}

function accept(session: Session): void {
	token = session.access_token;
	tokenEnds = Date.now() + session.expires_in * 1000;
	clearTimeout(timer);
	timer = setTimeout(() => void refreshSession(), Math.max(1_000, session.expires_in * 1000 - refreshEarlyMs));
	setHint(true);
	set({ kind: 'signed-in', user: session.user });
}

function ended(): void {
	token = '';
	tokenEnds = 0;
	clearTimeout(timer);
	setHint(false);
	set(state.kind === 'signed-in' || state.kind === 'expired' ? { kind: 'expired', user: state.user } : { kind: 'signed-out' });
}

async function refreshOnce(): Promise<boolean> {
	const answer = await postAuth('/api/auth/refresh');
	if (answer.ok) {
		accept((await answer.json()) as Session);
		return true;
	}
	if (answer.status === 401 || answer.status === 403) {
		ended();
		return false;
	}
	throw apiErrorFrom(answer.status, await answer.json().catch(() => null));
}

/** True: there is a fresh access token. False: the session is over. Throws ApiError when the server cannot be asked. */
export function refreshSession(): Promise<boolean> {
	if (refreshing) return refreshing;
	const running = (async () => (navigator.locks ? await navigator.locks.request('ogent-refresh', refreshOnce) : await refreshOnce()))();
	refreshing = running;
	const done = () => {
		refreshing = null;
	};
	running.then(done, done);
	return running;
}

/** A token that is still good for a few seconds, refreshed when need be; '' when nobody is signed in. */
export async function freshToken(): Promise<string> {
	if (token && Date.now() > tokenEnds - 5_000) await refreshSession();
	return token;
}

/** On load: take up the session of the cookie, if this browser has one. */
export async function startSession(): Promise<void> {
	if (!hasHint()) {
		set({ kind: 'signed-out' });
		return;
	}
	try {
		await refreshSession();
	} catch {
		set({ kind: 'starting', unreachable: true });
		setTimeout(() => void startSession(), startRetryMs);
	}
}

async function signInWith(path: string, body: unknown): Promise<void> {
	const answer = await postAuth(path, body);
	const json: unknown = await answer.json().catch(() => null);
	if (!answer.ok) throw apiErrorFrom(answer.status, json);
	accept(json as Session);
	tabs?.postMessage('signed-in');
}

export const signIn = (body: { email: string; password: string }) => signInWith('/api/auth/login', body);
export const acceptInvitation = (body: { token: string; name: string; password: string }) => signInWith('/api/auth/accept', body);
export const verifyAddress = (body: { token: string; password: string }) => signInWith('/api/auth/verify', body);
/** Who is signed in shows himself again: the session gets a new id and is fresh. */
export const reauthenticate = (body: components['schemas']['ReauthInput']) => signInWith('/api/auth/reauth', body);

/** What needs no session and gives none; throws ApiError. */
export async function postOpen(path: string, body: unknown): Promise<unknown> {
	const answer = await postAuth(path, body);
	const json: unknown = await answer.json().catch(() => null);
	if (!answer.ok) throw apiErrorFrom(answer.status, json);
	return json;
}
/** The second step, after a sign-in that was refused with `second_factor_required`. */
export const signInWithCode = (body: { ticket: string; code: string }) => signInWith('/api/auth/login/code', body);
/** loginTicket: of the first step; without it the passkey is all that is needed. */
export async function signInWithPasskey(loginTicket?: string): Promise<void> {
	const login = loginTicket === undefined ? {} : { login_ticket: loginTicket };
	const answer = await postAuth('/api/auth/login/passkey/options', login);
	const asked: unknown = await answer.json().catch(() => null);
	if (!answer.ok) throw apiErrorFrom(answer.status, asked);
	const { ticket, public_key } = asked as components['schemas']['PasskeyOptions'];
	await signInWith('/api/auth/login/passkey', { ...login, ticket, credential: await usePasskey(public_key) });
}
const returnKey = 'ogent-return';

async function leaveFor(answer: Promise<Response>): Promise<void> {
	const response = await answer;
	const json: unknown = await response.json().catch(() => null);
	if (!response.ok) throw apiErrorFrom(response.status, json);
	try {
		sessionStorage.setItem(returnKey, location.pathname + location.search + location.hash);
	} catch {
		/* storage is off: the way back ends at the start page */
	}
	location.assign((json as { authorization_url: string }).authorization_url);
}

/** The browser goes to the provider and comes back to /sso/NAME/callback. */
export const startProvider = (name: string) => leaveFor(postAuth(`/api/auth/sso/${encodeURIComponent(name)}/start`));
/** The same, to show oneself again. */
export const reauthenticateAt = (name: string) => leaveFor(postAuth(`/api/auth/sso/${encodeURIComponent(name)}/reauth`));
/** The same, to link the provider to the account that is signed in. */
export async function linkProvider(authorizationUrl: string): Promise<void> {
	await leaveFor(Promise.resolve(Response.json({ authorization_url: authorizationUrl })));
}

/** Where the way to the provider began. */
export function placeBefore(): string {
	try {
		const place = sessionStorage.getItem(returnKey) ?? '/';
		sessionStorage.removeItem(returnKey);
		return /^\/(?!\/)/.test(place) ? place : '/';
	} catch {
		return '/';
	}
}

/** Brings the provider's answer: signed in, or (true) linked. */
export async function finishProvider(name: string, query: string): Promise<boolean> {
	const answer = await postAuth(`/api/auth/sso/${encodeURIComponent(name)}/callback`, { query });
	const json: unknown = await answer.json().catch(() => null);
	if (!answer.ok) throw apiErrorFrom(answer.status, json);
	if (typeof json === 'object' && json !== null && 'linked' in json) return true;
	accept(json as Session);
	tabs?.postMessage('signed-in');
	return false;
}

export const setUp = (body: { token: string; name: string; email: string; password: string }) => signInWith('/api/auth/setup', body);

function forget(): void {
	token = '';
	clearTimeout(timer);
	setHint(false);
	set({ kind: 'signed-out' });
}

export async function signOut(): Promise<void> {
	const answer = await postAuth('/api/auth/logout');
	if (!answer.ok && answer.status !== 401) throw apiErrorFrom(answer.status, await answer.json().catch(() => null));
	forget();
	tabs?.postMessage('signed-out');
}

tabs?.addEventListener('message', (message: MessageEvent<string>) => {
	if (message.data === 'signed-out') forget();
	else if (state.kind === 'signed-out' || state.kind === 'expired') void refreshSession().catch(() => undefined);
});

/* A laptop that slept has missed its timer. */
if (typeof document !== 'undefined') {
	document.addEventListener('visibilitychange', () => {
		if (document.visibilityState === 'visible' && token && Date.now() > tokenEnds - refreshEarlyMs) void refreshSession().catch(() => undefined);
	});
}
