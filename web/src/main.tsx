import './styles/base.css';
import './styles/ui.css';
import './styles/shell.css';

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { BrowserRouter } from 'react-router';

import { startSession } from './api/session';
import { App } from './app';
import { takeLinkToken } from './pages/link-token';
import { applyTheme } from './ui/theme';

takeLinkToken();
applyTheme();
void startSession();

const root = document.getElementById('root');
if (root)
	createRoot(root).render(
		<StrictMode>
			<BrowserRouter>
				<App />
			</BrowserRouter>
		</StrictMode>,
	);
