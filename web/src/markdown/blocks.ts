/* Markdown as a list of blocks. While text streams in, finished blocks keep their identity and only the open tail is lexed again. */
import { Lexer, type Token, type Tokens } from 'marked';

export interface Block {
	token: Token;
	/** Nothing that follows can change this block. */
	closed: boolean;
	/** The text has link definitions, so the same source may mean something else. */
	refers: boolean;
}

export interface Lexed {
	text: string;
	blocks: Block[];
	closedChars: number;
	closedBlocks: number;
}

export const emptyLexed: Lexed = { text: '', blocks: [], closedChars: 0, closedBlocks: 0 };

function lex(text: string): Token[] {
	return new Lexer({ gfm: true, breaks: true }).lex(text);
}

const definition = /^ {0,3}\[[^\]\n]+\]:/m;

/* How many tokens at the start are closed: all before the last one with content. */
function countClosed(tokens: Token[], done: boolean): number {
	if (done) return tokens.length;
	let last = tokens.length - 1;
	while (last >= 0 && tokens[last]?.type === 'space') last--;
	return Math.max(0, last);
}

/* Lexer offsets count the normalised text, which is the text itself only without these. */
function isPlain(text: string): boolean {
	return !text.includes('\r') && !text.includes('\t');
}

/** The blocks of `text`, re-using those of `before` when the text only grew. */
export function lexBlocks(text: string, before: Lexed = emptyLexed, done = false): Lexed {
	/* A definition may come after what refers to it: such a text is lexed whole each time. */
	const refers = definition.test(text);
	const grown = text.startsWith(before.text) && before.closedBlocks > 0 && isPlain(text) && !refers ? before : emptyLexed;
	const tokens = lex(text.slice(grown.closedChars));
	const blocks = grown.blocks.slice(0, grown.closedBlocks);
	const closed = done || (isPlain(text) && !refers) ? countClosed(tokens, done) : 0;
	let closedChars = grown.closedChars;
	let closedBlocks = grown.closedBlocks;
	tokens.forEach((token, i) => {
		const isClosed = i < closed;
		if (isClosed) closedChars += token.raw.length;
		if (token.type === 'space' || token.type === 'def') return;
		blocks.push({ token, closed: isClosed, refers });
		if (isClosed) closedBlocks++;
	});
	return { text, blocks, closedChars, closedBlocks };
}

const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '©', hellip: '…', mdash: '—', ndash: '–', rarr: '→', larr: '←', times: '×' };

/** Character references as Markdown has them in running text. */
export function decodeEntities(text: string): string {
	if (!text.includes('&')) return text;
	return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]+));/g, (whole, decimal?: string, hex?: string, name?: string) => {
		if (name) return named[name] ?? whole;
		const code = decimal ? Number.parseInt(decimal, 10) : Number.parseInt(hex ?? '', 16);
		return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : '\ufffd';
	});
}

/** An address that a link may lead to, or null. */
export function safeHref(href: string): string | null {
	const trimmed = href.trim();
	return /^(https?:\/\/|mailto:)/i.test(trimmed) ? trimmed : null;
}

/** The words of a message without its marks. What is no text is named, as a screen reader's announcement wants it, or left out. */
export function plainText(markdown: string, named = true): string {
	const words = (tokens: Token[]): string =>
		tokens
			.map((token): string => {
				if (token.type === 'code') return named ? `${(token as Tokens.Code).lang || 'code'} block` : '';
				if (token.type === 'list') return (token as Tokens.List).items.map((item) => words(item.tokens)).join('. ');
				if (token.type === 'table') return named ? 'table' : '';
				const inner = (token as Tokens.Generic).tokens;
				if (inner) return words(inner);
				return 'text' in token && typeof token.text === 'string' ? decodeEntities(token.text) : '';
			})
			.join(' ');
	return words(lex(markdown)).replace(/\s+/g, ' ').trim();
}
