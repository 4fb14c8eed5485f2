import './../styles/pages.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { apisQuery } from '../api/queries';
import type { ApiSource, ApiSourceInput } from '../api/types';
import { Dialog } from '../ui/dialog';
import { Badge, Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';

export function ApisPage(): ReactNode {
	useTitle('APIs');
	const apis = useQuery(apisQuery);
	const [adding, setAdding] = useState(false);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>APIs</h1>
					<p className="muted">HTTP APIs that agents can call, described by OpenAPI documents.</p>
				</div>
				<button type="button" className="button primary" onClick={() => setAdding(true)}>
					<Plus aria-hidden size={17} /> Add an API
				</button>
			</div>
			{apis.isPending && <Spinner label="Loading the APIs…" />}
			{apis.isError && <Failure what="The APIs cannot be read" error={apis.error} retry={() => void apis.refetch()} />}
			{apis.data?.length === 0 && <p className="empty">There is no API yet.</p>}
			<ul className="runs" aria-label="APIs">
				{apis.data?.map((source) => <ApiRow key={source.id} source={source} />)}
			</ul>
			<Dialog open={adding} onClose={() => setAdding(false)} label="Add an API">
				{adding && <ApiForm onDone={() => setAdding(false)} />}
			</Dialog>
		</div>
	);
}

const sharedWords = { private: 'private', roles: 'shared with roles', everyone: 'shared with everyone' };

function ApiRow({ source }: { source: ApiSource }): ReactNode {
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<Link to={`/apis/${source.id}`}>
					<strong>{source.name}</strong>
				</Link>{' '}
				<span className="muted">{source.slug}</span>
				<p className="run-answer">{source.base_url}</p>
			</div>
			<div className="run-facts">
				{source.schemes.length > 0 && source.schemes.every((s) => !s.set) && <Badge tone="warn">no credentials</Badge>}
				<span>{sharedWords[source.shared]}</span>
			</div>
		</li>
	);
}

function ApiForm({ onDone }: { onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const [url, setUrl] = useState('');
	const [text, setText] = useState('');
	const [name, setName] = useState('');
	const [address, setAddress] = useState('');
	/* The same values sent again, after an answer was lost, make one API. */
	const sent = useRef({ values: '', key: '' });
	const save = useMutation({
		mutationFn: () => {
			const body: ApiSourceInput = {
				...(text.trim() ? { document: text } : { url: url.trim() }),
				...(name.trim() ? { name: name.trim() } : {}),
				...(address.trim() ? { base_url: address.trim() } : {}),
			};
			const values = JSON.stringify(body);
			if (sent.current.values !== values) sent.current = { values, key: newKey() };
			return unwrap(api.POST('/api/apis', { body, params: { header: { 'Idempotency-Key': sent.current.key } } }));
		},
		onSuccess: (made) => {
			void queries.invalidateQueries({ queryKey: ['apis'] });
			onDone();
			void navigate(`/apis/${made.id}`);
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
			<h2>Add an API</h2>
			<Field label="Address of the document" type="url" hint="An OpenAPI 3 document in JSON or YAML." value={url} onChange={(e) => setUrl(e.target.value)} required={!text.trim()} maxLength={2000} autoFocus />
			<label className="field">
				<span>Or a file of it</span>
				<input type="file" accept=".json,.yaml,.yml,application/json,application/yaml" onChange={(e) => void e.target.files?.[0]?.text().then(setText)} />
			</label>
			<label className="field">
				<span>Or its text</span>
				<textarea rows={6} value={text} onChange={(e) => setText(e.target.value)} spellCheck={false} />
			</label>
			<Field label="Name" hint="Its title, unless you give one." value={name} onChange={(e) => setName(e.target.value)} maxLength={100} />
			<Field label="Address of the API" hint="Only when it is another one than the document says." value={address} onChange={(e) => setAddress(e.target.value)} maxLength={500} />
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={save.isPending}>
					{save.isPending ? 'Reading…' : 'Add'}
				</button>
			</div>
		</form>
	);
}
