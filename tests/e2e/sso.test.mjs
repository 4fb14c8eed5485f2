// Signing in by another provider, in a real browser: the administrator adds it, a colleague signs in by its button, an account is linked.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { RealProvider } from '../lib/provider.mjs';
import { assertClean, judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS; // a folder for screenshots

describe('a sign-in provider in the browser', { concurrency: 1 }, () => {
	let platform, browser, page, base, provider;
	const open = (path) => page.goto(base + path);
	const button = (name) => page.getByRole('button', { name, exact: true });

	before(async () => {
		platform = await startPlatform({ env: { OGENT_OUTBOUND_ALLOW: '127.0.0.1' } });
		await platform.setUp();
		base = `http://127.0.0.1:${platform.where().port}`;
		provider = await new RealProvider({ grace: { email: 'grace@acme.example', email_verified: true, name: 'Grace Hopper' }, ada: { email: 'ada@acme.example', email_verified: true, name: 'Ada' } }).start(`${base}/sso/acme/callback`);
		provider.asks = true;
		browser = await openBrowser();
		page = browser.page;
	});
	after(async () => {
		await browser?.close();
		provider?.close();
		await platform?.stop();
	});

	async function signIn() {
		await page.getByRole('heading', { name: 'Sign in to Ogent' }).waitFor();
		await page.getByLabel('E-mail').fill(ADMIN.email);
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await button('Sign in').click();
	}

	async function passProvider() {
		await page.getByRole('heading', { name: 'Acme' }).waitFor();
		await button('I am Grace').click();
		/* Consent comes as a page of its own. */
		await page.waitForURL((url) => url.origin === base || url.pathname.startsWith('/interaction/'));
		if (!page.url().startsWith(base)) await button('I am Grace').click();
	}

	test('an administrator adds it', async () => {
		await open('/users/providers');
		await signIn();
		await button('Add a provider').click();
		await page.getByLabel('Name in addresses').fill('acme');
		await page.getByLabel('Label of the button').fill('Acme');
		await page.getByLabel('Issuer').fill(provider.issuer);
		await page.getByLabel('Client id').fill(provider.client.client_id);
		await page.getByLabel('Client secret').fill(provider.client.client_secret);
		await page.getByLabel('Who has no account gets one').check();
		await page.getByLabel('Domains of their addresses').fill('acme.example');
		await judge(page, 'provider form', shots);
		await button('Save').click();
		await button('Test Acme').click();
		await page.getByText(/It answers, with \d keys/).waitFor();
		await judge(page, 'providers', shots);
	});

	test('an account is linked to it, and unlinked', async () => {
		provider.user = 'ada';
		await open('/account');
		await button('Link Acme').click();
		await passProvider();
		await button('Unlink Acme').waitFor();
		await page.getByText('ada@acme.example').waitFor();
		assert.equal(new URL(page.url()).pathname, '/account');
		await button('Unlink Acme').click();
		await page.getByText('None is linked.').waitFor();
		await button('Sign out').click();
	});

	test('who has no account gets one by its button, and comes back to where he was', async () => {
		provider.user = 'grace';
		await page.context().clearCookies({ domain: '127.0.0.1' });
		await open('/history');
		await button('Sign in with Acme').waitFor();
		await judge(page, 'sign-in with a provider', shots);
		await button('Sign in with Acme').click();
		await passProvider();
		await page.getByText('Grace Hopper').first().waitFor();
		await page.waitForURL(`${base}/history`);
		await page.reload();
		await page.getByText('Grace Hopper').first().waitFor();
		assertClean(browser);
	});

	test('an answer that this browser did not ask for is told plainly', async () => {
		await button('Sign out').click();
		browser.expected.push(/401/);
		await open('/sso/acme/callback?code=x&state=y');
		await page.getByText('This browser has not begun this sign-in').waitFor();
		assert.equal(new URL(page.url()).search, '');
		await page.getByRole('link', { name: 'To the sign-in' }).click();
		await page.getByRole('heading', { name: 'Sign in to Ogent' }).waitFor();
		assertClean(browser);
	});
});
