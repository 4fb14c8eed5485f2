/* Where security events go: the administrator's page. */
import './../styles/pages.css';

import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState, type FormEvent, type ReactNode } from 'react';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import type { SecurityWebhook } from '../api/types';
import { CopyButton } from '../ui/copy-button';
import { Confirm, Dialog } from '../ui/dialog';
import { Badge, Failure, Field, Notice, ShortTime, Spinner, useTitle } from '../ui/parts';
import { useReauth } from './reauth';

const webhooksQuery = queryOptions({
	queryKey: ['security-webhooks'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/auth/webhooks', { signal }))).items,
});

export function WebhooksPage(): ReactNode {
	useTitle('Security webhooks');
	const list = useQuery(webhooksQuery);
	const [adding, setAdding] = useState(false);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Security webhooks</h1>
					<p className="muted">Where sign-ins, changes of accounts and acts of administrators are told, signed.</p>
				</div>
				<button type="button" className="button primary" onClick={() => setAdding(true)}>
					<Plus aria-hidden size={17} /> Add an address
				</button>
			</div>
			{list.isPending && <Spinner label="Loading the webhooks…" />}
			{list.isError && <Failure what="The webhooks cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.length === 0 && <p className="empty">Events stay in the audit log.</p>}
			<ul className="runs" aria-label="Security webhooks">
				{list.data?.map((w) => <Row key={w.id} webhook={w} />)}
			</ul>
			<Dialog open={adding} onClose={() => setAdding(false)} label="Add an address">
				{adding && <Form onDone={() => setAdding(false)} />}
			</Dialog>
		</div>
	);
}

function Row({ webhook }: { webhook: SecurityWebhook }): ReactNode {
	const queries = useQueryClient();
	const reauth = useReauth();
	const [removing, setRemoving] = useState(false);
	const [open, setOpen] = useState(false);
	const path = { params: { path: { id: webhook.id } } };
	const again = () => queries.invalidateQueries({ queryKey: ['security-webhooks'] });
	const test = useMutation({
		mutationFn: async () => {
			await unwrap(api.POST('/api/auth/webhooks/{id}/test', path));
		},
		onSuccess: () => setOpen(true),
	});
	const toggle = useMutation({ mutationFn: () => reauth.run(() => unwrap(api.PATCH('/api/auth/webhooks/{id}', { ...path, body: { enabled: !webhook.enabled } }))), onSuccess: again });
	const remove = useMutation({
		mutationFn: async () => {
			await reauth.run(() => unwrap(api.DELETE('/api/auth/webhooks/{id}', path)));
		},
		onSuccess: () => {
			void again();
			setRemoving(false);
		},
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{webhook.url}</strong>
				<p className="run-answer">
					{webhook.description} {webhook.events.join(', ') || 'all events'}
				</p>
				{test.isError && <Notice tone="bad">{messageOf(test.error)}</Notice>}
				{toggle.isError && <Notice tone="bad">{messageOf(toggle.error)}</Notice>}
				{open && <Log id={webhook.id} />}
			</div>
			<div className="run-facts">{!webhook.enabled && <Badge tone="warn">off</Badge>}</div>
			<div className="row">
				<button type="button" className="button small" disabled={test.isPending || !webhook.enabled} onClick={() => test.mutate()} aria-label={`Test ${webhook.url}`}>
					Test
				</button>
				<button type="button" className="button small" aria-expanded={open} onClick={() => setOpen(!open)} aria-label={`Log of ${webhook.url}`}>
					Log
				</button>
				<button type="button" className="button small" disabled={toggle.isPending} onClick={() => toggle.mutate()} aria-label={`${webhook.enabled ? 'Switch off' : 'Switch on'} ${webhook.url}`}>
					{webhook.enabled ? 'Switch off' : 'Switch on'}
				</button>
				<button type="button" className="button small" onClick={() => setRemoving(true)} aria-label={`Remove ${webhook.url}`}>
					Remove
				</button>
			</div>
			<Confirm open={removing} title="Remove the webhook?" text="Nothing is sent there any more, and its log is deleted." action="Remove" busy={remove.isPending} error={remove.isError ? messageOf(remove.error) : null} onConfirm={() => remove.mutate()} onClose={() => setRemoving(false)} />
			{reauth.dialog}
		</li>
	);
}

function Log({ id }: { id: string }): ReactNode {
	const list = useQuery({
		queryKey: ['security-webhooks', id],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/auth/webhooks/{id}/deliveries', { signal, params: { path: { id }, query: { limit: 20 } } }))).items,
		refetchInterval: 3_000,
	});
	return (
		<ul aria-label="Deliveries">
			{list.data?.length === 0 && <li>Nothing was sent yet.</li>}
			{list.data?.map((d) => (
				<li key={d.id}>
					<ShortTime time={d.created_at} /> {d.event}: {d.state}, {d.tries} {d.tries === 1 ? 'try' : 'tries'} {d.status ?? ''} {d.error ?? ''}
				</li>
			))}
		</ul>
	);
}

function Form({ onDone }: { onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const reauth = useReauth();
	const [url, setUrl] = useState('');
	const [description, setDescription] = useState('');
	const [events, setEvents] = useState('');
	const save = useMutation({
		mutationFn: () => reauth.run(() => unwrap(api.POST('/api/auth/webhooks', { body: { url: url.trim(), description: description.trim(), events: events.split(/[\s,]+/).filter(Boolean) } }))),
		onSuccess: () => void queries.invalidateQueries({ queryKey: ['security-webhooks'] }),
	});
	return (
		<>
			<form
				className="stack"
				onSubmit={(event: FormEvent) => {
					event.preventDefault();
					save.mutate();
				}}
			>
				<h2>Add an address</h2>
				<Field label="Address" type="url" required maxLength={500} autoComplete="off" value={url} onChange={(e) => setUrl(e.target.value)} autoFocus />
				<Field label="What it is" maxLength={100} autoComplete="off" value={description} onChange={(e) => setDescription(e.target.value)} />
				<Field label="Events" autoComplete="off" value={events} onChange={(e) => setEvents(e.target.value)} hint="Such as login.refused, factor.*; empty: all." />
				{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
				{save.data && (
					<Notice tone="info" title="Its secret, shown once">
						<code>{save.data.secret}</code> <CopyButton text={save.data.secret} what="the secret" />
					</Notice>
				)}
				<div className="row end">
					<button type="button" className="button" onClick={onDone}>
						{save.isSuccess ? 'Close' : 'Cancel'}
					</button>
					{!save.isSuccess && (
						<button type="submit" className="button primary" disabled={save.isPending}>
							Add
						</button>
					)}
				</div>
			</form>
			{reauth.dialog}
		</>
	);
}
