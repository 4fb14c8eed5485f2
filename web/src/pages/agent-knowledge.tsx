import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';

import { collectionsQuery } from '../api/queries';
import { Failure } from '../ui/parts';

/** Where the agent searches; none: wherever the user of a run may. */
export function KnowledgeChoice({ value, onChange }: { value: string[]; onChange: (ids: string[]) => void }): ReactNode {
	const collections = useQuery(collectionsQuery);
	if (collections.isError) return <Failure what="The collections cannot be read" error={collections.error} retry={() => void collections.refetch()} />;
	return (
		<fieldset className="group-box">
			<legend>Collections that it searches</legend>
			<p className="hint">None chosen: all that the person it works for may see.</p>
			{collections.data?.map((c) => (
				<label key={c.id} className="check">
					<input type="checkbox" checked={value.includes(c.id)} onChange={(e) => onChange(e.target.checked ? [...value, c.id] : value.filter((id) => id !== c.id))} />
					<span>
						<strong>{c.name}</strong>
						{c.description && <span className="hint">{c.description}</span>}
					</span>
				</label>
			))}
		</fieldset>
	);
}
