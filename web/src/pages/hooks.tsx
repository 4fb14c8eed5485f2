import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';
import { Link } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { agentsQuery, deliveriesQuery, hooksQuery, triggersQuery } from '../api/queries';
import type { Delivery, Hook, Trigger } from '../api/types';
import { CopyButton } from '../ui/copy-button';
import { Confirm, Dialog } from '../ui/dialog';
import type { Tone } from '../ui/format';
import { Badge, Failure, Field, Notice, ShortTime, Spinner } from '../ui/parts';

const reasons: Record<string, string> = {
	gone: 'the address answered that it is gone (410)',
	failing: 'nothing was delivered for five days',
	user_disabled: 'its owner is disabled or gone',
	right_lost: 'its owner has lost a right it needs',
	agent_archived: 'its agent is archived',
};
const events = ['execution.succeeded', 'execution.failed', 'execution.cancelled', 'execution.waiting', 'execution.paused'] as const;
const deliveryTones: Record<Delivery['status'], Tone> = { pending: 'busy', held: 'warn', delivered: 'good', failed: 'bad', dropped: 'warn' };

interface Secret {
	name: string;
	secret?: string | undefined;
	url?: string;
}

export function Hooks(): ReactNode {
	const hooks = useQuery(hooksQuery);
	const triggers = useQuery(triggersQuery);
	const [making, setMaking] = useState<'hook' | 'trigger' | null>(null);
	const [secret, setSecret] = useState<Secret | null>(null);
	const [log, setLog] = useState<Hook | null>(null);
	const [removing, setRemoving] = useState<{ hook?: Hook; trigger?: Trigger } | null>(null);
	return (
		<>
			<section aria-labelledby="hooks">
				<div className="page-head">
					<h2 id="hooks">Webhooks: who is told of runs</h2>
					<button type="button" className="button" onClick={() => setMaking('hook')}>
						<Plus aria-hidden size={17} /> New webhook
					</button>
				</div>
				{hooks.isPending && <Spinner label="Loading the webhooks…" />}
				{hooks.isError && <Failure what="The webhooks cannot be read" error={hooks.error} retry={() => void hooks.refetch()} />}
				{hooks.data?.length === 0 && <p className="empty">Nobody is told of your runs.</p>}
				<ul className="runs" aria-label="Webhooks">
					{hooks.data?.map((h) => <HookRow key={h.id} hook={h} onLog={() => setLog(h)} onSecret={setSecret} onRemove={() => setRemoving({ hook: h })} />)}
				</ul>
			</section>
			<section aria-labelledby="triggers">
				<div className="page-head">
					<h2 id="triggers">Triggers: others begin runs</h2>
					<button type="button" className="button" onClick={() => setMaking('trigger')}>
						<Plus aria-hidden size={17} /> New trigger
					</button>
				</div>
				{triggers.isError && <Failure what="The triggers cannot be read" error={triggers.error} retry={() => void triggers.refetch()} />}
				{triggers.data?.length === 0 && <p className="empty">Nothing outside can begin a run.</p>}
				<ul className="runs" aria-label="Triggers">
					{triggers.data?.map((t) => <TriggerRow key={t.id} trigger={t} onRemove={() => setRemoving({ trigger: t })} />)}
				</ul>
			</section>
			<Dialog open={making !== null} onClose={() => setMaking(null)} label={making === 'hook' ? 'New webhook' : 'New trigger'}>
				{making && (
					<HookForm
						kind={making}
						onDone={(made) => {
							setMaking(null);
							setSecret(made);
						}}
					/>
				)}
			</Dialog>
			<Dialog open={secret !== null} onClose={() => setSecret(null)} label="The secret">
				{secret && <SecretShown secret={secret} onDone={() => setSecret(null)} />}
			</Dialog>
			<Dialog open={log !== null} onClose={() => setLog(null)} label="Deliveries">
				{log && <Log hook={log} />}
			</Dialog>
			<Remove what={removing} onDone={() => setRemoving(null)} />
		</>
	);
}

function SecretShown({ secret, onDone }: { secret: Secret; onDone: () => void }): ReactNode {
	return (
		<div className="stack">
			<h2>{secret.name}</h2>
			<p>The secret is shown this once. Keep it where the other side checks or makes signatures.</p>
			<p>
				<code>{secret.secret ?? 'It was told before: make a new one.'}</code> {secret.secret && <CopyButton text={secret.secret} what="the secret" />}
			</p>
			{secret.url && (
				<p>
					Requests go to <code>{secret.url}</code>
				</p>
			)}
			<div className="row end">
				<button type="button" className="button primary" onClick={onDone}>
					I have kept it
				</button>
			</div>
		</div>
	);
}

function HookRow({ hook: h, onLog, onSecret, onRemove }: { hook: Hook; onLog: () => void; onSecret: (s: Secret) => void; onRemove: () => void }): ReactNode {
	const queries = useQueryClient();
	const refresh = () => void queries.invalidateQueries({ queryKey: ['webhooks'] });
	const params = { path: { id: h.id } };
	const ping = useMutation({ mutationFn: () => unwrap(api.POST('/api/webhooks/{id}/ping', { params })), onSuccess: refresh });
	const set = useMutation({ mutationFn: (status: 'active' | 'paused') => unwrap(api.PATCH('/api/webhooks/{id}', { params, body: { status } })), onSuccess: refresh });
	const rotate = useMutation({
		mutationFn: () => unwrap(api.POST('/api/webhooks/{id}/rotate', { params })),
		onSuccess: (made) => {
			refresh();
			onSecret({ name: made.name, secret: made.secret });
		},
	});
	const failed = ping.error ?? set.error ?? rotate.error;
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{h.name}</strong>
				<p className="run-answer">
					{h.url} · {h.events.map((e) => e.replace('execution.', '')).join(', ')}
				</p>
				<p role="status">
					{ping.isSuccess && 'A ping is on its way.'}
					{failed && messageOf(failed)}
				</p>
			</div>
			<div className="run-facts">
				<Badge tone={h.status === 'active' ? (h.failing_since ? 'warn' : 'good') : 'bad'}>{h.status === 'active' && h.failing_since ? 'fails now' : h.status}</Badge>
				{h.reason && <span>{reasons[h.reason] ?? h.reason}</span>}
			</div>
			<div className="row">
				<button type="button" className="button small" onClick={onLog} aria-label={`Deliveries of ${h.name}`}>
					Deliveries
				</button>
				<button type="button" className="button small" disabled={ping.isPending} onClick={() => ping.mutate()} aria-label={`Ping ${h.name}`}>
					Ping
				</button>
				<button type="button" className="button small" disabled={rotate.isPending} onClick={() => rotate.mutate()} aria-label={`New secret for ${h.name}`}>
					New secret
				</button>
				<button type="button" className="button small" disabled={set.isPending} onClick={() => set.mutate(h.status === 'active' ? 'paused' : 'active')} aria-label={`${h.status === 'active' ? 'Pause' : 'Resume'} ${h.name}`}>
					{h.status === 'active' ? 'Pause' : 'Resume'}
				</button>
				<button type="button" className="button small" onClick={onRemove} aria-label={`Remove ${h.name}`}>
					Remove
				</button>
			</div>
		</li>
	);
}

function TriggerRow({ trigger: t, onRemove }: { trigger: Trigger; onRemove: () => void }): ReactNode {
	const queries = useQueryClient();
	const set = useMutation({
		mutationFn: (status: 'active' | 'paused') => unwrap(api.PATCH('/api/webhooks/triggers/{id}', { params: { path: { id: t.id } }, body: { status } })),
		onSuccess: () => void queries.invalidateQueries({ queryKey: ['webhooks'] }),
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{t.name}</strong>
				<p className="run-answer">{t.url}</p>
				{set.isError && <p role="alert">{messageOf(set.error)}</p>}
			</div>
			<div className="run-facts">
				<Badge tone={t.status === 'active' ? 'good' : 'bad'}>{t.status}</Badge>
				{t.reason && <span>{reasons[t.reason] ?? t.reason}</span>}
			</div>
			<div className="row">
				<button type="button" className="button small" disabled={set.isPending} onClick={() => set.mutate(t.status === 'active' ? 'paused' : 'active')} aria-label={`${t.status === 'active' ? 'Pause' : 'Resume'} ${t.name}`}>
					{t.status === 'active' ? 'Pause' : 'Resume'}
				</button>
				<button type="button" className="button small" onClick={onRemove} aria-label={`Remove ${t.name}`}>
					Remove
				</button>
			</div>
		</li>
	);
}

function Log({ hook }: { hook: Hook }): ReactNode {
	const list = useQuery(deliveriesQuery(hook.id));
	const again = useMutation({
		mutationFn: (delivery_id: string) => unwrap(api.POST('/api/webhooks/{id}/deliveries/{delivery_id}/redeliver', { params: { path: { id: hook.id, delivery_id } } })),
		onSuccess: () => void list.refetch(),
	});
	return (
		<div className="stack">
			<h2>{hook.name}</h2>
			{list.isPending && <Spinner label="Loading…" />}
			{list.isError && <Failure what="It cannot be read" error={list.error} />}
			{again.isError && <Notice tone="bad">{messageOf(again.error)}</Notice>}
			{list.data?.length === 0 && <p className="muted">Nothing has been sent yet.</p>}
			<ul className="runs" aria-label="Deliveries">
				{list.data?.map((d) => (
					<li key={d.id} className="run-row user-row">
						<div className="run-main">
							{d.event} <ShortTime time={d.created_at} /> {d.execution_id && <Link to={`/runs/${d.execution_id}`}>Run</Link>}
						</div>
						<div className="run-facts">
							<Badge tone={deliveryTones[d.status]}>{d.status}</Badge>
							<span>
								{d.tries} × {d.last_status ?? '–'}
							</span>
						</div>
						<div className="row">
							<button type="button" className="button small" disabled={again.isPending} onClick={() => again.mutate(d.id)} aria-label={`Send again: ${d.event}`}>
								Send again
							</button>
						</div>
					</li>
				))}
			</ul>
		</div>
	);
}

function Remove({ what, onDone }: { what: { hook?: Hook; trigger?: Trigger } | null; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const remove = useMutation({
		mutationFn: async () => {
			if (what?.hook) await unwrap(api.DELETE('/api/webhooks/{id}', { params: { path: { id: what.hook.id } } }));
			if (what?.trigger) await unwrap(api.DELETE('/api/webhooks/triggers/{id}', { params: { path: { id: what.trigger.id } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['webhooks'] });
			onDone();
		},
	});
	return (
		<Confirm
			open={what !== null}
			title={what?.trigger ? 'Remove the trigger?' : 'Remove the webhook?'}
			text={what?.trigger ? 'Its address answers nobody any more. Its runs stay.' : 'What it has not been told yet is not sent any more, and its log is deleted.'}
			action="Remove"
			busy={remove.isPending}
			error={remove.isError ? messageOf(remove.error) : null}
			onConfirm={() => remove.mutate()}
			onClose={onDone}
		/>
	);
}

function HookForm({ kind, onDone }: { kind: 'hook' | 'trigger'; onDone: (made: Secret) => void }): ReactNode {
	const queries = useQueryClient();
	const agents = useQuery(agentsQuery);
	const [name, setName] = useState('');
	const [url, setUrl] = useState('');
	const [wanted, setWanted] = useState<readonly (typeof events)[number][]>(['execution.succeeded', 'execution.failed']);
	const [agent, setAgent] = useState('');
	const [message, setMessage] = useState('{{body}}');
	const key = useRef(newKey());
	const save = useMutation({
		mutationFn: async (): Promise<Secret> => {
			const header = { 'Idempotency-Key': key.current };
			if (kind === 'hook') return unwrap(api.POST('/api/webhooks', { params: { header }, body: { name: name.trim(), url: url.trim(), events: [...wanted], agent_id: agent || null } }));
			return unwrap(api.POST('/api/webhooks/triggers', { params: { header }, body: { name: name.trim(), agent_id: agent || (agents.data?.[0]?.id ?? ''), message } }));
		},
		onSuccess: (made) => {
			void queries.invalidateQueries({ queryKey: ['webhooks'] });
			onDone(made);
		},
		onError: () => (key.current = newKey()),
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				save.mutate();
			}}
		>
			<h2>{kind === 'hook' ? 'New webhook' : 'New trigger'}</h2>
			<Field label="Name" value={name} onChange={(e) => setName(e.target.value)} required maxLength={200} autoFocus />
			<label className="field">
				<span>Agent</span>
				<select value={agent} onChange={(e) => setAgent(e.target.value)}>
					{kind === 'hook' && <option value="">All of them</option>}
					{agents.data?.map((a) => (
						<option key={a.id} value={a.id}>
							{a.name}
						</option>
					))}
				</select>
			</label>
			{kind === 'hook' ? (
				<>
					<Field label="Address" type="url" hint="It gets a signed POST with JSON." value={url} onChange={(e) => setUrl(e.target.value)} required maxLength={2000} />
					<fieldset>
						<legend>It is told when a run</legend>
						{events.map((e) => (
							<label key={e} className="check">
								<input type="checkbox" checked={wanted.includes(e)} onChange={(x) => setWanted(x.target.checked ? [...wanted, e] : wanted.filter((w) => w !== e))} />
								<span>{{ 'execution.succeeded': 'succeeds', 'execution.failed': 'fails', 'execution.cancelled': 'is cancelled', 'execution.waiting': 'waits for a person', 'execution.paused': 'is paused for its budget' }[e]}</span>
							</label>
						))}
					</fieldset>
				</>
			) : (
				<label className="field">
					<span>Message</span>
					<textarea value={message} onChange={(e) => setMessage(e.target.value)} required rows={3} />
					<span className="hint">{'{{body}} is the request’s body, {{body.title}} a member of its JSON.'}</span>
				</label>
			)}
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
			<div className="row end">
				<button type="submit" className="button primary" disabled={save.isPending}>
					{save.isPending ? 'Saving…' : 'Make it'}
				</button>
			</div>
		</form>
	);
}
