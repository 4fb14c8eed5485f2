// The model's server over TLS: whose certificate is not good gets neither the key nor the conversation.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AgentWorld } from '../lib/agent_client.mjs';
import { Authority } from '../lib/certificates.mjs';
import { ModelPeer } from '../lib/model_peer.mjs';

const KEY = 'sk-secret-0123456789';

describe('a model over TLS', { timeout: 120000 }, () => {
  let ours, foreign;
  before(() => {
    ours = new Authority();
    foreign = new Authority();
  });
  after(() => {
    ours.remove();
    foreign.remove();
  });

  async function run(certificate) {
    const peer = await new ModelPeer({ tls: certificate }).open();
    const env = { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${peer.url}/v1`, OGENT_OPENAI_MODEL: 'm', SSL_CERT_FILE: ours.file };
    const w = await AgentWorld.start({ demo: false, env });
    try {
      const e = await w.run('Hi');
      assert.ok(!w.agent.log.includes(KEY), 'the key is in the log');
      return { e, events: (await w.events(e.id)).items, requests: peer.requests };
    } finally {
      await w.stop();
      await peer.close();
    }
  }

  function assertRefused({ e, events, requests }, why) {
    assert.equal(e.status, 'failed');
    assert.match(e.error.message, /no secure connection to 127\.0\.0\.1/);
    assert.match(e.error.message, why);
    assert.equal(requests.length, 0);
    assert.ok(!events.some((x) => x.type === 'model.retry'), 'waiting makes no certificate good');
  }

  test('is used when its certificate is good', async () => {
    const { e, requests } = await run(ours.issue('IP:127.0.0.1'));
    assert.equal(e.status, 'succeeded', JSON.stringify(e.error));
    assert.equal(e.output, 'Hello you.');
    assert.equal(requests[0].headers.authorization, `Bearer ${KEY}`);
  });

  test('is refused when nobody we trust has signed it', async () => assertRefused(await run(foreign.issue('IP:127.0.0.1')), /certificate/));

  test('is refused when it names another server', async () => assertRefused(await run(ours.issue('DNS:other.example')), /127\.0\.0\.1/));

  test('is refused when it has expired', async () => assertRefused(await run(ours.issue('IP:127.0.0.1', { days: -1 })), /expired/));
});
