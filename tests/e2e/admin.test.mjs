// Administration as a person meets it: rights and why, the matrix of roles by keyboard, tokens shown once, the audit log, the keys.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { assertClean, judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS;
const BOB = { name: 'Bob Baker', email: 'bob@example.org', password: 'a quiet river under stones' };

describe('administration in the browser', { concurrency: 1 }, () => {
	let platform, browser, page, base;
	const button = (name) => page.getByRole('button', { name, exact: true });
	const field = (name) => page.getByRole('textbox', { name });
	const tab = (name) => page.getByRole('navigation', { name: 'Administration' }).getByRole('link', { name }).click();
	const rights = () => page.getByRole('region', { name: 'Rights' });

	before(async () => {
		if (shots) mkdirSync(shots, { recursive: true });
		platform = await startPlatform();
		const admin = (await platform.setUp()).access_token;
		const made = await platform.api('POST', '/api/users', { ...BOB, roles: ['member'] }, admin);
		assert.equal(made.status, 201, made.text);
		base = `http://localhost:${platform.where().port}`;
		browser = await openBrowser({ acceptDownloads: true });
		page = browser.page;
	});
	after(async () => {
		await browser?.close();
		await platform?.stop();
	});

	test('a user is told apart by rights, and the page says why', async () => {
		await page.goto(base);
		await field('E-mail').fill(ADMIN.email);
		await page.locator('input[name=password]').fill(ADMIN.password);
		await button('Sign in').click();
		await page.getByRole('link', { name: 'Users' }).click();
		await button(`Change ${BOB.name}`).click();
		await rights().getByLabel('Permission').selectOption('agents.write');
		await rights().getByText('allowed by role member → agents.write').waitFor();
		await button('Deny it').click();
		await rights().getByText('denied by direct denial agents.write').waitFor();
		await judge(page, 'admin-user', shots);
		await button('agents.write is denied no more').click();
		await rights().getByText('allowed by role member → agents.write').waitFor();
		await page.keyboard.press('Escape');
	});

	test('a role is made, its boxes are reached by arrows, and it is saved', async () => {
		await tab('Roles');
		await button('Make a role').click();
		await field('Name').fill('cook');
		await page.getByRole('dialog').getByRole('button', { name: 'Make the role' }).click();
		const box = (name) => page.getByRole('checkbox', { name, exact: true });
		await box('cook: models.read').focus();
		await page.keyboard.press('Space');
		assert.ok(await box('cook: models.read').isChecked());
		await page.getByText('Changed and not saved').waitFor();
		/* The kind's own row covers its names. */
		await box('cook: agents.*').focus();
		await page.keyboard.press('Space');
		await page.keyboard.press('ArrowDown');
		const below = page.locator(':focus');
		assert.match(await below.getAttribute('aria-label'), /^cook: agents\..*, by agents\.\*$/);
		await page.keyboard.press('Space');
		assert.ok(await below.isChecked(), 'a covered one stays');
		await judge(page, 'admin-roles', shots);
		await button('Save the roles').click();
		await page.getByText('Changed and not saved').waitFor({ state: 'detached' });
		const token = await platform.localToken();
		assert.deepEqual((await platform.api('GET', '/api/roles/cook', undefined, token)).body.permissions.sort(), ['agents.*', 'models.read']);
	});

	test('a token is shown once, works, and works no more when it is revoked', async () => {
		await tab('Access tokens');
		await button('Make a token').click();
		await field('Name').fill('for the build');
		await field('Scopes').fill('agents.read');
		await button('Make the token').click();
		const token = await page.locator('.shown-once').innerText();
		await judge(page, 'admin-token', shots);
		assert.equal((await platform.api('GET', '/api/agents', undefined, token)).status, 200);
		await button('I have it').click();
		await button('Add a service account').click();
		await field('Name').fill('deploy');
		await button('Add the account').click();
		await button('Make a token for deploy').waitFor();
		await judge(page, 'admin-tokens', shots);
		assert.ok(!(await page.content()).includes(token), 'it is gone from the page');
		await button('Revoke for the build').click();
		await button('Revoke').click();
		await button('Revoke for the build').waitFor({ state: 'detached' });
		for (const end = Date.now() + 30000; (await platform.api('GET', '/api/agents', undefined, token)).status !== 401; ) assert.ok(Date.now() < end);
	});

	test('the audit log is whole, is filtered, and comes as CSV', async () => {
		await tab('Audit log');
		await page.getByText(/^Whole: \d+ rows$/).waitFor();
		await field('Event').fill('role.*');
		await page.getByRole('cell', { name: 'role.changed' }).first().waitFor();
		await page.getByRole('cell', { name: 'session.started' }).first().waitFor({ state: 'detached' });
		await judge(page, 'admin-audit', shots);
		const [download] = await Promise.all([page.waitForEvent('download'), button('Export as CSV').click()]);
		const lines = readFileSync(await download.path(), 'utf8').trimEnd().split('\r\n');
		assert.match(lines[0], /^seq,at,event,/);
		assert.ok(lines.length >= 3 && lines.slice(1).every((l) => /^\d+,[^,]+,role\./.test(l)), lines.join('\n'));
	});

	test('the next key is made, and a user is removed after it is said what goes too', async () => {
		await tab('Signing keys');
		await page.getByText('signs now').waitFor();
		await button('Make the next key').click();
		await page.getByText('signs soon').waitFor();
		await judge(page, 'admin-keys', shots);
		await tab('Users');
		await button(`Change ${BOB.name}`).click();
		await button(`Remove ${BOB.name}`).click();
		await page.getByText('are deleted for good; agents and collections').waitFor();
		await judge(page, 'admin-removal', shots);
		await button('Remove').click();
		await button(`Change ${BOB.name}`).waitFor({ state: 'detached' });
		assertClean(browser);
	});
});
