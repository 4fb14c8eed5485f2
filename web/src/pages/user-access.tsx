import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { invitationsQuery, mailsQuery, userSessionsQuery } from '../api/queries';
import type { Invitation, Mail, Role, User } from '../api/types';
import { CopyButton } from '../ui/copy-button';
import { Badge, Failure, Field, Notice, ShortTime, Spinner } from '../ui/parts';
import { useReauth } from './reauth';
import { SessionList } from './sessions';

/** A link that an administrator hands over. */
function LinkLine({ link, what }: { link: string; what: string }): ReactNode {
	return (
		<p className="run-answer">
			<code>{link}</code> <CopyButton text={link} what={what} />
		</p>
	);
}

export function InviteForm({ roles, onDone }: { roles: Role[]; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const [email, setEmail] = useState('');
	const [role, setRole] = useState('member');
	/* The same values sent again, after an answer was lost, make one invitation. */
	const sent = useRef({ values: '', key: '' });
	const invite = useMutation({
		mutationFn: () => {
			const body = { email: email.trim(), roles: [role] };
			const values = JSON.stringify(body);
			if (sent.current.values !== values) sent.current = { values, key: newKey() };
			return unwrap(api.POST('/api/auth/invitations', { body, params: { header: { 'Idempotency-Key': sent.current.key } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['invitations'] });
			void queries.invalidateQueries({ queryKey: ['mails'] });
		},
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				invite.mutate();
			}}
		>
			<h2>Invite somebody</h2>
			<Field label="E-mail" type="email" required maxLength={254} autoComplete="off" value={email} onChange={(e) => setEmail(e.target.value)} autoFocus />
			<label className="field">
				<span>Role</span>
				<select value={role} onChange={(e) => setRole(e.target.value)}>
					{roles.map((r) => (
						<option key={r.name} value={r.name}>
							{r.name}
						</option>
					))}
				</select>
			</label>
			{invite.error !== null && <Notice tone="bad">{messageOf(invite.error)}</Notice>}
			{invite.data && (
				<Notice tone="info" title={`${invite.data.email} is invited`}>
					{invite.data.link && <LinkLine link={invite.data.link} what="the link" />}
				</Notice>
			)}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					{invite.isSuccess ? 'Close' : 'Cancel'}
				</button>
				<button type="submit" className="button primary" disabled={invite.isPending}>
					{invite.isPending ? 'Inviting…' : 'Invite'}
				</button>
			</div>
		</form>
	);
}

function InvitationRow({ invitation }: { invitation: Invitation }): ReactNode {
	const queries = useQueryClient();
	const withdraw = useMutation({
		mutationFn: () => unwrap(api.DELETE('/api/auth/invitations/{id}', { params: { path: { id: invitation.id } } })),
		onSettled: () => void queries.invalidateQueries({ queryKey: ['invitations'] }),
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{invitation.email}</strong>
				{invitation.link && <LinkLine link={invitation.link} what={`the link for ${invitation.email}`} />}
			</div>
			<div className="run-facts">
				<span>{invitation.roles.length > 0 ? invitation.roles.join(', ') : 'no role'}</span>
				<span>
					until <ShortTime time={invitation.expires_at} />
				</span>
			</div>
			<button type="button" className="button small" disabled={withdraw.isPending} onClick={() => withdraw.mutate()} aria-label={`Withdraw the invitation of ${invitation.email}`}>
				Withdraw
			</button>
		</li>
	);
}

function MailRow({ mail }: { mail: Mail }): ReactNode {
	const tone = mail.state === 'sent' ? 'good' : mail.state === 'failed' ? 'bad' : 'warn';
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{mail.to}</strong> <span className="muted">{mail.kind.replaceAll('_', ' ')}</span>
				{mail.link && <LinkLine link={mail.link} what={`the link for ${mail.to}`} />}
				{mail.error && <p className="run-answer">{mail.error}</p>}
			</div>
			<div className="run-facts">
				<Badge tone={tone}>{mail.state === 'shown' ? 'to hand over' : mail.state}</Badge>
				<ShortTime time={mail.created_at} />
			</div>
		</li>
	);
}

/** Invitations that wait, and mails: what an administrator hands over where there is no mail server. */
export function PendingAccess(): ReactNode {
	const invitations = useQuery(invitationsQuery);
	const mails = useQuery(mailsQuery);
	const shown = (mails.data ?? []).filter((m) => m.link || m.state === 'failed' || m.state === 'waiting');
	return (
		<>
			{(invitations.data ?? []).length > 0 && (
				<>
					<h2>Invitations</h2>
					<ul className="runs" aria-label="Invitations">
						{invitations.data?.map((i) => (
							<InvitationRow key={i.id} invitation={i} />
						))}
					</ul>
				</>
			)}
			{shown.length > 0 && (
				<>
					<h2>Mails that are not out</h2>
					<ul className="runs" aria-label="Mails">
						{shown.map((m) => (
							<MailRow key={m.id} mail={m} />
						))}
					</ul>
				</>
			)}
		</>
	);
}

/** What an administrator does about somebody's access: a link to a new password, open sessions. */
export function UserAccess({ user }: { user: User }): ReactNode {
	const queries = useQueryClient();
	const reauth = useReauth();
	const sessions = useQuery(userSessionsQuery(user.id));
	const reset = useMutation({ mutationFn: () => unwrap(api.POST('/api/users/{id}/reset', { params: { path: { id: user.id } } })) });
	const end = useMutation({
		mutationFn: (id: string | null) =>
			reauth.run(() =>
				id
					? unwrap(api.DELETE('/api/users/{id}/sessions/{session_id}', { params: { path: { id: user.id, session_id: id } } }))
					: unwrap(api.DELETE('/api/users/{id}/sessions', { params: { path: { id: user.id } } })),
			),
		onSettled: () => void queries.invalidateQueries({ queryKey: ['sessions', user.id] }),
	});
	return (
		<div className="stack">
			<h2>Access</h2>
			{user.email && !user.disabled && (
				<div className="row">
					<button type="button" className="button" disabled={reset.isPending} onClick={() => reset.mutate()}>
						Send a link to a new password
					</button>
				</div>
			)}
			{reset.error !== null && <Notice tone="bad">{messageOf(reset.error)}</Notice>}
			{reset.data && (
				<Notice tone="info" title={reset.data.mailed ? `A link goes to ${user.email}` : 'Hand this link over'}>
					{reset.data.link && <LinkLine link={reset.data.link} what="the link" />}
				</Notice>
			)}
			<h3>Sessions</h3>
			{sessions.isPending && <Spinner label="Loading the sessions…" />}
			{sessions.isError && <Failure what="The sessions cannot be read" error={sessions.error} retry={() => void sessions.refetch()} />}
			{sessions.data && <SessionList sessions={sessions.data} onEnd={(id) => end.mutate(id)} busy={end.isPending} />}
			{(sessions.data ?? []).length > 0 && (
				<div className="row">
					<button type="button" className="button" disabled={end.isPending} onClick={() => end.mutate(null)}>
						End all sessions
					</button>
				</div>
			)}
			{end.error !== null && <Notice tone="bad">{messageOf(end.error)}</Notice>}
			{reauth.dialog}
		</div>
	);
}
