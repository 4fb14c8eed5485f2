import type { ReactNode } from 'react';

import type { SessionInfo } from '../api/types';
import { Badge, ShortTime } from '../ui/parts';

/** Open sessions, each with a button that ends it. */
export function SessionList({ sessions, onEnd, busy }: { sessions: SessionInfo[]; onEnd: (id: string) => void; busy: boolean }): ReactNode {
	if (sessions.length === 0) return <p className="muted">There is no open session.</p>;
	return (
		<ul className="runs" aria-label="Sessions">
			{sessions.map((s) => (
				<li key={s.id} className="run-row user-row">
					<div className="run-main">
						<strong>{s.client === 'web' ? 'Web app' : s.client === 'oauth' ? 'Another application' : 'Program'}</strong> {s.current && <Badge tone="good">this one</Badge>}
						<p className="run-answer">
							{s.address} · {s.user_agent || 'unknown program'}
						</p>
					</div>
					<div className="run-facts">
						<span>
							since <ShortTime time={s.created_at} />
						</span>
						<span>
							used <ShortTime time={s.used_at} />
						</span>
					</div>
					{!s.current && (
						<button type="button" className="button small" disabled={busy} onClick={() => onEnd(s.id)} aria-label={`End the session of ${s.address}`}>
							End
						</button>
					)}
				</li>
			))}
		</ul>
	);
}
