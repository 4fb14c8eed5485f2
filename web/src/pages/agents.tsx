import './../styles/pages.css';

import { useQuery } from '@tanstack/react-query';
import { Bot, FileUp, Plus } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { Link } from 'react-router';

import { agentsQuery } from '../api/queries';
import { Failure, Spinner, useTitle } from '../ui/parts';
import { Dialog } from '../ui/dialog';
import { ImportAgent } from './agent-import';
import { useMay } from './user';

export function AgentsPage(): ReactNode {
	useTitle('Agents');
	const agents = useQuery(agentsQuery);
	const mayWrite = useMay('agents.write');
	const mayChat = useMay('conversations.use');
	const [importing, setImporting] = useState(false);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Agents</h1>
					<p className="muted">An agent is a model with instructions, tools and limits.</p>
				</div>
				{mayWrite && (
					<div className="row">
						<button type="button" className="button" onClick={() => setImporting(true)}>
							<FileUp aria-hidden size={17} /> Import
						</button>
						<Link to="/agents/new" className="button primary">
							<Plus aria-hidden size={17} /> New agent
						</Link>
					</div>
				)}
			</div>
			{agents.isPending && <Spinner label="Loading the agents…" />}
			{agents.isError && <Failure what="The agents cannot be read" error={agents.error} retry={() => void agents.refetch()} />}
			{agents.data?.length === 0 && <p className="empty">There is no agent yet. {mayWrite && <Link to="/agents/new">Create the first one</Link>}</p>}
			<ul className="cards">
				{agents.data?.map((agent) => (
					<li key={agent.id} className="card">
						<h2>
							<Bot aria-hidden size={18} /> <Link to={`/agents/${agent.id}`}>{agent.name}</Link>
						</h2>
						<p className="muted">{agent.description || 'No description.'}</p>
						<p className="facts-line">
							<span>{agent.model === 'default' ? 'default model' : agent.model}</span>
							<span>{agent.tools.length > 0 ? `tools: ${agent.tools.join(', ')}` : 'no tools'}</span>
						</p>
						{mayChat && (
							<Link to={`/chat?agent=${agent.id}`} className="button small" aria-label={`Chat with ${agent.name}`}>
								Chat
							</Link>
						)}
					</li>
				))}
			</ul>
			<Dialog open={importing} onClose={() => setImporting(false)} label="Import an agent">
				{importing && <ImportAgent onDone={() => setImporting(false)} />}
			</Dialog>
		</div>
	);
}
