import { queryOptions } from '@tanstack/react-query';

import { api, authorizedFetch, unwrap } from './client';
import { apiErrorFrom } from './error';
import type { components } from './schema';

export type FileItem = components['schemas']['FileItem'];
export type Workspace = components['schemas']['Workspace'];
export type Snapshot = components['schemas']['Snapshot'];
export type Command = components['schemas']['Command'];

const mostPages = 20;
const pageSize = 200;
/** The largest file that is shown as text. */
export const textMax = 512 * 1024;

/** Where a path of a workspace is on the wire: each name is encoded by itself. */
export function fileUrl(workspace: string, path: string): string {
	const base = `/api/workspaces/${encodeURIComponent(workspace)}/files`;
	return path ? `${base}/${path.split('/').map(encodeURIComponent).join('/')}` : base;
}

/** A request whose body or answer is a file; throws ApiError. */
export async function call(method: string, url: string, body?: Blob): Promise<Response> {
	const headers: Record<string, string> = body ? { 'Content-Type': 'application/octet-stream' } : {};
	const answer = await authorizedFetch(new Request(url, { method, headers, body: body ?? null }));
	if (answer.ok) return answer;
	throw apiErrorFrom(answer.status, await answer.json().catch(() => undefined));
}

export const readFile = async (workspace: string, path: string): Promise<Blob> => (await call('GET', fileUrl(workspace, path))).blob();
export const readArchive = async (workspace: string, path: string): Promise<Blob> =>
	(await call('GET', `/api/workspaces/${encodeURIComponent(workspace)}/archive?format=tar.gz&path=${encodeURIComponent(path)}`)).blob();
export const writeFile = (workspace: string, path: string, file: Blob): Promise<Response> => call('PUT', fileUrl(workspace, path), file);
export const removeFile = (workspace: string, path: string): Promise<Response> => call('DELETE', `${fileUrl(workspace, path)}?recursive=1`);

export const workspacesQuery = queryOptions({
	queryKey: ['workspaces'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/workspaces', { signal, params: { query: { limit: pageSize } } }))).items,
	staleTime: 0,
});

export interface Folder {
	items: FileItem[];
	isCut: boolean;
}

/** A folder's items, folders first. */
export const folderQuery = (workspace: string, path: string) =>
	queryOptions({
		queryKey: ['files', workspace, path],
		queryFn: async (): Promise<Folder> => {
			const items: FileItem[] = [];
			let after = '';
			for (let page = 0; page < mostPages; page++) {
				const answer = (await (await call('GET', `${fileUrl(workspace, path)}?limit=${pageSize}${after && `&after=${encodeURIComponent(after)}`}`)).json()) as {
					items: FileItem[];
					next: string | null;
				};
				items.push(...answer.items);
				if (!answer.next) return { items: sorted(items), isCut: false };
				after = answer.next;
			}
			return { items: sorted(items), isCut: true };
		},
		staleTime: 0,
	});

const rank = (item: FileItem): number => (item.type === 'folder' ? 0 : 1);

function sorted(items: FileItem[]): FileItem[] {
	return items.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

/** A file as text, or null when it is none. */
export const textQuery = (workspace: string, path: string) =>
	queryOptions({
		queryKey: ['files', workspace, path, 'text'],
		queryFn: async () => textOf(await readFile(workspace, path)),
		staleTime: 0,
	});

async function textOf(blob: Blob): Promise<string | null> {
	if (blob.size > textMax) return null;
	try {
		const text = new TextDecoder('utf-8', { fatal: true }).decode(await blob.arrayBuffer());
		return text.includes('\0') ? null : text;
	} catch {
		return null;
	}
}

export const snapshotsQuery = (workspace: string) =>
	queryOptions({
		queryKey: ['snapshots', workspace],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/workspaces/{id}/snapshots', { signal, params: { path: { id: workspace } } }))).items,
		staleTime: 0,
	});

export const sharedSandboxQuery = (workspace: string) =>
	queryOptions({
		queryKey: ['shared-sandbox', workspace],
		queryFn: ({ signal }) => unwrap(api.GET('/api/workspaces/{id}/session', { signal, params: { path: { id: workspace } } })),
		refetchInterval: 10_000,
		staleTime: 0,
	});

/** Has the browser keep what was fetched. */
export function saveAs(blob: Blob, name: string): void {
	const url = URL.createObjectURL(blob);
	const link = document.createElement('a');
	link.href = url;
	link.download = name;
	link.click();
	setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
