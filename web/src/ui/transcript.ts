import { terminalText } from './terminal-text';

const most = 200_000; // characters

/** What a terminal showed as plain text, for who does not see its screen. */
export class Transcript {
	private raw = '';
	private readonly decoder = new TextDecoder();

	add(bytes: Uint8Array): void {
		this.raw = (this.raw + this.decoder.decode(bytes, { stream: true })).slice(-most);
	}

	skipped(text: string): void {
		this.raw += `\n${text}\n`;
	}

	get text(): string {
		return terminalText(backspaced(this.raw)).trimEnd();
	}
}

/* A typed character that was taken back. */
function backspaced(text: string): string {
	return text.replace(/[^\n\u0008]\u0008 \u0008/g, '').replace(/[^\n\u0008]\u0008/g, '');
}
