// The browser story: from the set-up link to a run in the history, with the real platform and a real browser.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';

import { ModelPeer } from '../lib/model_peer.mjs';
import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { assertClean, judge, openBrowser, WAIT_MS } from './browser.mjs';

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
const groups = (of = page) => of.locator('article.group');
const withStatus = (run, status) => run.and(run.page().locator(`[data-status="${status}"]`));

// Sends once nothing else runs; returns the group of the new run.
async function ask(text) {
	const run = groups().nth(await groups().count());
	await message().fill(text);
	await page.locator('button.send:enabled').waitFor();
	await message().press('Enter');
	await run.waitFor();
	return run;
}

const ended = (run, status) => withStatus(run, status).waitFor();

async function api(path) {
	const r = await platform.api('GET', path, undefined, await platform.localToken());
	assert.equal(r.status, 200, r.text);
	return r.body;
}

// Runs a command beside the run that is going on, in the workspace of the conversation on the screen.
async function inWorkspace(script) {
	const workspace = page.url().split('/').at(-1);
	const r = await platform.api('POST', '/api/commands', { script, workspace }, await platform.localToken());
	assert.ok(r.status < 300, r.text);
}

async function until(what, test) {
	for (const limit = Date.now() + WAIT_MS; ; await sleep(50)) {
		const value = await test();
		if (value) return value;
		assert.ok(Date.now() < limit, `waited in vain: ${what}`);
	}
}

// What each run of the conversation should be shown from: those with commands from their events, up to the last.
async function lastEvents(of) {
	const id = of.url().split('/').at(-1);
	const { items } = await api(`/api/executions?conversation_id=${id}&limit=200`);
	return new Map(items.map((e) => [e.id, e.commands > 0 ? String(e.last_event) : null]));
}

// What the thread says, once every run in it was in view and is shown to its end.
async function thread(of = page) {
	const wanted = await lastEvents(of);
	await until('the thread is whole', () =>
		groups(of).evaluateAll((shown, all) => {
			const last = new Map(all);
			const isWhole = ({ dataset }) => [null, dataset.lastEvent].includes(last.get(dataset.execution));
			const missing = shown.find((group) => !isWhole(group));
			missing?.scrollIntoView();
			return !missing && shown.length === last.size;
		}, [...wanted]),
	);
	/* Not innerText: groups that are out of view are not laid out, and it leaves them out. */
	return groups(of).allTextContents();
}

async function reloaded() {
	await page.reload();
	await groups().first().waitFor();
}

async function outputOf(run) {
	return (await run.locator('.output').innerText()).trim().split('\n');
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
		await ended(groups().first(), 'succeeded');
		assert.equal(await groups().count(), 1);
		assert.equal(await card.count(), 1);
		assert.match(await card.locator('.command-line').innerText(), /df -h/);
		assert.match(await card.locator('.output').innerText(), /Filesystem.+Avail/);
		assert.match(await card.locator('.badge').innerText(), /exit 0/);
		assert.match(await card.locator('.command-time').innerText(), /\d (ms|s)/);
		assert.ok((await page.locator('.answer').last().innerText()).length > 10);
		await page.getByRole('navigation', { name: 'Conversations' }).getByRole('link', { name: /disk space/ }).waitFor();
		await page.getByRole('heading', { level: 1, name: /disk space/ }).waitFor();
		await page.getByRole('log').getByText(/^Answer: .+ free/).waitFor();
		await judge(page, 'chat', shots);
		assertClean(browser);
	});

	test('a reload at the end shows the same, once', async () => {
		const seen = await thread();
		await reloaded();
		assert.deepEqual(await thread(), seen);
		assertClean(browser);
	});

	test('output appears while the command runs', async () => {
		let reads = 0;
		const count = (request) => (reads += request.url().includes('/events') ? 1 : 0);
		page.on('request', count);
		/* It goes on when the page has shown what it wrote so far. */
		const run = await ask('run: for i in 1 2 3; do echo line-$i; until [ -e go-$i ]; do sleep 0.05; done; done');
		for (const i of [1, 2, 3]) {
			await run.locator('.output').getByText(`line-${i}`).waitFor();
			assert.deepEqual(await outputOf(run), lines(i));
			assert.equal(await run.getAttribute('data-status'), 'running');
			await inWorkspace(`touch go-${i}`);
		}
		await ended(run, 'succeeded');
		assert.deepEqual(await outputOf(run), lines(3));
		page.off('request', count);
		assert.ok(reads <= 2, `the events came by the socket, yet they were read ${reads} times`);
		assertClean(browser);
	});

	test('reloads in the middle of a run lose and double nothing', async () => {
		const run = await ask(slowly(8, 0.3));
		for (const line of ['line-2', 'line-4', 'line-6']) {
			await run.locator('.output').getByText(line).waitFor();
			await reloaded();
		}
		await ended(run, 'succeeded');
		assert.deepEqual(await outputOf(run), lines(8));
		assert.equal(await groups().count(), 3);
		assert.equal(await run.locator('.command-card').count(), 1);
		const seen = await thread();
		await reloaded();
		assert.deepEqual(await thread(), seen);
		assertClean(browser);
	});

	test('a second window shows the same run live', async () => {
		const other = await browser.context.newPage();
		await other.goto(page.url());
		await groups(other).nth(2).waitFor();
		const same = groups(other).nth(3);
		await page.bringToFront();
		const run = await ask(slowly(4, 0.3));
		await same.locator('.output').getByText('line-2').waitFor();
		await ended(same, 'succeeded');
		await ended(run, 'succeeded');
		assert.deepEqual(await outputOf(same), lines(4));
		const seen = await thread();
		await other.bringToFront();
		assert.deepEqual(await thread(other), seen);
		await other.close();
		assertClean(browser);
	});

	test('what a command writes to stderr is told apart, and a failing exit status shows', async () => {
		const run = await ask('run: echo to-stdout; echo to-stderr >&2; exit 3');
		await ended(run, 'succeeded');
		assert.match(await run.locator('.output .stderr').innerText(), /to-stderr/);
		assert.match(await run.locator('.output .stdout').first().innerText(), /to-stdout/);
		assert.match(await run.locator('.badge').innerText(), /exit 3/);
	});

	test('Stop ends the command at once', async () => {
		const run = await ask('run: echo begun; sleep 600');
		await run.locator('.output').getByText('begun').waitFor();
		await page.getByRole('button', { name: 'Stop' }).click();
		await ended(run, 'cancelled');
		await run.locator('.command-card').getByText('stopped').waitFor();
		await message().and(page.locator(':focus')).waitFor();
		/* It is gone, not only left. */
		const [last] = (await api('/api/executions?limit=1')).items;
		const [call] = (await api(`/api/executions/${last.id}`)).calls;
		assert.equal(call.status, 'cancelled');
		assert.equal((await api(`/api/commands/${call.command_id}`)).status, 'cancelled');
		assertClean(browser);
	});

	test('a message that cannot be sent keeps its text and is sent once when tried again', async () => {
		browser.expected.push(/ERR_INTERNET_DISCONNECTED/);
		const before = await groups().count();
		await browser.context.setOffline(true);
		await message().fill('run: echo sent-once');
		await page.locator('button.send:enabled').click();
		await page.getByText('Not sent').waitFor();
		assert.equal(await page.locator('.bubble').last().innerText(), 'run: echo sent-once');
		await browser.context.setOffline(false);
		await page.getByRole('button', { name: 'Send again' }).click();
		const run = groups().nth(before);
		await ended(run, 'succeeded');
		assert.deepEqual(await outputOf(run), ['sent-once']);
		assert.equal(await groups().count(), before + 1);
		browser.expected.length = 0;
		assertClean(browser);
	});

	test('the page heals by itself when the platform is killed in the middle of a run', async () => {
		browser.expected.push(/ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|WebSocket connection|status of 50[234]/);
		const run = await ask(slowly(12, 0.3));
		await run.locator('.output').getByText('line-3').waitFor();
		await platform.kill('SIGKILL');
		await page.getByText('The live connection is lost').waitFor();
		await platform.start();
		await page.getByText('The live connection is lost').waitFor({ state: 'detached' });
		await ended(run, 'succeeded');
		assert.deepEqual(await outputOf(run), lines(12));
		assert.equal(await run.locator('.command-card').count(), 1);
		const seen = await thread();
		await reloaded();
		assert.deepEqual(await thread(), seen);
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
		await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Reviewer');
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

	test('a provider of models is connected, tested and removed', async () => {
		const peer = await new ModelPeer({ models: ['m1', 'm2'] }).open();
		await page.getByRole('link', { name: 'Models' }).click();
		await page.getByRole('button', { name: 'Connect a provider' }).click();
		const dialog = page.getByRole('dialog');
		await dialog.getByLabel('Name', { exact: true }).fill('Lab');
		await dialog.getByLabel('Provider').selectOption('compatible');
		await dialog.getByLabel('Address').fill(`${peer.url}/v1`);
		await dialog.getByLabel('Key').fill('sk-not-a-real-key-wxyz');
		await judge(page, 'provider-new', shots);
		await dialog.getByRole('button', { name: 'Connect' }).click();
		const row = page.getByRole('list', { name: 'Providers' }).locator('li').filter({ hasText: 'Lab' });
		await row.getByText('key …wxyz').waitFor();
		await row.getByRole('button', { name: 'Test Lab' }).click();
		await row.getByText('It works: 2 models').waitFor();
		await page.getByRole('list', { name: 'Models' }).getByText('lab/m2').waitFor();
		await judge(page, 'models', shots);
		await row.getByRole('button', { name: 'Remove Lab' }).click();
		await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
		await page.getByText('No provider is connected yet.').waitFor();
		await peer.close();
		assertClean(browser);
	});

	test('a user is added, given a role and shut out', async () => {
		const grace = { email: 'grace@example.org', password: 'a quiet river under stones' };
		await page.getByRole('link', { name: 'Users' }).click();
		await page.getByRole('list', { name: 'Users' }).getByText('(you)').waitFor();
		await page.getByRole('button', { name: 'Add a user' }).click();
		const dialog = page.getByRole('dialog');
		await dialog.getByLabel('Name').fill('Grace');
		await dialog.getByLabel('E-mail').fill(grace.email);
		await dialog.getByLabel('Password', { exact: true }).fill(grace.password);
		await judge(page, 'user-new', shots);
		await dialog.getByRole('button', { name: 'Add the user' }).click();
		const row = page.locator('.user-row').filter({ hasText: 'Grace' });
		await row.getByText('member').waitFor();
		await judge(page, 'users', shots);
		await row.getByRole('button', { name: 'Change Grace' }).click();
		await dialog.getByLabel('operator').check();
		await dialog.getByLabel('member').uncheck();
		await dialog.getByRole('button', { name: 'Save' }).click();
		await row.getByText('operator').waitFor();
		assert.deepEqual((await platform.login(grace)).user.roles, ['operator']);
		await row.getByRole('button', { name: 'Change Grace' }).click();
		await dialog.getByLabel('May sign in').uncheck();
		await dialog.getByRole('button', { name: 'Save' }).click();
		await row.getByText('May not sign in').waitFor();
		assert.notEqual((await platform.api('POST', '/api/auth/login', grace)).status, 200);
		browser.expected.push(/status of 409/);
		await page.getByRole('button', { name: `Change ${ADMIN.name}` }).click();
		await dialog.getByLabel('admin').uncheck();
		await dialog.getByRole('button', { name: 'Save' }).click();
		await dialog.getByRole('alert').waitFor();
		await dialog.getByRole('button', { name: 'Cancel' }).click();
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

	test('the API is shown from its contract, and an operation is tried with the session', async () => {
		await page.getByRole('link', { name: 'The API' }).first().click();
		await page.getByRole('heading', { name: 'Ogent API' }).waitFor();
		await page.getByRole('searchbox', { name: 'Search operations' }).fill('get /api/auth/me');
		await page.getByRole('button', { name: /\/api\/auth\/me/ }).click();
		await page.getByRole('button', { name: 'Send' }).click();
		const answer = page.getByRole('status', { name: 'Answer' });
		await answer.getByText('200').first().waitFor();
		assert.match(await answer.innerText(), new RegExp(ADMIN.email));
		assert.match(await page.locator('.curl').innerText(), /\$OGENT_TOKEN/);
		await judge(page, 'api', shots);
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
		await page.getByRole('button', { name: 'Sign in', exact: true }).click();
		await page.getByRole('alert').waitFor();
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await page.getByRole('button', { name: 'Sign in', exact: true }).click();
		await page.getByRole('heading', { name: 'History' }).waitFor();
		assert.equal(page.url(), `${base}/history`);
		browser.expected.length = 0;
		assertClean(browser);
	});

	test('a session that ends in between keeps the page below the sign-in form', async () => {
		browser.expected.push(/status of 401/);
		await browser.context.clearCookies();
		await page.route('**/api/agents?*', (route) => route.fulfill({ status: 401, headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' }, body: '{}' }));
		await page.getByRole('link', { name: 'Agents' }).click();
		await page.getByText('Your session has ended').waitFor();
		await page.unroute('**/api/agents?*');
		assert.equal(page.url(), `${base}/agents`);
		await page.getByLabel('E-mail').fill(ADMIN.email);
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await page.getByRole('button', { name: 'Sign in', exact: true }).click();
		await page.getByRole('link', { name: 'Assistant', exact: true }).waitFor();
		browser.expected.length = 0;
		assertClean(browser);
	});

	test('signing out in one window signs out the other', async () => {
		const other = await browser.context.newPage();
		await other.goto(`${base}/agents`);
		await other.getByRole('link', { name: 'Assistant', exact: true }).waitFor();
		/* The session is dead at once: what the other window asks meanwhile is refused. */
		browser.expected.push(/status of 401/);
		await page.getByRole('button', { name: 'Sign out' }).click();
		await other.getByRole('heading', { name: 'Sign in to Ogent' }).waitFor();
		await other.close();
		assertClean(browser);
	});
});
