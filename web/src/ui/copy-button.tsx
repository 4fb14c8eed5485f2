import { Check, Copy } from 'lucide-react';
import { useEffect, useState, type ReactNode } from 'react';

const shownMs = 1500;

export async function copyText(text: string): Promise<void> {
	if (navigator.clipboard) {
		await navigator.clipboard.writeText(text);
		return;
	}
	/* Plain http on another machine has no clipboard interface. */
	const area = document.createElement('textarea');
	area.value = text;
	area.className = 'visually-hidden';
	document.body.append(area);
	area.select();
	document.execCommand('copy');
	area.remove();
}

export function CopyButton({ text, what }: { text: string; what: string }): ReactNode {
	const [copied, setCopied] = useState(false);
	useEffect(() => {
		if (!copied) return;
		const timer = setTimeout(() => setCopied(false), shownMs);
		return () => clearTimeout(timer);
	}, [copied]);
	return (
		<button type="button" className="icon-button small" aria-label={copied ? `Copied ${what}` : `Copy ${what}`} onClick={() => void copyText(text).then(() => setCopied(true))}>
			{copied ? <Check aria-hidden size={15} /> : <Copy aria-hidden size={15} />}
		</button>
	);
}
