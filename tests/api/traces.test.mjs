import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Collector } from '../lib/collector.mjs';
import { ADMIN, freePort, request, startPlatform } from '../lib/platform.mjs';
import { parseMetrics } from '../lib/prometheus.mjs';
import { ended, newConversation } from '../lib/runs.mjs';

const SECRET_WORD = 'zanzibar-7391';
const newTrace = () => ({ trace: randomBytes(16).toString('hex'), span: randomBytes(8).toString('hex') });

// One message with a trace of its own, to its end.
async function say(p, token, content, { sampled = '01' } = {}) {
	const conversation = await newConversation(p, () => token);
	const { trace, span } = newTrace();
	const r = await p.api('POST', `/api/conversations/${conversation}/messages`, { content }, token, { traceparent: `00-${trace}-${span}-${sampled}`, 'x-request-id': `req-${trace.slice(0, 8)}` });
	assert.equal(r.status, 202, r.text);
	return { execution: await ended(p, () => token, r.body.id), trace, span, requestId: `req-${trace.slice(0, 8)}` };
}

const logOf = (p) =>
	p.log
		.split('\n')
		.filter((line) => line.startsWith('{'))
		.map((line) => JSON.parse(line));

async function until(what) {
	for (const end = Date.now() + 15000; ; await sleep(20)) {
		const value = await what();
		if (value || Date.now() > end) return value;
	}
}

describe('a message in the logs', () => {
	let p, token;
	before(async () => {
		p = await startPlatform();
		await p.setUp();
		token = (await p.login(ADMIN)).access_token;
	});
	after(() => p.stop());

	test('its trace id is in the log of every service that it crossed', async () => {
		const { trace, requestId } = await say(p, token, `run: echo ${SECRET_WORD}`);
		const services = ['gateway', 'agent', 'exec', 'socket', 'demo'];
		const found = () => logOf(p).filter((l) => l.trace_id === trace);
		await until(() => services.every((s) => found().some((l) => l.service === s)));
		for (const s of services) assert.ok(found().some((l) => l.service === s), `${s} says nothing of it`);

		const of = (service, message) => found().filter((l) => l.service === service && l.message === message);
		assert.equal(of('gateway', 'request')[0].request_id, requestId);
		assert.equal(of('agent', 'request')[0].request_id, requestId);
		assert.equal(of('exec', 'request')[0].request_id, requestId);
		assert.equal(of('demo', 'request').length, 2);
		assert.deepEqual([of('exec', 'command ended').length, of('exec', 'command ended')[0].status], [1, 'exited']);
		const [run] = of('agent', 'run ended');
		assert.deepEqual([run.status, run.steps, run.commands, run.request_id], ['succeeded', '2', '1', requestId]);
		// Spans of the log are below one another: every hop has one of its own.
		assert.equal(new Set(found().filter((l) => l.message === 'request').map((l) => l.span_id)).size, found().filter((l) => l.message === 'request').length);
		assert.doesNotMatch(p.log, new RegExp(SECRET_WORD));
	});

	test('without a trace of its own it gets one, whose id is the digits of its request id', async () => {
		const r = await p.api('GET', '/api/agents', undefined, token);
		const id = r.headers['x-request-id'];
		const line = await until(() => logOf(p).find((l) => l.service === 'agent' && l.request_id === id));
		assert.equal(line.trace_id, id.replaceAll('-', ''));
		assert.equal((await until(() => logOf(p).find((l) => l.service === 'gateway' && l.request_id === id))).trace_id, line.trace_id);
	});

	test('nothing is exported, and nothing counts spans', async () => {
		const m = parseMetrics((await request({ socketPath: join(p.data, 'run/agent.sock') }, 'GET', '/metrics')).text);
		assert.ok(!m.types.has('ogent_spans_total'));
	});
});

describe('spans', () => {
	let p, token, collector;
	const spansOf = async (role, outcome) =>
		parseMetrics((await request({ socketPath: join(p.data, 'run', `${role}.sock`) }, 'GET', '/metrics')).text).get('ogent_spans_total', { outcome });

	before(async () => {
		collector = await new Collector().open();
		p = await startPlatform({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`, OTEL_EXPORTER_OTLP_HEADERS: 'x-api-key=k-1,x-other=o' } });
		await p.setUp();
		token = (await p.login(ADMIN)).access_token;
	});
	after(async () => {
		await p.stop();
		await collector.close();
	});

	test('one message is one tree over all services', async () => {
		const { trace, span, execution } = await say(p, token, `run: echo ${SECRET_WORD}; exit 3`);
		const services = ['ogent-gateway', 'ogent-agent', 'ogent-exec', 'ogent-demo', 'ogent-socket'];
		const spans = await collector.trace(trace, (all) => services.every((s) => all.some((x) => x.service === s)) && all.some((x) => x.name === 'invoke_agent') && all.some((x) => x.name === 'POST /api/commands'));
		const one = (service, name) => {
			const found = spans.filter((s) => s.service === service && s.name.startsWith(name));
			assert.equal(found.length, 1, `${service} ${name}: ${found.length}`);
			return found[0];
		};
		const children = (s) => spans.filter((x) => x.parentSpanId === s.spanId);

		const gateway = one('ogent-gateway', 'POST /api/conversations');
		assert.equal(gateway.parentSpanId, span);
		assert.equal(gateway.kind, 2);
		assert.equal(gateway.attributes['http.response.status_code'], 202);
		const agent = one('ogent-agent', 'POST /api/conversations/{id}/messages');
		assert.equal(agent.parentSpanId, gateway.spanId);
		const run = one('ogent-agent', 'invoke_agent');
		assert.equal(run.parentSpanId, agent.spanId);
		assert.equal(run.attributes['ogent.execution.id'], execution.id);
		assert.equal(run.attributes['gen_ai.usage.input_tokens'], execution.usage.input_tokens);

		const chats = children(run).filter((s) => s.name.startsWith('chat '));
		assert.equal(chats.length, 2);
		for (const chat of chats) {
			assert.deepEqual([chat.kind, chat.service, chat.attributes['gen_ai.operation.name'], chat.attributes['gen_ai.provider.name']], [3, 'ogent-agent', 'chat', 'demo']);
			assert.equal(chat.attributes['gen_ai.request.model'], execution.model);
			assert.deepEqual(children(chat).map((s) => [s.service, s.name]), [['ogent-demo', 'POST /v1/chat/completions']]);
		}
		const tool = one('ogent-agent', 'execute_tool shell');
		assert.equal(tool.parentSpanId, run.spanId);
		assert.equal(tool.attributes['gen_ai.tool.name'], 'shell');
		assert.equal(tool.attributes['ogent.command.exit_code'], 3);
		const exec = one('ogent-exec', 'POST /api/commands');
		assert.equal(exec.parentSpanId, tool.spanId);
		const command = one('ogent-exec', 'command');
		assert.equal(command.parentSpanId, exec.spanId);
		assert.deepEqual([command.attributes['process.exit.code'], command.attributes['ogent.command.status']], [3, 'exited']);
		assert.equal(command.attributes['ogent.command.id'], tool.attributes['ogent.command.id']);
		for (const s of spans.filter((x) => x.service === 'ogent-socket')) {
			assert.equal(s.name, 'POST /api/publish');
			assert.ok([run.spanId, agent.spanId].includes(s.parentSpanId));
		}
		// Every span but the first has its parent among the others.
		const ids = new Set(spans.map((s) => s.spanId));
		for (const s of spans) assert.ok(s === gateway || ids.has(s.parentSpanId), s.name);
	});

	test('no word of the message, no output and no secret is in any span', async () => {
		assert.ok(collector.requests.length > 0);
		for (const r of collector.requests) {
			assert.deepEqual([r.method, r.url, r.headers['content-type'], r.headers['x-api-key'], r.headers['x-other']], ['POST', '/v1/traces', 'application/json', 'k-1', 'o']);
			assert.doesNotMatch(r.text, new RegExp(`${SECRET_WORD}|${ADMIN.email}|${token.slice(-20)}|k-1`));
		}
	});

	test('a failure shows as the status of its span', async () => {
		const { trace } = await say(p, token, 'use tool: none-such {}');
		const spans = await collector.trace(trace, (all) => all.some((s) => s.name === 'invoke_agent'));
		assert.equal(spans.find((s) => s.name === 'invoke_agent').attributes['ogent.execution.status'], 'succeeded');
		const id = newTrace();
		await p.api('GET', '/api/agents', undefined, 'no-token', { traceparent: `00-${id.trace}-${id.span}-01` });
		const [refused] = await collector.trace(id.trace, (all) => all.length === 1);
		assert.deepEqual([refused.service, refused.attributes['http.response.status_code'], refused.status], ['ogent-gateway', 401, undefined]);
	});

	test('a client that does not want its trace sampled is heard', async () => {
		const { trace } = await say(p, token, 'hello', { sampled: '00' });
		const last = await say(p, token, 'hello');
		await collector.trace(last.trace, (all) => all.some((s) => s.name === 'invoke_agent'));
		assert.equal(collector.spans.filter((s) => s.traceId === trace).length, 0);
	});

	test('when the collector is away spans wait for it; what it refuses is dropped and counted', async () => {
		const { port } = collector;
		await collector.close();
		const away = await say(p, token, 'hello');
		await sleep(1500); // the batch was tried and failed
		const back = collector;
		await back.open(port);
		await back.trace(away.trace, (all) => all.some((s) => s.name === 'invoke_agent'), 30000);

		back.status = 400;
		const dropped = await spansOf('agent', 'dropped');
		await say(p, token, 'hello');
		assert.ok(await until(async () => (await spansOf('agent', 'dropped')) > dropped), 'nothing was dropped');
		back.status = 200;
		assert.ok((await spansOf('agent', 'exported')) > 0);
		assert.match(p.log, /the collector does not take spans/);
	});
});

test('what is left when the platform stops is sent', async () => {
	const collector = await new Collector().open(await freePort());
	const p = await startPlatform({ env: { OGENT_OTLP_ENDPOINT: collector.url } });
	await p.setUp();
	const token = (await p.login(ADMIN)).access_token;
	const { trace } = await say(p, token, 'hello');
	await p.stop();
	await collector.trace(trace, (all) => all.some((s) => s.name === 'invoke_agent') && all.some((s) => s.service === 'ogent-gateway'));
	await collector.close();
});

test('a collector that takes spans and never answers does not hold up the end', async () => {
	const hanging = net.createServer((socket) => socket.on('error', () => {}).resume());
	await new Promise((done) => hanging.listen(0, '127.0.0.1', done));
	const p = await startPlatform({ env: { OGENT_OTLP_ENDPOINT: `http://127.0.0.1:${hanging.address().port}/below` } });
	await p.setUp();
	await say(p, (await p.login(ADMIN)).access_token, 'hello');
	await sleep(1200); // it is being told
	await p.stop(); // ends well, within its time
	hanging.close();
});

test('a collector by https whose certificate nobody knows gets nothing', async () => {
	const collector = await new Collector().open();
	const p = await startPlatform({ env: { OGENT_OTLP_ENDPOINT: `https://127.0.0.1:${collector.port}` } });
	await p.setUp();
	await say(p, (await p.login(ADMIN)).access_token, 'hello');
	assert.ok(await until(() => /the collector does not take spans/.test(p.log)));
	await p.stop();
	assert.equal(collector.requests.length, 0);
	await collector.close();
});
