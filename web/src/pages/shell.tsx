import { useQuery } from '@tanstack/react-query';
import { BookOpen, Bot, Braces, CalendarClock, ChartColumn, Cpu, Folder, Hand, History, ListChecks, LogOut, Menu, MessageSquare, Monitor, Moon, Plug, Plus, Sun, Users, WifiOff, X } from 'lucide-react';
import { useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from 'react';
import { Link, NavLink, useLocation } from 'react-router';

import { messageOf } from '../api/error';
import { approvalsQuery, modelsQuery } from '../api/queries';
import { signOut } from '../api/session';
import { linkState, reconnectNow, subscribeLink } from '../live/socket';
import { Dialog } from '../ui/dialog';
import { Logo } from '../ui/parts';
import { nextTheme, useTheme } from '../ui/theme';
import { ConversationList } from './conversation-list';
import { useMay, useUser } from './user';

export function Shell({ children }: { children: ReactNode }): ReactNode {
	const [drawer, setDrawer] = useState(false);
	const { pathname } = useLocation();
	const main = useRef<HTMLElement>(null);
	const section = pathname.split('/')[1];
	const shown = useRef(section);
	useEffect(() => setDrawer(false), [pathname]);
	/* A keyboard goes on in the new page, not behind the link that led to it. */
	useEffect(() => {
		if (shown.current !== section && !main.current?.contains(document.activeElement)) main.current?.focus({ preventScroll: true });
		shown.current = section;
	}, [section]);
	return (
		<div className="shell">
			<a className="skip-link" href="#main">
				Skip to the content
			</a>
			<aside className="sidebar" aria-label="Sidebar">
				<Sidebar />
			</aside>
			<div className="column">
				<header className="topbar">
					<button type="button" className="icon-button" aria-label="Open the navigation" aria-expanded={drawer} onClick={() => setDrawer(true)}>
						<Menu aria-hidden size={20} />
					</button>
					<Link to="/chat" className="brand">
						<Logo /> Ogent
					</Link>
					<Link to="/chat" className="icon-button" aria-label="New chat">
						<Plus aria-hidden size={20} />
					</Link>
				</header>
				<ConnectionBanner />
				<main id="main" ref={main} tabIndex={-1}>
					{children}
				</main>
			</div>
			<Dialog open={drawer} onClose={() => setDrawer(false)} label="Navigation" className="drawer">
				<button type="button" className="icon-button close" aria-label="Close the navigation" onClick={() => setDrawer(false)}>
					<X aria-hidden size={20} />
				</button>
				<Sidebar />
			</Dialog>
		</div>
	);
}

const sections = [
	{ to: '/chat', label: 'Chat', Icon: MessageSquare, permission: 'conversations.read' },
	{ to: '/agents', label: 'Agents', Icon: Bot, permission: 'agents.read' },
	{ to: '/approvals', label: 'Approvals', Icon: Hand, permission: 'executions.approve' },
	{ to: '/apis', label: 'APIs', Icon: Plug, permission: 'apis.use' },
	{ to: '/knowledge', label: 'Knowledge', Icon: BookOpen, permission: 'knowledge.read' },
	{ to: '/automation', label: 'Automation', Icon: CalendarClock, permission: 'schedules.use' },
	{ to: '/evaluations', label: 'Evaluations', Icon: ListChecks, permission: 'evaluations.use' },
	{ to: '/history', label: 'History', Icon: History, permission: 'executions.read' },
	{ to: '/usage', label: 'Usage', Icon: ChartColumn, permission: 'executions.read' },
	{ to: '/files', label: 'Files', Icon: Folder, permission: 'commands.read' },
	{ to: '/models', label: 'Models', Icon: Cpu, permission: 'models.read' },
	{ to: '/users', label: 'Users', Icon: Users, permission: 'users.read' },
];

function Sidebar(): ReactNode {
	const mayChat = useMay('conversations.use');
	return (
		<div className="side">
			<Link to="/chat" className="brand">
				<Logo /> Ogent
			</Link>
			{mayChat && (
				<Link to="/chat" className="button new-chat">
					<Plus aria-hidden size={17} /> New chat
				</Link>
			)}
			<nav aria-label="Main">
				<ul>
					{sections.map((section) => (
						<Section key={section.to} {...section} />
					))}
				</ul>
			</nav>
			<ConversationList />
			<div className="side-foot">
				<ModelLine />
				<Account />
			</div>
		</div>
	);
}

const adminPages = /^\/(roles|audit|keys)$/;

function Section({ to, label, Icon, permission }: (typeof sections)[number]): ReactNode {
	const { pathname } = useLocation();
	const current = (to === '/history' && pathname.startsWith('/runs')) || (to === '/files' && pathname.startsWith('/terminal')) || (to === '/users' && adminPages.test(pathname));
	if (!useMay(permission)) return null;
	return (
		<li>
			<NavLink to={to} className={({ isActive }) => (isActive || current ? 'active' : '')}>
				<Icon aria-hidden size={18} /> {label}
				{to === '/approvals' && <WaitingCount />}
			</NavLink>
		</li>
	);
}

/* How many decisions wait. */
function WaitingCount(): ReactNode {
	const { data } = useQuery(approvalsQuery);
	if (!data?.length) return null;
	return (
		<span className="count">
			{data.length}
			<span className="visually-hidden"> waiting</span>
		</span>
	);
}

/** Which model answers, said plainly. */
export function ModelLine(): ReactNode {
	const models = useQuery(modelsQuery);
	const model = models.data?.default;
	if (!model) return null;
	if (model.demo)
		return (
			<p className="model-line demo" title={model.reason ?? undefined}>
				<strong>Demo model</strong> — answers by fixed rules; set <code>OPENAI_API_KEY</code> for a real one.
			</p>
		);
	return (
		<p className="model-line">
			Answers come from <strong>{model.id}</strong> ({model.provider})
		</p>
	);
}

function Account(): ReactNode {
	const user = useUser();
	const theme = useTheme();
	const [error, setError] = useState('');
	const ThemeIcon = theme === 'system' ? Monitor : theme === 'light' ? Sun : Moon;
	return (
		<div className="account">
			<Link to="/account" className="who" title="Your account">
				<strong>{user.name}</strong>
				<span className="muted">{user.email ?? 'this machine'}</span>
			</Link>
			<Link to="/api-docs" className="icon-button" aria-label="The API" title="The API">
				<Braces aria-hidden size={18} />
			</Link>
			<button type="button" className="icon-button" onClick={nextTheme} aria-label={`Colours: ${theme}. Change`} title={`Colours: ${theme}`}>
				<ThemeIcon aria-hidden size={18} />
			</button>
			<button
				type="button"
				className="icon-button"
				aria-label="Sign out"
				title="Sign out"
				onClick={() => {
					setError('');
					signOut().catch((e: unknown) => setError(messageOf(e)));
				}}
			>
				<LogOut aria-hidden size={18} />
			</button>
			{error && (
				<p role="alert" className="field-error">
					{error}
				</p>
			)}
		</div>
	);
}

const bannerAfterMs = 2_500;

/* Short breaks heal by themselves and show nothing. */
function ConnectionBanner(): ReactNode {
	const link = useSyncExternalStore(subscribeLink, linkState);
	const broken = link.kind === 'waiting' || link.kind === 'connecting';
	const [shown, setShown] = useState(false);
	const [now, setNow] = useState(Date.now());
	useEffect(() => {
		if (!broken) {
			setShown(false);
			return;
		}
		const timer = setTimeout(() => setShown(true), bannerAfterMs);
		const tick = setInterval(() => setNow(Date.now()), 1000);
		return () => {
			clearTimeout(timer);
			clearInterval(tick);
		};
	}, [broken]);
	if (!shown || !broken) return null;
	const seconds = link.kind === 'waiting' ? Math.max(1, Math.ceil((link.retryAt - now) / 1000)) : 0;
	return (
		<div className="banner" role="status">
			<WifiOff aria-hidden size={17} />
			<span>
				The live connection is lost. Nothing is lost: it is fetched again. <span aria-hidden>{link.kind === 'waiting' ? `Trying in ${seconds} s.` : 'Trying now…'}</span>
			</span>
			<button type="button" className="button small" onClick={reconnectNow} disabled={link.kind !== 'waiting'}>
				Try now
			</button>
		</div>
	);
}
