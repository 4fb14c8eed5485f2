/* /sso/NAME/callback: a provider has sent the browser back with its answer. */
import '../styles/pages.css';

import { useEffect, useRef, useState, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router';

import { messageOf } from '../api/error';
import { finishProvider, placeBefore } from '../api/session';
import { Logo, Notice, Spinner, useTitle } from '../ui/parts';
import { SecondStep, stepOf, type Step } from './second-step';

export function ProviderCallbackPage({ path, isSignedIn }: { path: string; isSignedIn: boolean }): ReactNode {
	useTitle('Signing in');
	const navigate = useNavigate();
	const begun = useRef(false);
	const [error, setError] = useState<unknown>(null);
	const [step, setStep] = useState<Step | null>(null);
	useEffect(() => {
		if (begun.current) return;
		begun.current = true;
		const query = location.search;
		/* The code leaves the address bar at once. */
		history.replaceState(history.state, '', location.pathname);
		finishProvider(decodeURIComponent(path.split('/')[2] ?? ''), query)
			.then(() => navigate(placeBefore(), { replace: true }))
			.catch((e: unknown) => {
				setStep(stepOf(e));
				setError(e);
			});
	}, [navigate, path]);
	useEffect(() => {
		if (step && isSignedIn) void navigate(placeBefore(), { replace: true });
	}, [step, isSignedIn, navigate]);
	return (
		<main className="gate">
			<div className="gate-card">
				<Logo />
				<h1>{error !== null && !step ? 'That did not work' : 'Signing in'}</h1>
				{step ? (
					<SecondStep step={step} onBack={() => void navigate('/', { replace: true })} />
				) : error !== null ? (
					<>
						<Notice tone="bad">{messageOf(error)}</Notice>
						<Link to={isSignedIn ? '/account' : '/'} className="button primary wide" replace>
							{isSignedIn ? 'To your account' : 'To the sign-in'}
						</Link>
					</>
				) : (
					<Spinner label="One moment…" />
				)}
			</div>
		</main>
	);
}
