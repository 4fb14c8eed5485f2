import { CircleAlert, Info, LoaderCircle, TriangleAlert } from 'lucide-react';
import { useEffect, useId, type InputHTMLAttributes, type ReactNode } from 'react';

import { ApiError, messageOf } from '../api/error';
import { formatExact, formatShort, type Tone } from './format';

export function Spinner({ label }: { label: string }): ReactNode {
	return (
		<div className="spinner" role="status">
			<LoaderCircle aria-hidden size={18} className="spin" />
			<span>{label}</span>
		</div>
	);
}

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }): ReactNode {
	return (
		<span className={`badge ${tone}`}>
			<span className="dot" aria-hidden />
			{children}
		</span>
	);
}

export function Notice({ tone, title, children }: { tone: 'info' | 'warn' | 'bad'; title?: string; children: ReactNode }): ReactNode {
	const Icon = tone === 'info' ? Info : tone === 'warn' ? TriangleAlert : CircleAlert;
	return (
		<div className={`notice ${tone}`} role={tone === 'bad' ? 'alert' : undefined}>
			<Icon aria-hidden size={18} />
			<div>
				{title && <strong>{title}</strong>}
				<div>{children}</div>
			</div>
		</div>
	);
}

/** An error with what to do, its code, and a way to try again. */
export function Failure({ error, retry, what }: { error: unknown; retry?: () => void; what: string }): ReactNode {
	return (
		<Notice tone="bad" title={what}>
			<p>{messageOf(error)}</p>
			{error instanceof ApiError && error.requestId && (
				<p className="muted small">
					{error.code} · request <code>{error.requestId}</code>
				</p>
			)}
			{retry && (
				<button type="button" className="button" onClick={retry}>
					Try again
				</button>
			)}
		</Notice>
	);
}

interface FieldProps extends InputHTMLAttributes<HTMLInputElement> {
	label: string;
	hint?: ReactNode;
	error?: string | null;
}

export function Field({ label, hint, error, ...input }: FieldProps): ReactNode {
	const id = useId();
	const described = [hint ? `${id}-hint` : '', error ? `${id}-error` : ''].filter(Boolean).join(' ');
	return (
		<div className="field">
			<label htmlFor={id}>{label}</label>
			<input id={id} aria-describedby={described || undefined} aria-invalid={error ? true : undefined} {...input} />
			{hint && (
				<p className="hint" id={`${id}-hint`}>
					{hint}
				</p>
			)}
			{error && (
				<p className="field-error" id={`${id}-error`} role="alert">
					{error}
				</p>
			)}
		</div>
	);
}

export function ShortTime({ time }: { time: string }): ReactNode {
	return (
		<time dateTime={time} title={formatExact(time)}>
			{formatShort(time)}
		</time>
	);
}

export function useTitle(title: string): void {
	useEffect(() => {
		document.title = title ? `${title} · Ogent` : 'Ogent';
	}, [title]);
}

export function Logo(): ReactNode {
	return (
		<svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" className="logo">
			<rect width="32" height="32" rx="8" className="logo-ground" />
			<circle cx="16" cy="16" r="7.5" fill="none" stroke="#fff" strokeWidth="3.5" />
			<circle cx="23.5" cy="8.5" r="3" fill="#9ef0c4" />
		</svg>
	);
}
