import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';

import { api, authorizedFetch, unwrap } from './client';
import type { EventPage } from '../live/follower';
import { isEnded } from '../live/status';
import type { operations } from './schema';
import type { Conversation, ExecutionStatus, Message } from './types';

const mostMessagePages = 50;
const runningPollMs = 4_000;
const workingPollMs = 1_000;

function hasRunning(page: { items: Conversation[] }): boolean {
	return page.items.some(({ last_execution: last }) => last && !isEnded(last.status));
}

export const targetsQuery = queryOptions({
	queryKey: ['targets'],
	queryFn: ({ signal }) => unwrap(api.GET('/api/targets', { signal })),
	staleTime: 30_000,
});

export const modelsQuery = queryOptions({
	queryKey: ['models'],
	queryFn: ({ signal }) => unwrap(api.GET('/api/models', { signal })),
	staleTime: 60_000,
});

export const providersQuery = queryOptions({
	queryKey: ['models', 'providers'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/models/providers', { signal }))).items,
});

export const apisQuery = queryOptions({
	queryKey: ['apis'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/apis', { signal, params: { query: { limit: 200 } } }))).items,
});

export const apiQuery = (id: string) =>
	queryOptions({
		queryKey: ['apis', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/apis/{id}', { signal, params: { path: { id } } })),
	});

export const agentsQuery = queryOptions({
	queryKey: ['agents'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/agents', { signal, params: { query: { limit: 200 } } }))).items,
});

/** The agent and the ETag to save it with. */
export const agentQuery = (id: string) =>
	queryOptions({
		queryKey: ['agents', id],
		queryFn: async ({ signal }) => {
			let etag = '';
			const agent = await unwrap(
				api.GET('/api/agents/{id}', { signal, params: { path: { id } } }).then((answer) => {
					etag = answer.response.headers.get('ETag') ?? '';
					return answer;
				}),
			);
			return { agent, etag };
		},
	});

export const templatesQuery = queryOptions({
	queryKey: ['agents', 'templates'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/agents/templates', { signal }))).items,
	staleTime: 600_000,
});

export const policiesQuery = queryOptions({
	queryKey: ['policies'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/policies', { signal }))).items,
	staleTime: 60_000,
});

export const agentVersionsQuery = (id: string) =>
	queryOptions({
		queryKey: ['agents', id, 'versions'],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/agents/{id}/versions', { signal, params: { path: { id }, query: { limit: 200 } } }))).items,
	});

export const versionDiffQuery = (id: string, from: number, to: number) =>
	queryOptions({
		queryKey: ['agents', id, 'versions', from, to],
		queryFn: ({ signal }) => unwrap(api.GET('/api/agents/{id}/versions/{version}/diff', { signal, params: { path: { id, version: to }, query: { from } } })),
	});

export const usageQuery = (group: 'day' | 'user' | 'agent' | 'model', from: string) =>
	queryOptions({
		queryKey: ['usage', group, from],
		queryFn: ({ signal }) => unwrap(api.GET('/api/usage', { signal, params: { query: { group, from } } })),
		staleTime: 0,
	});

export const budgetQuery = (id: string) =>
	queryOptions({
		queryKey: ['usage', 'budget', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/usage/budgets/{id}', { signal, params: { path: { id } } })),
		staleTime: 0,
	});

export interface FileSeen {
	size: number;
	modified: string;
	text: string | null; // of a small one
}
const mostFiles = 300, textBytes = 65_536;

/** The files of a conversation's workspace by their paths; none when it has no workspace. */
export const workspaceFilesQuery = (id: string) =>
	queryOptions({
		queryKey: ['workspace', id, 'files'],
		queryFn: async ({ signal }) => {
			const seen = new Map<string, FileSeen>();
			const get = (path: string, query = '') => authorizedFetch(new Request(`${location.origin}/api/workspaces/${id}/files/${path.split('/').map(encodeURIComponent).join('/')}${query}`, { signal }));
			const walk = async (folder: string): Promise<void> => {
				const answer = await get(folder, '?limit=200');
				if (!answer.ok) return;
				for (const item of ((await answer.json()) as { items: { name: string; type: string; size: number; modified_at: string }[] }).items) {
					const path = folder ? `${folder}/${item.name}` : item.name;
					if (seen.size >= mostFiles) return;
					if (item.type === 'folder') await walk(path);
					else if (item.type === 'file') seen.set(path, { size: item.size, modified: item.modified_at, text: item.size <= textBytes ? await (await get(path)).text() : null });
				}
			};
			await walk('');
			return seen;
		},
		staleTime: 0,
	});

export const conversationsQuery = infiniteQueryOptions({
	queryKey: ['conversations'],
	queryFn: ({ pageParam, signal }) => unwrap(api.GET('/api/conversations', { signal, params: { query: { limit: 30, after: pageParam } } })),
	initialPageParam: undefined as string | undefined,
	getNextPageParam: (last) => last.next ?? undefined,
	/* Runs of other conversations end without an event in this one. */
	refetchInterval: ({ state }) => (state.data?.pages.some(hasRunning) ? runningPollMs : false),
});

export const conversationQuery = (id: string) =>
	queryOptions({
		queryKey: ['conversation', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/conversations/{id}', { signal, params: { path: { id } } })),
	});

async function allMessages(id: string, signal: AbortSignal): Promise<Message[]> {
	const messages: Message[] = [];
	let after: string | undefined;
	for (let page = 0; page < mostMessagePages; page++) {
		const { items, next } = await unwrap(api.GET('/api/conversations/{id}/messages', { signal, params: { path: { id }, query: { limit: 200, after } } }));
		messages.push(...items);
		if (!next) break;
		after = next;
	}
	return messages;
}

/** All messages of a conversation and how its executions ended. The executions are read first: an execution that has ended has all its
 * messages in what is read afterwards, the others are followed by their events. */
export const threadQuery = (id: string) =>
	queryOptions({
		queryKey: ['conversation', id, 'thread'],
		queryFn: async ({ signal }) => {
			const executions = await unwrap(api.GET('/api/executions', { signal, params: { query: { conversation_id: id, limit: 200 } } }));
			return { messages: await allMessages(id, signal), executions: executions.items };
		},
		staleTime: 0,
	});

export const collectionsQuery = queryOptions({
	queryKey: ['knowledge', 'collections'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/knowledge/collections', { signal, params: { query: { limit: 200 } } }))).items,
	refetchInterval: ({ state }) => (state.data?.some((c) => c.documents.working > 0) ? workingPollMs : false),
});

export const collectionQuery = (id: string) =>
	queryOptions({
		queryKey: ['knowledge', 'collections', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/knowledge/collections/{id}', { signal, params: { path: { id } } })),
		staleTime: 0,
	});

/** While documents are worked on their progress is read again. */
export const documentsQuery = (id: string) =>
	queryOptions({
		queryKey: ['knowledge', 'documents', id],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/knowledge/collections/{id}/documents', { signal, params: { path: { id }, query: { limit: 200 } } }))).items,
		staleTime: 0,
		refetchInterval: ({ state }) => (state.data?.some((d) => d.status !== 'ready' && d.status !== 'failed') ? workingPollMs : false),
	});

export const documentQuery = (id: string) =>
	queryOptions({
		queryKey: ['knowledge', 'document', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/knowledge/documents/{id}', { signal, params: { path: { id } } })),
	});

export const piecesQuery = (id: string, from: number) =>
	queryOptions({
		queryKey: ['knowledge', 'pieces', id, from],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/knowledge/documents/{id}/pieces', { signal, params: { path: { id }, query: { from, limit: 20 } } }))).items,
	});

export const executionsQuery = (filter: { status?: ExecutionStatus; q?: string }) =>
	infiniteQueryOptions({
		queryKey: ['executions', filter],
		queryFn: ({ pageParam, signal }) => unwrap(api.GET('/api/executions', { signal, params: { query: { limit: 30, after: pageParam, ...filter } } })),
		initialPageParam: undefined as string | undefined,
		getNextPageParam: (last) => last.next ?? undefined,
		staleTime: 0,
	});

export const executionQuery = (id: string) =>
	queryOptions({
		queryKey: ['execution', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/executions/{id}', { signal, params: { path: { id } } })),
		staleTime: 0,
	});

export const approvalsQuery = queryOptions({
	queryKey: ['approvals'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/approvals', { signal, params: { query: { status: 'pending', limit: 200 } } }))).items,
	refetchInterval: 10_000,
});

export const usersQuery = infiniteQueryOptions({
	queryKey: ['users'],
	queryFn: ({ pageParam, signal }) => unwrap(api.GET('/api/users', { signal, params: { query: { limit: 50, after: pageParam } } })),
	initialPageParam: undefined as string | undefined,
	getNextPageParam: (last) => last.next ?? undefined,
	staleTime: 0,
});

export const rolesQuery = queryOptions({
	queryKey: ['roles'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/roles', { signal }))).items,
});

export const permissionsQuery = queryOptions({
	queryKey: ['permissions'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/permissions', { signal }))).items,
	staleTime: 300_000,
});

export const userPermissionsQuery = (id: string) =>
	queryOptions({
		queryKey: ['rights', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/users/{id}/permissions', { signal, params: { path: { id } } })),
		staleTime: 0,
	});

/** One's own, or those of a service account. */
export const tokensQuery = (userId: string | undefined) =>
	queryOptions({
		queryKey: ['tokens', userId ?? 'own'],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/tokens', { signal, params: { query: { user_id: userId } } }))).items,
		staleTime: 0,
	});

export const keysQuery = queryOptions({
	queryKey: ['keys'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/auth/keys', { signal }))).items,
	staleTime: 0,
});

export type AuditFilter = Omit<NonNullable<operations['listAudit']['parameters']['query']>, 'limit' | 'after'>;

export const fetchAudit = (filter: AuditFilter, after: string | undefined, limit: number, signal?: AbortSignal) =>
	unwrap(api.GET('/api/audit', { signal, params: { query: { limit, after, ...filter } } }));

/** The newest first. */
export const auditQuery = (filter: AuditFilter) =>
	infiniteQueryOptions({
		queryKey: ['audit', filter],
		queryFn: ({ pageParam, signal }) => fetchAudit(filter, pageParam, 50, signal),
		initialPageParam: undefined as string | undefined,
		getNextPageParam: (last) => last.next ?? undefined,
		staleTime: 0,
	});

export const auditCheckQuery = queryOptions({
	queryKey: ['audit', 'check'],
	queryFn: ({ signal }) => unwrap(api.GET('/api/audit/verify', { signal })),
	staleTime: 60_000,
});

export const sessionsQuery = queryOptions({
	queryKey: ['sessions'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/auth/sessions', { signal }))).items,
	staleTime: 0,
});

export const userSessionsQuery = (id: string) =>
	queryOptions({
		queryKey: ['sessions', id],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/users/{id}/sessions', { signal, params: { path: { id } } }))).items,
		staleTime: 0,
	});

export const invitationsQuery = queryOptions({
	queryKey: ['invitations'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/auth/invitations', { signal, params: { query: { limit: 200 } } }))).items,
	staleTime: 0,
});

/** Newest first; the links are there only without a mail server. */
export const mailsQuery = queryOptions({
	queryKey: ['mails'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/auth/mails', { signal, params: { query: { limit: 50 } } }))).items,
	staleTime: 0,
});

export async function fetchEvents(id: string, after: number): Promise<EventPage> {
	const params = { path: { id }, query: { after } };
	return (await unwrap(api.GET('/api/executions/{id}/events', { params, headers: { Accept: 'application/json' } }))) as EventPage;
}

const automationPollMs = 5_000;

export const schedulesQuery = queryOptions({
	queryKey: ['schedules'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/schedules', { signal, params: { query: { limit: 200 } } }))).items,
	refetchInterval: automationPollMs,
});

export const batchesQuery = queryOptions({
	queryKey: ['batches'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/batches', { signal, params: { query: { limit: 200 } } }))).items,
	refetchInterval: (query) => (query.state.data?.some((b) => b.rows.running > 0 || b.status === 'running') ? 2_000 : automationPollMs),
});

export const batchRowsQuery = (id: string) =>
	queryOptions({
		queryKey: ['batches', id, 'rows'],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/batches/{id}/rows', { signal, params: { path: { id }, query: { limit: 200 } } }))).items,
		refetchInterval: 5_000,
	});

export const firingsQuery = (id: string) =>
	queryOptions({
		queryKey: ['schedules', id, 'firings'],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/schedules/{id}/firings', { signal, params: { path: { id } } }))).items,
		refetchInterval: automationPollMs,
	});

export const hooksQuery = queryOptions({
	queryKey: ['webhooks'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/webhooks', { signal, params: { query: { limit: 200 } } }))).items,
});

export const triggersQuery = queryOptions({
	queryKey: ['webhooks', 'triggers'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/webhooks/triggers', { signal, params: { query: { limit: 200 } } }))).items,
});

export const deliveriesQuery = (id: string) =>
	queryOptions({
		queryKey: ['webhooks', id, 'deliveries'],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/webhooks/{id}/deliveries', { signal, params: { path: { id } } }))).items,
		refetchInterval: automationPollMs,
	});
