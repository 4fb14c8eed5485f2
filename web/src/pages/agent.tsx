import './../styles/pages.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useId, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { ApiError, messageOf } from '../api/error';
import { agentQuery, modelsQuery, targetsQuery, templatesQuery } from '../api/queries';
import type { Agent, AgentInput } from '../api/types';
import { Confirm, Dialog } from '../ui/dialog';
import { Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';
import { ApiChoice } from './agent-apis';
import { KnowledgeChoice } from './agent-knowledge';
import { MoreSettings, noBudget, type Settings } from './agent-settings';
import { Sharing } from './agent-sharing';
import { useMay } from './user';

const tools = [
	{ name: 'shell' as const, label: 'Shell', hint: 'Runs commands in the sandbox. Each conversation has a folder of its own.' },
	{ name: 'files' as const, label: 'Files', hint: 'Lists, reads, writes, changes and searches files of that folder.' },
	{ name: 'http_fetch' as const, label: 'Web', hint: 'Asks web addresses on the Internet. Requests that change something are risky.' },
	{ name: 'memory' as const, label: 'Memory', hint: 'Remembers things over conversations. Your account page shows what.' },
	{ name: 'agents' as const, label: 'Other agents', hint: 'Lets other agents do a part, or hands the conversation over.' },
	{ name: 'knowledge_search' as const, label: 'Knowledge', hint: 'Searches collections of documents and cites them.' },
	{ name: 'ask_human' as const, label: 'Ask', hint: 'Asks you a question and waits for the answer.' },
];
const approvalModes = [
	{ mode: 'never' as const, label: 'Never, unless the policy for commands asks' },
	{ mode: 'risky' as const, label: 'When it is risky' },
	{ mode: 'always' as const, label: 'Always' },
];
const defaultApproval = { default: 'never' as const, tools: {} };
const blankBase = { name: '', description: '', instructions: '', model: 'default', target: 'local', fallback_models: [], policy: null, variables: [], budget: noBudget, retention: {} };
const defaultLimits = { max_steps: 25, max_seconds: 600, max_output_tokens: 4096 };

const blank = { ...blankBase, tools: ['shell' as const], approval: defaultApproval };

export function AgentPage(): ReactNode {
	const { id = '' } = useParams();
	if (id === 'new') return <NewAgent />;
	return <ExistingAgent key={id} id={id} />;
}

function NewAgent(): ReactNode {
	useTitle('New agent');
	const queries = useQueryClient();
	const navigate = useNavigate();
	/* The same values sent again, after an answer was lost, make one agent. */
	const sent = useRef({ values: '', key: '' });
	const create = useMutation({
		mutationFn: (body: AgentInput) => {
			const values = JSON.stringify(body);
			if (sent.current.values !== values) sent.current = { values, key: newKey() };
			return unwrap(api.POST('/api/agents', { body, params: { header: { 'Idempotency-Key': sent.current.key } } }));
		},
		onSuccess: () => {
			void queries.invalidateQueries({ queryKey: ['agents'] });
			void navigate('/agents');
		},
	});
	const templates = useQuery(templatesQuery);
	const [chosen, setChosen] = useState('');
	const template = templates.data?.find((t) => t.id === chosen);
	const initial = { ...blank, ...(template ?? {}), limits: { ...defaultLimits, ...template?.limits } };
	return (
		<div className="page narrow">
			<h1>New agent</h1>
			<fieldset className="group-box">
				<legend>Begin with</legend>
				<div className="templates">
					{[{ id: '', name: 'Nothing', description: 'An empty form.' }, ...(templates.data ?? [])].map((t) => (
						<label key={t.id} className="check">
							<input type="radio" name="template" checked={chosen === t.id} onChange={() => setChosen(t.id)} />
							<span>
								<strong>{t.name}</strong>
								<span className="hint">{t.description}</span>
							</span>
						</label>
					))}
				</div>
			</fieldset>
			<AgentForm
				key={chosen}
				initial={initial}
				action="Create the agent"
				busy={create.isPending}
				error={create.error}
				onSave={(values) => create.mutate(values)}
			/>
		</div>
	);
}

function ExistingAgent({ id }: { id: string }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const mayWrite = useMay('agents.write');
	const loaded = useQuery(agentQuery(id));
	const [archiving, setArchiving] = useState(false);
	const [sharing, setSharing] = useState(false);
	/* The version that is being edited: what arrives later does not overwrite what is typed. */
	const [base, setBase] = useState<{ agent: Agent; etag: string } | null>(null);
	const shown = base ?? loaded.data;
	useTitle(shown?.agent.name ?? 'Agent');
	const params = { path: { id } };

	const save = useMutation({
		mutationFn: async ({ values, etag }: { values: AgentInput; etag: string }) => {
			let newTag = '';
			const agent = await unwrap(
				api.PATCH('/api/agents/{id}', { params: { ...params, header: { 'If-Match': etag } }, body: values }).then((answer) => {
					newTag = answer.response.headers.get('ETag') ?? '';
					return answer;
				}),
			);
			return { agent, etag: newTag };
		},
		onSuccess: (saved) => {
			queries.setQueryData(agentQuery(id).queryKey, saved);
			setBase(saved);
			void queries.invalidateQueries({ queryKey: ['agents'], exact: true });
		},
	});
	const archive = useMutation({
		mutationFn: () => unwrap(api.DELETE('/api/agents/{id}', { params })),
		onSuccess: () => {
			void navigate('/agents', { replace: true });
			void queries.invalidateQueries({ queryKey: ['agents'], exact: true });
		},
	});

	if (loaded.isPending) return <div className="page"><Spinner label="Loading the agent…" /></div>;
	if (loaded.isError || !shown)
		return (
			<div className="page">
				<h1>Agent</h1>
				<Failure what="The agent cannot be shown" error={loaded.error} retry={() => void loaded.refetch()} />
			</div>
		);
	const mayEdit = shown.agent.rights.includes('edit');
	const conflict = save.error instanceof ApiError && (save.error.status === 412 || save.error.status === 428);
	return (
		<div className="page narrow">
			<div className="page-head">
				<div>
					<h1>{shown.agent.name}</h1>
					<p className="muted small">
						<Link to={`/agents/${id}/versions`}>Version {shown.agent.version}</Link> · {sharedWords[shown.agent.shared]} · <code>ogent chat --agent {shown.agent.slug}</code>
					</p>
				</div>
				<div className="row">
					<Link to={`/chat?agent=${id}`} className="button">
						Chat
					</Link>
					<ExportButton agent={shown.agent} />
					{mayWrite && shown.agent.rights.includes('share') && (
						<button type="button" className="button" onClick={() => setSharing(true)}>
							Share
						</button>
					)}
					{mayWrite && mayEdit && (
						<button type="button" className="button danger ghost" onClick={() => setArchiving(true)}>
							Archive
						</button>
					)}
				</div>
			</div>
			{conflict && (
				<Notice tone="warn" title="Somebody else saved this agent in the meantime">
					<p>Nothing of yours is lost or saved yet. Look at the other version, or save yours over it.</p>
					<div className="row">
						<button
							type="button"
							className="button"
							onClick={() =>
								void loaded.refetch().then(({ data }) => {
									if (data) setBase(data);
									save.reset();
								})
							}
						>
							Load the other version
						</button>
						<button
							type="button"
							className="button danger ghost"
							onClick={() =>
								void loaded.refetch().then(({ data }) => {
									if (data && save.variables) save.mutate({ values: save.variables.values, etag: data.etag });
								})
							}
						>
							Save mine over it
						</button>
					</div>
				</Notice>
			)}
			<AgentForm
				key={shown.agent.version}
				initial={{ ...shown.agent, budget: shown.agent.budget ?? noBudget, retention: shown.agent.retention ?? {} }}
				action="Save"
				busy={save.isPending}
				saved={save.isSuccess}
				error={conflict ? null : save.error}
				readOnly={!mayWrite || !mayEdit}
				onSave={(values) => save.mutate({ values, etag: shown.etag })}
			/>
			<Confirm
				open={archiving}
				title={`Archive ${shown.agent.name}?`}
				text="It can no longer be chosen. Its conversations and runs stay."
				action="Archive"
				busy={archive.isPending}
				error={archive.isError ? messageOf(archive.error) : null}
				onConfirm={() => archive.mutate()}
				onClose={() => setArchiving(false)}
			/>
			<Dialog open={sharing} onClose={() => setSharing(false)} label={`Share ${shown.agent.name}`}>
				{sharing && (
					<Sharing
						name={shown.agent.name}
						initial={shown.agent.shares}
						put={(shares) => unwrap(api.PUT('/api/agents/{id}/shares', { params, body: { shares } }))}
						onDone={() => {
							setSharing(false);
							void queries.invalidateQueries({ queryKey: ['agents'], exact: true });
							void loaded.refetch().then(({ data }) => data && setBase((old) => (old ? { ...old, agent: { ...old.agent, shared: data.agent.shared, shares: data.agent.shares } } : old)));
						}}
					/>
				)}
			</Dialog>
		</div>
	);
}

const sharedWords = { private: 'only yours', roles: 'shared with roles', everyone: 'shared with everyone' };

/* The file comes with the session's token, so it is fetched and handed over. */
function ExportButton({ agent }: { agent: Agent }): ReactNode {
	const get = useMutation({
		mutationFn: () => unwrap(api.GET('/api/agents/{id}/export', { params: { path: { id: agent.id } } })),
		onSuccess: (file) => {
			const url = URL.createObjectURL(new Blob([JSON.stringify(file, null, 2)], { type: 'application/json' }));
			const link = document.createElement('a');
			link.href = url;
			link.download = `${agent.slug}.ogent.json`;
			link.click();
			URL.revokeObjectURL(url);
		},
	});
	return (
		<>
			<button type="button" className="button" onClick={() => get.mutate()} disabled={get.isPending}>
				Export
			</button>
			{get.isError && (
				<span role="alert" className="field-error">
					{messageOf(get.error)}
				</span>
			)}
		</>
	);
}

type Values = Required<Pick<AgentInput, 'name' | 'description' | 'instructions' | 'model' | 'tools' | 'approval' | 'target'>> & Pick<AgentInput, 'tool_options' | 'apis'> & Settings & { limits: typeof defaultLimits };

function AgentForm({
	initial,
	action,
	busy,
	saved = false,
	error,
	readOnly = false,
	onSave,
}: {
	initial: Values;
	action: string;
	busy: boolean;
	saved?: boolean;
	error: unknown;
	readOnly?: boolean;
	onSave: (values: Values) => void;
}): ReactNode {
	const id = useId();
	const [values, setValues] = useState<Values>(() => ({
		name: initial.name,
		description: initial.description,
		instructions: initial.instructions,
		model: initial.model,
		tools: initial.tools,
		tool_options: initial.tool_options ?? {},
		approval: initial.approval,
		target: initial.target,
		limits: initial.limits,
		fallback_models: initial.fallback_models,
		policy: initial.policy,
		variables: initial.variables,
		budget: initial.budget,
		retention: initial.retention,
		apis: initial.apis ?? [],
	}));
	const mayUseApis = useMay('apis.use');
	const [hosts, setHosts] = useState((initial.tool_options?.http_fetch?.hosts ?? []).join(' '));
	const [changed, setChanged] = useState(false);
	const change = (part: Partial<Values>) => {
		setValues((old) => ({ ...old, ...part }));
		setChanged(true);
	};
	function submit(event: FormEvent): void {
		event.preventDefault();
		setChanged(false);
		onSave({ ...values, name: values.name.trim() });
	}
	return (
		<form onSubmit={submit}>
			<fieldset disabled={readOnly} className="plain stack">
				<Field label="Name" required maxLength={100} value={values.name} onChange={(e) => change({ name: e.target.value })} />
				<Field label="Description" maxLength={1000} hint="One line for people who choose an agent." value={values.description} onChange={(e) => change({ description: e.target.value })} />
				<div className="field">
					<label htmlFor={`${id}-instructions`}>Instructions</label>
					<textarea
						id={`${id}-instructions`}
						rows={8}
						maxLength={100_000}
						value={values.instructions}
						aria-describedby={`${id}-instructions-hint`}
						onChange={(e) => change({ instructions: e.target.value })}
					/>
					<p className="hint" id={`${id}-instructions-hint`}>
						What the model is told before every conversation.
					</p>
				</div>
				<ModelChoice value={values.model} onChange={(model) => change({ model })} />
				<fieldset className="group-box">
					<legend>Tools</legend>
					{tools.map((tool) => (
						<label key={tool.name} className="check">
							<input
								type="checkbox"
								checked={values.tools.includes(tool.name)}
								onChange={(e) => change({ tools: e.target.checked ? [...values.tools, tool.name] : values.tools.filter((t) => t !== tool.name) })}
							/>
							<span>
								<strong>{tool.label}</strong>
								<span className="hint">{tool.hint}</span>
							</span>
						</label>
					))}
				</fieldset>
				{values.tools.includes('http_fetch') && (
					<Field
						label="Web hosts"
						hint="The only hosts that it may ask, with spaces between them, such as example.org *.example.net. Empty: all on the Internet."
						value={hosts}
						onChange={(e) => {
							setHosts(e.target.value);
							change({ tool_options: { ...values.tool_options, http_fetch: { hosts: e.target.value.toLowerCase().split(/[\s,]+/).filter(Boolean) } } });
						}}
					/>
				)}
				{values.tools.includes('knowledge_search') && (
					<KnowledgeChoice value={values.tool_options?.knowledge_search?.collections ?? []} onChange={(collections) => change({ tool_options: { ...values.tool_options, knowledge_search: { ...values.tool_options?.knowledge_search, collections } } })} />
				)}
				{mayUseApis && <ApiChoice value={values.apis ?? []} onChange={(apis) => change({ apis })} />}
				<div className="field">
					<label htmlFor={`${id}-approval`}>Calls that need your approval</label>
					<select
						id={`${id}-approval`}
						value={values.approval.default ?? 'never'}
						onChange={(e) => change({ approval: { ...values.approval, default: e.target.value as (typeof approvalModes)[number]['mode'] } })}
					>
						{approvalModes.map(({ mode, label }) => (
							<option key={mode} value={mode}>
								{label}
							</option>
						))}
					</select>
				</div>
				{values.tools.length > 0 && (
					<fieldset className="group-box">
						<legend>Approval by tool</legend>
						<div className="three">
							{values.tools.map((tool) => (
								<div key={tool} className="field">
									<label htmlFor={`${id}-approval-${tool}`}>{tool}</label>
									<select
										id={`${id}-approval-${tool}`}
										value={values.approval.tools?.[tool] ?? ''}
										onChange={(e) => {
											const { [tool]: _, ...others } = values.approval.tools ?? {};
											change({ approval: { ...values.approval, tools: e.target.value ? { ...others, [tool]: e.target.value as (typeof approvalModes)[number]['mode'] } : others } });
										}}
									>
										<option value="">As above</option>
										{approvalModes.map(({ mode, label }) => (
											<option key={mode} value={mode}>
												{label}
											</option>
										))}
									</select>
								</div>
							))}
						</div>
					</fieldset>
				)}
				<TargetChoice value={values.target} onChange={(target) => change({ target })} />
				<MoreSettings values={values} onChange={change} />
				<fieldset className="group-box">
					<legend>Limits of one run</legend>
					<div className="three">
						<LimitField label="Steps" hint="Calls of the model" min={1} max={200} value={values.limits.max_steps} onChange={(max_steps) => change({ limits: { ...values.limits, max_steps } })} />
						<LimitField label="Seconds" hint="The whole run" min={1} max={86_400} value={values.limits.max_seconds} onChange={(max_seconds) => change({ limits: { ...values.limits, max_seconds } })} />
						<LimitField
							label="Output tokens"
							hint="Of each answer"
							min={1}
							max={1_000_000}
							value={values.limits.max_output_tokens}
							onChange={(max_output_tokens) => change({ limits: { ...values.limits, max_output_tokens } })}
						/>
					</div>
				</fieldset>
				{error !== null && error !== undefined && <Notice tone="bad">{messageOf(error)}</Notice>}
				{readOnly ? (
					<Notice tone="info">Your role may look at agents, not change them.</Notice>
				) : (
					<div className="row">
						<button type="submit" className="button primary" disabled={busy}>
							{busy ? 'Saving…' : action}
						</button>
						<span role="status" className="muted">
							{saved && !changed && !busy ? 'Saved.' : ''}
						</span>
					</div>
				)}
			</fieldset>
		</form>
	);
}

function LimitField({ label, hint, min, max, value, onChange }: { label: string; hint: string; min: number; max: number; value: number; onChange: (value: number) => void }): ReactNode {
	const [text, setText] = useState(String(value));
	return (
		<Field
			label={label}
			hint={hint}
			type="number"
			required
			min={min}
			max={max}
			value={text}
			onChange={(e) => {
				setText(e.target.value);
				if (e.target.value !== '' && Number.isInteger(e.target.valueAsNumber)) onChange(e.target.valueAsNumber);
			}}
		/>
	);
}

function ModelChoice({ value, onChange }: { value: string; onChange: (model: string) => void }): ReactNode {
	const id = useId();
	const models = useQuery(modelsQuery);
	const items = models.data?.items ?? [];
	const known = value === 'default' || items.some((model) => model.id === value);
	return (
		<div className="field">
			<label htmlFor={id}>Model</label>
			<select id={id} value={value} onChange={(e) => onChange(e.target.value)} aria-describedby={`${id}-hint`}>
				<option value="default">Default{models.data ? ` (now ${models.data.default.id})` : ''}</option>
				{items.map((model) => (
					<option key={`${model.provider}/${model.id}`} value={model.id}>
						{model.name} ({model.provider}
						{model.available ? '' : ', not available now'})
					</option>
				))}
				{!known && <option value={value}>{value} (not available now)</option>}
			</select>
			<p className="hint" id={`${id}-hint`}>
				{models.data?.default.demo ? 'The default is the demo model, which answers by fixed rules. Set OPENAI_API_KEY for a real one.' : 'Default follows what this installation offers.'}
			</p>
		</div>
	);
}

/* Only where there is a choice. */
function TargetChoice({ value, onChange }: { value: string; onChange: (target: string) => void }): ReactNode {
	const id = useId();
	const targets = useQuery(targetsQuery);
	const items = targets.data?.items ?? [];
	const known = items.some((target) => target.name === value);
	if (value === 'local' && items.length < 2) return null;
	return (
		<div className="field">
			<label htmlFor={id}>Commands run on</label>
			<select id={id} value={value} onChange={(e) => onChange(e.target.value)} aria-describedby={`${id}-hint`}>
				{items.map((target) => (
					<option key={target.name} value={target.name}>
						{target.kind === 'local' ? 'This machine' : target.name}
						{target.state === 'ready' ? '' : ` (${target.state})`}
					</option>
				))}
				{!known && <option value={value}>{value} (not configured)</option>}
			</select>
			<p className="hint" id={`${id}-hint`}>
				Each command runs in a sandbox there. Files stay where they were made.
			</p>
		</div>
	);
}
