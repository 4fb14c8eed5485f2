import './../styles/pages.css';
import './../styles/admin.css';

import type { ReactNode } from 'react';
import { NavLink } from 'react-router';

import { useMay } from './user';

/** The ways between the pages of administration, each for those who may see it. */
export function AdminTabs(): ReactNode {
	const users = useMay('users.read');
	const audit = useMay('audit.read');
	const keys = useMay('keys.manage');
	return (
		<nav aria-label="Administration">
			<ul className="tabs">
				{users && <Tab to="/users">Users</Tab>}
				{users && <Tab to="/roles">Roles</Tab>}
				<Tab to="/tokens">Access tokens</Tab>
				{audit && <Tab to="/audit">Audit log</Tab>}
				{keys && <Tab to="/keys">Signing keys</Tab>}
			</ul>
		</nav>
	);
}

function Tab({ to, children }: { to: string; children: ReactNode }): ReactNode {
	return (
		<li>
			<NavLink to={to}>{children}</NavLink>
		</li>
	);
}
