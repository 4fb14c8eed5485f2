// Evaluation sets: cases, graders, and runs of a set by a version of an agent; each case is graded once, whatever is killed.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentWorld } from '../lib/agent_client.mjs';
import { ExecPeer } from '../lib/exec_peer.mjs';
import { ModelPeer, chunk, DONE } from '../lib/model_peer.mjs';

const capitals = { France: 'Paris', Italy: 'Rome', Peru: 'Lima', Kenya: 'Nairobi' };

describe('evaluation sets', { timeout: 240000 }, () => {
  let w, peer, agent, other;
  const seen = new Map(); // message → how often the model was asked
  const judged = [];      // what judges were asked
  let held = null;        // answers wait for this

  before(async () => {
    peer = await new ModelPeer().open();
    peer.answer = async (req, res, body) => {
      const text = body.messages.at(-1).content;
      const instructions = body.messages[0].role === 'system' ? body.messages[0].content : '';
      seen.set(text, (seen.get(text) ?? 0) + 1);
      if (held) await held.promise;
      if (instructions.includes('You judge what')) {
        judged.push({ text, instructions, body });
        const [, answer] = /\nBEGIN ANSWER \S+\n([^]*)\nEND ANSWER \S+$/.exec(text);
        if (answer === 'Nairobi' && !seen.get('judge mended')) {
          res.statusCode = 400;
          return res.end('{"error":{"message":"I do not judge this."}}');
        }
        return res.end(chunk({ content: JSON.stringify({ reason: `It says ${answer}.`, passed: answer !== 'Rome', score: 0.8 }) }) + chunk({}, 'stop') + DONE);
      }
      if (text.includes('broken') && !seen.get('mended')) {
        res.statusCode = 400;
        return res.end('{"error":{"message":"I do not like this one."}}');
      }
      const country = Object.keys(capitals).find((c) => text.includes(c));
      let answer = country ? capitals[country] : `=${text}`;
      if (instructions.includes('Be wrong about Italy') && country === 'Italy') answer = 'Milan';
      if (instructions.includes('Answer in JSON')) answer = JSON.stringify({ capital: answer, sure: true });
      if (instructions.includes('Language:')) answer += ` ${instructions.match(/Language: (\w+)/)[1]}`;
      return res.end(chunk({ content: answer }) + chunk({}, 'stop') + DONE);
    };
    w = await AgentWorld.start({ exec: (path) => new ExecPeer(path).open(), env: { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: `${peer.url}/v1`, OGENT_OPENAI_MODEL: 'peer-1', OGENT_BATCH_MAX_ROWS: '300' } });
    w.token = (await w.auth.setUp()).access_token;
    const email = 'other@example.org', password = 'correct horse battery staple';
    await w.auth.api('POST', '/api/users', { name: 'Other', email, password, roles: ['member'] }, w.token);
    other = (await w.auth.login({ email, password })).access_token;
    agent = await w.ok('POST', '/api/agents', { name: 'Geographer' }, 201);
  });
  after(async () => {
    held?.resolve();
    await w?.stop();
    await peer?.close();
  });

  const makeSet = (body = {}) => w.ok('POST', '/api/evaluations', { name: 'Capitals', graders: [{ type: 'exact' }], ...body }, 201);
  const importCases = (set, data, more = {}) => w.api('POST', `/api/evaluations/${set.id}/cases/import`, { format: 'jsonl', data: typeof data === 'string' ? data : data.map((c) => JSON.stringify(c)).join('\n'), ...more });
  async function setOf(cases, body) {
    const set = await makeSet(body);
    const r = await importCases(set, cases);
    assert.equal(r.status, 200, r.text);
    return set;
  }
  async function change(a, body) {
    const { headers } = await w.api('GET', `/api/agents/${a.id}`);
    const r = await w.api('PATCH', `/api/agents/${a.id}`, body, w.token, { 'if-match': headers.etag });
    assert.equal(r.status, 200, r.text);
  }
  const cases = async (set) => (await w.ok('GET', `/api/evaluations/${set.id}/cases?limit=200`)).items;
  const begin = (set, body = {}) => w.ok('POST', `/api/evaluations/${set.id}/runs`, { agent_id: agent.id, ...body }, 201);
  const get = (run) => w.ok('GET', `/api/evaluations/runs/${run.id}`);
  async function until(run, what) {
    for (const limit = Date.now() + 60000; ; await sleep(30)) {
      const now = await get(run);
      if (what(now)) return now;
      assert.ok(Date.now() < limit, JSON.stringify(now));
    }
  }
  const over = (run) => until(run, (x) => ['ended', 'stopped', 'cancelled'].includes(x.status) && x.rows.running === 0);
  const rows = async (run, query = '') => (await w.ok('GET', `/api/evaluations/runs/${run.id}/rows?limit=200${query}`)).items;
  const world = Object.entries(capitals).map(([country, capital]) => ({ input: `Capital of ${country}?`, expected: capital, tags: [country === 'Peru' ? 'america' : 'elsewhere'] }));

  test('a set is made, changed and removed, and its cases one by one', async () => {
    const set = await makeSet({ description: 'd', pass_score: 0.5, graders: [{ type: 'contains', name: 'Names it', weight: 2, required: true }] });
    assert.deepEqual([set.name, set.cases, set.pass_score, set.graders[0].name], ['Capitals', 0, 0.5, 'Names it']);
    const one = await w.ok('POST', `/api/evaluations/${set.id}/cases`, { input: 'Capital of Peru?', expected: 'Lima', tags: ['a', 'b'], variables: { x: '1' } }, 201);
    assert.deepEqual(await cases(set), [one]);
    const changed = await w.ok('PATCH', `/api/evaluations/${set.id}/cases/${one.id}`, { expected: { capital: 'Lima' }, variables: {} });
    assert.deepEqual(changed, { id: one.id, input: 'Capital of Peru?', expected: { capital: 'Lima' }, variables: {}, tags: ['a', 'b'] });
    assert.equal((await w.ok('PATCH', `/api/evaluations/${set.id}/cases/${one.id}`, { expected: null })).expected, null);
    assert.equal((await w.ok('PATCH', `/api/evaluations/${set.id}`, { name: 'C', graders: [] })).cases, 1);
    assert.equal((await w.api('POST', `/api/evaluations/${set.id}/runs`, { agent_id: agent.id })).body.code, 'evaluation_empty');
    await w.ok('DELETE', `/api/evaluations/${set.id}/cases/${one.id}`, undefined, 204);
    assert.equal((await w.ok('GET', `/api/evaluations/${set.id}`)).cases, 0);
    await w.ok('DELETE', `/api/evaluations/${set.id}`, undefined, 204);
    assert.equal((await w.api('GET', `/api/evaluations/${set.id}`)).status, 404);
  });

  test('what is wrong is told where it is', async () => {
    const set = await makeSet();
    for (const [method, path, body, what] of [
      ['POST', '', { name: 'x', graders: [{ type: 'exact' }, { type: 'regex', value: '(' }] }, /Grader 2.*regular/],
      ['POST', '', { name: 'x', pass_score: 2 }, /pass_score/],
      ['POST', '', { graders: [] }, /name/],
      ['POST', `/${set.id}/cases`, { expected: 'x' }, /input/],
      ['POST', `/${set.id}/cases`, { input: 'x', tags: ['a,b'] }, /tags/],
      ['POST', `/${set.id}/cases`, { input: 'x', variables: { a: 1 } }, /variables/],
      ['POST', `/${set.id}/cases`, { input: 'x', more: 1 }, /more/],
      ['POST', `/${set.id}/cases`, { input: 'x'.repeat(65537) }, /input/],
      ['POST', `/${set.id}/cases`, { input: 'x', expected: 'x'.repeat(65537) }, /expected/],
      ['POST', `/${set.id}/cases/import`, { format: 'jsonl', data: '{"input":"a"}\n{"expected":"b"}\n' }, /Row 2.*input/],
      ['POST', `/${set.id}/cases/import`, { format: 'csv', data: 'input,wanted\na,b\n' }, /Row 1.*wanted/],
      ['POST', `/${set.id}/cases/import`, { format: 'csv', data: 'input,expected_json\na,{\n' }, /Row 1.*expected_json/],
      ['POST', `/${set.id}/cases/import`, { format: 'jsonl', data: '{"input":"a","id":"00000000-0000-7000-8000-000000000000"}\n' }, /Row 1.*id/],
      ['POST', `/${set.id}/cases/import`, { format: 'csv', data: `input\n${'x\n'.repeat(2001)}` }, /2000/],
      ['POST', `/${set.id}/runs`, { agent_id: agent.id, repeats: 21 }, /repeats/],
    ]) {
      const r = await w.api(method, `/api/evaluations${path}`, body);
      assert.equal(r.status, 422, r.text.slice(0, 300));
      assert.match(r.body.detail, what);
    }
    assert.equal((await cases(set)).length, 0);
  });

  test('cases go out as CSV and JSONL and come back the same, changed by their ids', async () => {
    const set = await setOf([
      { input: '=HYPERLINK("x")', expected: "'=1", tags: ['a', 'b c'] },
      { input: 'two\nlines, "quoted"', expected: { a: [1, 'x'] }, variables: { language: 'de' } },
      { input: 'nothing expected' },
    ]);
    const before = await cases(set);
    const csv = (await w.api('GET', `/api/evaluations/${set.id}/cases/export?format=csv`)).text;
    assert.ok(csv.includes(`"'=HYPERLINK(""x"")"`), csv);
    assert.deepEqual((await importCases(set, csv, { format: 'csv', replace: true })).body, { added: 0, changed: 3 });
    assert.deepEqual(await cases(set), before);
    const lines = (await w.api('GET', `/api/evaluations/${set.id}/cases/export?format=jsonl`)).text.trim().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual(lines, before);
    lines[0].input = 'another';
    assert.deepEqual((await importCases(set, [lines[0], { input: 'new' }], { replace: true })).body, { added: 1, changed: 1 });
    assert.deepEqual((await cases(set)).map((c) => c.input), ['another', 'new']);
    assert.equal((await importCases(set, 'input,variables.x,tags\nq,1,"a; b"\n', { format: 'csv' })).status, 200);
    const last = (await cases(set)).at(-1);
    assert.deepEqual([last.variables, last.tags], [{ x: '1' }, ['a', 'b']]);
  });

  test('a run grades each case so many times; results in pages and as files', async () => {
    const set = await setOf([...world, { input: '=odd', expected: 'never' }]);
    const run = await begin(set, { repeats: 2 });
    assert.deepEqual([run.status, run.rows.total, run.agent_version, run.results.open], ['running', 10, 1, 10]);
    const end = await over(run);
    assert.deepEqual([end.results.passed, end.results.failed, end.results.open, end.results.pass_rate], [8, 2, 0, 0.8]);
    assert.ok(end.medians.tokens > 0 && end.medians.latency_ms >= 0 && end.results.tokens > 0);
    const all = await rows(run);
    assert.deepEqual(all.map((r) => [r.case, r.repeat]).slice(0, 3), [[1, 1], [1, 2], [2, 1]]);
    assert.deepEqual([all[0].output, all[0].passed, all[0].score, all[0].grades[0]], ['Paris', true, 1, { name: 'exact', type: 'exact', passed: true, score: 1, reason: '' }]);
    assert.equal((await w.ok('GET', `/api/conversations/${all[0].conversation_id}`)).agent_id, agent.id);
    const bad = await rows(run, '&passed=false');
    assert.deepEqual([bad.length, bad[0].input, bad[0].grades[0].reason], [2, '=odd', 'The answer is another text.']);
    const csv = await w.api('GET', `/api/evaluations/runs/${run.id}/results?format=csv`);
    assert.match(csv.text, /^case_id,case,repeat,input,expected,tags,status,passed,score,reasons,/);
    assert.ok(csv.text.includes(`,5,1,"'=odd",never,,succeeded,false,0,exact: The answer is another text.,"'==odd",`), csv.text);
    const jsonl = await w.api('GET', `/api/evaluations/runs/${run.id}/results?format=jsonl`);
    assert.equal(jsonl.text.trim().split('\n').length, 10);
    const some = await over(await begin(set, { tags: ['america'], name: 'Some' }));
    assert.deepEqual([some.rows.total, some.name, some.results.passed], [1, 'Some', 1]);
    assert.deepEqual((await w.ok('GET', `/api/evaluations/${set.id}/runs`)).items.map((r) => r.id), [some.id, run.id]);
    assert.deepEqual((await w.ok('GET', '/api/batches')).items, [], 'a run of a set is none of the batches');
    assert.equal((await w.api('GET', `/api/batches/${run.id}`)).status, 404);
  });

  test('a run keeps to its version, with the variables of each case', async () => {
    const set = await setOf(world);
    const a = await w.ok('POST', '/api/agents', { name: 'Versioned', instructions: 'Be wrong about Italy.' }, 201);
    await change(a, { instructions: 'Language: {{language}}', variables: [{ name: 'language', description: '' }] });
    const first = await over(await begin(set, { agent_id: a.id, agent_version: 1 }));
    assert.deepEqual([first.agent_version, first.results.passed, first.results.failed], [1, 3, 1]);
    const refused = await w.api('POST', `/api/evaluations/${set.id}/runs`, { agent_id: a.id });
    assert.deepEqual([refused.status, /Case 1.*language/.test(refused.body.detail)], [422, true], refused.text);
    assert.equal((await w.api('POST', `/api/evaluations/${set.id}/runs`, { agent_id: a.id, agent_version: 9 })).body.code, 'version_not_found');
    await importCases(set, world.map((c) => ({ ...c, expected: `${c.expected} de`, variables: { language: 'de' } })), { replace: true });
    const second = await over(await begin(set, { agent_id: a.id }));
    assert.deepEqual([second.agent_version, second.results.passed], [2, 4]);
    const batch = await w.api('POST', '/api/batches', { name: 'B', agent_id: a.id, agent_version: 1, message: 'Capital of {{c}}?', format: 'csv', data: 'c\nItaly\n' });
    assert.deepEqual([batch.status, batch.body.agent_version], [201, 1], batch.text);
    for (const limit = Date.now() + 30000; ; await sleep(30)) {
      const [row] = (await w.ok('GET', `/api/batches/${batch.body.id}/rows`)).items;
      if (row.status === 'succeeded') { assert.equal(row.output, 'Milan'); break; }
      assert.ok(Date.now() < limit, JSON.stringify(row));
    }
    assert.equal((await w.api('POST', '/api/batches', { name: 'B', agent_id: a.id, agent_version: 7, message: 'x', format: 'csv', data: 'c\n1\n' })).body.code, 'version_not_found');
  });

  test('two versions side by side: what improved, what got worse, and whether that says anything', async () => {
    const set = await setOf([...world, { input: '=odd', expected: '==odd' }, { input: 'gone', expected: 'x' }]);
    const a = await w.ok('POST', '/api/agents', { name: 'Compared', instructions: 'Be wrong about Italy.' }, 201);
    await change(a, { instructions: 'Be right.' });
    const base = await over(await begin(set, { agent_id: a.id, agent_version: 1, repeats: 3 }));
    const [, , peru, , , gone] = await cases(set);
    await w.ok('PATCH', `/api/evaluations/${set.id}/cases/${peru.id}`, { expected: 'Cusco' });
    await w.ok('DELETE', `/api/evaluations/${set.id}/cases/${gone.id}`, undefined, 204);
    await importCases(set, [{ input: 'new', expected: 'y' }]);
    const other = await over(await begin(set, { agent_id: a.id }));
    const c = await w.ok('GET', `/api/evaluations/runs/${base.id}/comparison?with=${other.id}`);
    assert.deepEqual([c.base.agent_version, c.other.agent_version, c.base.id, c.other.id], [1, 2, base.id, other.id]);
    assert.deepEqual(c.counts, { improved: 1, worse: 0, both_passed: 3, both_failed: 0, left_out: 3 });
    assert.equal(c.p_value, 1);
    assert.deepEqual(c.cases.map((k) => k.change), ['both_passed', 'improved', 'changed', 'both_passed', 'both_passed', 'removed', 'added']);
    assert.deepEqual([c.cases[1].base, c.cases[1].other, c.cases[6].base], [{ graded: 3, passed: 0 }, { graded: 1, passed: 1 }, null]);
    assert.ok(c.base.medians.latency_ms >= 0 && c.other.medians.tokens > 0);
    const csv = (await w.api('GET', `/api/evaluations/runs/${base.id}/comparison?with=${other.id}&format=csv`)).text;
    assert.ok(csv.includes(`,5,"'=odd",both_passed,3,3,1,1\r\n`) && csv.includes(',6,gone,removed,0,3,,\r\n'), csv);
    assert.equal((await w.api('GET', `/api/evaluations/runs/${base.id}/comparison?with=${other.id}&format=jsonl`)).text.trim().split('\n').length, 7);
    assert.equal((await w.api('GET', `/api/evaluations/runs/${base.id}/comparison`)).status, 404);
    const elsewhere = await over(await begin(await setOf(world)));
    assert.equal((await w.api('GET', `/api/evaluations/runs/${base.id}/comparison?with=${elsewhere.id}`)).status, 422);
  });

  test('graders of several kinds with weights', async () => {
    const a = await w.ok('POST', '/api/agents', { name: 'In JSON', instructions: 'Answer in JSON.' }, 201);
    const set = await setOf([{ input: 'Capital of Peru?', expected: { capital: 'Lima' } }, { input: 'Capital of Kenya?', expected: { capital: 'Mombasa' } }], {
      pass_score: 0.7,
      graders: [
        { type: 'json_subset', weight: 3, required: true },
        { type: 'json_schema', schema: { type: 'object', required: ['capital', 'sure'] } },
        { type: 'tool_not_called', tool: 'shell' },
        { type: 'max_steps', value: 1 },
        { type: 'json_equals', name: 'nothing else' },
      ],
    });
    const run = await over(await begin(set, { agent_id: a.id }));
    const [peru, kenya] = await rows(run);
    assert.deepEqual([peru.passed, Math.round(peru.score * 1000), peru.grades.map((g) => g.passed)], [true, 857, [true, true, true, true, false]]);
    assert.deepEqual([kenya.passed, kenya.grades.map((g) => g.passed)], [false, [false, true, true, true, false]]);
  });

  test('a model judges by a rubric, in runs of its own', async () => {
    const set = await setOf([...world, { input: 'broken', expected: 'x' }], { pass_score: 0.85, graders: [{ type: 'contains' }, { type: 'model', name: 'Tone', rubric: 'Is it {{polite}}?', required: true }] });
    seen.delete('mended');
    const run = await over(await begin(set));
    assert.deepEqual([run.results.passed, run.results.failed, run.results.open, run.rows.judging, run.rows.total], [2, 2, 1, 0, 5]);
    const all = await rows(run);
    const [france, italy, , kenya, broken] = all;
    assert.deepEqual([france.passed, france.score, france.grades[1].passed, france.grades[1].score, france.grades[1].reason], [true, 0.9, true, 0.8, 'It says Paris.']);
    assert.deepEqual([italy.passed, italy.grades.map((g) => g.passed)], [false, [true, false]]);
    assert.deepEqual([kenya.status, kenya.passed, kenya.grades[1].reason], ['succeeded', null, 'The run of the judge is failed: model_refused.']);
    assert.deepEqual([broken.passed, broken.grades[1].passed], [false, false], 'what has no answer is not judged');
    const one = judged.find((j) => j.text.includes('Capital of France?'));
    assert.match(one.text, /^The key of this message is (\S+)\.\n\nBEGIN ASKED \1\nCapital of France\?\nEND ASKED \1\n\nBEGIN EXPECTED \1\nParis\nEND EXPECTED \1\n\nBEGIN ANSWER \1\nParis\nEND ANSWER \1$/);
    assert.ok(one.instructions.includes('Is it {{polite}}?') && !one.body.tools);
    const execution = await w.ok('GET', `/api/executions/${france.grades[1].execution_id}`);
    assert.deepEqual([execution.agent_name, execution.status], ['Judge: Tone', 'succeeded']);
    assert.ok(!(await w.ok('GET', '/api/agents?limit=200')).items.some((a) => a.name.startsWith('Judge')), 'nobody sees judges among the agents');
    seen.set('judge mended', 1);
    await w.ok('POST', `/api/evaluations/runs/${run.id}/retry`);
    const again = await over(run);
    assert.deepEqual([again.results.passed, again.results.failed, again.results.open], [3, 2, 0]);
    assert.equal((await rows(run))[3].grades[1].reason, 'It says Nairobi.');
    const second = await over(await begin(set, { tags: ['america'] }));
    const [peru] = await rows(second);
    assert.equal((await w.ok('GET', `/api/executions/${peru.grades[1].execution_id}`)).agent_id, execution.agent_id, 'the same rubric has the same judge');
    const many = Array.from({ length: 4 }, () => ({ type: 'model', rubric: 'x' }));
    assert.match((await w.api('PATCH', `/api/evaluations/${set.id}`, { graders: many })).body.detail, /3/);
  });

  test('what fails is not passed, and can be run again; a run can be paused and cancelled', async () => {
    const set = await setOf([{ input: 'broken', expected: '=broken' }, ...world]);
    const run = await over(await begin(set));
    assert.deepEqual([run.rows.failed, run.results.failed, run.results.passed], [1, 1, 4]);
    const [row] = await rows(run, '&passed=false');
    assert.deepEqual([row.error.code, row.grades[0].reason], ['model_refused', 'The run is failed: model_refused.']);
    seen.set('mended', 1);
    await w.ok('POST', `/api/evaluations/runs/${run.id}/retry`);
    const again = await over(run);
    assert.deepEqual([again.results.passed, (await rows(run))[0].attempt], [5, 2]);
    held = Promise.withResolvers();
    const slow = await begin(set, { concurrency: 2 });
    await until(slow, (x) => x.rows.running === 2);
    assert.equal((await w.api('DELETE', `/api/evaluations/${set.id}`)).body.code, 'evaluation_running');
    await w.ok('PATCH', `/api/evaluations/runs/${slow.id}`, { status: 'cancelled' });
    const end = await over(slow);
    assert.deepEqual([end.rows.cancelled, end.results.open], [5, 5]);
    held.resolve();
    held = null;
    await w.ok('DELETE', `/api/evaluations/runs/${slow.id}`, undefined, 204);
    await w.ok('DELETE', `/api/evaluations/${set.id}`, undefined, 204);
    assert.equal((await w.api('GET', `/api/evaluations/runs/${run.id}`)).status, 404);
  });

  test("a set is its user's", async () => {
    const set = await setOf(world);
    const run = await over(await begin(set));
    for (const [method, path, body] of [['GET', `/${set.id}`], ['PATCH', `/${set.id}`, { name: 'x' }], ['DELETE', `/${set.id}`], ['GET', `/${set.id}/cases`], ['GET', `/${set.id}/cases/export`], ['POST', `/${set.id}/cases`, { input: 'x' }], ['POST', `/${set.id}/runs`, { agent_id: agent.id }], ['GET', `/${set.id}/runs`], ['GET', `/runs/${run.id}`], ['GET', `/runs/${run.id}/rows`], ['GET', `/runs/${run.id}/results`], ['GET', `/runs/${run.id}/comparison?with=${run.id}`], ['PATCH', `/runs/${run.id}`, { status: 'paused' }], ['POST', `/runs/${run.id}/retry`], ['DELETE', `/runs/${run.id}`]]) {
      const r = await w.api(method, `/api/evaluations${path}`, body, other);
      assert.equal(r.status, 404, `${method} ${path}: ${r.text}`);
    }
    assert.deepEqual((await w.api('GET', '/api/evaluations', undefined, other)).body.items, []);
    assert.ok((await w.ok('GET', '/api/evaluations')).items.some((s) => s.id === set.id));
  });

  test('killed again and again, each case is run and graded once', async (t) => {
    if (process.env.OGENT_DEPLOYMENT) return t.skip('the service cannot be killed here');
    const set = await setOf(Array.from({ length: 30 }, (_, i) => ({ input: `k${i}`, expected: i % 3 ? `=k${i}` : 'no' })), { pass_score: 0.9, graders: [{ type: 'exact' }, { type: 'model', rubric: 'r' }] });
    const run = await begin(set, { repeats: 2, concurrency: 8 });
    for (let i = 0; i < 4; i++) {
      await until(run, (x) => x.rows.succeeded > i * 12 || x.rows.judging > 0);
      await w.agent.kill('SIGKILL');
      await w.agent.start();
    }
    const end = await over(run);
    assert.deepEqual([end.status, end.results.passed, end.results.failed], ['ended', 40, 20]);
    const all = await rows(run);
    assert.ok(all.every((r) => r.attempt === 1 && r.passed === (r.output === r.expected)));
    assert.equal(new Set(all.map((r) => r.execution_id)).size, 60);
    assert.equal(new Set(all.map((r) => r.grades[1].execution_id)).size, 60);
    assert.ok(all.every((r) => r.grades[1].reason === `It says ${r.output}.`));
  });
});
