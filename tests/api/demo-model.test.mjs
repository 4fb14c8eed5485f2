// The demo model as its manual (docs/demo-model.md) tells it, over the wire.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { request, startRole } from '../lib/platform.mjs';

const PATH = '/v1/chat/completions';
const data = mkdtempSync(join(tmpdir(), 'ogent-demo-'));
const where = { socketPath: join(data, 'run', 'demo.sock') };
const parameters = { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] };
const tools = [{ type: 'function', function: { name: 'shell', parameters } }];
let demo;

before(async () => {
	demo = await startRole('demo-model', { data });
});
after(async () => {
	await demo.stop();
	rmSync(data, { recursive: true, force: true });
});

const user = (content) => [{ role: 'user', content }];

function chat(body, script, timeout) {
	const headers = script ? { 'x-demo-script': JSON.stringify(script) } : {};
	return request(where, 'POST', PATH, { body: { model: 'ogent-demo', tools, ...body }, headers, timeout });
}

// The chunks of a stream; [DONE] is the string 'done'.
async function stream(body, script) {
	const r = await chat({ ...body, stream: true }, { instant: true, ...script });
	assert.equal(r.status, 200, r.text);
	assert.match(r.headers['content-type'], /^text\/event-stream/);
	const lines = r.text.split(/\r?\n/).filter((l) => l.startsWith('data: '));
	return lines.map((l) => (l === 'data: [DONE]' ? 'done' : JSON.parse(l.slice(6))));
}

const deltas = (chunks) => chunks.flatMap((c) => c.choices ?? []).map((c) => c.delta);
const text = (chunks) => deltas(chunks).map((d) => d.content ?? '').join('');
const calls = (chunks) => deltas(chunks).flatMap((d) => d.tool_calls ?? []);
const args = (chunks) => calls(chunks).map((c) => c.function.arguments ?? '').join('');
const finishes = (chunks) => chunks.flatMap((c) => c.choices ?? []).map((c) => c.finish_reason).filter(Boolean);

test('it lists itself and nothing else', async () => {
	const list = await request(where, 'GET', '/v1/models');
	assert.deepEqual(list.body.data.map((m) => m.id), ['ogent-demo']);
	assert.equal((await request(where, 'GET', '/v1/models/ogent-demo')).body.object, 'model');
	const none = await request(where, 'GET', '/v1/models/gpt-4');
	assert.equal(none.status, 404);
	assert.equal(none.body.error.code, 'model_not_found');
});

test('run: leads to a call, and its output to an answer that quotes it', async () => {
	const messages = user('run: echo "a b"');
	const first = await stream({ messages });
	assert.equal(first[0].choices[0].delta.role, 'assistant');
	assert.equal(calls(first)[0].index, 0);
	assert.equal(calls(first).filter((c) => c.id).length, 1);
	assert.deepEqual(JSON.parse(args(first)), { command: 'echo "a b"' });
	assert.deepEqual(finishes(first), ['tool_calls']);
	assert.equal(first.at(-1), 'done');

	const call = { id: calls(first)[0].id, type: 'function', function: { name: 'shell', arguments: args(first) } };
	messages.push({ role: 'assistant', content: null, tool_calls: [call] });
	messages.push({ role: 'tool', tool_call_id: call.id, content: 'Exit status: 0\na b\n' });
	const second = await stream({ messages });
	assert.equal(text(second), '`echo "a b"` says:\n\n```\na b\n```\n');
	assert.deepEqual(finishes(second), ['stop']);
});

test('a question about the disk is answered from real output', async () => {
	const call = { id: 'c1', type: 'function', function: { name: 'shell', arguments: '{}' } };
	const messages = user('How much disk space is free?');
	assert.deepEqual(JSON.parse(args(await stream({ messages }))), { command: 'df -h .' });
	const df = 'Filesystem Size Used Avail Use% Mounted on\n/dev/sda1 50G 10G 40G 20% /workspace\n';
	messages.push({ role: 'assistant', content: null, tool_calls: [call] });
	messages.push({ role: 'tool', tool_call_id: 'c1', content: `Exit status: 0\n${df}` });
	assert.match(text(await stream({ messages })), /^40G of 50G are free/);
});

test('whole and streamed answers are the same, and the usage adds up', async () => {
	const messages = user('hello');
	const whole = (await chat({ messages })).body;
	const chunks = await stream({ messages, stream_options: { include_usage: true } });
	assert.equal(whole.choices[0].message.content, text(chunks));
	assert.match(text(chunks), /demo model/);
	const { usage, choices } = chunks.at(-2);
	assert.deepEqual(choices, []);
	assert.deepEqual(usage, whole.usage);
	assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
	assert.ok(chunks.slice(0, -2).every((c) => c.usage === null));
});

test('without the tool it says so', async () => {
	const r = await chat({ messages: user('run: ls'), tools: undefined });
	assert.match(r.body.choices[0].message.content, /no tool named `shell`/);
	const none = await chat({ messages: user('run: ls'), tool_choice: 'none' });
	assert.equal(none.body.choices[0].message.tool_calls, undefined);
});

test('requests that are wrong get errors in the shape of OpenAI', async () => {
	const cases = [
		[{ model: 'gpt-4', messages: user('x') }, 404, 'model_not_found', 'model'],
		[{ model: null, messages: user('x') }, 400, 'missing_required_parameter', 'model'],
		[{ messages: [] }, 400, 'invalid_value', 'messages'],
		[{ messages: [{ role: 'robot', content: 'x' }] }, 400, 'invalid_value', 'messages'],
		[{ messages: user('x'), n: 2 }, 400, 'unsupported_value', 'n'],
		[{ messages: user('demo: {"nope":1}') }, 400, 'invalid_script', 'messages'],
		[{ messages: user('demo: {') }, 400, 'json_invalid', 'messages'],
	];
	for (const [body, status, code, param] of cases) {
		const r = await chat(body);
		assert.equal(r.status, status, r.text);
		assert.equal(r.body.error.code, code);
		assert.equal(r.body.error.param, param);
		assert.equal(r.body.error.type, 'invalid_request_error');
		assert.ok(r.body.error.message);
	}
	const broken = await request(where, 'POST', PATH, { body: '{"model"' });
	assert.equal(broken.body.error.code, 'json_invalid');
});

test('a script lets it fail, and stop failing', async () => {
	const script = { fail: { status: 429, retry_after: 7, times: 2 } };
	for (let i = 0; i < 2; i++) {
		const r = await chat({ messages: user('often') }, script);
		assert.equal(r.status, 429);
		assert.equal(r.headers['retry-after'], '7');
		assert.equal(r.body.error.type, 'rate_limit_error');
	}
	assert.equal((await chat({ messages: user('often') }, script)).status, 200);
	const html = await chat({ messages: user('x') }, { html_error: true });
	assert.equal(html.status, 502);
	assert.match(html.text, /^<html>/);
	const odd = await chat({ messages: user('x') }, { error_in_body: true });
	assert.equal(odd.status, 200);
	assert.ok(odd.body.error);
});

test('a script puts faults into the stream', async () => {
	const messages = user('run: ls');
	const plain = await stream({ messages });
	for (const same of [{ crlf: true }, { comments: true }, { instant: false, pace_ms: 0 }])
		assert.equal((await stream({ messages }, same)).length, plain.length);
	assert.notEqual((await stream({ messages }, { no_done: true })).at(-1), 'done');
	assert.deepEqual((await stream({ messages }, { empty_choices: true }))[0].choices, []);
	assert.equal((await stream({ messages }, { no_choices: true })).length, 2);
	assert.equal(finishes(await stream({ messages }, { double_finish: true })).length, 2);
	assert.equal(calls(await stream({ messages }, { no_index: true }))[0].index, undefined);
	assert.equal(calls(await stream({ messages }, { no_id: true }))[0].id, undefined);
	assert.equal(calls(await stream({ messages }, { unknown_tool: true }))[0].function.name, 'no_such_tool');
	assert.equal(calls(await stream({ messages }, { null_arguments: true }))[0].function.arguments, null);
	const object = calls(await stream({ messages }, { object_arguments: true }))[0].function.arguments;
	assert.deepEqual(object, { command: 'ls' });
	const malformed = args(await stream({ messages }, { malformed_arguments: true }));
	assert.throws(() => JSON.parse(malformed));
	const usage = { messages, stream_options: { include_usage: true } };
	assert.ok(!(await stream(usage, { no_usage: true })).some((c) => c.usage));
	assert.ok((await stream({ messages }, { error_in_stream: true })).some((c) => c.error));
	await assert.rejects(stream({ messages }, { break_after_chunks: 2 }), /aborted|hang up/);
	await assert.rejects(chat({ messages }, { hang: true }, 200), /no answer/);
	await assert.rejects(chat({ messages, stream: true }, { hang_after_chunks: 1 }, 200), /no answer|aborted/);
});

test('a loop calls again and again', async () => {
	const messages = user('anything');
	for (const script of [{ loop: true }, { loop_same: true }]) {
		const command = JSON.parse(args(await stream({ messages }, script))).command;
		assert.equal(command, script.loop ? 'echo round 1' : 'echo again');
	}
});

test('it keeps its pace', async () => {
	const started = Date.now();
	await stream({ messages: user('run: ls') }, { instant: false, pace_ms: 40, first_ms: 100 });
	assert.ok(Date.now() - started >= 250);
});

test('a script for the whole server holds until it is taken back', async () => {
	const set = (body) => request(where, 'POST', '/demo/script', { body });
	assert.equal((await set({ fail: { status: 503 } })).status, 200);
	assert.equal((await chat({ messages: user('x') })).status, 503);
	assert.equal((await set({})).body.fail, undefined);
	assert.equal((await chat({ messages: user('x') })).status, 200);
	assert.equal((await set({ pace_ms: 'fast' })).body.error.code, 'invalid_script');
});
