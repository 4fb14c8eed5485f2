import type { CallStatus, ExecutionStatus } from '../api/types';

export function formatDuration(ms: number | null): string {
	if (ms === null) return '–';
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
	const seconds = Math.round(ms / 1000);
	if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
	return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function formatBytes(bytes: number): string {
	if (bytes < 1024) return `${bytes} B`;
	const units = ['KB', 'MB', 'GB', 'TB'];
	let value = bytes / 1024;
	let unit = 0;
	while (value >= 1024 && unit < units.length - 1) {
		value /= 1024;
		unit++;
	}
	return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

export function formatCount(n: number): string {
	return n.toLocaleString('en');
}

export function plural(n: number, one: string, many = `${one}s`): string {
	return `${formatCount(n)} ${n === 1 ? one : many}`;
}

const exact = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' });
const dayYear = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric' });

export function formatExact(time: string | null): string {
	return time ? exact.format(new Date(time)) : '–';
}

/** From when to when, with the day once when it is one. */
export function formatSpan(from: string, to: string | null): string {
	return to ? exact.formatRange(new Date(from), new Date(to)) : formatExact(from);
}

/** Today the time of day, before that the day. */
export function formatShort(time: string, now = new Date()): string {
	const date = new Date(time);
	if (date.toDateString() === now.toDateString()) return clock.format(date);
	return (date.getFullYear() === now.getFullYear() ? day : dayYear).format(date);
}

export type Tone = 'neutral' | 'busy' | 'good' | 'warn' | 'bad';

export const runStatus: Record<ExecutionStatus, { label: string; tone: Tone }> = {
	queued: { label: 'Queued', tone: 'neutral' },
	running: { label: 'Running', tone: 'busy' },
	waiting: { label: 'Waiting', tone: 'warn' },
	paused: { label: 'Paused', tone: 'warn' },
	succeeded: { label: 'Succeeded', tone: 'good' },
	failed: { label: 'Failed', tone: 'bad' },
	cancelled: { label: 'Stopped', tone: 'warn' },
};

export function callStatus(status: CallStatus, exitCode: number | null, signal: number | string | null): { label: string; tone: Tone } {
	switch (status) {
		case 'queued':
			return { label: 'waiting', tone: 'neutral' };
		case 'running':
			return { label: 'running', tone: 'busy' };
		case 'exited':
			return { label: `exit ${exitCode ?? '?'}`, tone: exitCode === 0 ? 'good' : 'bad' };
		case 'signalled':
			return { label: signal === null ? 'killed' : `signal ${signal}`, tone: 'bad' };
		case 'timeout':
			return { label: 'timed out', tone: 'bad' };
		case 'cancelled':
			return { label: 'stopped', tone: 'warn' };
		case 'oom':
			return { label: 'out of memory', tone: 'bad' };
		case 'cpu':
			return { label: 'out of CPU time', tone: 'bad' };
		case 'quota':
			return { label: 'workspace full', tone: 'bad' };
		case 'waiting':
			return { label: 'waits for you', tone: 'warn' };
		case 'rejected':
			return { label: 'rejected', tone: 'warn' };
		case 'done':
			return { label: 'done', tone: 'good' };
		case 'lost':
			return { label: 'lost', tone: 'bad' };
		default:
			return { label: 'failed', tone: 'bad' };
	}
}
