// A strict reader of the Prometheus text format 0.0.4: it fails on what a scraper would refuse or promtool would complain of.
//
//	const m = parseMetrics(text);
//	m.get('ogent_runs_total', { status: 'succeeded' });   // the one sample's value; several are added up; 0 when there is none

import assert from 'node:assert/strict';

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"/;

function parseSample(line) {
	const name = NAME.exec(line)?.[0];
	assert.ok(name, `no name: ${line}`);
	let rest = line.slice(name.length);
	const labels = {};
	if (rest[0] === '{') {
		rest = rest.slice(1);
		while (rest[0] !== '}') {
			const m = LABEL.exec(rest);
			assert.ok(m, `no label: ${line}`);
			assert.ok(!(m[1] in labels), `the label ${m[1]} twice: ${line}`);
			labels[m[1]] = m[2].replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
			rest = rest.slice(m[0].length);
			if (rest[0] === ',') rest = rest.slice(1);
			else assert.equal(rest[0], '}', line);
		}
		rest = rest.slice(1);
	}
	assert.match(rest, /^ (-?[0-9.]+(e[+-]?[0-9]+)?|[+-]Inf|NaN)$/, `no value: ${line}`);
	return { name, labels, value: Number(rest.slice(1).replace('Inf', 'Infinity')) };
}

// The family's name of a sample: of a histogram without its suffix.
function familyOf(types, name) {
	if (types.has(name)) return name;
	const base = name.replace(/_(bucket|sum|count)$/, '');
	assert.equal(types.get(base)?.type, 'histogram', `the sample ${name} has no TYPE`);
	return base;
}

function checkHistogram(name, samples) {
	const series = new Map();
	for (const s of samples) {
		const { le, ...labels } = s.labels;
		const key = JSON.stringify(Object.entries(labels).sort());
		const one = series.get(key) ?? { buckets: [] };
		series.set(key, one);
		if (s.name.endsWith('_bucket')) one.buckets.push([Number(le.replace('Inf', 'Infinity')), s.value]);
		else one[s.name.slice(name.length)] = s.value;
	}
	for (const [key, { buckets, _sum, _count }] of series) {
		assert.ok(buckets.length && buckets.every(([le, n], i) => !i || (le > buckets[i - 1][0] && n >= buckets[i - 1][1])), `${name} ${key}: buckets do not rise`);
		assert.deepEqual(buckets.at(-1), [Infinity, _count], `${name} ${key}: the last bucket is not the count`);
		assert.ok(_sum >= 0, `${name} ${key}: no sum`);
	}
}

export function parseMetrics(text) {
	const types = new Map(), samples = [], seen = new Set();
	let family = null;
	assert.ok(text.endsWith('\n'), 'the last line has no end');
	for (const line of text.slice(0, -1).split('\n')) {
		const head = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
		if (head?.[1] === 'HELP') {
			assert.ok(!types.has(head[2]), `${head[2]} comes twice`);
			types.set(head[2], { help: head[3], type: null, samples: [] });
			family = head[2];
		} else if (head) {
			assert.equal(head[2], family, `TYPE without its HELP: ${line}`);
			assert.match(head[3], /^(counter|gauge|histogram)$/);
			types.get(family).type = head[3];
		} else {
			const s = parseSample(line);
			assert.equal(familyOf(types, s.name), family, `${s.name} stands apart from its family`);
			const key = JSON.stringify([s.name, Object.entries(s.labels).sort()]);
			assert.ok(!seen.has(key), `twice: ${line}`);
			seen.add(key);
			samples.push(s);
			types.get(family).samples.push(s);
		}
	}
	for (const [name, { type, samples: own }] of types) {
		assert.ok(type, `${name} has no TYPE`);
		assert.ok(type !== 'counter' || name.endsWith('_total'), `the counter ${name} does not end in _total`);
		assert.ok(type === 'counter' || !name.endsWith('_total'), `${name} ends in _total and is no counter`);
		assert.ok(type !== 'histogram' || name.endsWith('_seconds'), `${name}: in which unit?`);
		assert.ok(own.length, `${name} has no sample`);
		if (type === 'histogram') checkHistogram(name, own);
	}
	const fits = (s, labels) => Object.entries(labels).every(([k, v]) => s.labels[k] === v);
	return {
		types,
		samples,
		get: (name, labels = {}) => samples.filter((s) => s.name === name && fits(s, labels)).reduce((n, s) => n + s.value, 0),
	};
}
