// Databases of a server for the tests: `./dev test` starts the servers and names them in OGENT_TEST_POSTGRES. With
// OGENT_TEST_AGENT_DB=postgres every agent role that a test starts works on a database of its own there.

import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';

const server = process.env.OGENT_TEST_POSTGRES;
const made = new Set();

process.on('exit', () => {
  for (const name of made) execFileSync('psql', psqlArgs(server, `drop database if exists ${name} with (force)`), { stdio: 'ignore' });
});

const psqlArgs = (url, sql) => ['-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-d', url, '-c', sql];

export const hasPostgres = Boolean(server);

// What a query answers, as text; columns are separated by "|", rows by line ends.
export async function psql(url, sql) {
  return (await promisify(execFile)('psql', psqlArgs(url, sql))).stdout.trimEnd();
}

// A new, empty database: its URL.
export async function makePostgres(name) {
  await psql(server, `create database ${name}`);
  made.add(name);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

const urls = new Map();

// The database of the agent with this data folder, when the tests run on PostgreSQL.
export function agentDatabase(data) {
  if (process.env.OGENT_TEST_AGENT_DB !== 'postgres') return undefined;
  if (!urls.has(data)) urls.set(data, makePostgres(`agent_${createHash('sha256').update(data).digest('hex').slice(0, 16)}`));
  return urls.get(data);
}
