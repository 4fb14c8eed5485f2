import './../styles/pages.css';
import './../styles/admin.css';
import './../styles/files.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Archive, Download, File, Folder, FolderPlus, Link2, SquareTerminal, Trash2, Upload } from 'lucide-react';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';

import { api, isApiError, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { folderQuery, readArchive, readFile, removeFile, saveAs, sharedSandboxQuery, textMax, textQuery, workspacesQuery, writeFile, type FileItem } from '../api/files';
import { announce } from '../ui/announce';
import { CopyButton } from '../ui/copy-button';
import { Confirm, Dialog } from '../ui/dialog';
import { formatBytes, plural } from '../ui/format';
import { Failure, Field, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { Snapshots } from './snapshots';
import { useMay } from './user';

export function WorkspacesPage(): ReactNode {
	useTitle('Files');
	const list = useQuery(workspacesQuery);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Files</h1>
					<p className="muted">A workspace is the folder that stays between commands. Each conversation has one, made by its first command.</p>
				</div>
			</div>
			{list.isPending && <Spinner label="Loading the workspaces…" />}
			{list.isError && <Failure what="The workspaces cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.length === 0 && <p className="empty">There is no workspace yet.</p>}
			{list.data && list.data.length > 0 && (
				<ul className="runs" aria-label="Workspaces">
					{list.data.map((w) => (
						<li key={w.id} className="run-row user-row">
							<div className="run-main">
								<strong>
									<Link to={`/files/${w.id}`}>{w.id}</Link>
								</strong>
							</div>
							<div className="run-facts">
								<span>
									made <ShortTime time={w.created_at} />
								</span>
								{w.running_commands > 0 && <span>{plural(w.running_commands, 'command')} running</span>}
							</div>
							<Link to={`/terminal/${w.id}`} className="button small" aria-label={`Terminal in ${w.id}`}>
								Terminal
							</Link>
						</li>
					))}
				</ul>
			)}
		</div>
	);
}

export function FilesPage(): ReactNode {
	const { workspace = '' } = useParams();
	const [params] = useSearchParams();
	const path = params.get('path') ?? '';
	const shown = params.get('file');
	useTitle(`Files${path ? `: ${path}` : ''}`);
	return (
		<div className="page wide">
			<p className="crumb">
				<Link to="/files">Files</Link> / <Crumbs workspace={workspace} path={path} />
			</p>
			<div className="page-head">
				<h1>{path ? path.slice(path.lastIndexOf('/') + 1) : 'Workspace'}</h1>
				<Link to={`/terminal/${workspace}`} className="button">
					<SquareTerminal aria-hidden size={17} /> Terminal
				</Link>
			</div>
			<SharedSandbox workspace={workspace} />
			{shown === null ? <FolderView key={`${workspace}/${path}`} workspace={workspace} path={path} /> : <FileView key={shown} workspace={workspace} folder={path} name={shown} />}
			{shown === null && path === '' && <Snapshots workspace={workspace} />}
		</div>
	);
}

const join = (folder: string, name: string): string => (folder ? `${folder}/${name}` : name);
const placeOf = (workspace: string, path: string): string => `/files/${workspace}${path ? `?path=${encodeURIComponent(path)}` : ''}`;

function Crumbs({ workspace, path }: { workspace: string; path: string }): ReactNode {
	const parts = path ? path.split('/') : [];
	return (
		<>
			<Link to={placeOf(workspace, '')}>{workspace}</Link>
			{parts.map((part, i) => (
				<span key={i}>
					{' / '}
					<Link to={placeOf(workspace, parts.slice(0, i + 1).join('/'))}>{part}</Link>
				</span>
			))}
		</>
	);
}

function SharedSandbox({ workspace }: { workspace: string }): ReactNode {
	const queries = useQueryClient();
	const status = useQuery(sharedSandboxQuery(workspace));
	const may = useMay('commands.run');
	const end = useMutation({
		mutationFn: () => unwrap(api.DELETE('/api/workspaces/{id}/session', { params: { path: { id: workspace } } })),
		onSuccess: () => {
			announce('The shared sandbox has ended.');
			void queries.invalidateQueries({ queryKey: ['shared-sandbox', workspace] });
		},
	});
	if (!status.data?.live) return null;
	return (
		<Notice tone="info" title="A shared sandbox lives here">
			<p>
				{plural(status.data.running_commands, 'command')} of yours run in it, {plural(status.data.processes, 'process', 'processes')} in all. Snapshots and protected files wait for its end.
			</p>
			{may && (
				<button type="button" className="button small" disabled={end.isPending} onClick={() => end.mutate()}>
					End it, and all that runs in it
				</button>
			)}
			{end.isError && (
				<p role="alert" className="field-error">
					{messageOf(end.error)}
				</p>
			)}
		</Notice>
	);
}

const icons = { folder: Folder, file: File, link: Link2, other: File };

function FolderView({ workspace, path }: { workspace: string; path: string }): ReactNode {
	const queries = useQueryClient();
	const folder = useQuery(folderQuery(workspace, path));
	const may = useMay('commands.run');
	const [removing, setRemoving] = useState<FileItem | null>(null);
	const again = () => queries.invalidateQueries({ queryKey: ['files', workspace] });
	const remove = useMutation({
		mutationFn: (name: string) => removeFile(workspace, join(path, name)),
		onSuccess: () => {
			setRemoving(null);
			void again();
		},
	});
	if (folder.isPending) return <Spinner label="Loading the files…" />;
	if (folder.isError && path === '' && isApiError(folder.error, 'not_found')) return <NoWorkspace workspace={workspace} />;
	if (folder.isError) return <Failure what="The files cannot be read" error={folder.error} retry={() => void folder.refetch()} />;
	return (
		<>
			<Toolbar workspace={workspace} path={path} onChange={() => void again()} />
			{folder.data.items.length === 0 ? (
				<p className="empty">This folder is empty.</p>
			) : (
				<div className="table-box">
					<table className="files">
						<caption className="visually-hidden">Files in {path || 'the workspace'}</caption>
						<thead>
							<tr>
								<th scope="col">Name</th>
								<th scope="col">Size</th>
								<th scope="col">Changed</th>
								<th scope="col">
									<span className="visually-hidden">Actions</span>
								</th>
							</tr>
						</thead>
						<tbody>
							{folder.data.items.map((item) => (
								<FileRow key={item.name} workspace={workspace} path={path} item={item} onRemove={may ? () => setRemoving(item) : null} />
							))}
						</tbody>
					</table>
				</div>
			)}
			{folder.data.isCut && <p className="muted">There are more; a command such as ls shows all.</p>}
			<Confirm
				open={removing !== null}
				title={`Delete ${removing?.name ?? ''}?`}
				text={removing?.type === 'folder' ? 'The folder and all that is in it are removed.' : 'The file is removed.'}
				action="Delete"
				busy={remove.isPending}
				error={remove.isError ? messageOf(remove.error) : null}
				onConfirm={() => removing && remove.mutate(removing.name)}
				onClose={() => setRemoving(null)}
			/>
		</>
	);
}

function FileRow({ workspace, path, item, onRemove }: { workspace: string; path: string; item: FileItem; onRemove: (() => void) | null }): ReactNode {
	const Icon = icons[item.type];
	const whole = join(path, item.name);
	const get = useMutation({ mutationFn: () => readFile(workspace, whole), onSuccess: (blob) => saveAs(blob, item.name) });
	const to = item.type === 'folder' ? placeOf(workspace, whole) : `/files/${workspace}?path=${encodeURIComponent(path)}&file=${encodeURIComponent(item.name)}`;
	return (
		<tr>
			<th scope="row">
				<Icon aria-hidden size={16} />
				{item.type === 'folder' || item.type === 'file' ? <Link to={to}>{item.name}</Link> : <span>{item.name}</span>}
				{item.type === 'link' && <span className="muted"> → {item.link}</span>}
				{get.isError && (
					<span role="alert" className="field-error">
						{messageOf(get.error)}
					</span>
				)}
			</th>
			<td>{item.type === 'file' ? formatBytes(item.size) : '–'}</td>
			<td>
				<ShortTime time={item.modified_at} />
			</td>
			<td className="acts">
				{item.type === 'file' && (
					<button type="button" className="icon-button small" aria-label={`Download ${item.name}`} disabled={get.isPending} onClick={() => get.mutate()}>
						<Download aria-hidden size={16} />
					</button>
				)}
				{onRemove && (
					<button type="button" className="icon-button small" aria-label={`Delete ${item.name}`} onClick={onRemove}>
						<Trash2 aria-hidden size={16} />
					</button>
				)}
			</td>
		</tr>
	);
}

function NoWorkspace({ workspace }: { workspace: string }): ReactNode {
	const queries = useQueryClient();
	const may = useMay('commands.run');
	const make = useMutation({
		mutationFn: () => unwrap(api.POST('/api/workspaces', { body: { id: workspace } })),
		onSuccess: () => void queries.invalidateQueries(),
	});
	return (
		<div className="empty">
			<p>There is nothing yet: the first command makes the workspace.</p>
			{may && (
				<button type="button" className="button" disabled={make.isPending} onClick={() => make.mutate()}>
					Make it now
				</button>
			)}
			{make.isError && (
				<p role="alert" className="field-error">
					{messageOf(make.error)}
				</p>
			)}
		</div>
	);
}

function Toolbar({ workspace, path, onChange }: { workspace: string; path: string; onChange: () => void }): ReactNode {
	const may = useMay('commands.run');
	const input = useRef<HTMLInputElement>(null);
	const [naming, setNaming] = useState(false);
	const upload = useMutation({
		mutationFn: async (files: readonly globalThis.File[]) => {
			for (const file of files) await writeFile(workspace, join(path, file.name), file);
			return files.length;
		},
		onSuccess: (n) => announce(`${plural(n, 'file')} uploaded.`),
		onSettled: onChange,
	});
	const archive = useMutation({
		mutationFn: () => readArchive(workspace, path),
		onSuccess: (blob) => saveAs(blob, `${path ? path.slice(path.lastIndexOf('/') + 1) : workspace}.tar.gz`),
	});
	const make = useMutation({
		mutationFn: (name: string) => unwrap(api.POST('/api/workspaces/{id}/folders', { params: { path: { id: workspace } }, body: { path: join(path, name) } })),
		onSuccess: () => {
			setNaming(false);
			onChange();
		},
	});
	const submit = (event: FormEvent<HTMLFormElement>) => {
		event.preventDefault();
		const name = new FormData(event.currentTarget).get('name');
		if (typeof name === 'string' && name.trim()) make.mutate(name.trim());
	};
	return (
		<>
			<div className="row" role="group" aria-label="This folder">
				{may && (
					<>
						<input
							ref={input}
							type="file"
							multiple
							hidden
							data-testid="upload"
							onChange={(event) => {
								if (event.target.files?.length) upload.mutate([...event.target.files]);
								event.target.value = '';
							}}
						/>
						<button type="button" className="button" disabled={upload.isPending} onClick={() => input.current?.click()}>
							<Upload aria-hidden size={17} /> {upload.isPending ? 'Uploading…' : 'Upload'}
						</button>
						<button type="button" className="button" onClick={() => setNaming(true)}>
							<FolderPlus aria-hidden size={17} /> New folder
						</button>
					</>
				)}
				<button type="button" className="button" disabled={archive.isPending} onClick={() => archive.mutate()}>
					<Archive aria-hidden size={17} /> Download all
				</button>
			</div>
			{(upload.isError || archive.isError) && <Notice tone="bad">{messageOf(upload.error ?? archive.error)}</Notice>}
			<Dialog open={naming} onClose={() => setNaming(false)} label="New folder">
				<form onSubmit={submit} className="stack">
					<h2>New folder</h2>
					<Field label="Name" name="name" maxLength={255} required autoFocus error={make.isError ? messageOf(make.error) : null} />
					<div className="row end">
						<button type="button" className="button" onClick={() => setNaming(false)}>
							Cancel
						</button>
						<button type="submit" className="button primary" disabled={make.isPending}>
							Make it
						</button>
					</div>
				</form>
			</Dialog>
		</>
	);
}

function FileView({ workspace, folder, name }: { workspace: string; folder: string; name: string }): ReactNode {
	const text = useQuery(textQuery(workspace, join(folder, name)));
	return (
		<section aria-label={name}>
			<div className="section-head">
				<h2>{name}</h2>
				{typeof text.data === 'string' && <CopyButton text={text.data} what="file" />}
				<Link to={placeOf(workspace, folder)} className="button small">
					Back to the folder
				</Link>
			</div>
			{text.isPending && <Spinner label="Loading the file…" />}
			{text.isError && <Failure what="The file cannot be read" error={text.error} retry={() => void text.refetch()} />}
			{text.data === null && <Notice tone="info">This is no text, or more than {formatBytes(textMax)} of it. Download it to see it.</Notice>}
			{typeof text.data === 'string' && (
				<pre className="panel file-text" tabIndex={0} role="group" aria-label={`Text of ${name}`}>
					{text.data || '(empty)'}
				</pre>
			)}
		</section>
	);
}
