// Agents, forks and usage in the browser: from a template to two branches side by side, with the real platform.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { assertClean, judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS;
let platform, browser, page, base;

before(async () => {
	if (shots) mkdirSync(shots, { recursive: true });
	platform = await startPlatform();
	await platform.setUp();
	base = `http://127.0.0.1:${platform.where().port}`;
	browser = await openBrowser();
	page = browser.page;
	await page.goto(base);
	await page.getByLabel('E-mail').fill(ADMIN.email);
	await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
	await page.getByRole('button', { name: 'Sign in', exact: true }).click();
	await page.getByRole('textbox', { name: 'Message' }).waitFor();
});

after(async () => {
	await browser?.close();
	await platform?.stop();
});

describe('agents that are made, compared and shared; runs that are forked', { concurrency: 1 }, () => {
	test('an agent is made from a template, changed, and its versions are compared', async () => {
		await page.goto(`${base}/agents/new`);
		await page.getByRole('radio', { name: /^Coder/ }).check();
		assert.match(await page.getByLabel('Instructions').inputValue(), /careful programmer/);
		await judge(page, 'agent-new', shots);
		await page.getByRole('button', { name: 'Create the agent' }).click();
		await page.getByRole('link', { name: 'Coder', exact: true }).click();
		await page.getByRole('button', { name: 'Add a variable' }).click();
		await page.getByLabel('Name').nth(1).fill('project');
		await page.getByLabel('Value otherwise').fill('Ogent');
		await page.getByLabel('Instructions').fill('You work on {{project}}.');
		await page.getByRole('group', { name: 'Deleted after days' }).getByLabel('Runs', { exact: true }).fill('30');
		await page.getByRole('button', { name: 'Save' }).click();
		await page.getByText('Saved.').waitFor();
		await judge(page, 'agent-retention', shots);
		await page.reload();
		await page.getByText('Version 2').waitFor();
		assert.equal(await page.getByRole('group', { name: 'Deleted after days' }).getByLabel('Runs', { exact: true }).inputValue(), '30');
		await page.getByRole('link', { name: 'Version 2' }).click();
		await page.getByText('+You work on {{project}}.').waitFor();
		await judge(page, 'agent-versions', shots);
		await page.getByRole('button', { name: 'Restore version 1' }).click();
		await page.getByRole('rowheader', { name: '3', exact: true }).waitFor();
	});

	test('an agent is shared with everyone', async () => {
		await page.goto(`${base}/agents`);
		await page.getByRole('link', { name: 'Coder', exact: true }).click();
		await page.getByText('only yours').waitFor();
		await page.getByRole('button', { name: 'Share' }).click();
		await page.getByRole('checkbox', { name: 'Use: everyone' }).check();
		await judge(page, 'agent-sharing', shots);
		await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
		await page.getByText('shared with everyone').waitFor();
	});

	test('a conversation is kept, and no longer', async () => {
		await page.goto(`${base}/chat`);
		await page.getByRole('textbox', { name: 'Message' }).fill('This stays.');
		await page.getByRole('textbox', { name: 'Message' }).press('Enter');
		await page.locator('article.group[data-status="succeeded"]').waitFor();
		const keep = page.getByRole('button', { name: 'Keep the conversation' });
		await keep.click();
		await page.getByRole('button', { name: 'Keep the conversation', pressed: true }).waitFor();
		await judge(page, 'conversation-kept', shots);
		await page.reload();
		await page.getByRole('button', { name: 'Keep the conversation', pressed: true }).click();
		await page.getByRole('button', { name: 'Keep the conversation', pressed: false }).waitFor();
	});

	test('a run is forked at a step, and both branches stand side by side', async () => {
		await page.goto(`${base}/chat`);
		await page.getByRole('textbox', { name: 'Message' }).fill('run: echo first > note');
		await page.getByRole('textbox', { name: 'Message' }).press('Enter');
		await page.locator('article.group[data-status="succeeded"]').waitFor();
		await page.getByRole('link', { name: 'Run details' }).click();
		await page.getByRole('button', { name: 'Fork from here, after step 1' }).click();
		await page.getByRole('link', { name: 'Fork: compare' }).waitFor();
		await page.getByRole('textbox', { name: 'Message' }).fill('run: echo second > note; echo new > other');
		await page.getByRole('textbox', { name: 'Message' }).press('Enter');
		await page.locator('article.group[data-status="succeeded"]').nth(1).waitFor();
		await page.getByRole('link', { name: 'Fork: compare' }).click();
		await page.getByRole('row', { name: /^note .* differs$/ }).waitFor();
		await page.getByRole('row', { name: /^other – .* right only$/ }).waitFor();
		await judge(page, 'compare', shots);
	});

	test('usage is added up, and a budget is set', async () => {
		await page.getByRole('link', { name: 'Usage' }).click();
		await page.getByRole('rowheader', { name: 'All' }).waitFor();
		await page.getByLabel('Tokens a day').fill('100000');
		await page.getByRole('button', { name: 'Save the budget' }).click();
		await page.getByRole('meter', { name: 'Tokens of today\'s budget' }).waitFor();
		await judge(page, 'usage', shots);
	});

	test('nothing went wrong in the browser', () => assertClean(browser));
});
