import './../styles/pages.css';

import type { ReactNode } from 'react';

import { useTitle } from '../ui/parts';
import { Batches } from './batches';
import { Hooks } from './hooks';
import { Schedules } from './schedules';
import { useMay } from './user';

/** What begins runs by itself, and what is told of runs. */
export function AutomationPage(): ReactNode {
	useTitle('Automation');
	const maySchedule = useMay('schedules.use');
	const mayHook = useMay('webhooks.use');
	return (
		<div className="page">
			<h1>Automation</h1>
			{maySchedule && <Schedules />}
			{maySchedule && <Batches />}
			{mayHook && <Hooks />}
		</div>
	);
}
