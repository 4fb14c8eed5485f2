// A stand-in for an OpenTelemetry collector: takes OTLP over HTTP as JSON and keeps the spans, flat, each with its service.
import assert from 'node:assert/strict';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const valueOf = ({ stringValue, intValue }) => (intValue === undefined ? stringValue : Number(intValue));
const attributesOf = (list) => Object.fromEntries(list.map(({ key, value }) => [key, valueOf(value)]));

export class Collector {
	constructor() {
		Object.assign(this, { spans: [], requests: [], status: 200 });
	}

	async open(port = 0) {
		this.server = http.createServer(async (req, res) => {
			const chunks = [];
			for await (const c of req) chunks.push(c);
			const text = Buffer.concat(chunks).toString('utf8');
			this.requests.push({ url: req.url, method: req.method, headers: req.headers, text });
			if (this.status === 200) this.take(JSON.parse(text));
			res.writeHead(this.status, { 'content-type': 'application/json' });
			res.end('{}');
		});
		await new Promise((done) => this.server.listen(port, '127.0.0.1', done));
		this.port = this.server.address().port;
		return this;
	}

	take({ resourceSpans }) {
		for (const { resource, scopeSpans } of resourceSpans)
			for (const span of scopeSpans.flatMap((s) => s.spans)) {
				assert.match(span.traceId, /^[0-9a-f]{32}$/);
				assert.match(span.spanId, /^[0-9a-f]{16}$/);
				assert.ok(BigInt(span.startTimeUnixNano) <= BigInt(span.endTimeUnixNano), span.name);
				const attributes = attributesOf(span.attributes);
				assert.ok(!this.spans.some((s) => s.spanId === span.spanId), `${span.name} came twice`);
				this.spans.push({ ...span, attributes, service: attributesOf(resource.attributes)['service.name'] });
			}
	}

	// The spans of a trace, once `test` says that they are all there.
	async trace(id, test, ms = 20000) {
		for (const end = Date.now() + ms; ; await sleep(50)) {
			const spans = this.spans.filter((s) => s.traceId === id);
			if (test(spans)) return spans;
			assert.ok(Date.now() < end, `the trace is not whole: ${JSON.stringify(spans.map((s) => [s.service, s.name]))}`);
		}
	}

	get url() {
		return `http://127.0.0.1:${this.port}`;
	}

	async close() {
		this.server.closeAllConnections();
		await new Promise((done) => this.server.close(done));
	}
}
