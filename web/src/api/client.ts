import createClient from 'openapi-fetch';

import { ApiError, apiErrorFrom, unreachable } from './error';
import type { paths } from './schema';
import { accessToken, freshToken, refreshSession } from './session';

async function send(request: Request, token: string): Promise<Response> {
	request.headers.set('Authorization', `Bearer ${token}`);
	try {
		return await fetch(request);
	} catch (error) {
		if (request.signal.aborted) throw error;
		throw unreachable();
	}
}

/* A 401 about the token is answered by one refresh and one repetition (one about a wrong password is not); when that fails too, the session has ended and the sign-in form is on the screen. */
export async function authorizedFetch(request: Request): Promise<Response> {
	const again = request.clone();
	const used = await freshToken();
	const answer = await send(request, used);
	if (answer.status !== 401 || !answer.headers.get('WWW-Authenticate')) return answer;
	if (accessToken() === used && !(await refreshSession())) return answer;
	return send(again, accessToken());
}

export const api = createClient<paths>({ baseUrl: typeof location === 'undefined' ? '' : location.origin, fetch: authorizedFetch });

/** The data of an answer, or an ApiError. */
export async function unwrap<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
	const { data, error, response } = await answer;
	if (error !== undefined || !response.ok) throw apiErrorFrom(response.status, error);
	return data as T;
}

export function isApiError(error: unknown, code: string): boolean {
	return error instanceof ApiError && error.code === code;
}

/** Whether the permissions of a user cover the one asked for: `*` is all, `agents.*` every permission of agents, `agents.write` itself and what is below it; `!` before
 * one denies it, whatever others say. */
export function allows(permissions: readonly string[], wanted: string): boolean {
	const covers = (held: string) => held === '*' || held === wanted || wanted.startsWith(`${held.replace(/\.\*$/, '')}.`);
	return permissions.some(covers) && !permissions.some((held) => held.startsWith('!') && covers(held.slice(1)));
}

/** For `Idempotency-Key`. (randomUUID is there only on https and on this machine.) */
export function newKey(): string {
	return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
