// A workspace's files and a terminal in it, as a person uses them: by mouse, by keyboard, and as plain text.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { ADMIN, startPlatform } from '../lib/platform.mjs';
import { judge, openBrowser } from './browser.mjs';

const shots = process.env.OGENT_SHOTS;

describe('files and terminals in the browser', { concurrency: 1 }, () => {
	let platform, browser, page, base;
	const button = (name) => page.getByRole('button', { name, exact: true });
	const transcript = () => page.getByRole('group', { name: 'What the terminal showed, as plain text' });

	before(async () => {
		if (shots) mkdirSync(shots, { recursive: true });
		platform = await startPlatform();
		await platform.setUp();
		base = `http://localhost:${platform.where().port}`;
		browser = await openBrowser();
		page = browser.page;
		/* A workspace that is not there yet is no error here. */
		browser.expected.push(/status of 404/);
		await page.goto(base);
		await page.getByRole('textbox', { name: 'E-mail' }).fill(ADMIN.email);
		await page.locator('input[name=password]').fill(ADMIN.password);
		await button('Sign in').click();
		await page.getByRole('link', { name: 'Files' }).click();
	});
	after(async () => {
		await browser?.close();
		await platform?.stop();
	});

	test('a file is put up, read, kept in a snapshot, removed and brought back', async () => {
		await page.getByText('There is no workspace yet').waitFor();
		await page.goto(`${base}/files/demo`);
		await button('Make it now').click();
		await page.getByText('This folder is empty').waitFor();
		await page.getByTestId('upload').setInputFiles([
			{ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('first line\n<b>second</b>\n') },
			{ name: 'picture.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([0, 1, 2, 255]) },
		]);
		await page.getByRole('link', { name: 'picture.bin' }).waitFor();
		await button('New folder').click();
		await page.getByRole('textbox', { name: 'Name' }).fill('a folder');
		await page.keyboard.press('Enter');
		await page.getByRole('link', { name: 'a folder' }).waitFor();
		await button('Keep it as it is now').click();
		await page.getByText('3 files').waitFor();
		await judge(page, 'files', shots);
		await page.getByRole('link', { name: 'notes.txt' }).click();
		await page.getByText('<b>second</b>').waitFor();
		await judge(page, 'file', shots);
		await page.getByRole('link', { name: 'Back to the folder' }).click();
		const download = page.waitForEvent('download');
		await button('Download notes.txt').click();
		assert.equal((await download).suggestedFilename(), 'notes.txt');
		await button('Delete notes.txt').click();
		await button('Delete').click();
		await page.getByRole('link', { name: 'notes.txt' }).waitFor({ state: 'detached' });
		await page.getByRole('button', { name: /^Restore / }).click();
		await button('Restore').click();
		await page.getByRole('link', { name: 'notes.txt' }).waitFor();
		assert.deepEqual(browser.problems, []);
	});

	test('a terminal takes what is typed, and is there again after a reload', async () => {
		await page.getByRole('link', { name: 'Terminal' }).click();
		await button('New terminal').click();
		await page.getByText('connected', { exact: true }).waitFor();
		await button('As plain text').click();
		await page.locator('.xterm-helper-textarea').focus();
		await page.keyboard.type('echo $((40+2)) > answer; cat answer; stty size\n');
		await transcript().filter({ hasText: /42\s+\d+ \d+/ }).waitFor();
		await judge(page, 'terminal', shots);
		await page.reload();
		await page.getByText('connected', { exact: true }).waitFor();
		await button('As plain text').click();
		await transcript().filter({ hasText: /42\s/ }).waitFor();
		await page.setViewportSize({ width: 700, height: 860 });
		await page.locator('.xterm-helper-textarea').focus();
		await page.keyboard.type('stty size; exit 3\n');
		await page.getByText('It ended with exit code 3.', { exact: true }).waitFor();
		await transcript().filter({ hasText: /exit 3\s+\d+ \d+/ }).waitFor();
		const sizes = [...(await transcript().innerText()).matchAll(/^\d+ (\d+)$/gm)].map((m) => Number(m[1]));
		assert.ok(sizes.at(-1) < sizes[0], `columns: ${sizes}`);
		await page.setViewportSize({ width: 1280, height: 860 });
		await page.getByRole('link', { name: 'demo' }).click();
		await page.getByRole('link', { name: 'answer' }).waitFor();
		assert.deepEqual(browser.problems, []);
	});

	test('an image and a text go along with a message', async () => {
		await page.goto(`${base}/chat`);
		const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElFTkSuQmCC', 'base64');
		await page.locator('input[type=file]').setInputFiles([{ name: 'red.png', mimeType: 'image/png', buffer: png }, { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('plum') }]);
		await page.getByRole('button', { name: 'Remove notes.txt' }).waitFor();
		await page.getByRole('textbox', { name: 'Message' }).fill('What is this?');
		await judge(page, 'attach', shots);
		await page.getByRole('button', { name: 'Send', exact: true }).click();
		await page.getByRole('img', { name: 'Attached image: red.png' }).waitFor();
		await page.getByRole('list', { name: 'Files of this message' }).getByText('notes.txt').waitFor();
		await judge(page, 'attached', shots);
		await page.reload();
		await page.getByRole('img', { name: 'Attached image: red.png' }).waitFor();
		await page.locator('input[type=file]').setInputFiles([{ name: 'a.pdf', mimeType: 'application/pdf', buffer: Buffer.from([37, 80, 0, 1]) }]);
		await page.getByRole('textbox', { name: 'Message' }).fill('And this?');
		await page.getByRole('button', { name: 'Send', exact: true }).click();
		await page.getByText(/Images \(PNG, JPEG, GIF, WebP\) and texts/).waitFor();
		// What is edited keeps its files.
		await page.getByRole('button', { name: 'Edit', exact: true }).first().click();
		const picked = page.getByRole('list', { name: 'Attached files' });
		await picked.getByText('red.png').waitFor();
		await picked.getByText('notes.txt').waitFor();
		await page.getByRole('textbox', { name: 'Message' }).fill('What is this now?');
		await page.getByRole('button', { name: 'Send', exact: true }).click();
		await page.getByRole('img', { name: 'Attached image: red.png' }).waitFor();
	});
});
