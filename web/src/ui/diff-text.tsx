import type { ReactNode } from 'react';

const kinds: Record<string, string> = { '+': 'added', '-': 'removed', '@': 'place' };

/** A unified diff. The signs at the lines' beginnings say what the colours say. */
export function DiffText({ text, label }: { text: string; label: string }): ReactNode {
	return (
		<pre className="diff" tabIndex={0} role="region" aria-label={label}>
			{text
				.replace(/\n$/, '')
				.split('\n')
				.map((line, i) => (
					<span key={i} className={kinds[line[0] ?? ''] ?? ''}>
						{line}
						{'\n'}
					</span>
				))}
		</pre>
	);
}
