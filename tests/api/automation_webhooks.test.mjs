// Webhooks both ways: what is told of runs, checked with the reference library, and requests that begin runs.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import { AgentWorld } from '../lib/agent_client.mjs';
import { agentSql } from '../lib/databases.mjs';
import { request } from '../lib/platform.mjs';
import { ScriptModel, call } from '../lib/script_model.mjs';

// Who is told: keeps every request, answers as the test says.
class Receiver {
  async open() {
    this.requests = [];
    this.answer = () => [204];
    this.server = http.createServer((req, res) => {
      const chunks = [];
      req.on('data', (d) => chunks.push(d));
      req.on('end', () => {
        const got = { path: req.url, headers: req.headers, text: Buffer.concat(chunks).toString() };
        got.body = JSON.parse(got.text);
        this.requests.push(got);
        const [status, headers = {}, text = ''] = this.answer(got);
        res.writeHead(status, headers).end(text);
      });
    });
    await new Promise((done) => this.server.listen(0, '127.0.0.1', done));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  at(path) {
    return this.requests.filter((r) => r.path === path);
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((done) => this.server.close(done));
  }
}

async function until(what, test, ms = 30000) {
  for (const limit = Date.now() + ms; ; await sleep(30)) {
    const value = await what();
    if (test(value)) return value;
    assert.ok(Date.now() < limit, `it does not come: ${JSON.stringify(value).slice(0, 2000)}`);
  }
}

describe('webhooks', { timeout: 300000 }, () => {
  let w, model, to, agent;
  before(async () => {
    model = await new ScriptModel().open();
    to = await new Receiver().open();
    w = await AgentWorld.start({
      demo: false,
      env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_OUTBOUND_ALLOW: '127.0.0.0/8' },
    });
    agent = (await w.ok('GET', '/api/agents')).items[0].id;
  });
  after(async () => {
    await w?.stop();
    await model?.close();
    await to?.close();
  });

  const make = (path, body = {}) => w.ok('POST', '/api/webhooks', { name: path, url: to.url + path, ...body }, 201);
  const deliveries = async (h) => (await w.ok('GET', `/api/webhooks/${h.id}/deliveries`)).items;
  const remove = (h) => w.ok('DELETE', `/api/webhooks/${h.id}`, undefined, 204);
  const soon = (h) => agentSql(w.data, `update webhook_deliveries set next_at = 1 where webhook_id = '${h.id}' and status = 'pending'`);

  describe('that are told of runs', () => {
    test('a run is told once, signed as the reference library checks it', async () => {
      const h = await make('/told', { events: ['execution.succeeded'] });
      assert.match(h.secret, /^whsec_/);
      assert.equal((await w.ok('GET', `/api/webhooks/${h.id}`)).secret, undefined);
      const e = await w.run('tell them');
      const [r] = await until(() => to.at('/told'), (all) => all.length > 0);
      const body = new Webhook(h.secret).verify(r.text, r.headers);
      assert.deepEqual([body.type, body.data.execution_id, body.data.status, body.data.output], ['execution.succeeded', e.id, 'succeeded', 'echo: tell them']);
      assert.throws(() => new Webhook(h.secret).verify(`${r.text} `, r.headers));
      const [d] = await until(() => deliveries(h), (all) => all[0].status === 'delivered');
      assert.deepEqual([d.id, d.tries, d.last_status, d.execution_id], [r.headers['webhook-id'], 1, 204, e.id]);
      const stored = await agentSql(w.data, 'select secret_sealed from webhooks');
      assert.ok(!stored.includes(h.secret.slice(6)), 'the secret is in the database');
      await remove(h);
    });

    test('what waits for a person, fails or is cancelled is told by its name', async () => {
      const h = await make('/names', { events: ['execution.waiting', 'execution.failed', 'execution.cancelled'] });
      const asks = await w.ok('POST', '/api/agents', { name: 'Asks', instructions: 'x', tools: ['ask_human'] }, 201);
      const word = model.script(call(['ask_human', { question: 'May I?' }]));
      const c = await w.conversation({ agent_id: asks.id });
      const sent = await w.send(`go ${word}`, { conversation: c });
      await until(() => to.at('/names'), (all) => all.some((r) => r.body.type === 'execution.waiting'));
      await w.ok('POST', `/api/executions/${sent.id}/cancel`, undefined, 202);
      await until(() => to.at('/names'), (all) => all.some((r) => r.body.type === 'execution.cancelled'));
      const play = model.answer;
      model.answer = (req, res) => { res.statusCode = 400; res.end('{"error":{"message":"no","code":"bad"}}'); };
      await w.run('fail');
      model.answer = play;
      const failed = await until(() => to.at('/names'), (all) => all.some((r) => r.body.type === 'execution.failed'));
      assert.ok(failed.find((r) => r.body.type === 'execution.failed').body.data.error.code);
      await remove(h);
    });

    test('it is tried again under the same id, later when the answer says so, and redirects are not followed', async () => {
      const h = await make('/again');
      const answers = [[500, {}, 'broken'], [302, { location: `${to.url}/elsewhere` }], [429, { 'retry-after': '7200' }], [200, {}, 'thanks']];
      to.answer = () => answers.shift() ?? [204];
      await w.run('again');
      for (let tries = 1; tries <= 4; tries++) {
        const [d] = await until(() => deliveries(h), (all) => all[0]?.tries === tries);
        if (tries === 3) assert.ok(Date.parse(d.next_at) > Date.now() + 7000_000, d.next_at);
        assert.equal(d.status, tries < 4 ? 'pending' : 'delivered');
        await soon(h);
      }
      const all = to.at('/again');
      assert.equal(new Set(all.map((r) => r.headers['webhook-id'])).size, 1);
      all.forEach((r) => new Webhook(h.secret).verify(r.text, r.headers));
      assert.equal(to.at('/elsewhere').length, 0);
      const detail = await w.ok('GET', `/api/webhooks/${h.id}/deliveries/${all[0].headers['webhook-id']}`);
      assert.deepEqual(detail.attempts.map((a) => [a.number, a.status]), [[1, 500], [2, 302], [3, 429], [4, 200]]);
      assert.equal(detail.attempts[0].response, 'broken');
      assert.equal(detail.body.type, 'execution.succeeded');
      const redelivered = await w.ok('POST', `/api/webhooks/${h.id}/deliveries/${detail.id}/redeliver`, undefined, 202);
      assert.equal(redelivered.status, 'pending');
      await until(() => to.at('/again'), (list) => list.length === 5);
      await remove(h);
    });

    test('410 disables it, and so does failing for days; a person lets it go on', async () => {
      to.answer = () => [410];
      const h = await make('/gone');
      await w.run('gone');
      const gone = await until(() => w.ok('GET', `/api/webhooks/${h.id}`), (x) => x.status === 'disabled');
      assert.equal(gone.reason, 'gone');
      await w.run('nobody hears');
      assert.equal(to.at('/gone').length, 1);
      to.answer = () => [500];
      assert.equal((await w.ok('PATCH', `/api/webhooks/${h.id}`, { status: 'active' })).reason, null);
      await w.run('fails');
      await until(() => deliveries(h), (all) => all[0].tries >= 1 && all[0].status === 'pending');
      await agentSql(w.data, `update webhooks set failing_since = failing_since - 6 * 86400000000 where id = '${h.id}'`);
      await soon(h);
      const failing = await until(() => w.ok('GET', `/api/webhooks/${h.id}`), (x) => x.status === 'disabled');
      assert.equal(failing.reason, 'failing');
      assert.equal((await deliveries(h))[0].status, 'dropped');
      to.answer = () => [204];
      await remove(h);
    });

    test('a ping tries it, a new secret signs beside the old one, and what is paused waits', async () => {
      const h = await make('/ping');
      const ping = await w.ok('POST', `/api/webhooks/${h.id}/ping`, undefined, 202);
      assert.equal(ping.event, 'ping');
      await until(() => to.at('/ping'), (all) => all.length === 1);
      const rotated = await w.ok('POST', `/api/webhooks/${h.id}/rotate`);
      assert.notEqual(rotated.secret, h.secret);
      await w.ok('POST', `/api/webhooks/${h.id}/ping`, undefined, 202);
      const [, second] = await until(() => to.at('/ping'), (all) => all.length === 2);
      for (const secret of [h.secret, rotated.secret]) new Webhook(secret).verify(second.text, second.headers);
      to.answer = () => [503];
      await w.ok('POST', `/api/webhooks/${h.id}/ping`, undefined, 202);
      await until(() => deliveries(h), (all) => all[0].tries === 1);
      await w.ok('PATCH', `/api/webhooks/${h.id}`, { status: 'paused' });
      assert.equal((await deliveries(h))[0].status, 'held');
      to.answer = () => [204];
      await w.ok('PATCH', `/api/webhooks/${h.id}`, { status: 'active' });
      await until(() => deliveries(h), (all) => all[0].status === 'delivered');
      await remove(h);
    });

    test('addresses inside and wrong events are refused', async () => {
      const wrong = [[{ url: 'http://10.0.0.1/x' }, 'address_not_public'], [{ url: 'http://169.254.169.254/' }, 'address_not_public'], [{ url: 'ftp://example.org/x' }, 'url_invalid'],
        [{ url: 'http://example.org:25/' }, 'port_refused'], [{ events: ['execution.exploded'] }, 'invalid_field'], [{ status: 'lost' }, 'invalid_field']];
      for (const [body, code] of wrong) {
        const r = await w.api('POST', '/api/webhooks', { name: 'x', url: `${to.url}/x`, ...body });
        assert.deepEqual([r.status, r.body.code], [422, code], JSON.stringify(body));
      }
    });

    test('killed at any moment: every run is told, each under one id', async () => {
      const h = await make('/kill', { events: ['execution.succeeded'] });
      to.answer = () => [Math.random() < 0.2 ? 500 : 204];
      const runs = [];
      for (let i = 0; i < 5; i++) {
        for (let k = 0; k < 6; k++) runs.push((await w.send(`kill ${i} ${k}`)).id);
        await sleep(40 * i);
        await w.agent.kill();
        await w.agent.start();
      }
      to.answer = () => [204];
      for (const id of runs) await w.ended(id);
      await until(async () => (await soon(h), new Set(to.at('/kill').map((r) => r.body.data.execution_id)).size), (n) => n === runs.length);
      const ids = new Map();
      for (const r of to.at('/kill')) {
        const id = ids.get(r.body.data.execution_id) ?? r.headers['webhook-id'];
        assert.equal(r.headers['webhook-id'], id, 'one run was told under two ids');
        ids.set(r.body.data.execution_id, id);
      }
      await until(async () => (await soon(h), (await w.ok('GET', `/api/webhooks/${h.id}/deliveries?limit=200`)).items), (all) => all.every((d) => d.status === 'delivered'));
      assert.equal((await w.ok('GET', `/api/webhooks/${h.id}/deliveries?limit=200`)).items.length, runs.length);
      await remove(h);
    });
  });

  describe('that begin runs', () => {
    const trigger = (body = {}) => w.ok('POST', '/api/webhooks/triggers', { name: 'From outside', agent_id: agent, ...body }, 201);
    const post = (t, text, headers = {}) => request(w.agent.where(), 'POST', `/api/webhooks/incoming/${t.id}`, { body: text, headers });
    const signed = (t, id, text, at = new Date()) => ({
      'webhook-id': id, 'webhook-timestamp': String(Math.floor(at / 1000)), 'webhook-signature': new Webhook(t.secret).sign(id, at, text),
    });

    test('a signed request begins a run, once, and an old or changed one none', async () => {
      const t = await trigger();
      const text = '{"hello":"wörld"}';
      const headers = signed(t, 'msg_1', text);
      const r = await post(t, text, headers);
      assert.equal(r.status, 202, r.text);
      const e = await w.ended(r.body.execution_id);
      assert.equal(e.input, text);
      const again = await post(t, text, headers);
      assert.deepEqual([again.status, again.body], [200, { execution_id: e.id, repeated: true }]);
      const bad = [
        [text, signed(t, 'msg_2', text, new Date(Date.now() - 400_000))], ['{}', signed(t, 'msg_3', text)], [text, {}], [text, { 'x-webhook-secret': 'whsec_no' }],
        [text, { ...headers, 'webhook-id': 'msg_4' }], [text, { 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` }],
      ];
      for (const [body, fields] of bad) assert.equal((await post(t, body, fields)).body.code, 'signature_invalid');
      assert.equal((await post({ id: '019a0000-0000-7000-8000-000000000000' }, text, headers)).body.code, 'signature_invalid');
    });

    test('GitHub signs in its own way, and who cannot sign sends the secret', async () => {
      const t = await trigger({ message: 'Look at "{{body.pull_request.title}}" ({{ body.number }})', conversation: 'keep' });
      const text = JSON.stringify({ number: 7, pull_request: { title: 'Mend it' } });
      const hub = { 'x-hub-signature-256': `sha256=${createHmac('sha256', t.secret).update(text).digest('hex')}`, 'x-github-event': 'pull_request' };
      const first = await post(t, text, hub);
      assert.equal(first.status, 202, first.text);
      assert.equal((await w.ended(first.body.execution_id)).input, 'Look at "Mend it" (7)');
      assert.equal((await post(t, text, hub)).body.repeated, true);
      const plain = await post(t, '{"number":8}', { 'x-webhook-secret': t.secret });
      const e = await w.ended(plain.body.execution_id);
      assert.equal(e.input, 'Look at "" (8)');
      assert.equal(e.conversation_id, (await w.ok('GET', `/api/executions/${first.body.execution_id}`)).conversation_id);
    });

    test('there is a limit a minute, a pause, and no run without its owner', async () => {
      const t = await trigger({ per_minute: 2 });
      const go = () => post(t, 'x', { 'x-webhook-secret': t.secret });
      assert.deepEqual([(await go()).status, (await go()).status], [202, 202]);
      const over = await go();
      assert.deepEqual([over.status, over.body.code, over.headers['retry-after']], [429, 'rate_limited', '60']);
      await w.ok('PATCH', `/api/webhooks/triggers/${t.id}`, { status: 'paused' });
      assert.equal((await go()).body.code, 'trigger_stopped');
      await w.ok('PATCH', `/api/webhooks/triggers/${t.id}`, { status: 'active', per_minute: 100 });
      assert.equal((await go()).status, 202);
      const bad = await trigger({ message: 'no {{such}}' });
      assert.equal((await post(bad, 'x', { 'x-webhook-secret': bad.secret })).body.code, 'template_invalid');
      const admin = await w.auth.setUp();
      const person = { name: 'Bo', email: 'bo@example.org', password: 'correct horse battery staple' };
      const user = await w.auth.api('POST', '/api/users', { ...person, roles: ['member'] }, admin.access_token);
      const { access_token } = await w.auth.login(person);
      const his = (await w.api('POST', '/api/webhooks/triggers', { name: 'His', agent_id: agent }, access_token)).body;
      assert.equal((await post(his, 'x', { 'x-webhook-secret': his.secret })).status, 202);
      await w.auth.api('PATCH', `/api/users/${user.body.id}`, { disabled: true }, admin.access_token);
      assert.equal((await post(his, 'x', { 'x-webhook-secret': his.secret })).body.code, 'trigger_stopped');
      const seen = (await w.ok('GET', '/api/webhooks/triggers')).items.find((x) => x.id === his.id);
      assert.deepEqual([seen.status, seen.reason], ['stopped', 'user_disabled']);
      await w.ok('DELETE', `/api/webhooks/triggers/${t.id}`, undefined, 204);
      assert.equal((await go()).status, 401);
    });
  });
});
