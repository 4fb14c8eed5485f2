import type { AuditEvent } from '../api/types';

const head = ['seq', 'at', 'event', 'outcome', 'actor_kind', 'actor_id', 'actor_name', 'target', 'address', 'session_id', 'request_id', 'detail', 'hash'];

/** One field of RFC 4180. What a spreadsheet would take for a formula gets a ' in front. */
export function csvField(value: string): string {
	const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
	return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function auditCsv(events: AuditEvent[]): string {
	const rows = events.map((e) => [String(e.seq), e.at, e.event, e.outcome, e.actor.kind, e.actor.id, e.actor.name, e.target, e.address, e.session_id, e.request_id, e.detail ? JSON.stringify(e.detail) : '', e.hash]);
	return [head, ...rows].map((row) => row.map(csvField).join(',')).join('\r\n') + '\r\n';
}
