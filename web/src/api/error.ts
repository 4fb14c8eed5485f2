import type { Problem } from './types';

/** A refused request, or one that never got an answer (status 0, code `unreachable`). The message is for people. */
export class ApiError extends Error {
	readonly status: number;
	readonly code: string;
	readonly requestId: string | undefined;
	/** The whole answer, for members beside those of every problem. */
	readonly body: unknown;

	constructor(status: number, code: string, message: string, requestId?: string, body?: unknown) {
		super(message);
		this.name = 'ApiError';
		this.status = status;
		this.code = code;
		this.requestId = requestId;
		this.body = body;
	}
}

export function unreachable(): ApiError {
	return new ApiError(0, 'unreachable', 'Ogent does not answer. Check that it runs and that you are connected, then try again.');
}

/** From an answer's body, which is a problem document unless something between us and Ogent wrote it. */
export function apiErrorFrom(status: number, body: unknown): ApiError {
	const problem = (typeof body === 'object' && body !== null ? body : {}) as Partial<Problem>;
	const message = problem.detail || problem.title || `The server answered with status ${status}. Try again in a moment.`;
	return new ApiError(status, problem.code ?? 'unknown', message, problem.request_id, body);
}

export function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : 'Something went wrong. Try again.';
}
