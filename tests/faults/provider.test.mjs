// A provider of our own in front of the whole platform: it hangs, goes away, comes back, and quotes the key it was given.
// Over both ways that Ogent has to a provider: its own client (127.0.0.1) and libcurl (any other host).

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPlatform } from '../lib/platform.mjs';
import { ask, ended, eventsOf, newConversation, untilEvent } from '../lib/runs.mjs';

const KEY = 'sk-test-0123456789abcdefKEY';

// Answers as the last message of the conversation asks for.
class Provider {
  constructor(host) {
    this.host = host;
    this.keys = new Set();
    this.closed = 0; // requests whose connection was closed by the platform before they were answered
    this.requests = 0;
    this.server = http.createServer((req, res) => this.answer(req, res));
  }

  async open(port = 0) {
    await new Promise((done, fail) => this.server.on('error', fail).listen(port, this.host, done));
    this.port = this.server.address().port;
  }

  async close() {
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    await closed;
  }

  async answer(req, res) {
    this.requests++;
    this.keys.add(req.headers.authorization);
    const chunks = [];
    for await (const c of req) chunks.push(c);
    const { messages } = JSON.parse(Buffer.concat(chunks));
    const text = messages.findLast((m) => m.role === 'user').content;
    res.on('close', () => (this.closed += res.writableFinished ? 0 : 1));
    if (text.includes('say nothing')) return;
    if (text.includes('refuse')) {
      const status = Number(/\d+/.exec(text)[0]);
      res.writeHead(status, { 'content-type': 'application/json' });
      res.end(JSON.stringify({ error: { message: `Incorrect API key provided: ${KEY}`, type: 'invalid_request_error' } }));
      return;
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    const event = (delta, finish_reason = null) =>
      res.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
    event({ role: 'assistant', content: 'All is ' });
    if (text.includes('stop in the middle')) return;
    event({ content: 'well.' });
    event({}, 'stop');
    res.end('data: [DONE]\n\n');
  }
}

for (const host of ['127.0.0.1', '127.0.0.2'])
  describe(`a provider at ${host}`, { timeout: 60000 }, () => {
    let p, token, provider;
    before(async () => {
      provider = new Provider(host);
      await provider.open();
      p = await startPlatform({
        env: { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `http://${host}:${provider.port}/v1`, OPENAI_MODEL: 'some-model', OGENT_LOG_LEVEL: 'debug' },
      });
      token = await p.localToken();
    });
    after(async () => {
      await p?.stop();
      await provider.close();
    });

    const send = async (text) => ask(p, () => token, await newConversation(p, () => token), text);
    const run = async (text) => ended(p, () => token, (await send(text)).id);

    test('gets the key and answers', async () => {
      const e = await run('hello');
      assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
      assert.equal(e.output, 'All is well.');
      assert.equal(e.model, 'some-model');
      assert.deepEqual([...provider.keys], [`Bearer ${KEY}`]);
    });

    for (const [how, text] of [['before its head', 'say nothing'], ['in its stream', 'stop in the middle']])
      test(`that hangs ${how}: a cancel closes the connection at once`, async () => {
        const { requests, closed } = provider;
        const sent = await send(text);
        for (const limit = Date.now() + 5000; provider.requests === requests; await sleep(10))
          assert.ok(Date.now() < limit, 'the provider is not asked');
        if (text === 'stop in the middle') await untilEvent(p, () => token, sent.id, (e) => e.type === 'text.delta');
        assert.equal(provider.closed, closed);
        const at = Date.now();
        assert.equal((await p.api('POST', `/api/executions/${sent.id}/cancel`, undefined, token)).status, 202);
        const e = await ended(p, () => token, sent.id);
        assert.equal(e.status, 'cancelled');
        assert.equal(e.output, text === 'say nothing' ? null : 'All is ');
        for (; provider.closed === closed; await sleep(5)) assert.ok(Date.now() - at < 1500, 'the connection stays open');
        assert.equal(provider.requests, requests + 1);
      });

    test('that quotes the key in its refusals: neither the run nor its events tell it', async () => {
      for (const [status, code] of [[401, 'model_key_refused'], [403, 'model_key_refused'], [400, 'model_refused'], [404, 'model_not_found']]) {
        const e = await run(`refuse with ${status}`);
        assert.equal(e.status, 'failed');
        assert.equal(e.error.code, code);
        assert.match(e.error.message, new RegExp(`HTTP ${status}`));
        const told = JSON.stringify([e, await eventsOf(p, () => token, e.id)]);
        assert.ok(!told.includes(KEY), told);
      }
    });

    test('that is down: said after some attempts, and the conversation goes on when it is back', async () => {
      const { port } = provider;
      await provider.close();
      const conversation = await newConversation(p, () => token);
      const e = await ended(p, () => token, (await ask(p, () => token, conversation, 'hello')).id);
      assert.equal(e.status, 'failed');
      assert.equal(e.error.code, 'model_unreachable');
      assert.match(e.error.message, /After \d attempts.*cannot be reached/);
      assert.ok(e.error.message.includes(`http://${host}:${port}`), e.error.message);
      const retries = (await eventsOf(p, () => token, e.id)).filter((x) => x.type === 'model.retry');
      assert.ok(retries.length > 0 && retries.every((x) => x.data.wait_ms > 0));
      const sent = await ask(p, () => token, conversation, 'hello again');
      await untilEvent(p, () => token, sent.id, (x) => x.type === 'model.retry');
      await provider.open(port);
      const back = await ended(p, () => token, sent.id);
      assert.equal(back.status, 'succeeded', JSON.stringify(back.error));
      assert.equal(back.output, 'All is well.');
    });

    test('has a key that stands in no log, in no file, and in the environment of no command', async () => {
      assert.ok(p.log.length > 0);
      assert.ok(!p.log.includes(KEY), p.log.split('\n').find((l) => l.includes(KEY)));
      const found = spawnSync('grep', ['-rlaF', '-D', 'skip', KEY, p.data], { encoding: 'utf8' });
      assert.deepEqual([found.status, found.stdout], [1, ''], found.stderr); // 1: looked everywhere, found nothing
      const r = await p.api('POST', '/api/commands?stream=1', { script: 'env; cat /proc/*/environ' }, token);
      assert.match(r.text, /PATH=/);
      assert.ok(!r.text.includes(KEY));
    });
  });
