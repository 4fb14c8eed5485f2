// Schedules, webhooks and triggers as a person makes them.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS;

describe('automation in the browser', { concurrency: 1 }, () => {
	let platform, browser, page;
	const button = (name) => page.getByRole('button', { name, exact: true });
	const dialog = () => page.getByRole('dialog');

	before(async () => {
		if (shots) mkdirSync(shots, { recursive: true });
		platform = await startPlatform();
		await platform.setUp();
		browser = await openBrowser();
		page = browser.page;
		await page.goto(`http://localhost:${platform.where().port}/automation`);
		await page.getByRole('textbox', { name: 'E-mail' }).fill(ADMIN.email);
		await page.locator('input[name=password]').fill(ADMIN.password);
		await button('Sign in').click();
	});
	after(async () => {
		await browser?.close();
		await platform?.stop();
	});

	test('a schedule is made, run at once, looked back at and paused', async () => {
		await button('New schedule').click();
		await dialog().getByLabel('Name').fill('Morning');
		await dialog().getByLabel('Message').fill('run: echo good morning');
		await page.getByRole('status', { name: 'Next times' }).waitFor();
		await judge(page, 'schedule-form', shots);
		await button('Make it').click();
		await button('Run now: Morning').click();
		await button('History of Morning').click();
		await dialog().getByText('succeeded').waitFor();
		await page.keyboard.press('Escape');
		await button('Pause Morning').click();
		await button('Resume Morning').waitFor();
	});

	test('a webhook shows its secret once', async () => {
		await button('New webhook').click();
		await dialog().getByLabel('Name').fill('Board');
		await dialog().getByLabel('Address').fill('https://hooks.example.com/board');
		await button('Make it').click();
		await button('I have kept it').waitFor();
		const text = await dialog().innerText();
		assert.match(text, /whsec_/);
		const secret = text.match(/whsec_\S+/)[0];
		await button('I have kept it').click();
		await page.getByText('https://hooks.example.com/board').waitFor();
		assert.ok(!(await page.locator('body').innerText()).includes(secret));
		await judge(page, 'automation', shots);
	});

	test('a batch from a table, its rows and its end', async () => {
		await page.reload();
		await page.getByRole('button', { name: 'New batch' }).click();
		await page.getByLabel('Name', { exact: true }).fill('Greetings');
		await page.getByLabel(/^File: CSV/).setInputFiles({ name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from('name\nAda\nBob\nCleo\n') });
		await page.getByLabel(/^Message, with a place/).fill('Greet {{nobody}}');
		await judge(page, 'batch-new', shots);
		await page.getByRole('button', { name: 'Begin' }).click();
		await page.getByText(/Row 1.*nobody/).waitFor();
		await page.getByLabel(/^Message, with a place/).fill('Greet {{name}}');
		await page.getByRole('button', { name: 'Begin' }).click();
		await page.getByText('3 of 3 done').waitFor({ timeout: 60000 });
		await page.getByRole('button', { name: 'Rows and answers of Greetings' }).click();
		await page.getByRole('list', { name: 'Rows' }).getByText('succeeded').nth(2).waitFor();
		await judge(page, 'batch-rows', shots);
		await page.keyboard.press('Escape');
		const file = page.waitForEvent('download');
		await page.getByRole('button', { name: 'Download Greetings as CSV' }).click();
		await (await file).cancel();
	});
});
