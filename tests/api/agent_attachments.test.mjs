// Files that are sent with messages: what they are is told by their bytes, models see them in their own dialect, and they live and go
// with their conversation.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';
import { ModelPeer, chunk, DONE } from '../lib/model_peer.mjs';

const sse = (events) => events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join('');

function png(width, height, pixels = Buffer.alloc((width * 3 + 1) * height)) {
  const part = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length);
    body.copy(out, 4);
    out.writeUInt32BE(zlib.crc32(body), body.length + 4);
    return out;
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), part('IHDR', head), part('IDAT', zlib.deflateSync(pixels)), part('IEND', Buffer.alloc(0))]);
}

const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64');
const IMAGE = png(3, 2);

// What the model was told: [text, data URLs or base64 of images] of the last message of the user.
const DIALECTS = {
  compatible: {
    base: (peer) => `${peer.url}/v1`,
    text: () => chunk({ content: 'Seen.' }) + chunk({}, 'stop') + DONE,
    told: ({ messages }) => {
      const { content } = messages.filter((m) => m.role === 'user').at(-1);
      return typeof content === 'string' ? [content] : [content[0].text, ...content.slice(1).map((p) => p.image_url.url)];
    },
    image: (type, bytes) => `data:${type};base64,${bytes.toString('base64')}`,
  },
  responses: {
    base: (peer) => `${peer.url}/v1`,
    text: () => sse([{ type: 'response.output_text.delta', delta: 'Seen.' }, { type: 'response.completed', response: { status: 'completed', usage: { input_tokens: 1, output_tokens: 1 } } }]),
    told: ({ input }) => {
      const { content } = input.filter((m) => m.role === 'user').at(-1);
      return typeof content === 'string' ? [content] : content.map((p) => (p.type === 'input_text' ? p.text : p.image_url));
    },
    image: (type, bytes) => `data:${type};base64,${bytes.toString('base64')}`,
  },
  anthropic: {
    base: (peer) => `${peer.url}/v1`,
    text: () => sse([
      { type: 'message_start', message: { usage: { input_tokens: 1, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Seen.' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 1 } },
      { type: 'message_stop' },
    ]),
    told: ({ messages }) => {
      const { content } = messages.at(-1);
      return [content.at(-1).text, ...content.slice(0, -1).map((p) => `${p.source.media_type} ${p.source.data}`)];
    },
    image: (type, bytes) => `${type} ${bytes.toString('base64')}`,
  },
  ollama: {
    base: (peer) => peer.url,
    text: () => [{ message: { content: 'Seen.' }, done: false }, { done: true, done_reason: 'stop', prompt_eval_count: 1, eval_count: 1 }].map((i) => `${JSON.stringify(i)}\n`).join(''),
    told: ({ messages }) => {
      const m = messages.filter((x) => x.role === 'user').at(-1);
      return [m.content, ...(m.images ?? [])];
    },
    image: (type, bytes) => bytes.toString('base64'),
  },
};

describe('attachments', { timeout: 240000 }, () => {
  let w, peer, blind, other;
  before(async () => {
    peer = await new ModelPeer({ models: ['gpt-5-mini', 'blind'] }).open();
    w = await AgentWorld.start({ exec: (path) => new ExecPeer(path).open(), env: { OGENT_ATTACHMENT_MAX: '100K', OGENT_ATTACHMENTS_TOTAL: '300K' } });
    w.token = (await w.auth.setUp()).access_token;
    for (const [provider, d] of Object.entries(DIALECTS))
      await w.ok('POST', '/api/models/providers', { name: provider, provider, base_url: d.base(peer), key: 'k' }, 201);
    const email = 'other@example.org', password = 'correct horse battery staple';
    await w.auth.api('POST', '/api/users', { name: 'Other', email, password, roles: ['member'] }, w.token);
    other = (await w.auth.login({ email, password })).access_token;
    blind = await agent('compatible/blind');
    peer.answer = (req, res) => res.end(DIALECTS.compatible.text());
  });
  after(async () => {
    await w?.stop();
    await peer?.close();
  });

  let made = 0;
  const agent = (model) => w.ok('POST', '/api/agents', { name: `A${++made}`, model }, 201);
  const upload = (c, bytes, name = 'x', token = w.token, headers = {}) =>
    w.api('POST', `/api/conversations/${c.id}/attachments?name=${encodeURIComponent(name)}`, bytes, token, { 'content-type': 'application/octet-stream', ...headers });
  async function add(c, bytes, name) {
    const r = await upload(c, bytes, name);
    assert.ok([200, 201].includes(r.status), r.text);
    return r.body;
  }
  const post = (c, body) => w.api('POST', `/api/conversations/${c.id}/messages`, { content: 'Look.', ...body });
  async function run(c, files, body = {}) {
    peer.requests.length = 0;
    const r = await post(c, { attachments: files.map((f) => f.id), ...body });
    assert.equal(r.status, 202, r.text);
    const e = await w.ended(r.body.id);
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    return e;
  }
  const start = async (a = blind) => w.conversation({ agent_id: a.id });
  const content = (c, f, token = w.token) => w.api('GET', `/api/conversations/${c.id}/attachments/${f.id}`, undefined, token);

  for (const [name, d] of Object.entries(DIALECTS))
    test(`${name}: the model sees images in its own dialect, and reads texts`, async () => {
      peer.answer = (req, res) => res.end(d.text());
      const c = await start(await agent(`${name}/gpt-5-mini`));
      const files = [await add(c, IMAGE, 'a.png'), await add(c, Buffer.from('one,two\n1,2\n'), 'table.csv'), await add(c, GIF, 'b.gif')];
      await run(c, files);
      const [text, ...images] = d.told(peer.requests.at(-1).body);
      assert.equal(text, 'Look.\n\n<attachment name="table.csv">\none,two\n1,2\n\n</attachment>');
      assert.deepEqual(images, [d.image('image/png', IMAGE), d.image('image/gif', GIF)]);
      // And so it is in the next turn.
      await w.ended((await w.send('And now?', { conversation: c })).id);
      assert.ok(JSON.stringify(peer.requests.at(-1).body).includes(IMAGE.toString('base64')));
      peer.answer = (req, res) => res.end(DIALECTS.compatible.text());
    });

  test('a model that takes no images is told that there was one', async () => {
    const c = await start();
    await run(c, [await add(c, IMAGE, 'a.png')]);
    assert.deepEqual(DIALECTS.compatible.told(peer.requests.at(-1).body), ['Look.\n\n[The image "a.png" was attached, which this model cannot see.]']);
  });

  test('a text that is larger than the context of the model is cut, and both the model and the person are told', async () => {
    await w.ok('POST', '/api/models/providers', { name: 'Narrow', provider: 'compatible', base_url: DIALECTS.compatible.base(peer), key: 'k', context: 4000 }, 201);
    const c = await start(await agent('narrow/blind'));
    const table = Array.from({ length: 6000 }, (_, i) => `row ${i}`).join('\n');
    const warnings = async (e) => (await w.events(e.id)).items.filter((x) => x.type === 'model.warning').map((x) => x.data);
    const e = await run(c, [await add(c, Buffer.from(table), 'table.txt')], { content: 'How many rows?' });
    const [told] = DIALECTS.compatible.told(peer.requests.at(-1).body);
    assert.ok(told.length > 4000 && told.length < 16000, `${told.length} characters`);
    assert.match(told, /^How many rows\?\n\n<attachment name="table.txt">\nrow 0\n[^]*\[\.\.\. \d+ bytes left out \.\.\.\][^]*row 5999\n<\/attachment>$/);
    const warned = await warnings(e);
    assert.deepEqual(warned.map((x) => x.code), ['text_cut']);
    assert.match(warned[0].message, /longer than the model's context \(4000 tokens\): about \d+ bytes were left out/);
    // Nothing is lost, and the conversation goes on.
    const { items } = await w.ok('GET', `/api/conversations/${c.id}/messages`);
    assert.equal((await content(c, items[0].attachments[0])).text, table);
    const next = await w.ended((await w.send('And columns?', { conversation: c })).id);
    assert.equal(next.status, 'succeeded', JSON.stringify(next.error));
    assert.match(JSON.stringify(peer.requests.at(-1).body.messages), /And columns\?/);
    assert.ok(JSON.stringify(peer.requests.at(-1).body).length < 20000);
  });

  test('what a file is, its bytes say; hostile ones are refused with a sentence', async () => {
    const c = await start();
    const kinds = [];
    for (const [bytes, name] of [[IMAGE, 'notes.txt'], [GIF, 'x'], [Buffer.from('<svg onload="alert(1)"/>'), 'a.png'], [Buffer.from('<script>'), 'p.html']]) {
      const f = await add(c, bytes, name);
      kinds.push([f.kind, f.media_type, f.width]);
      const got = await content(c, f);
      assert.equal(got.status, 200);
      assert.match(got.headers['content-disposition'], /^attachment/);
      assert.equal(got.headers['x-content-type-options'], 'nosniff');
      assert.match(got.headers['content-security-policy'], /sandbox/);
      assert.ok(f.kind === 'image' || got.headers['content-type'].startsWith('text/plain'), got.headers['content-type']);
    }
    assert.deepEqual(kinds, [['image', 'image/png', 3], ['image', 'image/gif', 1], ['text', 'text/plain', null], ['text', 'text/html', null]]);
    for (const [bytes, status, code] of [
      [Buffer.alloc(0), 422, 'attachment_empty'],
      [Buffer.from('%PDF-1.7\n\0\0'), 415, 'attachment_type'],
      [Buffer.from([0xff, 0xfe, 0x41, 0x00]), 415, 'attachment_type'],
      [Buffer.from('\x89PNG\r\n\x1a\nnothing', 'latin1'), 422, 'image_damaged'],
      [png(60000, 60000, Buffer.alloc(1)), 422, 'image_too_large'],
      [Buffer.alloc(400 * 1024, 'a'), 413, 'body_too_large'],
    ]) {
      const r = await upload(c, bytes);
      assert.deepEqual([r.status, r.body.code], [status, code], r.text);
    }
    for (const [name, clean] of [['../../etc/passwd', 'passwd'], ['C:\\a\\b.txt', 'b.txt'], ['a\u202egnp.exe', 'agnp.exe'], ['..', 'file'], ['x"<y>\n', 'x__y__'], ['ü'.repeat(150), 'ü'.repeat(100)]])
      assert.equal((await add(c, Buffer.from(`text ${name}`), name)).name, clean);
  });

  test('the same file is stored once, and a conversation has its limit', async () => {
    const c = await start();
    const first = await upload(c, IMAGE, 'a.png'), again = await upload(c, IMAGE, 'a.png'), renamed = await upload(c, IMAGE, 'b.png');
    assert.deepEqual([first.status, again.status, renamed.status], [201, 200, 201]);
    assert.equal(again.body.id, first.body.id);
    assert.notEqual(renamed.body.id, first.body.id);
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => upload(c, Buffer.alloc(90 * 1024, String(i)), `${i}.txt`)));
    assert.equal(all.filter((r) => r.status === 201).length, 3);
    assert.ok(all.filter((r) => r.status !== 201).every((r) => r.body.code === 'attachments_full'));
    const form = Buffer.from('--B\r\ncontent-disposition: form-data; name="file"; filename="f.txt"\r\n\r\nhello\r\n--B--\r\n');
    const byForm = await w.api('POST', `/api/conversations/${c.id}/attachments`, form, w.token, { 'content-type': 'multipart/form-data; boundary=B' });
    assert.deepEqual([byForm.status, byForm.body.name, byForm.body.size], [201, 'f.txt', 5], byForm.text);
  });

  test('a message names files of its own conversation, at most ten', async () => {
    const [c, elsewhere] = [await start(), await start()];
    const [mine, foreign] = [await add(c, IMAGE, 'a.png'), await add(elsewhere, GIF, 'b.gif')];
    const code = async (attachments, more = {}) => (await post(c, { attachments, ...more })).body.code;
    assert.equal(await code([foreign.id]), 'attachment_not_found');
    assert.equal(await code([mine.id, 'none']), 'attachment_not_found');
    assert.equal(await code([7]), 'invalid_field');
    assert.equal(await code(Array(11).fill(mine.id)), 'invalid_field');
    assert.equal(await code([mine.id], { when_busy: 'steer' }), 'invalid_field');
    assert.equal((await w.ok('GET', `/api/conversations/${c.id}/messages`)).items.length, 0, 'a refused message leaves nothing');
    await run(c, [mine]);
    const [m] = (await w.ok('GET', `/api/conversations/${c.id}/messages`)).items;
    assert.deepEqual(m.attachments.map((f) => [f.id, f.name, f.kind, f.width, f.height, f.size]), [[mine.id, 'a.png', 'image', 3, 2, IMAGE.length]]);
  });

  test('files are their user\'s', async () => {
    const c = await start();
    const f = await add(c, IMAGE, 'a.png');
    for (const r of [await content(c, f, other), await upload(c, GIF, 'x', other), await w.api('DELETE', `/api/conversations/${c.id}/attachments/${f.id}`, undefined, other)])
      assert.equal(r.status, 404, r.text);
    assert.equal((await content(c, f)).raw?.length ?? IMAGE.length, IMAGE.length);
  });

  test('one that was not sent can be taken back; one that was goes with its conversation', async () => {
    const c = await start();
    const [unsent, sent] = [await add(c, IMAGE, 'a.png'), await add(c, GIF, 'b.gif')];
    await w.ok('DELETE', `/api/conversations/${c.id}/attachments/${unsent.id}`, undefined, 204);
    assert.equal((await content(c, unsent)).status, 404);
    await run(c, [sent]);
    assert.equal((await w.api('DELETE', `/api/conversations/${c.id}/attachments/${sent.id}`)).body.code, 'attachment_sent');
    const keeper = await start();
    const kept = await add(keeper, GIF, 'b.gif');
    await w.ok('DELETE', `/api/conversations/${c.id}`, undefined, 204);
    assert.equal((await content(c, sent)).status, 404);
    assert.equal((await content(keeper, kept)).status, 200, 'the bytes stay for the other that has them');
  });

  test('what waits for the end of a run has its files; what is taken back has them no more', async () => {
    const c = await start();
    const [first, second, third] = [await add(c, Buffer.from('number one'), '1.txt'), await add(c, Buffer.from('number two'), '2.txt'), await add(c, Buffer.from('number three'), '3.txt')];
    let release;
    peer.answer = (req, res) => (release = () => res.end(DIALECTS.compatible.text()));
    const active = await post(c, { attachments: [first.id] });
    const queued = await post(c, { attachments: [second.id], when_busy: 'queue' });
    const gone = await post(c, { attachments: [third.id], when_busy: 'queue' });
    assert.deepEqual([active.status, queued.status, gone.status], [202, 202, 202]);
    await w.ok('POST', `/api/executions/${gone.body.id}/cancel`, undefined, 202).catch(() => {});
    while (!release) await new Promise((done) => setTimeout(done, 10));
    peer.answer = (req, res) => res.end(DIALECTS.compatible.text());
    release();
    await w.ended(queued.body.id);
    assert.match(JSON.stringify(peer.requests.at(-1).body), /number two/);
    await w.ok('DELETE', `/api/conversations/${c.id}/attachments/${third.id}`, undefined, 204);
  });

  test('a fork has the files of its messages', async () => {
    const c = await start();
    const e = await run(c, [await add(c, Buffer.from('the secret word is plum'), 'w.txt')]);
    const fork = await w.ok('POST', `/api/executions/${e.id}/fork`, {}, 201);
    await w.ok('DELETE', `/api/conversations/${c.id}`, undefined, 204);
    const [m] = (await w.ok('GET', `/api/conversations/${fork.id}/messages`)).items;
    assert.deepEqual(m.attachments.map((f) => f.name), ['w.txt']);
    assert.equal((await content(fork, m.attachments[0])).text, 'the secret word is plum');
    await w.ended((await w.send('And?', { conversation: fork })).id);
    assert.match(JSON.stringify(peer.requests.at(-1).body), /plum/);
  });

  test('what began a run can be sent again from a branch before it', async () => {
    const c = await start();
    const f = await add(c, Buffer.from('the secret word is fig'), 'w.txt');
    const e = await run(c, [f]);
    const fork = await w.ok('POST', `/api/executions/${e.id}/fork`, { step: 0 }, 201);
    assert.equal((await w.ok('GET', `/api/conversations/${fork.id}/messages`)).items.length, 0);
    await run(fork, [f]);
    assert.match(JSON.stringify(peer.requests.at(-1).body), /fig/);
  });

  test('an image that is too large for Anthropic does not block the conversation', async () => {
    peer.answer = (req, res) => res.end(DIALECTS.anthropic.text());
    const c = await start(await agent('anthropic/gpt-5-mini'));
    await run(c, [await add(c, png(9000, 10, Buffer.alloc(1)), 'wide.png'), await add(c, IMAGE, 'a.png')]);
    const { content } = peer.requests.at(-1).body.messages.at(-1);
    assert.deepEqual(content.map((p) => p.type), ['image', 'text']);
    assert.match(content[1].text, /"wide\.png" was attached, which is too large/);
    peer.answer = (req, res) => res.end(DIALECTS.compatible.text());
  });

  test('what is too much is told by name', async () => {
    const c = await start(await agent('compatible/gpt-5-mini'));
    for (let i = 0; i < 3; i++) await run(c, [await add(c, Buffer.concat([png(10, 10), Buffer.alloc(60 * 1024, String(i))]), `${i}.png`)]);
    const long = await start();
    await run(long, [await add(long, Buffer.from('é'.repeat(50_000)), 'long.txt')]);
    assert.match(DIALECTS.compatible.told(peer.requests.at(-1).body)[0], /é\n<\/attachment>$/);
  });

  test('a kill in the middle of uploads and messages leaves whole files or none', async (t) => {
    if (process.env.OGENT_DEPLOYMENT) return t.skip('the service cannot be killed here');
    const c = await start();
    const sent = [];
    let isOver = false;
    const working = Promise.all(Array.from({ length: 3 }, async (_, n) => {
      for (let i = 0; !isOver; i++) {
        const bytes = Buffer.from(`${n} ${i} ${'y'.repeat(2000)}`);
        const r = await upload(c, bytes, `${n}-${i}.txt`).catch(() => null);
        if (r?.status === 201) sent.push([r.body, bytes]);
      }
    }));
    while (sent.length < 10) await new Promise((done) => setTimeout(done, 5));
    await w.agent.kill('SIGKILL');
    isOver = true;
    await working;
    await w.agent.start?.();
    if (!w.agent.start) return;
    for (const [f, bytes] of sent) assert.equal((await content(c, f)).text, bytes.toString());
  });
});

test('runs share a bound for attached files in memory: who finds no room waits, can be cancelled, and goes on', { timeout: 60000 }, async () => {
  const peer = await new ModelPeer({ models: ['gpt-5-mini'] }).open();
  const w = await AgentWorld.start({ demo: false, env: { OGENT_ATTACHMENTS_MEMORY: '1M' } });
  try {
    w.token = (await w.auth.setUp()).access_token;
    await w.ok('POST', '/api/models/providers', { name: 'P', slug: 'p', provider: 'compatible', base_url: `${peer.url}/v1`, key: 'k' }, 201);
    const agent = await w.ok('POST', '/api/agents', { name: 'A', model: 'p/gpt-5-mini' }, 201);
    const held = [];
    peer.answer = (req, res) => held.push(res);
    const answer = () => held.shift().end(chunk({ content: 'Seen.' }) + chunk({}, 'stop') + DONE);
    const until = async (what, test) => {
      for (const limit = Date.now() + 15000; !(await test()); await sleep(20)) assert.ok(Date.now() < limit, `waited too long: ${what}`);
    };
    const metric = async (name) => Number((await w.api('GET', '/metrics')).text.match(new RegExp(`^${name} (\\d+)`, 'm'))[1]);
    const start = async () => {
      const c = await w.conversation({ agent_id: agent.id });
      const file = await w.api('POST', `/api/conversations/${c.id}/attachments?name=a.png`, png(450, 450, randomBytes(1351 * 450)), w.token, { 'content-type': 'application/octet-stream' });
      assert.equal(file.status, 201, file.text);
      return w.ok('POST', `/api/conversations/${c.id}/messages`, { content: 'Look.', attachments: [file.body.id] }, 202);
    };
    const first = await start();
    await until('the first is asked', () => held.length === 1);
    const bytes = await metric('ogent_attachment_bytes');
    assert.ok(bytes > 800_000 && bytes < 900_000, `${bytes} bytes`);
    const second = await start(), third = await start();
    await until('two wait', async () => (await metric('ogent_runs_without_room')) === 2);
    await sleep(500);
    assert.deepEqual([held.length, await metric('ogent_attachment_bytes')], [1, bytes]);
    assert.equal((await w.ok('GET', `/api/executions/${second.id}`)).state, 'loading');
    await w.ok('POST', `/api/executions/${third.id}/cancel`, undefined, 202);
    assert.equal((await w.ended(third.id)).status, 'cancelled');
    // Who has no files is not held up.
    const plain = await w.send('Nothing attached.', { conversation: await w.conversation({ agent_id: agent.id }) });
    await until('the one without files is asked', () => held.length === 2);
    held.unshift(held.pop());
    answer();
    assert.equal((await w.ended(plain.id)).status, 'succeeded');
    answer();
    assert.equal((await w.ended(first.id)).status, 'succeeded');
    await until('the second is asked', () => held.length === 1);
    answer();
    assert.equal((await w.ended(second.id)).status, 'succeeded');
    await until('all is given back', async () => (await metric('ogent_attachment_bytes')) === 0 && (await metric('ogent_runs_without_room')) === 0);
  } finally {
    await w.stop();
    await peer.close();
  }
});
