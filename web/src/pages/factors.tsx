import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent, type ReactNode } from 'react';
import { renderSVG } from 'uqr';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { hasPasskeys, makePasskey } from '../api/passkey';
import { Confirm, Dialog } from '../ui/dialog';
import { formatExact } from '../ui/format';
import { Badge, Failure, Field, Notice, Spinner } from '../ui/parts';
import { useReauth } from './reauth';

const factorsQuery = queryOptions({ queryKey: ['factors'], queryFn: () => unwrap(api.GET('/api/auth/factors')) });

type Act = () => Promise<unknown>;

/** One's second factors: an app's codes, passkeys, recovery codes. */
export function Factors(): ReactNode {
	const reauth = useReauth();
	const queries = useQueryClient();
	const factors = useQuery(factorsQuery);
	const [codes, setCodes] = useState<string[]>([]);
	const [adding, setAdding] = useState<'app' | 'passkey' | null>(null);
	const [removing, setRemoving] = useState<{ what: string; act: Act } | null>(null);
	const [error, setError] = useState<unknown>(null);
	const [choosing, setChoosing] = useState<boolean | null>(null); // until the server has it

	async function run(act: Act): Promise<void> {
		setError(null);
		try {
			await reauth.run(act);
			await queries.invalidateQueries({ queryKey: ['factors'] });
		} catch (e) {
			setError(e);
		}
	}

	function done(made: string[]): void {
		setAdding(null);
		if (made.length > 0) setCodes(made);
		void queries.invalidateQueries({ queryKey: ['factors'] });
	}

	const f = factors.data;
	return (
		<section className="stack" aria-label="Second factors">
			<h2>Second factors</h2>
			<p className="muted">With one, a stolen password alone opens nothing.</p>
			{factors.isPending && <Spinner label="Loading your factors…" />}
			{factors.isError && <Failure what="Your second factors cannot be read" error={factors.error} retry={() => void factors.refetch()} />}
			{error !== null && <Failure what="That did not work" error={error} />}
			{codes.length > 0 && <Codes codes={codes} onDone={() => setCodes([])} />}
			{f && (
				<ul className="runs" aria-label="Second factors">
					<li className="run-row user-row">
						<div className="run-main">
							<strong>Authenticator app</strong>
							<p className="run-answer">Six digits that change every half minute.</p>
						</div>
						<div className="run-facts">{f.totp ? <Badge tone="good">on</Badge> : <Badge tone="neutral">off</Badge>}</div>
						<div className="row">
							{f.totp ? (
								<button type="button" className="button small" onClick={() => setRemoving({ what: 'the codes of your app', act: () => unwrap(api.DELETE('/api/auth/factors/totp')) })}>
									Switch off
								</button>
							) : (
								<button type="button" className="button small" onClick={() => setAdding('app')}>
									Set up
								</button>
							)}
						</div>
					</li>
					{f.passkeys.map((p) => (
						<li key={p.id} className="run-row user-row">
							<div className="run-main">
								<strong>{p.name}</strong>
								<p className="run-answer">
									Passkey, added {formatExact(p.created_at)}
									{p.last_used_at ? `, last used ${formatExact(p.last_used_at)}` : ', not used yet'}
								</p>
							</div>
							<div className="run-facts">{p.backed_up && <Badge tone="neutral">synced</Badge>}</div>
							<div className="row">
								<button
									type="button"
									className="button small"
									aria-label={`Remove ${p.name}`}
									onClick={() => setRemoving({ what: `the passkey “${p.name}”`, act: () => unwrap(api.DELETE('/api/auth/factors/passkeys/{id}', { params: { path: { id: p.id } } })) })}
								>
									Remove
								</button>
							</div>
						</li>
					))}
					<li className="run-row user-row">
						<div className="run-main">
							<strong>Recovery codes</strong>
							<p className="run-answer">{f.recovery_codes_left} left, each good for one sign-in without your other factors.</p>
						</div>
						<div className="row">
							<button
								type="button"
								className="button small"
								disabled={!f.totp && f.passkeys.length === 0}
								onClick={() => void run(async () => setCodes((await unwrap(api.POST('/api/auth/factors/recovery-codes'))).recovery_codes))}
							>
								Make new ones
							</button>
						</div>
					</li>
				</ul>
			)}
			{f && (f.totp || f.passkeys.length > 0) && (
				<label className="check">
					<input
						type="checkbox"
						checked={choosing ?? f.confirm_approvals}
						disabled={choosing !== null}
						onChange={(event) => {
							const confirm_approvals = event.target.checked;
							setChoosing(confirm_approvals);
							void run(() => unwrap(api.PATCH('/api/auth/factors', { body: { confirm_approvals } }))).finally(() => setChoosing(null));
						}}
					/>
					Ask for a second factor when I approve something risky
				</label>
			)}
			{hasPasskeys() ? (
				<button type="button" className="button" onClick={() => setAdding('passkey')}>
					Add a passkey
				</button>
			) : (
				<p className="muted small">Passkeys need https, or this machine’s own browser.</p>
			)}
			<Dialog open={adding === 'app'} onClose={() => setAdding(null)} label="Set up an authenticator app">
				<AddApp onDone={done} />
			</Dialog>
			<Dialog open={adding === 'passkey'} onClose={() => setAdding(null)} label="Add a passkey">
				<AddPasskey onDone={done} />
			</Dialog>
			<Confirm
				open={removing !== null}
				title="Remove this factor?"
				text={`Without ${removing?.what ?? ''}, signing in needs your other factors, or the password alone when there are none.`}
				action="Remove"
				busy={false}
				error={null}
				onClose={() => setRemoving(null)}
				onConfirm={() => {
					if (removing) void run(removing.act);
					setRemoving(null);
				}}
			/>
			{reauth.dialog}
		</section>
	);
}

function Codes({ codes, onDone }: { codes: string[]; onDone: () => void }): ReactNode {
	return (
		<Notice tone="warn" title="Keep these codes: they are shown only now">
			<p>Each lets you in once when your phone or key is lost. Print them, or put them into your password manager.</p>
			<pre className="codes">{codes.join('\n')}</pre>
			<div className="row">
				<button type="button" className="button small" onClick={() => void navigator.clipboard?.writeText(codes.join('\n'))}>
					Copy
				</button>
				<button type="button" className="button small" onClick={onDone}>
					I have kept them
				</button>
			</div>
		</Notice>
	);
}

function AddApp({ onDone }: { onDone: (codes: string[]) => void }): ReactNode {
	const begun = useQuery({ queryKey: ['totp'], queryFn: () => unwrap(api.POST('/api/auth/factors/totp')), staleTime: Infinity, gcTime: 0 });
	const [code, setCode] = useState('');
	const reauth = useReauth();
	const confirm = useMutation({
		mutationFn: () => reauth.run(() => unwrap(api.POST('/api/auth/factors/totp/confirm', { body: { ticket: begun.data?.ticket ?? '', code } }))),
		onSuccess: (made) => onDone(made.recovery_codes),
	});
	return (
		<>
			<form
				className="stack"
				onSubmit={(event: FormEvent) => {
					event.preventDefault();
					confirm.mutate();
				}}
			>
				<h2>Set up an authenticator app</h2>
				{begun.isPending && <Spinner label="Making a secret…" />}
				{begun.isError && <Failure what="There is no secret" error={begun.error} />}
				{begun.data && (
					<>
						<p>Scan this with the app, or type the secret into it:</p>
						<img className="qr" alt="QR code of the secret" width={200} height={200} src={`data:image/svg+xml,${encodeURIComponent(renderSVG(begun.data.uri))}`} />
						<p>
							<code className="secret">{begun.data.secret}</code>
						</p>
						<Field label="The code it shows" name="code" inputMode="numeric" autoComplete="one-time-code" required maxLength={16} value={code} onChange={(e) => setCode(e.target.value)} />
					</>
				)}
				{confirm.error && <p className="field-error" role="alert">{messageOf(confirm.error)}</p>}
				<button type="submit" className="button primary" disabled={!begun.data || confirm.isPending}>
					Switch on
				</button>
			</form>
			{reauth.dialog}
		</>
	);
}

function AddPasskey({ onDone }: { onDone: (codes: string[]) => void }): ReactNode {
	const [name, setName] = useState('My passkey');
	const reauth = useReauth();
	const add = useMutation({
		mutationFn: async () => {
			const asked = await reauth.run(() => unwrap(api.POST('/api/auth/factors/passkeys/options')));
			const credential = await makePasskey(asked.public_key);
			return unwrap(api.POST('/api/auth/factors/passkeys', { body: { ticket: asked.ticket, name, credential } }));
		},
		onSuccess: (made) => onDone(made.recovery_codes),
	});
	return (
		<>
			<form
				className="stack"
				onSubmit={(event: FormEvent) => {
					event.preventDefault();
					add.mutate();
				}}
			>
				<h2>Add a passkey</h2>
				<p>Your device asks for its PIN, your finger or your face. The key never leaves it.</p>
				<Field label="Name of the passkey" name="name" required maxLength={100} value={name} onChange={(e) => setName(e.target.value)} />
				{add.error && <p className="field-error" role="alert">{messageOf(add.error)}</p>}
				<button type="submit" className="button primary" disabled={add.isPending}>
					Go on
				</button>
			</form>
			{reauth.dialog}
		</>
	);
}
