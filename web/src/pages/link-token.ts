/* The one-time token comes behind the # of a link (set-up, invitation, new password, e-mail address), so that no server or log sees it. It
 * leaves the address bar at once. */
let token = '';

const linkPages = ['/setup', '/verify', '/invite', '/reset', '/confirm-email'];

export function isLinkPage(path: string): boolean {
	return linkPages.includes(path);
}

export function takeLinkToken(): void {
	if (!isLinkPage(location.pathname)) return;
	token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
	if (location.hash) history.replaceState(history.state, '', location.pathname);
}

export function linkToken(): string {
	return token;
}
