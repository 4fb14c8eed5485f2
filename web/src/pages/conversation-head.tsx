import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Folder, Pencil, Pin, SquareTerminal, Trash2 } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router';

import { api, unwrap } from '../api/client';
import { messageOf } from '../api/error';
import type { Conversation } from '../api/types';
import { Confirm } from '../ui/dialog';
import { useMay } from './user';

export function ConversationHead({ conversation }: { conversation: Conversation }): ReactNode {
	const queries = useQueryClient();
	const navigate = useNavigate();
	const may = useMay('conversations.use');
	const mayFiles = useMay('commands.read');
	const [editing, setEditing] = useState(false);
	const [deleting, setDeleting] = useState(false);
	const { id } = conversation;
	const params = { path: { id } };
	const change = useMutation({
		mutationFn: (body: { title: string } | { kept: boolean }) => unwrap(api.PATCH('/api/conversations/{id}', { params, body })),
		onSuccess: (changed) => {
			queries.setQueryData(['conversation', id], changed);
			void queries.invalidateQueries({ queryKey: ['conversations'] });
			setEditing(false);
		},
	});
	const remove = useMutation({
		mutationFn: () => unwrap(api.DELETE('/api/conversations/{id}', { params })),
		onSuccess: () => {
			void navigate('/chat', { replace: true });
			void queries.invalidateQueries({ queryKey: ['conversations'] });
		},
	});
	return (
		<div className="chat-head">
			{editing ? (
				<form
					className="rename"
					onSubmit={(event) => {
						event.preventDefault();
						const title = new FormData(event.currentTarget).get('title');
						if (typeof title === 'string' && title.trim()) change.mutate({ title: title.trim() });
					}}
				>
					<label htmlFor="rename" className="visually-hidden">
						Title
					</label>
					<input id="rename" name="title" defaultValue={conversation.title} maxLength={200} required autoFocus onKeyDown={(e) => e.key === 'Escape' && setEditing(false)} />
					<button type="submit" className="button small" disabled={change.isPending}>
						Save
					</button>
				</form>
			) : (
				<h1>{conversation.title || 'New conversation'}</h1>
			)}
			{change.isError && (
				<span role="alert" className="field-error">
					{messageOf(change.error)}
				</span>
			)}
			{!editing && conversation.forked_from && (
				<Link className="small" to={`/compare?a=${conversation.forked_from.conversation_id}&b=${id}`}>
					Fork: compare
				</Link>
			)}
			{mayFiles && !editing && (
				<>
					<Link to={`/files/${id}`} className="icon-button" aria-label="Files of the conversation" title="Files">
						<Folder aria-hidden size={16} />
					</Link>
					<Link to={`/terminal/${id}`} className="icon-button" aria-label="Terminal in the conversation's workspace" title="Terminal">
						<SquareTerminal aria-hidden size={16} />
					</Link>
				</>
			)}
			{may && !editing && (
				<>
					<button
						type="button"
						className="icon-button"
						aria-label="Keep the conversation"
						aria-pressed={conversation.kept}
						title={conversation.kept ? 'Kept: it stays, whatever the rules of retention say' : 'Keep it, whatever the rules of retention say'}
						disabled={change.isPending}
						onClick={() => change.mutate({ kept: !conversation.kept })}
					>
						<Pin aria-hidden size={16} />
					</button>
					<button type="button" className="icon-button" aria-label="Rename the conversation" onClick={() => setEditing(true)}>
						<Pencil aria-hidden size={16} />
					</button>
					<button type="button" className="icon-button" aria-label="Delete the conversation" onClick={() => setDeleting(true)}>
						<Trash2 aria-hidden size={16} />
					</button>
				</>
			)}
			<Confirm
				open={deleting}
				title="Delete this conversation?"
				text="Its messages are removed. A run that is still going on is stopped."
				action="Delete"
				busy={remove.isPending}
				error={remove.isError ? messageOf(remove.error) : null}
				onConfirm={() => remove.mutate()}
				onClose={() => setDeleting(false)}
			/>
		</div>
	);
}
