// Evaluation sets as a person makes, runs and compares them.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS;

describe('evaluations in the browser', { concurrency: 1 }, () => {
	let platform, browser, page;
	const button = (name) => page.getByRole('button', { name, exact: true });
	const dialog = () => page.getByRole('dialog');

	before(async () => {
		if (shots) mkdirSync(shots, { recursive: true });
		platform = await startPlatform();
		await platform.setUp();
		browser = await openBrowser();
		page = browser.page;
		await page.goto(`http://localhost:${platform.where().port}/evaluations`);
		await page.getByRole('textbox', { name: 'E-mail' }).fill(ADMIN.email);
		await page.locator('input[name=password]').fill(ADMIN.password);
		await button('Sign in').click();
	});
	after(async () => {
		await browser?.close();
		await platform?.stop();
	});

	test('a set gets cases and graders', async () => {
		await button('New set').click();
		await dialog().getByLabel('Name').fill('Fruit');
		await button('Make it').click();
		await page.getByRole('heading', { name: 'Fruit', level: 1 }).waitFor();
		await button('Add a case').click();
		await dialog().getByLabel('What the agent is asked').fill('run: echo plum');
		await dialog().getByLabel('What is expected; may be empty').fill('plum');
		await dialog().getByLabel('Tags, between commas').fill('sweet, blue');
		await judge(page, 'evaluation-case', shots);
		await button('Save the case').click();
		await page.getByText('sweet, blue').waitFor();
		await button('Import').click();
		await dialog().getByLabel(/^File: CSV/).setInputFiles({ name: 'cases.csv', mimeType: 'text/csv', buffer: Buffer.from('input,expected\nrun: echo pear,apple\n') });
		await button('Take them').click();
		await page.getByRole('heading', { name: 'Cases (2)' }).waitFor();
		await button('Add a grader').click();
		await page.getByLabel('What it looks at').nth(1).selectOption({ label: 'A tool was called' });
		await page.getByLabel('Tool', { exact: true }).fill('shell');
		await button('Save the graders').click();
		await page.getByText('Saved.').waitFor();
		await judge(page, 'evaluation', shots);
	});

	test('it is run, its results come by themselves, and two runs are compared', async () => {
		await button('Run it').click();
		await button('Begin').click();
		await page.getByText('1 of 2 passed (50.0 %)').waitFor();
		await page.getByRole('list', { name: 'Results' }).getByText('The answer does not have it.').waitFor();
		await page.getByLabel('Show').selectOption('Not passed');
		await page.getByText('Expected: apple').waitFor();
		await judge(page, 'evaluation-run', shots);
		await page.getByRole('link', { name: 'Back to the set' }).click();
		await button('Edit case 2').click();
		await dialog().getByLabel('What is expected; may be empty').fill('pear');
		await button('Save the case').click();
		await button('Run it').click();
		await button('Begin').click();
		await page.getByText('2 of 2 passed (100.0 %)').waitFor();
		await page.getByRole('link', { name: 'Back to the set' }).click();
		const boxes = page.getByRole('checkbox', { name: /^Compare the run of/ });
		await boxes.nth(1).waitFor(); // the list from before has the first run only
		await boxes.nth(0).focus();
		await page.keyboard.press('Space');
		await boxes.nth(1).check();
		await button('Compare two').click();
		await page.getByText(/0 improved, 0 got worse, 1 passed in both, 0 in none, 1 left out/).waitFor();
		await page.getByText('the case was changed').waitFor();
		await judge(page, 'evaluation-comparison', shots);
		assert.deepEqual(browser.problems, []);
	});
});
