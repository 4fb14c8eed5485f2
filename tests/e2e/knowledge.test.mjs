// Documents in a real browser: a collection, files dropped into it, what an agent would find, and an answer whose numbers lead to the passages.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';
import { assertClean, judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS; // a folder for screenshots

describe('knowledge in the browser', { concurrency: 1 }, () => {
	let platform, browser, page, model;
	const at = (path) => page.goto(`http://127.0.0.1:${platform.where().port}${path}`);

	before(async () => {
		model = await new ScriptModel().open();
		platform = await startPlatform({ env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1' } });
		await platform.setUp();
		browser = await openBrowser();
		page = browser.page;
		await at('/knowledge');
		await page.getByLabel('E-mail').fill(ADMIN.email);
		await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
		await page.getByRole('button', { name: 'Sign in', exact: true }).click();
	});
	after(async () => {
		await browser?.close();
		await platform?.stop();
		await model?.close();
	});

	test('a collection is made, and files in it are read', async () => {
		await page.getByRole('heading', { name: 'Knowledge' }).waitFor();
		await page.getByRole('button', { name: 'New collection' }).click();
		await page.getByLabel('Name').fill('Handbook');
		await page.getByRole('button', { name: 'Make it' }).click();
		await page.getByRole('heading', { name: 'Handbook' }).waitFor();
		await page.locator('input[type=file]').setInputFiles([
			{ name: 'leave.md', mimeType: 'text/markdown', buffer: Buffer.from('# Leave\n\nEverybody has 30 days of leave a year.\n\n## Illness\n\nCall the office before nine.') },
			{ name: 'photo.png', mimeType: 'image/png', buffer: Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 0]) },
		]);
		await page.getByRole('list', { name: 'Documents' }).getByText('ready').waitFor();
		await page.getByText('photo.png: The file is no text').waitFor();
		await page.getByLabel('Ask the documents').fill('how much leave');
		await page.getByRole('button', { name: 'Search' }).click();
		await page.getByRole('list', { name: 'Found' }).getByText('30 days of leave').waitFor();
		await judge(page, 'collection', shots);
		browser.expected.push(/415/);
		browser.problems.splice(0);
	});

	test("an answer's numbers lead to the passage and the document", async () => {
		const token = (await platform.login(ADMIN)).access_token;
		const agent = await platform.api('POST', '/api/agents', { name: 'Reader', tools: ['knowledge_search'] }, token);
		assert.equal(agent.status, 201, agent.text);
		const conversation = await platform.api('POST', '/api/conversations', { agent_id: agent.body.id }, token);
		const word = model.script(call(['knowledge_search', { query: 'days of leave' }]), (body) => {
			const found = body.messages.find((m) => m.role === 'tool').content;
			return say(`There are **30 days** [${/id="(k-\w+)"/.exec(found)[1]}], and a pony [k-aaaaaaaa].`);
		});
		await at(`/chat/${conversation.body.id}`);
		await page.getByRole('textbox', { name: 'Message' }).fill(`how much leave ${word}`);
		/* Also while the conversation is still being read. */
		await page.keyboard.press('Enter');
		const source = page.getByRole('button', { name: /^Source 1: Leave/ });
		await source.waitFor();
		await page.getByText('(source k-aaaaaaaa was not found)').waitFor({ state: 'attached' });
		await judge(page, 'citations', shots);
		await page.reload();
		await source.click();
		await page.getByRole('dialog').getByText('30 days of leave').waitFor();
		await page.getByRole('link', { name: 'Open the document' }).click();
		await page.getByRole('heading', { name: 'Leave', exact: true }).waitFor();
		await page.locator('li.marked').getByText('30 days of leave').waitFor();
		await judge(page, 'document', shots);
		assertClean(browser);
	});
});
