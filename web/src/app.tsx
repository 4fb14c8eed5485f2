import { QueryClient, QueryClientProvider, useQueryClient } from '@tanstack/react-query';
import { Component, lazy, Suspense, useEffect, useMemo, useRef, useSyncExternalStore, type ReactNode } from 'react';
import { Navigate, Route, Routes, useLocation } from 'react-router';

import { ApiError, messageOf } from './api/error';
import { sessionState, subscribeSession, type SessionState } from './api/session';
import type { Me } from './api/types';
import { startLink } from './live/socket';
import { isLinkPage } from './pages/link-token';
import { SetupPage } from './pages/setup';
import { Shell } from './pages/shell';
import { SignInPage } from './pages/sign-in';
import { UserContext } from './pages/user';
import { Announcer } from './ui/announce';
import { Notice, Spinner, useTitle } from './ui/parts';

const ChatPage = lazy(() => import('./pages/chat').then((m) => ({ default: m.ChatPage })));
const AgentsPage = lazy(() => import('./pages/agents').then((m) => ({ default: m.AgentsPage })));
const AgentPage = lazy(() => import('./pages/agent').then((m) => ({ default: m.AgentPage })));
const ApprovalsPage = lazy(() => import('./pages/approvals').then((m) => ({ default: m.ApprovalsPage })));
const FilesPage = lazy(() => import('./pages/files').then((m) => ({ default: m.FilesPage })));
const WorkspacesPage = lazy(() => import('./pages/files').then((m) => ({ default: m.WorkspacesPage })));
const TerminalPage = lazy(() => import('./pages/terminal').then((m) => ({ default: m.TerminalPage })));
const AutomationPage = lazy(() => import('./pages/automation').then((m) => ({ default: m.AutomationPage })));
const EvaluationsPage = lazy(() => import('./pages/evaluations').then((m) => ({ default: m.EvaluationsPage })));
const EvaluationPage = lazy(() => import('./pages/evaluation').then((m) => ({ default: m.EvaluationPage })));
const EvaluationRunPage = lazy(() => import('./pages/evaluation-run').then((m) => ({ default: m.EvaluationRunPage })));
const EvaluationComparisonPage = lazy(() => import('./pages/evaluation-run').then((m) => ({ default: m.EvaluationComparisonPage })));
const HistoryPage = lazy(() => import('./pages/history').then((m) => ({ default: m.HistoryPage })));
const UsersPage = lazy(() => import('./pages/users').then((m) => ({ default: m.UsersPage })));
const RolesPage = lazy(() => import('./pages/roles').then((m) => ({ default: m.RolesPage })));
const TokensPage = lazy(() => import('./pages/tokens').then((m) => ({ default: m.TokensPage })));
const AuditPage = lazy(() => import('./pages/audit').then((m) => ({ default: m.AuditPage })));
const KeysPage = lazy(() => import('./pages/keys').then((m) => ({ default: m.KeysPage })));
const ContractPage = lazy(() => import('./pages/contract').then((m) => ({ default: m.ContractPage })));
const ApisPage = lazy(() => import('./pages/apis').then((m) => ({ default: m.ApisPage })));
const ApiSourcePage = lazy(() => import('./pages/api-source').then((m) => ({ default: m.ApiSourcePage })));
const ModelsPage = lazy(() => import('./pages/models').then((m) => ({ default: m.ModelsPage })));
const AccountPage = lazy(() => import('./pages/account').then((m) => ({ default: m.AccountPage })));
const LinkPage = lazy(() => import('./pages/links').then((m) => ({ default: m.LinkPage })));
const ConsentPage = lazy(() => import('./pages/consent').then((m) => ({ default: m.ConsentPage })));
const WebhooksPage = lazy(() => import('./pages/webhooks').then((m) => ({ default: m.WebhooksPage })));
const ProvidersPage = lazy(() => import('./pages/providers').then((m) => ({ default: m.ProvidersPage })));
const ProviderCallbackPage = lazy(() => import('./pages/provider-callback').then((m) => ({ default: m.ProviderCallbackPage })));
const AgentVersionsPage = lazy(() => import('./pages/agent-versions').then((m) => ({ default: m.AgentVersionsPage })));
const UsagePage = lazy(() => import('./pages/usage').then((m) => ({ default: m.UsagePage })));
const ComparePage = lazy(() => import('./pages/compare').then((m) => ({ default: m.ComparePage })));
const KnowledgePage = lazy(() => import('./pages/knowledge').then((m) => ({ default: m.KnowledgePage })));
const CollectionPage = lazy(() => import('./pages/knowledge-collection').then((m) => ({ default: m.CollectionPage })));
const DocumentPage = lazy(() => import('./pages/knowledge-document').then((m) => ({ default: m.DocumentPage })));
const RunPage = lazy(() => import('./pages/run').then((m) => ({ default: m.RunPage })));

const newQueries = (_userId: string) =>
	new QueryClient({
		defaultOptions: {
			queries: {
				staleTime: 5_000,
				/* Only what may pass by itself is tried again. */
				retry: (count, error) => count < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 502),
				networkMode: 'always',
			},
			mutations: { networkMode: 'always' },
		},
	});

class Boundary extends Component<{ children: ReactNode; place: string }, { error: unknown; place: string }> {
	override state = { error: null as unknown, place: this.props.place };

	static getDerivedStateFromError(error: unknown) {
		return { error };
	}

	/* Another page is another try. */
	static getDerivedStateFromProps(props: { place: string }, state: { place: string }) {
		return props.place === state.place ? null : { error: null, place: props.place };
	}

	override render(): ReactNode {
		if (this.state.error === null) return this.props.children;
		return (
			<div className="page">
				<Notice tone="bad" title="This page failed">
					<p>{messageOf(this.state.error)}</p>
					<button type="button" className="button" onClick={() => location.reload()}>
						Load it again
					</button>
				</Notice>
			</div>
		);
	}
}

function NotFound(): ReactNode {
	useTitle('Not found');
	return (
		<div className="page">
			<h1>There is nothing here</h1>
			<p>The address may be mistyped, or what it led to was deleted. Use the navigation to go on.</p>
		</div>
	);
}

function Pages(): ReactNode {
	const { pathname } = useLocation();
	return (
		<Boundary place={pathname}>
			<Suspense fallback={<div className="page"><Spinner label="Loading…" /></div>}>
				<Routes>
					<Route path="/" element={<Navigate to="/chat" replace />} />
					<Route path="/setup" element={<Navigate to="/chat" replace />} />
					<Route path="/chat" element={<ChatPage />} />
					<Route path="/chat/:id" element={<ChatPage />} />
					<Route path="/agents" element={<AgentsPage />} />
					<Route path="/agents/:id" element={<AgentPage />} />
					<Route path="/agents/:id/versions" element={<AgentVersionsPage />} />
					<Route path="/usage" element={<UsagePage />} />
					<Route path="/compare" element={<ComparePage />} />
					<Route path="/approvals" element={<ApprovalsPage />} />
					<Route path="/automation" element={<AutomationPage />} />
					<Route path="/apis" element={<ApisPage />} />
					<Route path="/apis/:id" element={<ApiSourcePage />} />
					<Route path="/evaluations" element={<EvaluationsPage />} />
					<Route path="/evaluations/:id" element={<EvaluationPage />} />
					<Route path="/evaluations/runs/:id" element={<EvaluationRunPage />} />
					<Route path="/evaluations/runs/:id/with/:other" element={<EvaluationComparisonPage />} />
					<Route path="/models" element={<ModelsPage />} />
					<Route path="/files" element={<WorkspacesPage />} />
					<Route path="/files/:workspace" element={<FilesPage />} />
					<Route path="/terminal/:workspace" element={<TerminalPage />} />
					<Route path="/terminal/:workspace/:id" element={<TerminalPage />} />
					<Route path="/knowledge" element={<KnowledgePage />} />
					<Route path="/knowledge/:id" element={<CollectionPage />} />
					<Route path="/knowledge/documents/:id" element={<DocumentPage />} />
					<Route path="/history" element={<HistoryPage />} />
					<Route path="/runs/:id" element={<RunPage />} />
					<Route path="/users" element={<UsersPage />} />
					<Route path="/roles" element={<RolesPage />} />
					<Route path="/tokens" element={<TokensPage />} />
					<Route path="/audit" element={<AuditPage />} />
					<Route path="/keys" element={<KeysPage />} />
					<Route path="/users/providers" element={<ProvidersPage />} />
					<Route path="/users/webhooks" element={<WebhooksPage />} />
					<Route path="/account" element={<AccountPage />} />
					<Route path="/api-docs" element={<ContractPage signedIn />} />
					<Route path="*" element={<NotFound />} />
				</Routes>
			</Suspense>
		</Boundary>
	);
}

function SignedIn({ user, hidden }: { user: Me; hidden: boolean }): ReactNode {
	const queries = useQueryClient();
	const { pathname } = useLocation();
	const wasHidden = useRef(hidden);
	useEffect(() => startLink(), []);
	useEffect(() => {
		if (wasHidden.current && !hidden) void queries.invalidateQueries();
		wasHidden.current = hidden;
	}, [hidden, queries]);
	return (
		<UserContext value={user}>
			<div hidden={hidden}>
				{pathname === '/consent' ? (
					<Boundary place={pathname}>
						<Suspense fallback={<main className="gate"><Spinner label="Loading…" /></main>}>
							<ConsentPage />
						</Suspense>
					</Boundary>
				) : (
					<Shell>
						<Pages />
					</Shell>
				)}
			</div>
		</UserContext>
	);
}

export function App(): ReactNode {
	const session = useSyncExternalStore(subscribeSession, sessionState);
	const { pathname } = useLocation();
	/* Nothing of one user is left for the next. */
	const userId = 'user' in session ? session.user.id : '';
	const queries = useMemo(() => newQueries(userId), [userId]);
	return (
		<QueryClientProvider client={queries}>
			<Session session={session} path={pathname} />
		</QueryClientProvider>
	);
}

function Session({ session, path }: { session: SessionState; path: string }): ReactNode {
	if (session.kind === 'starting')
		return (
			<main className="gate">
				{session.unreachable ? (
					<Notice tone="warn" title="Ogent does not answer">
						Trying again every few seconds. Check that <code>ogent up</code> runs and that you are connected.
					</Notice>
				) : (
					<Spinner label="Starting…" />
				)}
			</main>
		);
	if (/^\/sso\/[^/]+\/callback$/.test(path))
		return (
			<Boundary place={path}>
				<Suspense fallback={<main className="gate"><Spinner label="Loading…" /></main>}>
					<ProviderCallbackPage path={path} isSignedIn={session.kind === 'signed-in'} />
				</Suspense>
			</Boundary>
		);
	if (path === '/forgot' || (isLinkPage(path) && path !== '/setup'))
		return (
			<Boundary place={path}>
				<Suspense fallback={<main className="gate"><Spinner label="Loading…" /></main>}>
					<LinkPage path={path} />
				</Suspense>
			</Boundary>
		);
	if (session.kind === 'signed-out' && path === '/api-docs')
		return (
			<Boundary place={path}>
				<Suspense fallback={<main className="gate"><Spinner label="Loading…" /></main>}>
					<main>
						<ContractPage signedIn={false} />
					</main>
				</Suspense>
			</Boundary>
		);
	if (session.kind === 'signed-out') return path === '/setup' ? <SetupPage /> : <SignInPage expired={false} />;
	return (
		<>
			<Announcer />
			<SignedIn key={session.user.id} user={session.user} hidden={session.kind === 'expired'} />
			{session.kind === 'expired' && <SignInPage expired />}
		</>
	);
}
