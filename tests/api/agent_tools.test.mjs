// What agents can do besides commands, with the real exec and a scripted model: files, the web.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ScriptModel, call, say } from '../lib/script_model.mjs';
import { startSshd } from '../lib/sshd.mjs';

describe('tools', { timeout: 300000 }, () => {
  let w, model, site, sshd;
  before(async () => {
    model = await new ScriptModel().open();
    site = await new Site().open();
    sshd = await startSshd();
    w = await AgentWorld.start({
      exec: 'real', demo: false,
      env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${model.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_OUTBOUND_ALLOW: '127.0.0.1', ...sshd.env },
    });
    w.token = (await w.auth.setUp()).access_token;
  });
  after(async () => {
    await w?.stop();
    await model?.close();
    await site?.close();
    await sshd?.stop();
  });

  let made = 0;
  const agent = (body) => w.ok('POST', '/api/agents', { name: `T${++made}`, ...body }, 201);
  const messages = async (e) => (await w.ok('GET', `/api/conversations/${e.conversation_id}/messages`)).items;
  // Runs an agent whose model makes these calls, one after the other; resolves with what the model was told of each.
  async function told(body, calls, conversation) {
    const a = await agent(body);
    const c = conversation ?? (await w.conversation({ agent_id: a.id }));
    const sent = await w.send(`go ${model.script(...calls.map((x) => (typeof x === 'function' ? x : call(x))), say('done'))}`, { conversation: c });
    const e = await w.ended(sent.id, 60000);
    assert.equal(e.status, 'succeeded', JSON.stringify(e));
    return { e, texts: (await messages(e)).filter((m) => m.role === 'tool').map((m) => m.content).slice(-calls.length) };
  }

  test('files of another machine are reached where the commands run, and not mistaken for those of this one', async () => {
    const { texts, e } = await told({ tools: ['files', 'shell'], target: 'ssh' }, [
      ['files_list', {}],
      ['files_write', { path: 'src/a.c', content: 'int a;\n' }],
      ['files_edit', { path: 'src/a.c', old: 'int a', new: 'long a' }],
      ['shell', { command: 'cat src/a.c; echo more > src/b.c' }],
      ['files_read', { path: 'src/b.c' }],
      ['files_search', { pattern: 'long' }],
      ['files_list', { path: 'src' }],
    ]);
    const want = [/empty/, /Made src\/a.c/, /1 place/, /long a;/, /more/, /src\/a.c:1:long a/, /a\.c.*b\.c/s];
    want.forEach((w, i) => assert.match(texts[i], w));
    assert.deepEqual((await w.exec.api('GET', '/api/workspaces', undefined, w.token)).body.items.filter((i) => i.id === e.conversation_id), []);
    const none = await told({ tools: ['files'], target: 'elsewhere' }, [['files_write', { path: 'a', content: 'x' }], ['files_read', { path: 'a' }]]);
    for (const text of none.texts) assert.match(text, /no target of the name "elsewhere"/);
  });

  test('files are written, read in parts, changed by exact replacing, searched and listed', async () => {
    const { texts, e } = await told({ tools: ['files', 'shell'] }, [
      ['files_list', {}],
      ['files_write', { path: '/workspace/src/a.c', content: 'int a;\nint b;\nint b2;\n' }],
      ['files_read', { path: 'src/a.c', from_line: 2, lines: 1 }],
      ['files_edit', { path: 'src/a.c', old: 'int b', new: 'long b' }],
      ['files_edit', { path: 'src/a.c', old: 'int b;', new: 'long b;' }],
      ['files_edit', { path: 'src/a.c', old: 'int  a;', new: 'x' }],
      ['files_search', { pattern: 'long [a-z]', glob: '*.c' }],
      ['files_list', { path: './src' }],
      ['files_read', { path: 'src' }],
      ['files_read', { path: 'nothing.txt' }],
      ['files_read', { path: '../../etc/passwd' }],
      ['shell', { command: 'printf "a\\000b" > bin; : > empty; cat src/a.c' }],
      ['files_read', { path: 'bin' }],
      ['files_read', { path: 'empty' }],
      ['files_search', { pattern: 'nowhere' }],
    ]);
    assert.equal(texts[0], 'The workspace is empty.');
    assert.equal(texts[1], 'Made src/a.c (22 bytes).');
    assert.equal(texts[2], 'int b;\n\n[Lines 2 to 2 of 3.]');
    assert.match(texts[3], /stands in the file 2 times/);
    assert.equal(texts[4], '1 place of src/a.c replaced. It has 23 bytes now.');
    assert.match(texts[5], /not in the file/);
    assert.match(texts[6], /src\/a\.c:2:long b;/);
    assert.match(texts[7], /^a\.c\t23 bytes/);
    assert.match(texts[8], /is a folder: files_list/);
    assert.match(texts[9], /There is no "nothing\.txt"/);
    assert.match(texts[10], /must not lead upwards/);
    assert.match(texts[11], /int a;\nlong b;\nint b2;/);
    assert.match(texts[12], /is no text/);
    assert.equal(texts[13], 'The file is empty.');
    assert.equal(texts[14], 'Nothing was found.');
    assert.equal(e.calls[1].status, 'done');
    assert.equal(e.calls[3].status, 'error');
    assert.deepEqual((await w.events(e.id)).items.filter((x) => x.type === 'call.started').slice(0, 3).map((x) => x.data.command), ['list .', 'write /workspace/src/a.c', 'read src/a.c']);
  });

  test('a web page comes as text, in parts, after redirects; what is no text is named', async () => {
    const { texts } = await told({ tools: ['http_fetch'] }, [
      ['http_fetch', { url: `${site.url}/page` }],
      ['http_fetch', { url: `${site.url}/moved` }],
      ['http_fetch', { url: `${site.url}/page`, raw: true }],
      ['http_fetch', { url: `${site.url}/long` }],
      ['http_fetch', { url: `${site.url}/long`, from: 49152 }],
      ['http_fetch', { url: `${site.url}/image` }],
      ['http_fetch', { url: `${site.url}/missing` }],
      ['http_fetch', { url: `${site.url}/bomb` }],
    ]);
    assert.match(texts[0], /^Status: 200\nType: text\/html\n\n# A page\n\n[^]*Hello \[there\]\(\/x\)/);
    assert.doesNotMatch(texts[0], /alert|<p>/);
    assert.match(texts[1], /Address after redirects: http:\/\/127\.0\.0\.1:\d+\/page/);
    assert.match(texts[2], /<script>/);
    assert.match(texts[3], /\[The text has 60000 bytes: go on with "from": 49152\.\]/);
    assert.match(texts[4], /x{10848}$/);
    assert.match(texts[5], /is no text and is not shown \(9 bytes\)/);
    assert.match(texts[6], /^Status: 404/);
    assert.match(texts[7], /Only the first 4 MiB/);
  });

  test('no address inwards, and no host that the agent may not ask', async () => {
    const { texts, e } = await told({ tools: ['http_fetch'], tool_options: { http_fetch: { hosts: ['127.0.0.1', '*.example.org', '169.254.169.254', '[::1]'] } } }, [
      ['http_fetch', { url: 'http://169.254.169.254/latest/meta-data/' }],
      ['http_fetch', { url: 'http://[::1]:8420/' }],
      ['http_fetch', { url: `${site.url}/inwards` }],
      ['http_fetch', { url: 'https://example.net/' }],
      ['http_fetch', { url: 'file:///etc/passwd' }],
      ['http_fetch', { url: 'http://127.0.0.1:22/' }],
      ['http_fetch', { url: site.url, headers: { Host: 'other' } }],
      ['http_fetch', { url: site.url, body: 'x' }],
    ]);
    for (const i of [0, 1, 2]) assert.match(texts[i], /is not on the Internet/, texts[i]);
    assert.match(texts[3], /example\.net is not among those/);
    assert.match(texts[4], /http or https|must begin/);
    assert.match(texts[5], /Port 22/);
    assert.match(texts[6], /Host cannot be set/);
    assert.match(texts[7], /has no "body"/);
    assert.ok(e.calls.every((c) => c.status === 'error'));
    const r = await w.api('POST', '/api/agents', { name: 'bad', tools: ['http_fetch'], tool_options: { http_fetch: { hosts: ['*'] } } });
    assert.equal(r.status, 422, r.text);
    assert.equal((await w.api('POST', '/api/agents', { name: 'bad', tool_options: { shell: {} } })).status, 422);
  });

  test('what changes something waits where risk is asked about, and is sent with a key', async () => {
    const a = await agent({ tools: ['http_fetch'], approval: { default: 'risky' } });
    const c = await w.conversation({ agent_id: a.id });
    const script = model.script(call(['http_fetch', { url: `${site.url}/page` }], ['http_fetch', { url: `${site.url}/post`, method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } }]), say('ok'));
    const sent = await w.send(`go ${script}`, { conversation: c });
    let items = [];
    while (items.length === 0) {
      await sleep(20);
      ({ items } = await w.ok('GET', `/api/approvals?execution_id=${sent.id}&status=pending`));
    }
    assert.equal(items[0].summary, `POST ${site.url}/post`);
    assert.equal(site.posts.length, 0);
    await w.ok('POST', `/api/approvals/${items[0].id}`, { decision: 'approve', hash: items[0].hash });
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'succeeded');
    assert.deepEqual(site.posts.map((p) => [p.type, p.body]), [['application/json', '{"a":1}']]);
    assert.match(site.posts[0].key, new RegExp(`^${sent.id}:`));
  });

  test('a request that changes something is not repeated after a crash', async () => {
    site.posts.length = 0;
    const a = await agent({ tools: ['http_fetch'] });
    const c = await w.conversation({ agent_id: a.id });
    const sent = await w.send(`go ${model.script(call(['http_fetch', { url: `${site.url}/hang`, method: 'POST' }], ['http_fetch', { url: `${site.url}/hang-once` }]), say('ok'))}`, { conversation: c });
    while (site.posts.length < 1 || site.hanging < 2) await sleep(10);
    await w.agent.kill();
    await w.agent.start();
    const e = await w.ended(sent.id);
    assert.equal(site.posts.length, 1);
    const texts = (await messages(e)).filter((m) => m.role === 'tool').map((m) => m.content);
    assert.match(texts[0], /may have been done or not/);
    assert.match(texts[1], /Status: 200/);
  });

  test('a cancel ends the request at once', async () => {
    const a = await agent({ tools: ['http_fetch'] });
    const c = await w.conversation({ agent_id: a.id });
    const before = site.hanging, closed = site.closed;
    const sent = await w.send(`go ${model.script(call(['http_fetch', { url: `${site.url}/hang` }]), say('ok'))}`, { conversation: c });
    while (site.hanging === before) await sleep(10);
    await w.ok('POST', `/api/executions/${sent.id}/cancel`, undefined, 202);
    const e = await w.ended(sent.id);
    assert.equal(e.status, 'cancelled');
    assert.equal(e.calls[0].status, 'cancelled');
    while (site.closed === closed) await sleep(10);
  });

  test('what is remembered is told to later conversations, found by words, and forgotten', async () => {
    const email = 'mem@example.org', password = 'correct horse battery staple';
    assert.equal((await w.auth.api('POST', '/api/users', { name: 'mem', email, password, roles: ['member'] }, w.token)).status, 201);
    const other = (await w.auth.login({ email, password })).access_token;
    const tools = { tools: ['memory'], instructions: 'Be kind.' };
    const first = await told(tools, [
      ['memory_save', { name: 'colour', text: 'The favourite colour is bluish-green.' }],
      ['memory_save', { name: 'colour', text: 'The favourite colour is Blue.' }],
      ['memory_save', { name: 'mine', text: 'Only this agent knows about zebras.', scope: 'agent' }],
      ['memory_save', { name: 'all', text: 'Everybody knows this about blue whales.', scope: 'shared' }],
      ['memory_get', { name: 'colour' }],
      ['memory_get', { name: 'nothing' }],
      ['memory_save', { name: 'bad', text: 'x', scope: 'everybody' }],
    ]);
    assert.deepEqual(first.texts.slice(0, 5), ['Remembered.', 'Remembered, in place of what was there.', 'Remembered.', 'Remembered.', 'The favourite colour is Blue.']);
    assert.match(first.texts[5], /There is no note "nothing"/);
    assert.match(first.texts[6], /user, agent or shared/);

    // Another agent of the same person knows his notes and the shared ones.
    const second = await told(tools, [['memory_search', { words: 'BLU whale' }], ['memory_search', { words: 'zebra' }], ['memory_search', { words: '"; drop table' }], ['memory_search', {}]]);
    assert.match(second.texts[0], /^## all \(shared\)\n[^]*## colour \(user\)\n/);
    assert.equal(second.texts[1], 'Nothing was found.');
    assert.equal(second.texts[2], 'Nothing was found.');
    assert.match(second.texts[3], /## all/);
    const asked = [...model.seen.values()].at(-1).at(-1);
    assert.match(asked.messages[0].content, /^Be kind\.\n\nWhat is remembered[^]*- all \(shared\): Everybody[^]*- colour \(user\): The favourite/);
    assert.doesNotMatch(asked.messages[0].content, /zebra/);

    const { items } = await w.ok('GET', '/api/memory');
    assert.deepEqual(items.map((m) => [m.scope, m.name]), [['shared', 'all'], ['agent', 'mine'], ['user', 'colour']]);
    assert.equal(items[2].execution_id, first.e.id);
    assert.deepEqual((await w.ok('GET', '/api/memory?q=zebras')).items.map((m) => m.name), ['mine']);
    const page = await w.ok('GET', '/api/memory?limit=2');
    assert.equal((await w.ok('GET', `/api/memory?after=${page.next}`)).items.length, 1);

    // Somebody else sees what is shared, and changes nothing.
    const theirs = await w.api('GET', '/api/memory', undefined, other);
    assert.deepEqual(theirs.body.items.map((m) => m.name), ['all']);
    assert.equal((await w.api('DELETE', `/api/memory/${items[2].id}`, undefined, other)).status, 404);
    assert.equal((await w.api('DELETE', `/api/memory/${items[0].id}`, undefined, other)).status, 403);
    assert.equal((await w.api('PUT', '/api/memory', { scope: 'shared', name: 'x', value: 'y' }, other)).status, 403);
    assert.equal((await w.api('PUT', '/api/memory', { scope: 'user', name: 'x', value: 'y' }, other)).status, 201);
    assert.equal((await w.api('PUT', '/api/memory', { scope: 'user', name: 'x', value: 'z' }, other)).status, 200);
    assert.equal((await w.api('PUT', '/api/memory', { scope: 'agent', name: 'x', value: 'z' }, other)).status, 422);

    await w.ok('DELETE', `/api/memory/${items[0].id}`, undefined, 204);
    await w.ok('DELETE', '/api/memory', undefined, 204);
    assert.deepEqual((await w.ok('GET', '/api/memory')).items, []);
    assert.deepEqual((await w.ok('GET', '/api/memory?q=blue')).items, []);
    assert.equal((await w.api('GET', '/api/memory?q=z', undefined, other)).body.items.length, 1);
  });

  test('an agent calls another one, whose run is its own, linked, and found again after a crash', async () => {
    const helper = await agent({ name: 'Adder', slug: 'adder', instructions: 'Add.' });
    let inner; // behind the caller's own word, which its conversation has too
    const { texts, e } = await told({ tools: ['agents'] }, [
      () => call(['call_agent', { agent: 'adder', message: `2 and 3 ${(inner ??= model.script(say('the sum is 5')))}` }]),
      ['call_agent', { agent: 'nobody', message: 'x' }],
    ]);
    assert.equal(texts[0], 'the sum is 5');
    assert.match(texts[1], /There is no agent "nobody"[^]*adder/);
    const child = (await w.ok('GET', '/api/executions')).items.find((x) => x.agent_id === helper.id);
    assert.equal(child.status, 'succeeded');
    assert.notEqual(child.conversation_id, e.conversation_id);
    assert.match(e.calls[0].output, /the sum is 5/);
    assert.ok((await w.events(e.id)).items.some((x) => x.type === 'call.output' && x.data.text.includes(child.id)));

    // The caller's process dies while the called run is on: it is found, not begun again.
    let release;
    const gate = new Promise((done) => (release = done));
    const slow = model.script(say('slow answer'));
    const answer = model.answer;
    model.answer = async (req, res, body) => {
      if (JSON.stringify(body.messages).includes(slow) && body.messages[0].content === 'Add.') await gate;
      return answer(req, res, body);
    };
    const a = await agent({ tools: ['agents'], instructions: 'Call.' });
    const c = await w.conversation({ agent_id: a.id });
    const sent = await w.send(`go ${model.script(call(['call_agent', { agent: 'adder', message: `wait ${slow}` }]), say('done'))}`, { conversation: c });
    const runs = async () => (await w.ok('GET', '/api/executions')).items.filter((x) => x.agent_id === helper.id && x.input.includes(slow));
    while ((await runs()).length === 0) await sleep(10);
    await w.agent.kill();
    await w.agent.start();
    release();
    assert.equal((await w.ended(sent.id)).status, 'succeeded');
    assert.equal((await runs()).length, 1);
    model.answer = answer;
  });

  test('a cancel goes down, and so do limits', async () => {
    const helper = await agent({ name: 'Slow', slug: 'slow', tools: ['ask_human'] });
    const a = await agent({ tools: ['agents'], tool_options: { call_agent: { agents: ['slow'] } } });
    const c = await w.conversation({ agent_id: a.id });
    const inner = model.script(call(['ask_human', { question: 'Really?' }]), say('yes'));
    const sent = await w.send(`go ${model.script(call(['call_agent', { agent: 'adder', message: 'x' }], ['call_agent', { agent: 'slow', message: `x ${inner}` }]), say('ok'))}`, { conversation: c });
    // What the called run asks is in the person's list.
    let waiting;
    while (!waiting) {
      await sleep(20);
      waiting = (await w.ok('GET', '/api/approvals?status=pending')).items.find((x) => x.summary === 'Really?');
    }
    const child = await w.ok('GET', `/api/executions/${waiting.execution_id}`);
    assert.equal(child.agent_id, helper.id);
    await w.ok('POST', `/api/executions/${sent.id}/cancel`, undefined, 202);
    assert.equal((await w.ended(sent.id)).status, 'cancelled');
    assert.equal((await w.ended(child.id)).status, 'cancelled');
    const texts = (await messages(sent)).filter((m) => m.role === 'tool').map((m) => m.content);
    assert.match(texts[0], /There is no agent "adder"[^]*slow/);
  });

  test('a conversation is handed over to another agent', async () => {
    const other = await agent({ name: 'Other', slug: 'other', instructions: 'I am the other.' });
    const { e, texts } = await told({ tools: ['agents'] }, [['hand_off', { agent: 'Other' }]]);
    assert.match(texts[0], /handed over: the next message goes to "Other"/);
    const word = model.script(say('hello from the other'));
    const sent = await w.send(`hi ${word}`, { conversation: { id: e.conversation_id } });
    const next = await w.ended(sent.id);
    assert.equal(next.agent_id, other.id);
  });
});

class Site {
  posts = [];
  hanging = 0;
  closed = 0;

  async open() {
    const bomb = gzipSync(Buffer.alloc(64 << 20));
    this.server = http.createServer(async (req, res) => {
      const chunks = [];
      for await (const c of req) chunks.push(c);
      res.on('close', () => (this.closed += res.writableFinished ? 0 : 1));
      if (req.method === 'POST') this.posts.push({ body: Buffer.concat(chunks).toString(), type: req.headers['content-type'], key: req.headers['idempotency-key'] });
      const send = (status, type, body, headers = {}) => res.writeHead(status, { 'content-type': type, ...headers }).end(body);
      switch (req.url) {
        case '/page': return send(200, 'text/html', '<html><head><title>A page</title><script>alert(1)</script></head><body><p>Hello <a href="/x">there</a></p></body></html>');
        case '/moved': return send(302, 'text/plain', '', { location: '/page' });
        case '/long': return send(200, 'text/plain', 'x'.repeat(60000));
        case '/image': return send(200, 'image/png', Buffer.from('\x89PNG\r\n\x1a\n\0', 'latin1'));
        case '/bomb': return send(200, 'text/plain', bomb, { 'content-encoding': 'gzip' });
        case '/inwards': return send(302, 'text/plain', '', { location: 'http://169.254.169.254/' });
        case '/post': return send(201, 'application/json', '{}');
        case '/hang': return void this.hanging++;
        case '/hang-once': return this.again ? send(200, 'text/plain', 'ok') : void (this.hanging++, (this.again = true));
        default: return send(404, 'text/plain', 'no');
      }
    });
    await new Promise((done) => this.server.listen(0, '127.0.0.1', done));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}
