// Runs benchmarks and their peers side by side: interleaved rounds, the median of each figure.
// Usage: run.mjs [NAME…] [--json] [--rounds N]. A suite is a file beside this one that exports `figures`: it prepares what it
// needs and returns {figures, close()}; a figure is {name, unit, sample(), peer?: {name, sample()}, also?: [further peers], rounds?, bar?}.
// A bar is {most} or {least}, of the value, or with {ratio: true} of the ratio to the peer; the line says whether it is kept.
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean" }, rounds: { type: "string", default: "7" } },
});

const suites = readdirSync(import.meta.dirname)
  .filter((f) => f.endsWith(".mjs") && f !== "run.mjs")
  .map((f) => f.slice(0, -4));
const wanted = positionals.length ? positionals : suites;
for (const name of wanted) {
  if (!suites.includes(name.split(".")[0])) {
    console.error(`bench: there is no benchmark ${name}; there are: ${suites.join(" ")}`);
    process.exit(2);
  }
}

const median = (list) => {
  const s = [...list].sort((a, b) => a - b);
  const m = s.length >> 1;
  return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2;
};
const round = (x) => Number(x.toPrecision(4));

function judge(bar, line) {
  const x = bar.ratio ? line.ratio : line.value;
  const kept = bar.most === undefined ? x >= bar.least : x <= bar.most;
  return { bar: `${bar.ratio ? "ratio " : ""}${bar.most === undefined ? ">=" : "<="} ${bar.most ?? bar.least}`, kept };
}

function report(figure, own, peers, further) {
  const line = { name: figure.name, value: round(median(own)), unit: figure.unit };
  if (figure.peer) {
    line.peer = figure.peer.name;
    line.peer_value = round(median(peers));
    line.ratio = round(median(own.map((v, i) => v / peers[i])));
  }
  if (figure.also) line.also = figure.also.map((p, i) => ({ peer: p.name, value: round(median(further[i])), ratio: round(median(own.map((v, r) => v / further[i][r]))) }));
  const bar = figure.bar && judge(figure.bar, line);
  if (bar) Object.assign(line, bar);
  if (values.json) return console.log(JSON.stringify(line));
  const all = [...(figure.peer ? [{ peer: line.peer, value: line.peer_value, ratio: line.ratio }] : []), ...(line.also ?? [])];
  const peer = all.map((p) => `   ${p.peer} ${p.value}   ratio ${p.ratio}`).join("");
  console.log(`${line.name.padEnd(34)} ${String(line.value).padStart(10)} ${line.unit.padEnd(8)}${peer}${bar ? `   bar ${bar.bar}: ${bar.kept ? "kept" : "NOT kept"}` : ""}`);
}

async function measure(chosen) {
  const results = chosen.map((f) => ({ own: [], peers: [], further: (f.also ?? []).map(() => []) }));
  for (let r = 0; r < Number(values.rounds); r++) {
    for (const [i, f] of chosen.entries()) {
      if (r >= (f.rounds ?? Infinity)) continue;
      results[i].own.push(await f.sample());
      if (f.peer) results[i].peers.push(await f.peer.sample());
      for (const [k, p] of (f.also ?? []).entries()) results[i].further[k].push(await p.sample());
    }
  }
  return results;
}

for (const suite of new Set(wanted.map((n) => n.split(".")[0]))) {
  const { figures, close } = await (await import(`./${suite}.mjs`)).figures();
  const chosen = wanted.includes(suite) ? figures : figures.filter((f) => wanted.includes(f.name));
  try {
    const results = await measure(chosen);
    chosen.forEach((f, i) => report(f, results[i].own, results[i].peers, results[i].further));
  } finally {
    /* What it ends does not keep this process alive of itself. */
    const alive = setInterval(() => {}, 1000);
    await close?.();
    clearInterval(alive);
  }
}
process.exit(0);
