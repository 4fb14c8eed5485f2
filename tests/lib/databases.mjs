// Databases of a server for the tests: `./dev test` starts the servers and names them in OGENT_TEST_POSTGRES and
// OGENT_TEST_MYSQL. With OGENT_TEST_AGENT_DB=postgres every agent role that a test starts works on a database of its own
// there, with OGENT_TEST_AUTH_DB=mysql every auth role.

import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
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

// ---- MySQL and MariaDB ----

// Everything that a password may hold and an address must escape.
const PASSWORD = "p@ss:w/o?r#d%&é";
const mysqlServer = process.env.OGENT_TEST_MYSQL;
const madeMysql = new Set();

process.on('exit', () => {
  for (const name of madeMysql)
    execFileSync('mariadb', mysqlArgs(mysqlServer, `drop database if exists ${name}; drop user if exists ${name}@'%'`), { stdio: 'ignore' });
});

const mysqlArgs = (url, sql) => {
  const { hostname, port, username, pathname } = new URL(url);
  return ['--no-defaults', '-h', hostname, '-P', port, '-u', username, '--skip-ssl', '-N', '-B', '-e', sql, pathname.slice(1)];
};

export const hasMysql = Boolean(mysqlServer);

// What SQL as the superuser in `url` answers, as text; columns are separated by tabs, rows by line ends.
export async function mysql(url, sql) {
  return (await promisify(execFile)('mariadb', mysqlArgs(url, sql), { maxBuffer: 1 << 26 })).stdout.trimEnd();
}

// A new, empty database and a user of its name: their URL.
export async function makeMysql(name, server = mysqlServer) {
  if (server === mysqlServer) madeMysql.add(name);
  await mysql(server, `create database ${name}; create user ${name}@'%' identified by '${PASSWORD}'; grant all on ${name}.* to ${name}@'%'`);
  return `mysql://${name}:${encodeURIComponent(PASSWORD)}@${new URL(server).host}/${name}`;
}

const authUrls = new Map();
const mysqlName = (data) => `auth_${createHash('sha256').update(data).digest('hex').slice(0, 16)}`;

// The database of auth with this data folder, when the tests run on MySQL or MariaDB.
export function authDatabase(data) {
  if (process.env.OGENT_TEST_AUTH_DB !== 'mysql') return undefined;
  if (!authUrls.has(data)) authUrls.set(data, makeMysql(mysqlName(data)));
  return authUrls.get(data);
}

// The rows of auth's database that a query finds, each a list of texts.
export function authRows(data, sql) {
  if (authUrls.has(data)) {
    const out = execFileSync('mariadb', mysqlArgs(`${mysqlServer.replace(/\/*$/, '')}/${mysqlName(data)}`, sql), { encoding: 'utf8' });
    return out.trimEnd().split('\n').filter(Boolean).map((line) => line.split('\t'));
  }
  const db = new DatabaseSync(join(data, 'db', 'ogent_auth.db'), { readOnly: true });
  try {
    return db.prepare(sql).all().map((row) => Object.values(row).map(String));
  } finally {
    db.close();
  }
}

// All that auth has stored, as text to search in.
export async function authText(data) {
  if (!authUrls.has(data)) return readFileSync(join(data, 'db', 'ogent_auth.db'), 'latin1');
  const url = `${mysqlServer.replace(/\/*$/, '')}/${mysqlName(data)}`;
  const tables = (await mysql(url, 'show tables')).split('\n');
  return mysql(url, tables.map((t) => `select * from ${t}`).join(';'));
}

// Changes what auth has stored, while it does not run. Answers of a select are text, columns separated by tabs or "|".
export async function authSql(data, sql) {
  if (authUrls.has(data)) return mysql(`${mysqlServer.replace(/\/*$/, '')}/${mysqlName(data)}`, sql);
  return (await promisify(execFile)('sqlite3', ['-cmd', '.timeout 5000', join(data, 'db', 'ogent_auth.db'), sql])).stdout.trimEnd();
}

// SQL for agent's SQLite database, in which ids are blobs of 16 bytes.
export const withPackedIds = (sql) => sql.replace(/'([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})'/g, (_, id) => `x'${id.replaceAll('-', '')}'`);

// Changes what agent has stored, or reads it, while it runs.
export async function agentSql(data, sql) {
  const url = await agentDatabase(data);
  if (url) return psql(url, sql);
  return (await promisify(execFile)('sqlite3', ['-cmd', '.timeout 5000', join(data, 'db', 'langchain_agent.db'), withPackedIds(sql)])).stdout.trimEnd();
}
