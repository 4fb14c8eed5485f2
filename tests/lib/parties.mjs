// The parties of a benchmark: server processes on one CPU, their load on another, what they use told by /proc. As root they run under
// SCHED_RR, so that what else runs on the machine does not get between them. Not SCHED_FIFO: a thread of Node that spins until another of its threads on
// the same CPU has done its part would spin for ever.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

// [CPU for the servers, CPU for the load]
export const cpus = availableParallelism() > 1 ? ['0', '1'] : ['0', '0'];
const first = cpus[0] !== cpus[1] && spawnSync('chrt', ['-r', '50', 'true']).status === 0 ? ['chrt', '-r', '50'] : [];

const children = new Set();
process.on('exit', endAll);

export function start(cpu, command, args, options = {}) {
	const child = spawn('taskset', ['-c', cpu, ...first, command, ...args], { stdio: 'ignore', ...options });
	children.add(child);
	child.on('close', () => children.delete(child));
	return child;
}

export function endAll() {
	for (const c of children) c.kill('SIGKILL');
}

// A program in C of one file beside the benchmarks. Returns where it is.
export function compile(dir, name) {
	const program = join(dir, name);
	execFileSync('cc', ['-O2', '-D_GNU_SOURCE', '-o', program, join(import.meta.dirname, `../bench/${name}.c`)], { stdio: 'inherit' });
	return program;
}

export const line = (child) => new Promise((done) => child.stdout.once('data', (d) => done(String(d).trim())));

export function cpuUs(pid) {
	const tasks = readdirSync(`/proc/${pid}/task`);
	return tasks.reduce((sum, t) => sum + Number(readFileSync(`/proc/${pid}/task/${t}/schedstat`, 'utf8').split(' ')[0]), 0) / 1000;
}

export function rssBytes(pid) {
	return Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) * 1024;
}
