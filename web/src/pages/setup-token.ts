/* The one-time token comes behind the # of the set-up link, so that no server or log sees it. It leaves the address bar at once. */
let token = '';

export function takeSetupToken(): void {
	if (location.pathname !== '/setup') return;
	token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
	if (location.hash) history.replaceState(history.state, '', location.pathname);
}

export function setupToken(): string {
	return token;
}
