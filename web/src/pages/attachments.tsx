import { useQuery } from '@tanstack/react-query';
import { FileText, X } from 'lucide-react';
import { useEffect, useState, type ReactNode } from 'react';

import { dataUrl, readAttachment, type Attachment } from '../api/attachments';
import { saveAs } from '../api/files';
import { formatBytes } from '../ui/format';

const previewTypes = /^image\/(png|jpeg|gif|webp)$/;

function usePreview(file: File): string | null {
	const [url, setUrl] = useState<string | null>(null);
	useEffect(() => {
		let isOver = false;
		if (previewTypes.test(file.type)) dataUrl(file).then((made) => isOver || setUrl(made), () => undefined);
		return () => {
			isOver = true;
		};
	}, [file]);
	return url;
}

function Picked({ file, onRemove }: { file: File; onRemove: () => void }): ReactNode {
	const url = usePreview(file);
	return (
		<li className="attachment">
			{url ? <img src={url} alt="" /> : <FileText aria-hidden size={20} />}
			<span className="attachment-name" title={file.name}>
				{file.name}
			</span>
			<span className="muted small">{formatBytes(file.size)}</span>
			<button type="button" className="icon-button" aria-label={`Remove ${file.name}`} onClick={onRemove}>
				<X aria-hidden size={15} />
			</button>
		</li>
	);
}

/** What goes along with the message that is being written. */
export function PickedFiles({ files, onRemove }: { files: File[]; onRemove: (file: File) => void }): ReactNode {
	if (files.length === 0) return null;
	return (
		<ul className="attachments" aria-label="Attached files">
			{files.map((file, i) => (
				<Picked key={`${i} ${file.name}`} file={file} onRemove={() => onRemove(file)} />
			))}
		</ul>
	);
}

function Sent({ conversation, file }: { conversation: string; file: Attachment }): ReactNode {
	const isImage = file.kind === 'image';
	const image = useQuery({
		queryKey: ['attachment', conversation, file.id],
		queryFn: async () => dataUrl(await readAttachment(conversation, file.id)),
		enabled: isImage,
		staleTime: Infinity,
	});
	async function open(): Promise<void> {
		saveAs(await readAttachment(conversation, file.id), file.name);
	}
	return (
		<li className="attachment">
			<button type="button" className="attachment-open" title={`Download ${file.name}`} onClick={() => void open().catch(() => undefined)}>
				{image.data ? <img src={image.data} alt={`Attached image: ${file.name}`} /> : <FileText aria-hidden size={20} />}
				<span className="attachment-name">{file.name}</span>
				<span className="muted small">{formatBytes(file.size)}</span>
			</button>
		</li>
	);
}

/** What came along with a message. */
export function SentFiles({ conversation, files }: { conversation: string; files: Attachment[] }): ReactNode {
	if (files.length === 0) return null;
	return (
		<ul className="attachments sent" aria-label="Files of this message">
			{files.map((file) => (
				<Sent key={file.id} conversation={conversation} file={file} />
			))}
		</ul>
	);
}
