// A Chromium for the tests: a profile of its own, and every console error, page error and CSP violation kept as a problem.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

const executable = process.env.OGENT_CHROMIUM ?? '/usr/bin/chromium';
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
/* The one time-out of all waits: they wait for something to be so, and a busy machine may take its time. */
export const WAIT_MS = 60000;

// options: more of Playwright's for the context.
export async function openBrowser(options = {}) {
	assert.ok(existsSync(executable), `${executable} is missing: apt-get install chromium`);
	const profile = mkdtempSync(join(tmpdir(), 'ogent-chromium-'));
	const context = await chromium.launchPersistentContext(profile, { executablePath: executable, headless: true, args: quiet, viewport: { width: 1280, height: 860 }, ...options });
	context.setDefaultTimeout(WAIT_MS);
	const problems = [];
	/* Why a console error may come; tests that cause one on purpose name it. */
	const expected = [];
	const note = (text) => {
		if (!expected.some((pattern) => pattern.test(text))) problems.push(text);
	};
	context.on('console', (message) => {
		if (message.type() === 'error') note(`console: ${message.text()} ${message.location().url}`);
	});
	context.on('weberror', (error) => note(`page: ${error.error().stack ?? error.error()}`));
	await context.addInitScript(() => {
		document.addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
	});
	const page = context.pages()[0] ?? (await context.newPage());
	return {
		context,
		page,
		problems,
		expected,
		async close() {
			await context.close();
			rmSync(profile, { recursive: true, force: true });
		},
	};
}

/* Both colours and both widths are judged; the other two combinations are for the eye. */
const looks = [
	{ colorScheme: 'light', width: 1280, height: 860, judged: true },
	{ colorScheme: 'dark', width: 1280, height: 860 },
	{ colorScheme: 'light', width: 320, height: 640 },
	{ colorScheme: 'dark', width: 320, height: 640, judged: true },
];

// Judges the page as it is shown now: no axe violation, nothing wider than the window, targets of 24 px. shots: a folder for
// screenshots of all four looks, if any.
export async function judge(page, name, shots) {
	const found = [];
	for (const look of looks.filter(({ judged }) => judged || shots)) {
		const where = `${name} ${look.colorScheme} ${look.width}`;
		await page.emulateMedia({ colorScheme: look.colorScheme });
		await page.setViewportSize({ width: look.width, height: look.height });
		await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
		/* Colours fade for a moment; what is taken off the page meanwhile fades no more. */
		await page.evaluate(() => Promise.all(document.getAnimations().map((a) => (a.effect?.getTiming().iterations === Infinity ? null : a.finished.catch(() => null)))));
		if (shots) await page.screenshot({ path: join(shots, `${where.replaceAll(' ', '-')}.png`) });
		found.push(...(await page.evaluate(tooWide)).map((what) => `${where}: sideways scroll: ${what}`));
		if (!look.judged) continue;
		if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
		const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } }));
		for (const v of violations) found.push(`${where}: ${v.id} (${v.help}) at ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`);
	}
	await page.emulateMedia({ colorScheme: 'light' });
	await page.setViewportSize({ width: 1280, height: 860 });
	assert.deepEqual(found, []);
}

/* The page and what scrolls up and down in it may not scroll sideways. */
function tooWide() {
	const found = [];
	if (document.documentElement.scrollWidth > innerWidth) found.push('the page');
	for (const element of document.querySelectorAll('main, .thread-scroll, .sidebar, .conversations')) {
		if (element.scrollWidth > element.clientWidth) found.push(element.className || element.tagName);
	}
	return found;
}

export function assertClean(browser) {
	assert.deepEqual(browser.problems.splice(0), []);
}
