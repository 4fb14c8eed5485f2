import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import c from 'highlight.js/lib/languages/c';
import css from 'highlight.js/lib/languages/css';
import diff from 'highlight.js/lib/languages/diff';
import go from 'highlight.js/lib/languages/go';
import ini from 'highlight.js/lib/languages/ini';
import java from 'highlight.js/lib/languages/java';
import javascript from 'highlight.js/lib/languages/javascript';
import json from 'highlight.js/lib/languages/json';
import python from 'highlight.js/lib/languages/python';
import rust from 'highlight.js/lib/languages/rust';
import sql from 'highlight.js/lib/languages/sql';
import typescript from 'highlight.js/lib/languages/typescript';
import xml from 'highlight.js/lib/languages/xml';
import yaml from 'highlight.js/lib/languages/yaml';

import type { Piece } from './highlight';

const languages = { bash, c, css, diff, go, ini, java, javascript, json, python, rust, sql, typescript, xml, yaml };
for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);
hljs.registerAliases(['sh', 'shell', 'console', 'zsh'], { languageName: 'bash' });
hljs.registerAliases(['cpp', 'c++', 'h'], { languageName: 'c' });

/* Collects what the highlighter finds as a flat list; the innermost scope wins. */
class PieceEmitter {
	readonly pieces: Piece[] = [];
	private readonly scopes: string[] = [];

	addText(text: string): void {
		const scope = this.scopes.at(-1) ?? '';
		const last = this.pieces.at(-1);
		if (last?.[0] === scope) last[1] += text;
		else if (text !== '') this.pieces.push([scope, text]);
	}
	startScope(scope: string): void {
		this.scopes.push(scope.split('.', 1)[0] ?? '');
	}
	endScope(): void {
		this.scopes.pop();
	}
	openNode(scope: string): void {
		this.startScope(scope);
	}
	closeNode(): void {
		this.endScope();
	}
	__addSublanguage(emitter: PieceEmitter): void {
		for (const [scope, text] of emitter.pieces) {
			this.scopes.push(scope);
			this.addText(text);
			this.scopes.pop();
		}
	}
	finalize(): void {}
	toHTML(): string {
		return '';
	}
}

hljs.configure({ __emitter: PieceEmitter } as unknown as Parameters<typeof hljs.configure>[0]);

self.onmessage = (message: MessageEvent<{ id: number; code: string; lang: string }>) => {
	const { id, code, lang } = message.data;
	let pieces: Piece[] | null = null;
	if (hljs.getLanguage(lang)) {
		const result = hljs.highlight(code, { language: lang, ignoreIllegals: true });
		pieces = (result._emitter as unknown as PieceEmitter).pieces;
	}
	self.postMessage({ id, pieces });
};
