import { useEffect, useId, useRef, type ReactNode } from 'react';

/** The browser's own modal dialog: focus stays inside, Escape closes, the page behind is inert. */
export function Dialog({ open, onClose, label, className, children }: { open: boolean; onClose: () => void; label: string; className?: string; children: ReactNode }): ReactNode {
	const ref = useRef<HTMLDialogElement>(null);
	useEffect(() => {
		const dialog = ref.current;
		if (!dialog || dialog.open === open) return;
		if (open) dialog.showModal();
		else dialog.close();
	}, [open]);
	return (
		<dialog
			ref={ref}
			aria-label={label}
			className={className ?? 'dialog'}
			onClose={onClose}
			onClick={(event) => {
				if (event.target === ref.current) onClose();
			}}
		>
			{open && children}
		</dialog>
	);
}

export function Confirm({
	open,
	title,
	text,
	action,
	busy,
	error,
	onConfirm,
	onClose,
}: {
	open: boolean;
	title: string;
	text: string;
	action: string;
	busy: boolean;
	error: string | null;
	onConfirm: () => void;
	onClose: () => void;
}): ReactNode {
	const id = useId();
	return (
		<Dialog open={open} onClose={onClose} label={title}>
			<h2>{title}</h2>
			<p id={id}>{text}</p>
			{error && (
				<p className="field-error" role="alert">
					{error}
				</p>
			)}
			<div className="row end">
				<button type="button" className="button" onClick={onClose} autoFocus>
					Keep
				</button>
				<button type="button" className="button danger" onClick={onConfirm} disabled={busy} aria-describedby={id}>
					{action}
				</button>
			</div>
		</Dialog>
	);
}
