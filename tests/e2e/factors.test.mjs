// Second factors as a person meets them: an app's codes, recovery codes, a passkey of the browser (Chromium's virtual authenticator).

import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';

import { totp } from '../lib/authenticator.mjs';
import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS;

describe('second factors in the browser', { concurrency: 1 }, () => {
	let platform, browser, page, base, secret;
	const button = (name) => page.getByRole('button', { name, exact: true });
	const field = (name) => page.getByRole('textbox', { name });

	async function signIn() {
		await field('E-mail').fill(ADMIN.email);
		await page.locator('input[name=password]').fill(ADMIN.password);
		await button('Sign in').click();
	}

	before(async () => {
		if (shots) mkdirSync(shots, { recursive: true });
		platform = await startPlatform();
		await platform.setUp();
		base = `http://localhost:${platform.where().port}`;
		browser = await openBrowser();
		page = browser.page;
		const devtools = await page.context().newCDPSession(page);
		await devtools.send('WebAuthn.enable');
		await devtools.send('WebAuthn.addVirtualAuthenticator', {
			options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
		});
	});
	after(async () => {
		await browser?.close();
		await platform?.stop();
	});

	test('an app is set up and its code switches it on', async () => {
		await page.goto(base);
		await signIn();
		await page.getByRole('link', { name: ADMIN.name }).click();
		await page.getByText('Six digits that change').waitFor();
		await judge(page, 'account', shots);
		await button('Set up').click();
		secret = await page.locator('code.secret').innerText();
		await page.locator('img.qr').waitFor();
		await judge(page, 'security-app', shots);
		const late = (Date.now() % 30000) - 25000;
		if (late > 0) await sleep(5100 - late);
		await field('The code it shows').fill(totp(secret, Date.now() - 30000));
		await button('Switch on').click();
		await page.getByText('Keep these codes').waitFor();
		await judge(page, 'security-codes', shots);
		await button('I have kept them').click();
		await page.getByText('10 left').waitFor();
	});

	test('a passkey is added', async () => {
		await button('Add a passkey').click();
		await field('Name of the passkey').fill('This laptop');
		await button('Go on').click();
		await page.getByText('This laptop').waitFor();
		await judge(page, 'security-passkey', shots);
	});

	test('a password is then only the first step', async () => {
		await button('Sign out').click();
		await signIn();
		await button('Confirm with a passkey').waitFor();
		await judge(page, 'second-step', shots);
		await page.getByRole('textbox', { name: /Code of your app/ }).fill('no code');
		await button('Go on with the code').click();
		await page.getByText('This code is wrong').waitFor();
		await page.getByRole('textbox', { name: /Code of your app/ }).fill(totp(secret));
		await button('Go on with the code').click();
		await button('Sign out').waitFor();
	});

	test('a passkey is all that is needed', async () => {
		await button('Sign out').click();
		await button('Sign in with a passkey').click();
		await button('Sign out').waitFor();
		await button('Sign out').click();
		await signIn();
		await button('Confirm with a passkey').click();
		await button('Sign out').waitFor();
	});

	test('what is risky is approved with the passkey, for who has chosen so', async () => {
		await page.getByRole('link', { name: ADMIN.name }).click();
		const choice = page.getByRole('checkbox', { name: /when I approve something risky/ });
		await choice.check();
		const token = await platform.localToken();
		const made = await platform.api('POST', '/api/agents', { name: 'Careful', tools: ['shell'], approval: { default: 'always' } }, token);
		if (made.status !== 201) throw new Error(made.text);
		await page.goto(`${base}/chat`);
		await page.getByRole('combobox', { name: 'Agent' }).selectOption({ label: 'Careful' });
		await page.getByRole('textbox', { name: 'Message' }).fill('run: echo confirmed by a key');
		await button('Send').click();
		await button('Approve').click();
		await page.getByRole('dialog', { name: 'Confirm that it is you' }).waitFor();
		await judge(page, 'confirm-approval', shots);
		await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
		await page.getByText('Nothing was decided').waitFor();
		await button('Approve').click();
		await button('Confirm with a passkey').click();
		await page.locator('.terminal, pre', { hasText: /^confirmed by a key/m }).first().waitFor();
	});
});
