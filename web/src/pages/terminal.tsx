import './../styles/pages.css';
import './../styles/files.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Folder, Plus } from 'lucide-react';
import { lazy, Suspense, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { targetsQuery } from '../api/queries';
import type { Command } from '../api/files';
import { formatExact } from '../ui/format';
import { Failure, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { useMay } from './user';

const TerminalView = lazy(() => import('./terminal-view').then((m) => ({ default: m.TerminalView })));

const tag = 'terminal';
const longestMs = 3600 * 1000; // what may be asked for by default (command_timeout_max)

export function TerminalPage(): ReactNode {
	const { workspace = '', id } = useParams();
	const queries = useQueryClient();
	useTitle('Terminal');
	return (
		<div className="page wide">
			<p className="crumb">
				<Link to="/files">Files</Link> / <Link to={`/files/${workspace}`}>{workspace}</Link> / Terminal
			</p>
			<div className="page-head">
				<h1>Terminal</h1>
				<div className="row">
					<Link to={`/files/${workspace}`} className="button">
						<Folder aria-hidden size={17} /> Files
					</Link>
					<NewTerminal workspace={workspace} />
				</div>
			</div>
			{id && (
				<Suspense fallback={<Spinner label="Loading the terminal…" />}>
					<TerminalView key={id} id={id} onEnd={() => void queries.invalidateQueries({ queryKey: ['terminals', workspace] })} />
				</Suspense>
			)}
			<Terminals workspace={workspace} shown={id} />
		</div>
	);
}

function NewTerminal({ workspace }: { workspace: string }): ReactNode {
	const navigate = useNavigate();
	const queries = useQueryClient();
	const may = useMay('commands.run');
	const targets = useQuery(targetsQuery);
	const others = targets.data?.items.filter((t) => t.name !== 'local') ?? [];
	const make = useMutation({
		mutationFn: (target: string) =>
			unwrap(
				api.POST('/api/commands', {
					headers: { 'Idempotency-Key': newKey() },
					body: { argv: ['/bin/sh', '-c', 'command -v bash >/dev/null && exec bash -i; exec sh -i'], tty: { rows: 24, cols: 80, term: 'xterm-256color' }, workspace, tags: [tag], target, timeout_ms: longestMs },
				}),
			),
		onSuccess: (command) => {
			void queries.invalidateQueries({ queryKey: ['terminals', workspace] });
			void navigate(`/terminal/${workspace}/${(command as Command).id}`);
		},
	});
	if (!may) return null;
	return (
		<>
			{['local', ...others.map((t) => t.name)].map((target) => (
				<button key={target} type="button" className="button primary" disabled={make.isPending} onClick={() => make.mutate(target)}>
					<Plus aria-hidden size={17} /> New terminal{target === 'local' ? '' : ` on ${target}`}
				</button>
			))}
			{make.isError && (
				<p role="alert" className="field-error">
					{messageOf(make.error)}
				</p>
			)}
		</>
	);
}

/** Those that run here, so that one is found again after the page was closed. */
function Terminals({ workspace, shown }: { workspace: string; shown: string | undefined }): ReactNode {
	const queries = useQueryClient();
	const list = useQuery({
		queryKey: ['terminals', workspace],
		queryFn: async ({ signal }) =>
			(await unwrap(api.GET('/api/commands', { signal, params: { query: { tag, status: 'running', limit: 100 } } }))).items.filter((c) => c.workspace === workspace),
		refetchInterval: 10_000,
		staleTime: 0,
	});
	const end = useMutation({
		mutationFn: (id: string) => unwrap(api.POST('/api/commands/{id}/cancel', { params: { path: { id } } })),
		onSuccess: () => void queries.invalidateQueries({ queryKey: ['terminals', workspace] }),
	});
	if (list.isPending) return null;
	if (list.isError) return <Failure what="The terminals cannot be read" error={list.error} retry={() => void list.refetch()} />;
	if (list.data.length === 0) return shown ? null : <p className="empty">No terminal runs here. One goes on when the page is closed, and is found here again.</p>;
	return (
		<section aria-labelledby="running">
			<h2 id="running">Running here</h2>
			{end.isError && <Notice tone="bad">{messageOf(end.error)}</Notice>}
			<ul className="runs">
				{list.data.map((c) => (
					<li key={c.id} className="run-row user-row">
						<div className="run-main">
							{c.id === shown ? <strong>This one</strong> : <Link to={`/terminal/${workspace}/${c.id}`}>Terminal of {formatExact(c.created_at)}</Link>}
						</div>
						<div className="run-facts">
							<span>{c.target}</span>
							<span>
								since <ShortTime time={c.created_at} />
							</span>
						</div>
						<button type="button" className="button small" aria-label={`End the terminal of ${formatExact(c.created_at)}`} disabled={end.isPending} onClick={() => end.mutate(c.id)}>
							End
						</button>
					</li>
				))}
			</ul>
		</section>
	);
}
