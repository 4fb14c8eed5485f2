// HTTP APIs in a real browser: a document is pasted, credentials are set, an agent gets an operation and calls it.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';
import { assertClean, judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS; // a folder for screenshots

describe('APIs in the browser', { concurrency: 1 }, () => {
	let platform, browser, page, model, server, seen;
	const at = (path) => page.goto(`http://127.0.0.1:${platform.where().port}${path}`);

	before(async () => {
		model = await new ScriptModel().open();
		server = http.createServer((req, res) => {
			seen = { url: req.url, key: req.headers['x-api-key'] };
			res.writeHead(200, { 'content-type': 'application/json' }).end('{"temperature":21}');
		});
		await new Promise((done) => server.listen(0, '127.0.0.1', done));
		platform = await startPlatform({ env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_OUTBOUND_ALLOW: '127.0.0.1' } });
		await platform.setUp();
		browser = await openBrowser();
		page = browser.page;
		await at('/apis');
		await page.getByLabel('E-mail').fill(ADMIN.email);
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await page.getByRole('button', { name: 'Sign in', exact: true }).click();
	});
	after(async () => {
		await browser?.close();
		await platform?.stop();
		await model?.close();
		server.closeAllConnections();
		await new Promise((done) => server.close(done));
	});

	test('an API is added by its document and gets credentials', async () => {
		await page.getByRole('heading', { name: 'APIs' }).waitFor();
		await page.getByRole('button', { name: 'Add an API' }).click();
		await page.getByLabel('Or its text').fill(`
openapi: 3.1.0
info: {title: Weather, version: '2'}
servers: [{url: 'http://127.0.0.1:${server.address().port}'}]
security: [{key: []}]
paths:
  /now/{city}: {get: {operationId: now, summary: The weather of a city, parameters: [{name: city, in: path, required: true, schema: {type: string}}]}}
  /upload: {post: {operationId: upload, requestBody: {required: true, content: {multipart/form-data: {}}}}}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Api-Key}}}
`);
		await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
		await page.getByRole('heading', { name: 'Weather' }).waitFor();
		await page.getByRole('row', { name: 'weather_now GET /now/{city} The weather of a city' }).waitFor();
		await page.getByText('Cannot be called: Its body is of the type "multipart/form-data"').waitFor();
		const form = page.getByRole('form', { name: 'Credentials for key' });
		await form.getByLabel('Secret').fill('a-long-secret-0123456789');
		await form.getByRole('button', { name: 'Set' }).click();
		await form.getByText('set (…6789)').waitFor();
		await judge(page, 'api', shots);
		await at('/apis');
		await page.getByRole('link', { name: 'Weather' }).waitFor();
		await judge(page, 'apis', shots);
	});

	test('an agent is given an operation and calls it', async () => {
		await at('/agents/new');
		await page.getByLabel('Name', { exact: true }).fill('Forecaster');
		await page.getByText('Weather: 0 chosen').click();
		await page.getByRole('checkbox', { name: /^now/ }).check();
		await page.getByText('Weather: 1 chosen').waitFor();
		await judge(page, 'agent-apis', shots);
		await page.getByRole('button', { name: 'Create the agent' }).click();
		await page.getByRole('link', { name: 'Forecaster' }).first().waitFor();
		const token = (await platform.login(ADMIN)).access_token;
		const agent = (await platform.api('GET', '/api/agents', undefined, token)).body.items.find((a) => a.name === 'Forecaster');
		assert.deepEqual(agent.apis.map((a) => a.operations), [['now']]);
		const c = await platform.api('POST', '/api/conversations', { agent_id: agent.id }, token);
		const word = model.script(call(['weather_now', { city: 'New York' }]), say('It is 21 degrees.'));
		await at(`/chat/${c.body.id}`);
		await page.getByRole('textbox', { name: 'Message' }).fill(`how warm is it ${word}`);
		await page.keyboard.press('Enter');
		await page.locator('article').getByText('It is 21 degrees.').waitFor();
		assert.deepEqual(seen, { url: '/now/New%20York', key: 'a-long-secret-0123456789' });
	});

	test('nothing went wrong in the browser', () => assertClean(browser));
});
