import { accessToken, freshToken } from '../api/session';

export type TerminalState = { kind: 'connecting' } | { kind: 'open'; mayWrite: boolean } | { kind: 'waiting' } | { kind: 'ended'; text: string } | { kind: 'refused'; text: string };

export interface TerminalEvents {
	onBytes: (bytes: Uint8Array) => void;
	/** Output that is not kept any more, before what comes next. */
	onSkipped: (bytes: number) => void;
	onState: (state: TerminalState) => void;
}

interface Told {
	type: string;
	offset?: number;
	bytes?: number;
	may_write?: boolean;
	code?: string;
	message?: string;
	command?: { status: string; exit_code: number | null; signal: number | null; reason: string | null };
}

const againMs = 700;
const againMaxMs = 10_000;
const authAgainMs = 5 * 60_000;
const notFound = 4404;

/** A command's terminal by WebSocket. It goes on after a break where it was: `offset` counts the bytes that were shown. */
export class TerminalLink {
	private socket: WebSocket | null = null;
	private offset: number;
	private pause = againMs;
	private timer: ReturnType<typeof setTimeout> | undefined;
	private renewal: ReturnType<typeof setInterval> | undefined;
	private closed = false;
	private size: { rows: number; cols: number } | null = null;

	constructor(
		private readonly id: string,
		private readonly events: TerminalEvents,
		offset = 0,
	) {
		this.offset = offset;
		void this.connect();
	}

	send(bytes: Uint8Array<ArrayBuffer>): void {
		if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(bytes);
	}

	resize(rows: number, cols: number): void {
		if (this.size?.rows === rows && this.size.cols === cols) return;
		this.size = { rows, cols };
		this.tell({ type: 'resize', rows, cols });
	}

	close(): void {
		this.closed = true;
		clearTimeout(this.timer);
		clearInterval(this.renewal);
		this.socket?.close();
	}

	private tell(message: object): void {
		if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
	}

	private async connect(): Promise<void> {
		this.events.onState({ kind: 'connecting' });
		const token = await freshToken();
		if (this.closed) return;
		const url = `${location.origin.replace(/^http/, 'ws')}/api/commands/${this.id}/terminal?offset=${this.offset}`;
		const socket = new WebSocket(url);
		socket.binaryType = 'arraybuffer';
		this.socket = socket;
		socket.onopen = () => socket.send(JSON.stringify({ type: 'auth', token }));
		socket.onmessage = ({ data }) => this.onMessage(data as ArrayBuffer | string);
		socket.onclose = ({ code }) => this.onClose(code);
		clearInterval(this.renewal);
		this.renewal = setInterval(() => void freshToken().then(() => this.tell({ type: 'auth', token: accessToken() })), authAgainMs);
	}

	private onMessage(data: ArrayBuffer | string): void {
		if (typeof data !== 'string') {
			const bytes = new Uint8Array(data);
			this.offset += bytes.length;
			this.events.onBytes(bytes);
			return;
		}
		const told = JSON.parse(data) as Told;
		if (told.type === 'ready') this.onReady(told);
		else if (told.type === 'skipped') {
			this.offset = (told.offset ?? this.offset) + (told.bytes ?? 0);
			this.events.onSkipped(told.bytes ?? 0);
		} else if (told.type === 'ended') this.onEnded(told);
	}

	private onReady(told: Told): void {
		this.pause = againMs;
		this.offset = told.offset ?? this.offset;
		this.events.onState({ kind: 'open', mayWrite: told.may_write ?? false });
		const { size } = this;
		this.size = null;
		if (size) this.resize(size.rows, size.cols);
	}

	private onEnded({ command }: Told): void {
		const why = command?.reason ?? (command?.status === 'exited' ? `It ended with exit code ${command.exit_code ?? '?'}.` : `It ended: ${command?.status ?? 'unknown'}.`);
		this.events.onState({ kind: 'ended', text: why });
		this.close();
	}

	private onClose(code: number): void {
		clearInterval(this.renewal);
		if (this.closed) return;
		if (code === notFound) {
			this.events.onState({ kind: 'refused', text: 'There is no such terminal, or it is not yours.' });
			return;
		}
		this.events.onState({ kind: 'waiting' });
		this.timer = setTimeout(() => void this.connect(), this.pause);
		this.pause = Math.min(this.pause * 2, againMaxMs);
	}
}
