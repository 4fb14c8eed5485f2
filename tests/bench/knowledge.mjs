// Knowledge: indexing and searching as over the API, beside Orama (full text and vectors in the memory of a Node process) on the same texts; the scan over
// vectors beside the plain loop. Figures of time are CPU time of the process, which repeats on a busy machine; knowledge.search_p50_* is a median of wall times.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

import { getLoadablePath } from './knowledge/node_modules/sqlite-vec/index.mjs';
import { create, insertMultiple, search as oramaSearch } from './knowledge/node_modules/@orama/orama/dist/esm/index.js';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ogent } from '../lib/platform.mjs';

const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const DIMENSION = 512;
const PIECES = 100; // of a document
const QUERIES = 100;
const PEER_PIECES = 10000;
const SCAN_ROWS = 100000; // as knowledge_scan.c has them

const cpuSeconds = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
};
const rssMib = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;

// The same numbers each time.
let state = 42;
const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32);
const syllables = ['ka', 'to', 'ri', 'men', 'sul', 'va', 'dor', 'pe', 'lin', 'gra', 'mo', 'ne', 'tis', 'bu', 'fer', 'al'];
const words = Array.from({ length: 5000 }, () => Array.from({ length: 2 + Math.floor(random() * 3) }, () => syllables[Math.floor(random() * syllables.length)]).join(''));
const word = () => words[Math.floor(words.length * random() ** 3)];
const sentence = () => `${Array.from({ length: 36 }, word).join(' ')}.`;
const documents = Array.from({ length: 1000 }, () => Array.from({ length: PIECES }, sentence));
const questions = Array.from({ length: QUERIES }, () => Array.from({ length: 4 }, () => words[Math.floor(words.length * random())]).join(' '));
const vector = () => Array.from({ length: DIMENSION }, () => random() - 0.5);

// CPU ms of a question for the eight nearest of as many vectors as the scan's bench has. sqlite-vec scans too, as exactly.
function sqliteVec() {
  const db = new DatabaseSync(':memory:', { allowExtension: true });
  db.loadExtension(getLoadablePath());
  const kinds = {
    int8: { make: () => Int8Array.from({ length: DIMENSION }, () => random() * 255 - 127), as: 'vec_int8(?)' },
    float: { make: () => Float32Array.from(vector()), as: '?' },
  };
  const asks = Object.fromEntries(
    Object.entries(kinds).map(([kind, { make, as }]) => {
      db.exec(`CREATE VIRTUAL TABLE ${kind}s USING vec0(embedding ${kind}[${DIMENSION}]); BEGIN`);
      const insert = db.prepare(`INSERT INTO ${kind}s (embedding) VALUES (${as})`);
      for (let i = 0; i < SCAN_ROWS; i++) insert.run(new Uint8Array(make().buffer));
      db.exec('COMMIT');
      const ask = db.prepare(`SELECT rowid, distance FROM ${kind}s WHERE embedding MATCH ${as} ORDER BY distance LIMIT 8`);
      return [kind, () => ask.all(new Uint8Array(make().buffer))];
    }),
  );
  return (kind) => {
    asks[kind]();
    const from = process.cpuUsage();
    for (let i = 0; i < 10; i++) if (asks[kind]().length !== 8) throw new Error('sqlite-vec found nothing');
    const used = process.cpuUsage(from);
    return (used.user + used.system) / 1000 / 10;
  };
}

export async function figures() {
  const w = await AgentWorld.start({ env: { OGENT_LOG_LEVEL: 'warn' } });
  const { pid } = w.agent.child;
  const collection = await w.ok('POST', '/api/knowledge/collections', { name: 'Bench', piece_tokens: 64, overlap_tokens: 0 }, 201);
  const idle = rssMib(pid);
  let sent = 0, bytes = 0, indexed = 0;

  // Up to n documents; returns the CPU seconds and bytes that indexing them took.
  async function fill(n) {
    const before = [cpuSeconds(pid), bytes];
    for (; sent < n; sent++) {
      const text = Buffer.from(documents[sent].join('\n\n'));
      bytes += text.length;
      const r = await w.api('POST', `/api/knowledge/collections/${collection.id}/documents?name=d${sent}.txt`, text, w.token, { 'content-type': 'text/plain' });
      if (r.status !== 201) throw new Error(r.text);
      w.token = sent % 100 ? w.token : await w.auth.localToken();
    }
    for (;; await sleep(100)) {
      const c = await w.ok('GET', `/api/knowledge/collections/${collection.id}`);
      if (c.documents.ready === n) {
        indexed = c.pieces;
        break;
      }
    }
    return { seconds: cpuSeconds(pid) - before[0], bytes: bytes - before[1] };
  }
  const asked = async (query) => {
    const from = performance.now();
    await w.ok('POST', '/api/knowledge/search', { query, collections: [collection.id], limit: 8 });
    return performance.now() - from;
  };
  async function searches() {
    await asked(questions[0]);
    const before = cpuSeconds(pid), times = [];
    for (const q of questions) times.push(await asked(q));
    times.sort((a, b) => a - b);
    return { p50: times[QUERIES >> 1], cpu: ((cpuSeconds(pid) - before) / QUERIES) * 1000 };
  }
  const first = await fill(PEER_PIECES / PIECES);
  const small = await searches();

  const db = create({ schema: { text: 'string', embedding: `vector[${DIMENSION}]` } });
  const peerBefore = process.cpuUsage();
  await insertMultiple(db, documents.slice(0, PEER_PIECES / PIECES).flat().map((text) => ({ text, embedding: vector() })), 500);
  const peerIndex = process.cpuUsage(peerBefore);
  const peerSearch = async () => {
    const from = process.cpuUsage();
    for (const term of questions) await oramaSearch(db, { mode: 'hybrid', term, vector: { value: vector(), property: 'embedding' }, limit: 8, similarity: 0 });
    const used = process.cpuUsage(from);
    return (used.user + used.system) / 1000 / QUERIES;
  };
  const last = await fill(documents.length);
  const large = await searches();
  const mb = (part) => part.bytes / 1e6 / part.seconds;
  const scan = () => execFileSync(join(dirname(ogent), 'services/agent/bench-knowledge-scan'), { encoding: 'utf8' }).trim().split(' ').map(Number);
  let plain = 0;
  const vec = sqliteVec();
  return {
    figures: [
      { name: 'knowledge.index_mb_s', unit: 'MB/s', rounds: 1, sample: () => mb(first), peer: { name: 'orama, vectors given', sample: () => (first.bytes / 1e6 / (peerIndex.user + peerIndex.system)) * 1e6 } },
      { name: 'knowledge.index_100k_mb_s', unit: 'MB/s', rounds: 1, sample: () => mb(last) },
      { name: 'knowledge.search_cpu_10k', unit: 'ms', rounds: 1, sample: () => small.cpu, peer: { name: 'orama', sample: peerSearch } },
      { name: 'knowledge.search_p50_10k', unit: 'ms', rounds: 1, sample: () => small.p50 },
      { name: 'knowledge.search_cpu_100k', unit: 'ms', rounds: 1, sample: () => large.cpu },
      { name: 'knowledge.search_p50_100k', unit: 'ms', rounds: 1, sample: () => large.p50 },
      { name: 'knowledge.pieces', unit: '', rounds: 1, sample: () => indexed },
      { name: 'knowledge.rss_100k', unit: 'MiB', rounds: 1, sample: () => rssMib(pid) },
      { name: 'knowledge.rss_idle', unit: 'MiB', rounds: 1, sample: () => idle },
      { name: 'knowledge.scan', unit: 'GB/s', rounds: 3, sample: () => ([, plain] = scan())[0], peer: { name: 'plain loop', sample: () => plain } },
      { name: 'knowledge.scan_cpu_100k', unit: 'ms', rounds: 3, sample: () => (SCAN_ROWS * DIMENSION) / scan()[0] / 1e6, peer: { name: 'sqlite-vec, int8', sample: () => vec('int8') }, also: [{ name: 'sqlite-vec, float', sample: () => vec('float') }] },
    ],
    close: () => w.stop(),
  };
}
