/* Markdown tokens as React elements. There is no way from text to HTML here: raw HTML is shown as the text that it is. */
import type { Token, Tokens } from 'marked';
import { createElement, memo, useRef, type ReactNode } from 'react';

import { CitedText } from './citations';
import { CodeBlock } from './code-block';
import { decodeEntities, emptyLexed, lexBlocks, safeHref, type Block } from './blocks';

function inline(tokens: Token[] | undefined): ReactNode {
	return tokens?.map((token, i) => <Inline key={i} token={token} />);
}

function Inline({ token }: { token: Token }): ReactNode {
	switch (token.type) {
		case 'strong':
			return <strong>{inline(token.tokens)}</strong>;
		case 'em':
			return <em>{inline(token.tokens)}</em>;
		case 'del':
			return <del>{inline(token.tokens)}</del>;
		case 'codespan':
			return <code>{(token as Tokens.Codespan).text}</code>;
		case 'br':
			return <br />;
		case 'checkbox':
			return <input type="checkbox" checked={(token as Tokens.Checkbox).checked} readOnly disabled aria-label="Task" />;
		case 'link':
			return <Link href={(token as Tokens.Link).href}>{inline(token.tokens)}</Link>;
		case 'image':
			return <Link href={(token as Tokens.Image).href}>{decodeEntities((token as Tokens.Image).text) || 'image'}</Link>;
		case 'escape':
		case 'html':
			return (token as Tokens.Text).text;
		default:
			if ('tokens' in token && token.tokens) return inline(token.tokens);
			return 'text' in token ? <CitedText text={decodeEntities(String(token.text))} /> : token.raw;
	}
}

/* Images are links as well: showing one would tell a stranger's server who reads this. */
function Link({ href, children }: { href: string; children: ReactNode }): ReactNode {
	const safe = safeHref(href);
	if (!safe) return <span>{children}</span>;
	return (
		<a href={safe} target="_blank" rel="noopener noreferrer nofollow">
			{children}
		</a>
	);
}

function Table({ token }: { token: Tokens.Table }): ReactNode {
	const align = (i: number) => token.align[i] ?? undefined;
	return (
		<div className="md-table" tabIndex={0} role="group" aria-label="Table">
			<table>
				<thead>
					<tr>
						{token.header.map((cell, i) => (
							<th key={i} data-align={align(i)} scope="col">
								{inline(cell.tokens)}
							</th>
						))}
					</tr>
				</thead>
				<tbody>
					{token.rows.map((row, r) => (
						<tr key={r}>
							{row.map((cell, i) => (
								<td key={i} data-align={align(i)}>
									{inline(cell.tokens)}
								</td>
							))}
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}

function List({ token }: { token: Tokens.List }): ReactNode {
	const items = token.items.map((item, i) => (
		<li key={i} className={item.task ? 'task' : undefined}>
			{item.tokens.map((t, j) => (
				<BlockToken key={j} token={t} closed />
			))}
		</li>
	));
	if (!token.ordered) return <ul>{items}</ul>;
	return <ol start={typeof token.start === 'number' && token.start !== 1 ? token.start : undefined}>{items}</ol>;
}

function BlockToken({ token, closed }: { token: Token; closed: boolean }): ReactNode {
	switch (token.type) {
		case 'paragraph':
			return <p>{inline(token.tokens)}</p>;
		case 'heading':
			/* The page has its own first and second level. */
			return createElement(`h${Math.min(6, (token as Tokens.Heading).depth + 2)}`, null, inline(token.tokens));
		case 'code':
			return <CodeBlock code={(token as Tokens.Code).text} lang={(token as Tokens.Code).lang ?? ''} closed={closed} />;
		case 'blockquote':
			return (
				<blockquote>
					{token.tokens?.map((t, i) => (
						<BlockToken key={i} token={t} closed={closed} />
					))}
				</blockquote>
			);
		case 'list':
			return <List token={token as Tokens.List} />;
		case 'table':
			return <Table token={token as Tokens.Table} />;
		case 'hr':
			return <hr />;
		case 'html':
			return <p className="md-html">{(token as Tokens.HTML).text}</p>;
		case 'space':
		case 'def':
			return null;
		default:
			return <Inline token={token} />;
	}
}

const MemoBlock = memo(
	function MarkdownBlock({ block }: { block: Block }): ReactNode {
		return <BlockToken token={block.token} closed={block.closed} />;
	},
	({ block: a }, { block: b }) => a === b || (!b.refers && !a.refers && a.token.raw === b.token.raw && a.token.type === b.token.type && a.closed === b.closed),
);

export const Markdown = memo(function Markdown({ text, done }: { text: string; done: boolean }): ReactNode {
	const before = useRef(emptyLexed);
	const lexed = lexBlocks(text, before.current, done);
	before.current = lexed;
	return (
		<div className="md">
			{lexed.blocks.map((block, i) => (
				<MemoBlock key={i} block={block} />
			))}
		</div>
	);
});
