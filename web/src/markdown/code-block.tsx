import { useEffect, useState, type ReactNode } from 'react';

import { CopyButton } from '../ui/copy-button';
import { highlight, type Piece } from './highlight';

export function CodeBlock({ code, lang, closed }: { code: string; lang: string; closed: boolean }): ReactNode {
	const name = lang.split(/[\s{]/, 1)[0]?.toLowerCase() ?? '';
	const [pieces, setPieces] = useState<{ code: string; list: Piece[] } | null>(null);
	useEffect(() => {
		if (!closed || !name) return;
		let gone = false;
		void highlight(code, name).then((list) => {
			if (list && !gone) setPieces({ code, list });
		});
		return () => {
			gone = true;
		};
	}, [code, name, closed]);
	const shown = pieces?.code === code ? pieces.list : null;
	return (
		<div className="code-block">
			<div className="code-head">
				<span>{name || 'text'}</span>
				<CopyButton text={code} what="code" />
			</div>
			<pre tabIndex={0} role="group" aria-label={name ? `${name} code` : 'Code'}>
				<code>{shown ? shown.map(([scope, text], i) => (scope ? <span key={i} className={`hl-${scope}`}>{text}</span> : text)) : code}</code>
			</pre>
		</div>
	);
}
