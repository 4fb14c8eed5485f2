/* Messages on their way. A message that could not be sent stays here with its text until it is sent or taken back; it is repeated under
 * the same key, so it never counts twice. */
import { useSyncExternalStore } from 'react';

import { uploadAttachment } from '../api/attachments';
import { api, newKey, unwrap } from '../api/client';
import type { Execution, WhenBusy } from '../api/types';

export interface Outgoing {
	key: string;
	conversationId: string | null; // null until the conversation is made
	agentId: string | undefined;
	text: string;
	files: File[];
	whenBusy: WhenBusy;
	state: 'sending' | 'failed';
	error: unknown;
}

let outbox: Outgoing[] = [];
const listeners = new Set<() => void>();

function set(next: Outgoing[]): void {
	outbox = next;
	for (const listener of listeners) listener();
}

function change(key: string, part: Partial<Outgoing>): void {
	set(outbox.map((entry) => (entry.key === key ? { ...entry, ...part } : entry)));
}

function subscribe(listener: () => void): () => void {
	listeners.add(listener);
	return () => listeners.delete(listener);
}

export function useOutbox(conversationId: string | null): Outgoing[] {
	return useSyncExternalStore(subscribe, () => outbox).filter((entry) => entry.conversationId === conversationId);
}

export function takeBack(key: string): void {
	set(outbox.filter((entry) => entry.key !== key));
}

export interface Delivery {
	/** The conversation was made. */
	onConversation(id: string): void;
	onSent(execution: Execution): void;
}

async function deliver(entry: Outgoing, delivery: Delivery): Promise<void> {
	try {
		let id = entry.conversationId;
		if (!id) {
			const body = entry.agentId ? { agent_id: entry.agentId } : {};
			const made = await unwrap(api.POST('/api/conversations', { body, params: { header: { 'Idempotency-Key': `${entry.key}-conversation` } } }));
			id = made.id;
			change(entry.key, { conversationId: id });
			delivery.onConversation(id);
		}
		const attachments: string[] = [];
		for (const file of entry.files) attachments.push((await uploadAttachment(id, file)).id);
		const execution = await unwrap(
			api.POST('/api/conversations/{id}/messages', {
				params: { path: { id }, header: { 'Idempotency-Key': `${entry.key}-message` } },
				body: { content: entry.text, when_busy: entry.whenBusy, ...(attachments.length > 0 ? { attachments } : {}) },
			}),
		);
		delivery.onSent(execution);
		takeBack(entry.key);
	} catch (error) {
		change(entry.key, { state: 'failed', error });
	}
}

export function sendMessage(conversationId: string | null, agentId: string | undefined, text: string, delivery: Delivery, whenBusy: WhenBusy = 'queue', files: File[] = []): void {
	const entry: Outgoing = { key: newKey(), conversationId, agentId, text, files, whenBusy, state: 'sending', error: null };
	set([...outbox, entry]);
	void deliver(entry, delivery);
}

export function sendAgain(entry: Outgoing, delivery: Delivery): void {
	change(entry.key, { state: 'sending', error: null });
	void deliver({ ...entry, state: 'sending' }, delivery);
}
