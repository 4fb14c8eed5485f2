import { call } from './files';
import type { components } from './schema';

export type Attachment = components['schemas']['Attachment'];
export const mostAttachments = 10;

const place = (conversation: string) => `/api/conversations/${encodeURIComponent(conversation)}/attachments`;

/** The same file under the same name is stored once, so a repetition does no harm. */
export async function uploadAttachment(conversation: string, file: File): Promise<Attachment> {
	return (await (await call('POST', `${place(conversation)}?name=${encodeURIComponent(file.name)}`, file)).json()) as Attachment;
}

export async function readAttachment(conversation: string, id: string): Promise<Blob> {
	return (await call('GET', `${place(conversation)}/${encodeURIComponent(id)}`)).blob();
}

/** As a data: URL, which is what the page may show. */
export function dataUrl(blob: Blob): Promise<string> {
	return new Promise((resolve, reject) => {
		const reader = new FileReader();
		reader.onload = () => resolve(reader.result as string);
		reader.onerror = () => reject(reader.error ?? new Error('The file cannot be read.'));
		reader.readAsDataURL(blob);
	});
}
