// Verdicts on commands: microseconds each, by batches through the API; measured in exec, without the way there.
import { request, startPlatform } from '../lib/platform.mjs';

const SCRIPTS = [
  'ls -la src', 'git log --oneline -n 20', 'grep -rn "some text" src | head -n 20', 'cat package.json', 'make -j2 2>&1 | tail -n 40',
  'cd web && npm test', 'python3 -m pytest -q tests', 'find . -name "*.c" -type f | wc -l', 'echo "hello world" > out.txt && cat out.txt',
  'for f in a b; do echo $f; done', 'mkdir -p build && cmake -S . -B build', "sed -n '1,80p' README.md", 'timeout 60 ./run.sh --fast', 'df -h; free -m; uptime',
];

export async function figures() {
  const p = await startPlatform({ env: { OGENT_RATE_LIMIT: '0' } });
  const token = (await p.setUp()).access_token;
  const items = Array.from({ length: 252 }, (_, i) => ({ script: SCRIPTS[i % SCRIPTS.length], policy: 'guarded' }));
  const batch = async () => {
    const r = await request(p.where(), 'POST', '/api/policies/check', { token, body: { items } });
    if (r.status !== 200) throw new Error(r.text);
    return r.body.elapsed_us / items.length;
  };
  await batch();
  return { figures: [{ name: 'policy.verdict_us', unit: 'us', sample: batch }], close: () => p.stop() };
}
