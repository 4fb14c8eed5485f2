import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useEffect, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { Link } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { agentsQuery, firingsQuery, schedulesQuery } from '../api/queries';
import type { Schedule, ScheduleInput } from '../api/types';
import { Confirm, Dialog } from '../ui/dialog';
import type { Tone } from '../ui/format';
import { Badge, Failure, Field, Notice, ShortTime, Spinner } from '../ui/parts';

const reasons: Record<string, string> = {
	failures: 'too many runs failed',
	user_disabled: 'its owner is disabled or gone',
	right_lost: 'its owner has lost a right it needs',
	agent_archived: 'its agent is archived',
	zone_unknown: 'its time zone is not known here',
};
const tones: Record<Schedule['status'], Tone> = { active: 'good', paused: 'warn', ended: 'neutral', stopped: 'bad' };
const firingTones: Record<string, Tone> = { succeeded: 'good', failed: 'bad', refused: 'bad', started: 'busy', waiting: 'busy', skipped: 'warn', missed: 'warn', cancelled: 'warn' };

function when(s: Schedule): string {
	if (s.cron !== null) return `${s.cron} (${s.timezone})`;
	return s.every_seconds === null ? 'once' : `every ${s.every_seconds} s`;
}

export function Schedules(): ReactNode {
	const list = useQuery(schedulesQuery);
	const [making, setMaking] = useState(false);
	const [shown, setShown] = useState<Schedule | null>(null);
	const [removing, setRemoving] = useState<Schedule | null>(null);
	return (
		<section aria-labelledby="schedules">
			<div className="page-head">
				<h2 id="schedules">Schedules</h2>
				<button type="button" className="button primary" onClick={() => setMaking(true)}>
					<Plus aria-hidden size={17} /> New schedule
				</button>
			</div>
			{list.isPending && <Spinner label="Loading the schedules…" />}
			{list.isError && <Failure what="The schedules cannot be read" error={list.error} retry={() => void list.refetch()} />}
			{list.data?.length === 0 && <p className="empty">Nothing is scheduled. A schedule sends a message to an agent at certain times.</p>}
			<ul className="runs" aria-label="Schedules">
				{list.data?.map((s) => <Row key={s.id} schedule={s} onShow={() => setShown(s)} onRemove={() => setRemoving(s)} />)}
			</ul>
			<Dialog open={making} onClose={() => setMaking(false)} label="New schedule">
				{making && <ScheduleForm onDone={() => setMaking(false)} />}
			</Dialog>
			<Dialog open={shown !== null} onClose={() => setShown(null)} label="What became of each time">
				{shown && <Firings schedule={shown} />}
			</Dialog>
			<Remove schedule={removing} onDone={() => setRemoving(null)} />
		</section>
	);
}

function Row({ schedule: s, onShow, onRemove }: { schedule: Schedule; onShow: () => void; onRemove: () => void }): ReactNode {
	const queries = useQueryClient();
	const done = { onSuccess: () => void queries.invalidateQueries({ queryKey: ['schedules'] }) };
	const path = { params: { path: { id: s.id } } };
	const run = useMutation({ mutationFn: () => unwrap(api.POST('/api/schedules/{id}/run', { params: { ...path.params, header: { 'Idempotency-Key': newKey() } } })), ...done });
	const set = useMutation({ mutationFn: (status: 'active' | 'paused') => unwrap(api.PATCH('/api/schedules/{id}', { ...path, body: { status } })), ...done });
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{s.name}</strong> <span className="muted">{s.agent_name}</span>
				<p className="run-answer">
					{when(s)}
					{s.next_at && (
						<>
							{' · next '}
							<ShortTime time={s.next_at} />
						</>
					)}
				</p>
				<p role="status">
					{run.isSuccess && 'It begins now.'}
					{run.isError && messageOf(run.error)}
					{set.isError && messageOf(set.error)}
				</p>
			</div>
			<div className="run-facts">
				<Badge tone={tones[s.status]}>{s.status}</Badge>
				{s.reason && <span>{reasons[s.reason] ?? s.reason}</span>}
			</div>
			<div className="row">
				<button type="button" className="button small" disabled={run.isPending} onClick={() => run.mutate()} aria-label={`Run now: ${s.name}`}>
					Run now
				</button>
				<button type="button" className="button small" onClick={onShow} aria-label={`History of ${s.name}`}>
					History
				</button>
				<button type="button" className="button small" disabled={set.isPending} onClick={() => set.mutate(s.status === 'active' ? 'paused' : 'active')} aria-label={`${s.status === 'active' ? 'Pause' : 'Resume'} ${s.name}`}>
					{s.status === 'active' ? 'Pause' : 'Resume'}
				</button>
				<button type="button" className="button small" onClick={onRemove} aria-label={`Remove ${s.name}`}>
					Remove
				</button>
			</div>
		</li>
	);
}

function Firings({ schedule }: { schedule: Schedule }): ReactNode {
	const list = useQuery(firingsQuery(schedule.id));
	return (
		<div className="stack">
			<h2>{schedule.name}</h2>
			{list.isPending && <Spinner label="Loading…" />}
			{list.isError && <Failure what="It cannot be read" error={list.error} />}
			{list.data?.length === 0 && <p className="muted">It has not been due yet.</p>}
			<ul className="runs" aria-label="Times">
				{list.data?.map((f) => (
					<li key={f.id} className="run-row user-row">
						<div className="run-main">
							<ShortTime time={f.planned_at} /> {f.execution_id && <Link to={`/runs/${f.execution_id}`}>Run</Link>}
						</div>
						<div className="run-facts">
							<Badge tone={firingTones[f.status] ?? 'neutral'}>{f.times > 1 ? `${f.times} × ${f.status}` : f.status}</Badge>
							{f.reason && <span>{reasons[f.reason] ?? f.reason}</span>}
						</div>
					</li>
				))}
			</ul>
		</div>
	);
}

function Remove({ schedule, onDone }: { schedule: Schedule | null; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const remove = useMutation({
		mutationFn: async (id: string) => {
			await unwrap(api.DELETE('/api/schedules/{id}', { params: { path: { id } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['schedules'] });
			onDone();
		},
	});
	return (
		<Confirm
			open={schedule !== null}
			title="Remove the schedule?"
			text="Its history goes with it. Its runs and conversations stay."
			action="Remove"
			busy={remove.isPending}
			error={remove.isError ? messageOf(remove.error) : null}
			onConfirm={() => schedule && remove.mutate(schedule.id)}
			onClose={onDone}
		/>
	);
}

type Kind = 'cron' | 'every' | 'at';

/** The next times, as they would be. */
function Preview({ times }: { times: ScheduleInput }): ReactNode {
	const [asked, setAsked] = useState(times);
	const text = JSON.stringify(times);
	useEffect(() => {
		const timer = setTimeout(() => setAsked(JSON.parse(text) as ScheduleInput), 300);
		return () => clearTimeout(timer);
	}, [text]);
	const preview = useQuery({
		queryKey: ['schedule-preview', asked],
		queryFn: async ({ signal }) => (await unwrap(api.POST('/api/schedules/preview', { signal, body: asked }))).items,
		retry: false,
	});
	return (
		<div role="status" aria-label="Next times">
			{preview.isError && <p className="field-error">{messageOf(preview.error)}</p>}
			{preview.data && (
				<>
					<p className="muted">Next times</p>
					<ol>
						{preview.data.map((t) => (
							<li key={t.at}>{t.local.replace('T', ' ')}</li>
						))}
					</ol>
				</>
			)}
		</div>
	);
}

function ScheduleForm({ onDone }: { onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const agents = useQuery(agentsQuery);
	const [name, setName] = useState('');
	const [message, setMessage] = useState('');
	const [agent, setAgent] = useState('');
	const [kind, setKind] = useState<Kind>('cron');
	const [cron, setCron] = useState('0 9 * * mon-fri');
	const [zone, setZone] = useState(() => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC');
	const [minutes, setMinutes] = useState('60');
	const [at, setAt] = useState('');
	const [keep, setKeep] = useState(false);
	const [missed, setMissed] = useState<Schedule['missed']>('once');
	const [overlap, setOverlap] = useState<Schedule['overlap']>('skip');
	const sent = useRef({ values: '', key: '' });
	const moment = at ? new Date(at).toISOString() : undefined;
	const times: ScheduleInput = kind === 'cron' ? { cron, timezone: zone } : kind === 'every' ? { every_seconds: Math.max(1, Math.round(Number(minutes) * 60)) } : moment ? { at: moment } : {};
	const save = useMutation({
		mutationFn: async () => {
			const body: ScheduleInput = { ...times, name: name.trim(), message, agent_id: agent || (agents.data?.[0]?.id ?? ''), conversation: keep ? 'keep' : 'new', missed, overlap };
			const values = JSON.stringify(body);
			if (sent.current.values !== values) sent.current = { values, key: newKey() };
			await unwrap(api.POST('/api/schedules', { body, params: { header: { 'Idempotency-Key': sent.current.key } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['schedules'] });
			onDone();
		},
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				save.mutate();
			}}
		>
			<h2>New schedule</h2>
			<Field label="Name" value={name} onChange={(e) => setName(e.target.value)} required maxLength={200} autoFocus />
			<label className="field">
				<span>Agent</span>
				<select value={agent} onChange={(e) => setAgent(e.target.value)}>
					{agents.data?.map((a) => (
						<option key={a.id} value={a.id}>
							{a.name}
						</option>
					))}
				</select>
			</label>
			<label className="field">
				<span>Message</span>
				<textarea value={message} onChange={(e) => setMessage(e.target.value)} required rows={3} />
			</label>
			<label className="field">
				<span>When</span>
				<select value={kind} onChange={(e) => setKind(e.target.value as Kind)}>
					<option value="cron">At times of the calendar (cron)</option>
					<option value="every">Again and again</option>
					<option value="at">Once</option>
				</select>
			</label>
			{kind === 'cron' && (
				<>
					<Field label="Cron" hint="Minute, hour, day of the month, month, day of the week." value={cron} onChange={(e) => setCron(e.target.value)} required maxLength={200} />
					<Field label="Time zone" value={zone} onChange={(e) => setZone(e.target.value)} required maxLength={64} />
				</>
			)}
			{kind === 'every' && <Field label="Every so many minutes" type="number" min={1} value={minutes} onChange={(e) => setMinutes(e.target.value)} required />}
			{kind === 'at' && <Field label="Time" type="datetime-local" value={at} onChange={(e) => setAt(e.target.value)} required />}
			{Object.keys(times).length > 0 && <Preview times={times} />}
			<label className="field">
				<span>Times at which nothing ran</span>
				<select value={missed} onChange={(e) => setMissed(e.target.value as Schedule['missed'])}>
					<option value="once">One run for all of them</option>
					<option value="skip">Leave them out</option>
					<option value="all">One run each</option>
				</select>
			</label>
			<label className="field">
				<span>While the last run is on</span>
				<select value={overlap} onChange={(e) => setOverlap(e.target.value as Schedule['overlap'])}>
					<option value="skip">Leave the time out</option>
					<option value="queue">Wait for its end</option>
					<option value="cancel">Cancel it</option>
				</select>
			</label>
			<label className="check">
				<input type="checkbox" checked={keep} onChange={(e) => setKeep(e.target.checked)} /> <span>Always in the same conversation</span>
			</label>
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={save.isPending}>
					{save.isPending ? 'Saving…' : 'Make it'}
				</button>
			</div>
		</form>
	);
}
