import './../styles/pages.css';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { ListChecks, Plus } from 'lucide-react';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router';

import { api, newKey, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import { evaluationsQuery } from '../api/evaluations';
import { Dialog } from '../ui/dialog';
import { plural } from '../ui/format';
import { Failure, Field, Notice, Spinner, useTitle } from '../ui/parts';

/** Sets of cases with which agents are tried. */
export function EvaluationsPage(): ReactNode {
	useTitle('Evaluations');
	const sets = useQuery(evaluationsQuery);
	const [making, setMaking] = useState(false);
	return (
		<div className="page">
			<div className="page-head">
				<div>
					<h1>Evaluations</h1>
					<p className="muted">A set of cases says what an agent should be able to do. Run it against versions of agents and compare them.</p>
				</div>
				<button type="button" className="button primary" onClick={() => setMaking(true)}>
					<Plus aria-hidden size={17} /> New set
				</button>
			</div>
			{sets.isPending && <Spinner label="Loading the sets…" />}
			{sets.isError && <Failure what="The sets cannot be read" error={sets.error} retry={() => void sets.refetch()} />}
			{sets.data?.length === 0 && <p className="empty">There is no evaluation set yet.</p>}
			<ul className="cards">
				{sets.data?.map((set) => (
					<li key={set.id} className="card">
						<h2>
							<ListChecks aria-hidden size={18} /> <Link to={`/evaluations/${set.id}`}>{set.name}</Link>
						</h2>
						<p className="muted">{set.description || 'No description.'}</p>
						<p className="facts-line">
							<span>{plural(set.cases, 'case')}</span>
							<span>{plural(set.graders.length, 'grader')}</span>
						</p>
					</li>
				))}
			</ul>
			<Dialog open={making} onClose={() => setMaking(false)} label="New evaluation set">
				<NewSet onClose={() => setMaking(false)} />
			</Dialog>
		</div>
	);
}

function NewSet({ onClose }: { onClose: () => void }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const [name, setName] = useState('');
	const [description, setDescription] = useState('');
	const make = useMutation({
		mutationFn: () => unwrap(api.POST('/api/evaluations', { params: { header: { 'Idempotency-Key': newKey() } }, body: { name, description, graders: [{ type: 'contains' }] } })),
		onSuccess: (set) => {
			void queries.invalidateQueries({ queryKey: ['evaluations'] });
			void navigate(`/evaluations/${set.id}`);
		},
	});
	return (
		<form
			className="stack"
			onSubmit={(event: FormEvent) => {
				event.preventDefault();
				make.mutate();
			}}
		>
			<h2>New evaluation set</h2>
			<Field label="Name" name="set-name" required maxLength={200} value={name} onChange={(e) => setName(e.target.value)} />
			<Field label="Description" name="set-description" maxLength={2000} value={description} onChange={(e) => setDescription(e.target.value)} />
			{make.isError && <Notice tone="bad">{messageOf(make.error)}</Notice>}
			<div className="row end">
				<button type="button" className="button" onClick={onClose}>
					Cancel
				</button>
				<button type="submit" className="button primary" disabled={make.isPending}>
					Make it
				</button>
			</div>
		</form>
	);
}
