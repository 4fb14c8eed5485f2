// The browser story: from the set-up link to a run in the history, with the real platform and a real browser.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { assertClean, judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS; // a folder for screenshots
const lines = (n) => Array.from({ length: n }, (_, i) => `line-${i + 1}`);
const slowly = (n, pause) => `run: for i in $(seq ${n}); do echo line-$i; sleep ${pause}; done`;

let platform;
let browser;
let page;
let base;

before(async () => {
	if (shots) mkdirSync(shots, { recursive: true });
	platform = await startPlatform();
	base = `http://127.0.0.1:${platform.where().port}`;
	browser = await openBrowser();
	page = browser.page;
});

after(async () => {
	await browser?.close();
	await platform?.stop();
});

const message = () => page.getByRole('textbox', { name: 'Message' });
const lastRun = () => page.locator('article.group').last();

async function ask(text) {
	await message().fill(text);
	await message().press('Enter');
}

async function ended(status) {
	await lastRun().and(page.locator(`[data-status="${status}"]`)).waitFor();
}

/* What the thread says, once all of it was in view. */
// What the thread shows once it changes no more: a reload draws it piece by piece.
async function settled() {
	for (let before = ''; ; await sleep(700)) {
		const now = await thread();
		if (now && now === before) return now;
		before = now;
	}
}

async function threadIs(seen) {
	for (const limit = Date.now() + 20000; Date.now() < limit; await sleep(200)) if ((await thread()) === seen) return;
	assert.equal(await thread(), seen);
}

async function thread(of = page) {
	for (const group of await of.locator('article.group').all()) {
		await group.scrollIntoViewIfNeeded();
		await of.waitForTimeout(50);
	}
	await of.waitForLoadState('networkidle');
	return (await of.locator('.thread').innerText()).trim();
}

async function reloaded() {
	await page.reload();
	await page.locator('article.group').first().waitFor();
}

describe('the story', { concurrency: 1 }, () => {
	test('a page without a session says that the set-up link is needed', async () => {
		await page.goto(base);
		await page.getByText('Open the set-up link').waitFor();
		await judge(page, 'set-up-needed', shots);
		assertClean(browser);
	});

	test('the set-up link leads to the first administrator, and its token leaves the address', async () => {
		await page.goto(`${base}/setup#token=${platform.secret('setup.token')}`);
		await page.getByRole('heading', { name: 'Set up Ogent' }).waitFor();
		assert.equal(page.url(), `${base}/setup`);
		await page.getByLabel('Name').waitFor();
		await judge(page, 'set-up', shots);
		await page.getByLabel('Name').fill(ADMIN.name);
		await page.getByLabel('E-mail').fill(ADMIN.email);
		await page.getByLabel('Password', { exact: true }).fill('short');
		await page.getByText('10 more to go').waitFor();
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await page.getByRole('button', { name: 'Create the administrator' }).click();
		await page.waitForURL(`${base}/chat`);
		await page.getByText('Assistant is ready').waitFor();
		assertClean(browser);
	});

	test('an agent is ready, and the model that answers is named', async () => {
		await page.locator('.side .model-line').getByText('Demo model').waitFor();
		await judge(page, 'new-chat', shots);
		assertClean(browser);
	});

	test('a question leads to a command with its output and an answer', async () => {
		await page.getByRole('button', { name: 'How much disk space is free?' }).click();
		await page.waitForURL(`${base}/chat/*`);
		const card = page.locator('.command-card');
		await card.waitFor();
		await ended('succeeded');
		assert.equal(await page.locator('article.group').count(), 1);
		assert.equal(await card.count(), 1);
		assert.match(await card.locator('.command-line').innerText(), /df -h/);
		assert.match(await card.locator('.output').innerText(), /Filesystem.+Avail/);
		assert.match(await card.locator('.badge').innerText(), /exit 0/);
		assert.match(await card.locator('.command-time').innerText(), /\d (ms|s)/);
		assert.ok((await page.locator('.answer').last().innerText()).length > 10);
		await page.getByRole('navigation', { name: 'Conversations' }).getByRole('link', { name: /disk space/ }).waitFor();
		await page.getByRole('heading', { level: 1, name: /disk space/ }).waitFor();
		assert.match(await page.getByRole('log').innerText(), /^Answer: .+ free/);
		await judge(page, 'chat', shots);
		assertClean(browser);
	});

	test('a reload at the end shows the same, once', async () => {
		const seen = await settled();
		await reloaded();
		await ended('succeeded');
		await threadIs(seen);
		assertClean(browser);
	});

	test('output appears while the command runs', async () => {
		let reads = 0;
		const count = (request) => (reads += request.url().includes('/events') ? 1 : 0);
		page.on('request', count);
		await ask(slowly(6, 0.3));
		const output = lastRun().locator('.output');
		await output.getByText('line-1').waitFor();
		assert.doesNotMatch(await output.innerText(), /line-6/);
		await output.getByText('line-3').waitFor();
		assert.equal(await lastRun().getAttribute('data-status'), 'running');
		await ended('succeeded');
		assert.deepEqual((await output.innerText()).trim().split('\n'), lines(6));
		page.off('request', count);
		assert.ok(reads <= 2, `the events came by the socket, yet they were read ${reads} times`);
		assertClean(browser);
	});

	test('reloads in the middle of a run lose and double nothing', async () => {
		await ask(slowly(8, 0.3));
		const output = lastRun().locator('.output');
		for (const line of ['line-2', 'line-4', 'line-6']) {
			await output.getByText(line).waitFor();
			await reloaded();
		}
		await ended('succeeded');
		assert.deepEqual((await output.innerText()).trim().split('\n'), lines(8));
		assert.equal(await page.locator('article.group').count(), 3);
		assert.equal(await lastRun().locator('.command-card').count(), 1);
		const seen = await settled();
		await reloaded();
		await ended('succeeded');
		await threadIs(seen);
		assertClean(browser);
	});

	test('a second window shows the same run live', async () => {
		const other = await browser.context.newPage();
		await other.goto(page.url());
		await other.locator('article.group').nth(2).waitFor();
		await ask(slowly(4, 0.3));
		await other.locator('article.group').nth(3).locator('.output').getByText('line-4').waitFor();
		await other.locator('article.group').nth(3).and(other.locator('[data-status="succeeded"]')).waitFor();
		await ended('succeeded');
		assert.equal(await thread(other), await thread());
		await other.close();
		assertClean(browser);
	});

	test('what a command writes to stderr is told apart, and a failing exit status shows', async () => {
		await ask('run: echo to-stdout; echo to-stderr >&2; exit 3');
		await ended('succeeded');
		assert.match(await lastRun().locator('.output .stderr').innerText(), /to-stderr/);
		assert.match(await lastRun().locator('.output .stdout').first().innerText(), /to-stdout/);
		assert.match(await lastRun().locator('.badge').innerText(), /exit 3/);
	});

	test('Stop ends the command at once', async () => {
		await ask('run: echo begun; sleep 60');
		await lastRun().locator('.output').getByText('begun').waitFor();
		const from = Date.now();
		await page.getByRole('button', { name: 'Stop' }).click();
		await ended('cancelled');
		assert.ok(Date.now() - from < 5000, `took ${Date.now() - from} ms`);
		await lastRun().locator('.command-card').getByText('stopped').waitFor();
		assertClean(browser);
	});

	test('a message that cannot be sent keeps its text and is sent once when tried again', async () => {
		browser.expected.push(/ERR_INTERNET_DISCONNECTED/);
		const before = await page.locator('article.group').count();
		await browser.context.setOffline(true);
		await ask('run: echo sent-once');
		await page.getByText('Not sent').waitFor();
		assert.equal(await page.locator('.bubble').last().innerText(), 'run: echo sent-once');
		await browser.context.setOffline(false);
		await page.getByRole('button', { name: 'Send again' }).click();
		await lastRun().locator('.output').getByText('sent-once').waitFor();
		await ended('succeeded');
		assert.equal(await page.locator('article.group').count(), before + 1);
		browser.expected.length = 0;
		assertClean(browser);
	});

	test('the page heals by itself when the platform is killed in the middle of a run', async () => {
		browser.expected.push(/ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|WebSocket connection|status of 50[234]/);
		await ask(slowly(12, 0.3));
		const output = lastRun().locator('.output');
		await output.getByText('line-3').waitFor();
		await platform.kill('SIGKILL');
		await page.getByText('The live connection is lost').waitFor();
		await platform.start();
		await page.getByText('The live connection is lost').waitFor({ state: 'detached', timeout: 40000 });
		await ended('succeeded');
		assert.deepEqual((await output.innerText()).trim().split('\n'), lines(12));
		assert.equal(await lastRun().locator('.command-card').count(), 1);
		const seen = await settled();
		await reloaded();
		await ended('succeeded');
		await threadIs(seen);
		browser.expected.length = 0;
		assertClean(browser);
	});

	test('the history has every run, filtered by the address', async () => {
		await page.getByRole('link', { name: 'History' }).click();
		await page.waitForURL(`${base}/history`);
		await page.locator('.run-row').nth(7).waitFor();
		await page.getByLabel('Status').selectOption('cancelled');
		await page.waitForURL(/status=cancelled/);
		await page.locator('.run-row').nth(1).waitFor({ state: 'detached' });
		assert.match(await page.locator('.run-row').innerText(), /Stopped/);
		await page.reload();
		await page.locator('.run-row').waitFor();
		assert.equal(await page.locator('.run-row').count(), 1);
		await page.getByLabel('Status').selectOption('');
		await page.getByRole('searchbox').fill('disk space');
		await page.waitForURL(/q=disk/);
		await page.locator('.run-row').nth(1).waitFor({ state: 'detached' });
		await judge(page, 'history', shots);
		assertClean(browser);
	});

	test('a run tells its command, output, exit status, tokens and times', async () => {
		await page.getByRole('link', { name: 'How much disk space is free?' }).last().click();
		await page.waitForURL(`${base}/runs/*`);
		await page.locator('.command-card .output').waitFor();
		const facts = await page.locator('.facts').innerText();
		assert.match(facts, /Duration\s+\d+(\.\d)? (ms|s)/);
		assert.match(facts, /Tokens\s+(about )?[\d,]+ in, [\d,]+ out/);
		assert.match(facts, /Steps\s+2/);
		assert.match(facts, /Commands\s+1/);
		assert.match(facts, /Model\s+ogent-demo/);
		assert.match(await page.locator('.command-card').innerText(), /exit 0/);
		assert.match(await page.locator('.command-card .output').innerText(), /Filesystem/);
		assert.match(await page.locator('.call-times').innerText(), /\d\d:\d\d:\d\d/);
		await page.getByRole('heading', { name: 'Answer' }).waitFor();
		await judge(page, 'run', shots);
		await page.getByRole('link', { name: 'Open the conversation' }).click();
		await page.waitForURL(`${base}/chat/*`);
		assertClean(browser);
	});

	test('an agent is made, changed, found in conflict and archived', async () => {
		await page.getByRole('link', { name: 'Agents' }).click();
		await page.getByRole('link', { name: 'New agent' }).click();
		await page.getByLabel('Name').fill('Reviewer');
		await page.getByLabel('Description').fill('Reads a diff.');
		await page.getByLabel('Instructions').fill('You review code.');
		await judge(page, 'agent-new', shots);
		await page.getByRole('button', { name: 'Create the agent' }).click();
		await page.getByRole('link', { name: 'Reviewer', exact: true }).waitFor();
		await judge(page, 'agents', shots);
		await page.getByRole('link', { name: 'Reviewer', exact: true }).click();
		await page.getByText('Version 1').waitFor();
		await page.getByLabel('Description').fill('Reads a diff and says what is wrong.');
		await page.getByRole('button', { name: 'Save' }).click();
		await page.getByText('Version 2').waitFor();
		await judge(page, 'agent', shots);
		const id = page.url().split('/').at(-1);
		const token = await platform.localToken();
		const { headers } = await platform.api('GET', `/api/agents/${id}`, undefined, token);
		const other = await platform.api('PATCH', `/api/agents/${id}`, { description: 'Theirs.' }, token, { 'if-match': headers.etag });
		assert.equal(other.status, 200, other.text);
		browser.expected.push(/status of 412/);
		await page.getByLabel('Description').fill('Mine.');
		await page.getByRole('button', { name: 'Save' }).click();
		await page.getByText('Somebody else saved').waitFor();
		await page.getByRole('button', { name: 'Save mine over it' }).click();
		await page.getByText('Version 4').waitFor();
		assert.equal(await page.getByLabel('Description').inputValue(), 'Mine.');
		await page.getByRole('button', { name: 'Archive' }).click();
		await page.getByRole('dialog').getByRole('button', { name: 'Archive' }).click();
		await page.waitForURL(`${base}/agents`);
		await page.getByRole('link', { name: 'Reviewer', exact: true }).waitFor({ state: 'detached' });
		browser.expected.length = 0;
		assertClean(browser);
	});

	test('the small screen has the navigation in a drawer that the keyboard closes', async () => {
		await page.setViewportSize({ width: 320, height: 640 });
		await page.getByRole('button', { name: 'Open the navigation' }).click();
		await page.getByRole('dialog', { name: 'Navigation' }).getByRole('link', { name: 'History' }).waitFor();
		await page.keyboard.press('Escape');
		await page.getByRole('dialog', { name: 'Navigation' }).waitFor({ state: 'hidden' });
		await page.setViewportSize({ width: 1280, height: 860 });
	});

	test('a conversation is renamed and deleted', async () => {
		await page.getByRole('navigation', { name: 'Conversations' }).getByRole('link').first().click();
		await page.getByRole('button', { name: 'Rename the conversation' }).click();
		await page.getByLabel('Title').fill('Renamed');
		await page.getByRole('button', { name: 'Save' }).click();
		await page.getByRole('heading', { level: 1, name: 'Renamed' }).waitFor();
		await page.getByRole('button', { name: 'Delete the conversation' }).click();
		await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
		await page.waitForURL(`${base}/chat`);
		await page.getByText('Your conversations will be listed here.').waitFor();
		assertClean(browser);
	});

	test('who signs in again is where the session ended', async () => {
		await page.goto(`${base}/history`);
		await page.getByRole('heading', { name: 'History' }).waitFor();
		await page.getByRole('button', { name: 'Sign out' }).click();
		await page.getByRole('heading', { name: 'Sign in to Ogent' }).waitFor();
		await judge(page, 'sign-in', shots);
		browser.expected.push(/status of 401/);
		await page.getByLabel('E-mail').fill(ADMIN.email);
		await page.getByLabel('Password', { exact: true }).fill('not the password at all');
		await page.getByRole('button', { name: 'Sign in' }).click();
		await page.getByRole('alert').waitFor();
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await page.getByRole('button', { name: 'Sign in' }).click();
		await page.getByRole('heading', { name: 'History' }).waitFor();
		assert.equal(page.url(), `${base}/history`);
		browser.expected.length = 0;
		assertClean(browser);
	});

	test('a session that ends in between keeps the page below the sign-in form', async () => {
		browser.expected.push(/status of 401/);
		await browser.context.clearCookies();
		await page.route('**/api/agents?*', (route) => route.fulfill({ status: 401, body: '{}' }), { times: 1 });
		await page.getByRole('link', { name: 'Agents' }).click();
		await page.getByText('Your session has ended').waitFor();
		assert.equal(page.url(), `${base}/agents`);
		await page.getByLabel('E-mail').fill(ADMIN.email);
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await page.getByRole('button', { name: 'Sign in' }).click();
		await page.getByRole('link', { name: 'Assistant', exact: true }).waitFor();
		browser.expected.length = 0;
		assertClean(browser);
	});

	test('signing out in one window signs out the other', async () => {
		const other = await browser.context.newPage();
		await other.goto(`${base}/agents`);
		await other.getByRole('link', { name: 'Assistant', exact: true }).waitFor();
		await page.getByRole('button', { name: 'Sign out' }).click();
		await other.getByRole('heading', { name: 'Sign in to Ogent' }).waitFor();
		await other.close();
		assertClean(browser);
	});
});
