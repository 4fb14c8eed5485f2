// Documents on PostgreSQL: several agent processes share the work, and what a killed one had begun is taken over, once.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { hasPostgres, makePostgres, psql } from '../lib/databases.mjs';
import { freePort, startRole } from '../lib/platform.mjs';

describe('documents of two agent processes', { skip: !hasPostgres, timeout: 300000 }, () => {
  let url, w, other;
  const env = { OGENT_KNOWLEDGE_WORKERS: '1' };
  before(async () => {
    url = await makePostgres(`knowledge_${process.pid}`);
    w = await AgentWorld.start({ env: { ...env, OGENT_AGENT_DB_URL: url } });
    const port = await freePort();
    other = await startRole('agent', {
      data: w.data, env: { ...env, OGENT_AGENT_DB_URL: url, OGENT_AGENT_LISTEN: `127.0.0.1:${port}` }, where: { host: '127.0.0.1', port },
    });
  });
  after(async () => {
    await w?.stop();
  });

  test('both work; one is killed, and nothing is lost or doubled', async () => {
    const c = await w.ok('POST', '/api/knowledge/collections', { name: 'Many', piece_tokens: 64, overlap_tokens: 0 }, 201);
    for (let n = 0; n < 40; n++) {
      const text = Array.from({ length: 400 }, (_, i) => `Document ${n} says line${i} of word${n}x${i}.`).join('\n');
      const r = await w.api('POST', `/api/knowledge/collections/${c.id}/documents?name=d${n}.txt`, Buffer.from(text), w.token, { 'content-type': 'text/plain' });
      assert.equal(r.status, 201, r.text);
    }
    const owners = new Set();
    for (const limit = Date.now() + 60000; owners.size < 2; ) {
      for (const owner of (await psql(url, 'select distinct owner from knowledge_documents where owner is not null')).split('\n')) if (owner) owners.add(owner);
      assert.ok(Date.now() < limit, `only ${[...owners]} worked`);
      if ((await psql(url, "select count(*) from knowledge_documents where status <> 'ready'")) === '0')
        await w.ok('POST', `/api/knowledge/collections/${c.id}/index`, undefined, 202);
    }
    await other.kill('SIGKILL');
    for (const limit = Date.now() + 120000; ; await sleep(50)) {
      const { documents } = await w.ok('GET', `/api/knowledge/collections/${c.id}`);
      if (documents.ready === 40) break;
      assert.ok(Date.now() < limit && documents.failed === 0, JSON.stringify(documents));
    }
    const facts = await psql(url, `select (select count(*) from knowledge_pieces p join knowledge_documents d on d.id = p.document_id where p.claim <> d.live),
      (select count(*) from knowledge_documents d where d.pieces <> (select count(*) from knowledge_pieces p where p.document_id = d.id)),
      (select count(*) from knowledge_documents d where d.pieces <> (select coalesce(sum(v.n), 0) from knowledge_vectors v where v.document_id = d.id))`);
    assert.equal(facts, '0|0|0');
  });
});
