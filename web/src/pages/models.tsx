import './../styles/pages.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useRef, useState, type FormEvent, type ReactNode } from 'react';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { modelsQuery, providersQuery } from '../api/queries';
import type { Model, ModelProvider, ModelProviderInput } from '../api/types';
import { Confirm, Dialog } from '../ui/dialog';
import { formatCount } from '../ui/format';
import { Badge, Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';
import { useMay, useUser } from './user';

const kinds: Record<ModelProvider['provider'], string> = {
	openai: 'OpenAI',
	responses: 'OpenAI (Responses API)',
	anthropic: 'Anthropic',
	ollama: 'Ollama',
	compatible: 'Compatible with OpenAI',
};
const needsAddress = (kind: ModelProvider['provider']) => kind === 'ollama' || kind === 'compatible';

export function ModelsPage(): ReactNode {
	useTitle('Models');
	const models = useQuery(modelsQuery);
	const providers = useQuery(providersQuery);
	const mayConnect = useMay('models.connect');
	const [editing, setEditing] = useState<ModelProvider | 'new' | null>(null);
	const [removing, setRemoving] = useState<ModelProvider | null>(null);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Models</h1>
					<p className="muted">{models.data ? `“default” is ${models.data.default.id} now.` : 'Which models agents can use.'}</p>
				</div>
				{mayConnect && (
					<button type="button" className="button primary" onClick={() => setEditing('new')}>
						<Plus aria-hidden size={17} /> Connect a provider
					</button>
				)}
			</div>
			{providers.isPending && <Spinner label="Loading the providers…" />}
			{providers.isError && <Failure what="The providers cannot be read" error={providers.error} retry={() => void providers.refetch()} />}
			{providers.data?.length === 0 && <p className="empty">No provider is connected yet.</p>}
			<ul className="runs" aria-label="Providers">
				{providers.data?.map((p) => <ProviderRow key={p.id} provider={p} onEdit={() => setEditing(p)} onRemove={() => setRemoving(p)} />)}
			</ul>
			<h2>Models to choose from</h2>
			{models.isError && <Failure what="The models cannot be read" error={models.error} retry={() => void models.refetch()} />}
			<ul className="runs" aria-label="Models">
				{models.data?.items.map((m) => <ModelRow key={`${m.connection_id}/${m.id}`} model={m} />)}
			</ul>
			<Dialog open={editing !== null} onClose={() => setEditing(null)} label={editing === 'new' ? 'Connect a provider' : 'Change the provider'}>
				{editing !== null && <ProviderForm provider={editing === 'new' ? null : editing} onDone={() => setEditing(null)} />}
			</Dialog>
			<Remove provider={removing} onDone={() => setRemoving(null)} />
		</div>
	);
}

function ModelRow({ model }: { model: Model }): ReactNode {
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{model.id}</strong>
			</div>
			<div className="run-facts">
				{model.default && <Badge tone="good">default</Badge>}
				{!model.available && <Badge tone="warn">fails now</Badge>}
				{model.context !== null && <span>{formatCount(model.context)} tokens</span>}
				{model.prices && (
					<span>
						${model.prices.input} in, ${model.prices.output} out for a million tokens
					</span>
				)}
			</div>
		</li>
	);
}

function ProviderRow({ provider, onEdit, onRemove }: { provider: ModelProvider; onEdit: () => void; onRemove: () => void }): ReactNode {
	const mayManage = useMay('models.manage');
	const mayChange = useUser().id === provider.owner_id || mayManage;
	const queries = useQueryClient();
	const test = useMutation({
		mutationFn: () => unwrap(api.POST('/api/models/providers/{id}/test', { params: { path: { id: provider.id } }, body: provider.default_model ? { model: provider.default_model } : {} })),
		onSuccess: () => void queries.invalidateQueries({ queryKey: ['models'] }),
	});
	return (
		<li className="run-row user-row">
			<div className="run-main">
				<strong>{provider.name}</strong> <span className="muted">{kinds[provider.provider]}</span>
				<p className="run-answer">
					{provider.base_url} · {provider.key_end === null ? 'no key' : `key …${provider.key_end}`}
				</p>
				<p role="status">
					{test.isPending && 'Testing…'}
					{test.data && (test.data.ok ? `It works: ${test.data.models.length} models, ${test.data.latency_ms} ms.` : test.data.error?.message)}
					{test.isError && messageOf(test.error)}
				</p>
			</div>
			<div className="run-facts">
				{!provider.enabled && <Badge tone="warn">off</Badge>}
				{!provider.key_readable && <Badge tone="warn">set the key again</Badge>}
				{!provider.working && <Badge tone="warn">fails now</Badge>}
				{provider.is_default && <Badge tone="good">default</Badge>}
				<span>{provider.shared ? 'for everybody' : 'yours'}</span>
			</div>
			{mayChange && (
				<div className="row">
					<button type="button" className="button small" disabled={test.isPending || !provider.enabled} onClick={() => test.mutate()} aria-label={`Test ${provider.name}`}>
						Test
					</button>
					<button type="button" className="button small" onClick={onEdit} aria-label={`Change ${provider.name}`}>
						Change
					</button>
					<button type="button" className="button small" onClick={onRemove} aria-label={`Remove ${provider.name}`}>
						Remove
					</button>
				</div>
			)}
		</li>
	);
}

function Remove({ provider, onDone }: { provider: ModelProvider | null; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const remove = useMutation({
		mutationFn: async (id: string) => {
			await unwrap(api.DELETE('/api/models/providers/{id}', { params: { path: { id } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['models'] });
			onDone();
		},
	});
	return (
		<Confirm
			open={provider !== null}
			title="Remove the provider?"
			text={`Its key is deleted. Agents that use ${provider?.slug ?? ''}/… ask their fallback models, or fail.`}
			action="Remove"
			busy={remove.isPending}
			error={remove.isError ? messageOf(remove.error) : null}
			onConfirm={() => provider && remove.mutate(provider.id)}
			onClose={onDone}
		/>
	);
}

function ProviderForm({ provider, onDone }: { provider: ModelProvider | null; onDone: () => void }): ReactNode {
	const queries = useQueryClient();
	const mayManage = useMay('models.manage');
	const [name, setName] = useState(provider?.name ?? '');
	const [kind, setKind] = useState<ModelProvider['provider']>(provider?.provider ?? 'openai');
	const [address, setAddress] = useState(provider?.base_url ?? '');
	const [key, setKey] = useState('');
	const [model, setModel] = useState(provider?.default_model ?? '');
	const [shared, setShared] = useState(provider?.shared ?? mayManage);
	const [isDefault, setIsDefault] = useState(provider?.is_default ?? false);
	const [enabled, setEnabled] = useState(provider?.enabled ?? true);
	const [atOnce, setAtOnce] = useState(String(provider?.max_concurrent ?? 0));
	const [requests, setRequests] = useState(String(provider?.requests_per_minute ?? 0));
	const [tokens, setTokens] = useState(String(provider?.tokens_per_minute ?? 0));
	/* The same values sent again, after an answer was lost, make one provider. */
	const sent = useRef({ values: '', key: '' });
	const save = useMutation({
		mutationFn: async () => {
			const common = {
				name: name.trim(),
				...(address.trim() && address.trim() !== provider?.base_url ? { base_url: address.trim() } : {}),
				...(key ? { key } : {}),
				default_model: model.trim() || null,
				is_default: isDefault,
				enabled,
				max_concurrent: Number(atOnce) || 0,
				requests_per_minute: Number(requests) || 0,
				tokens_per_minute: Number(tokens) || 0,
			};
			if (provider) {
				await unwrap(api.PATCH('/api/models/providers/{id}', { params: { path: { id: provider.id }, header: { 'If-Match': `"${provider.version}"` } }, body: common }));
				return;
			}
			const body: ModelProviderInput = { ...common, provider: kind, shared };
			const values = JSON.stringify(body);
			if (sent.current.values !== values) sent.current = { values, key: newKey() };
			await unwrap(api.POST('/api/models/providers', { body, params: { header: { 'Idempotency-Key': sent.current.key } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['models'] });
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
			<h2>{provider ? `Change ${provider.name}` : 'Connect a provider'}</h2>
			<Field label="Name" value={name} onChange={(e) => setName(e.target.value)} required maxLength={100} autoFocus />
			{!provider && (
				<label className="field">
					<span>Provider</span>
					<select value={kind} onChange={(e) => setKind(e.target.value as ModelProvider['provider'])}>
						{Object.entries(kinds)
							.filter(([k]) => mayManage || !needsAddress(k as ModelProvider['provider']))
							.map(([k, label]) => (
								<option key={k} value={k}>
									{label}
								</option>
							))}
					</select>
				</label>
			)}
			{mayManage && (
				<Field
					label="Address"
					hint={needsAddress(kind) ? 'For example http://127.0.0.1:11434 for Ollama, or one that ends in /v1.' : 'Leave it empty for the provider’s own.'}
					value={address}
					onChange={(e) => setAddress(e.target.value)}
					required={needsAddress(kind)}
					maxLength={500}
				/>
			)}
			<Field
				label="Key"
				type="password"
				autoComplete="off"
				hint={provider && provider.key_end !== null ? 'Leave it empty to keep the one that is set.' : 'It is stored sealed and never shown again.'}
				value={key}
				onChange={(e) => setKey(e.target.value)}
			/>
			<Field label="Default model" hint="The provider’s own name of it." value={model} onChange={(e) => setModel(e.target.value)} required={isDefault} maxLength={150} />
			<Field label="Calls at once" type="number" min={0} max={10000} hint="0: no limit." value={atOnce} onChange={(e) => setAtOnce(e.target.value)} />
			<Field label="Calls a minute" type="number" min={0} max={1000000} hint="0: no limit." value={requests} onChange={(e) => setRequests(e.target.value)} />
			<Field label="Tokens a minute" type="number" min={0} max={1000000000} hint="Read and written; 0: no limit." value={tokens} onChange={(e) => setTokens(e.target.value)} />
			{!provider && mayManage && (
				<label className="check">
					<input type="checkbox" checked={shared} onChange={(e) => setShared(e.target.checked)} /> <span>For everybody</span>
				</label>
			)}
			<label className="check">
				<input type="checkbox" checked={isDefault} onChange={(e) => setIsDefault(e.target.checked)} /> <span>Its default model is what “default” means</span>
			</label>
			{provider && (
				<label className="check">
					<input type="checkbox" checked={enabled} onChange={(e) => setEnabled(e.target.checked)} /> <span>In use</span>
				</label>
			)}
			{save.isError && <Notice tone="bad">{messageOf(save.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onDone}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={save.isPending}>
					{save.isPending ? 'Saving…' : provider ? 'Save' : 'Connect'}
				</button>
			</div>
		</form>
	);
}
