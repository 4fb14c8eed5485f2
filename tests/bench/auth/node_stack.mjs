// A sign-in service as it is put together for Node: express, jose, argon2id (Node's own) and SQLite. node_stack.mjs SQLITE → prints its port.
import { argon2Sync, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';

import express from 'express';
import * as jose from 'jose';

const EMAIL = 'ada@example.org';
const PASSWORD = 'correct horse battery staple';
const hash = (message, nonce) => argon2Sync('argon2id', { message, nonce, parallelism: 1, tagLength: 32, memory: 19 * 1024, passes: 2 });

const db = new DatabaseSync(process.argv[2]);
db.exec('pragma journal_mode = wal; create table users (id text primary key, email text unique, salt blob, hash blob); create table sessions (id text primary key, user_id text, created_at integer)');
const salt = randomBytes(16);
db.prepare('insert into users values (?, ?, ?, ?)').run(randomUUID(), EMAIL, salt, hash(PASSWORD, salt));
const find = db.prepare('select * from users where email = ?');
const begin = db.prepare('insert into sessions values (?, ?, ?)');
// A session that was ended must be felt at once, so it is looked for at each request.
const load = db.prepare('select users.id, users.email from sessions join users on users.id = sessions.user_id where sessions.id = ?');

const { publicKey, privateKey } = await jose.generateKeyPair('EdDSA');
const app = express();
app.disable('x-powered-by');
app.post('/login', express.json(), async (req, res) => {
  const user = find.get(req.body.email);
  const given = hash(req.body.password, user?.salt ?? salt);
  if (!user || !timingSafeEqual(given, user.hash)) return res.status(401).json({ error: 'invalid' });
  const sid = randomUUID();
  begin.run(sid, user.id, Date.now());
  const token = await new jose.SignJWT({ sid }).setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt' }).setSubject(user.id).setIssuer('peer').setAudience('api').setIssuedAt().setExpirationTime('10m').sign(privateKey);
  res.json({ token });
});
app.get('/me', async (req, res) => {
  try {
    const { payload } = await jose.jwtVerify(req.headers.authorization?.slice(7) ?? '', publicKey, { issuer: 'peer', audience: 'api', typ: 'at+jwt' });
    const user = load.get(payload.sid);
    return user ? res.json(user) : res.status(401).end();
  } catch {
    return res.status(401).end();
  }
});
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
