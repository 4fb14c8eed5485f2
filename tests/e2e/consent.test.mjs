// A program asks to act for a user, in a real browser: sign-in, the consent page, no, yes, and the account page that ends it.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { Program } from '../lib/oauth.mjs';
import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { assertClean, judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS; // a folder for screenshots

describe('a program in the browser', { concurrency: 1 }, () => {
	let platform, browser, page, program, site, tokens;
	const answers = [];
	// Opens the program's address as a link in it would.
	const start = async (params) => page.goto(`http://127.0.0.1:${platform.where().port}${await address(params)}`);
	const answered = () => page.getByRole('heading', { name: 'Back in the program' }).waitFor();

	async function address(params) {
		const r = await program.authorize(params);
		assert.equal(r.status, 303, r.text);
		const to = new URL(r.headers.location);
		return to.pathname + to.hash;
	}

	before(async () => {
		site = http.createServer((req, res) => {
			if (!req.url.startsWith('/cb')) return res.writeHead(204).end();
			answers.push(new URL(req.url, 'http://127.0.0.1').searchParams);
			res.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Program</title><h1>Back in the program</h1>');
		});
		await new Promise((done) => site.listen(0, '127.0.0.1', done));
		platform = await startPlatform();
		await platform.setUp();
		program = await Program.register(platform, { client_name: 'Pocket calculator', redirect_uris: [`http://127.0.0.1:${site.address().port}/cb`] });
		browser = await openBrowser();
		page = browser.page;
	});
	after(async () => {
		await browser?.close();
		site?.closeAllConnections();
		site?.close();
		await platform?.stop();
	});

	test('who is not signed in signs in first, then sees which program wants what', async () => {
		await start({ scope: 'openid agents.read' });
		await page.getByRole('heading', { name: 'Sign in to Ogent' }).waitFor();
		await page.getByLabel('E-mail').fill(ADMIN.email);
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await page.getByRole('button', { name: 'Sign in', exact: true }).click();
		await page.getByRole('heading', { name: 'Connect a program' }).waitFor();
		await page.getByText('Pocket calculator').first().waitFor();
		await page.getByText('See agents and their versions').waitFor();
		await page.getByText('this computer').waitFor();
		await judge(page, 'consent', shots);
	});

	test('no goes back to the program without a code', async () => {
		await page.getByRole('button', { name: 'Deny' }).click();
		await answered();
		assert.equal(answers.at(-1).get('error'), 'access_denied');
		assert.equal(answers.at(-1).has('code'), false);
	});

	test('yes goes back with a code, which is good for tokens', async () => {
		await start({ scope: 'openid agents.read' });
		await page.getByRole('button', { name: 'Allow' }).click();
		await answered();
		const r = await program.exchange(answers.at(-1).get('code'));
		assert.equal(r.status, 200, r.text);
		tokens = r.body;
		assert.equal((await platform.api('GET', '/api/agents', undefined, tokens.access_token)).status, 200);
	});

	test('the account page lists the program and disconnects it', async () => {
		await page.goto(`http://127.0.0.1:${platform.where().port}/account`);
		await page.getByRole('button', { name: 'Disconnect Pocket calculator' }).click();
		await page.getByText('No program acts for you.').waitFor();
		assert.equal((await program.refresh(tokens.refresh_token)).body.error, 'invalid_grant');
		assertClean(browser);
	});
});
