// A real SMTP server of a test's own (aiosmtpd, smtpd.py): `const smtp = await Smtp.start()`, then `smtp.env` for auth and
// `await smtp.mail((m) => m.to === 'ada@example.org')`.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const WAIT_MS = 30000;
const alive = new Set();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

// What a mail says: its head, lower-cased, and its text.
function parse(raw) {
  const at = raw.data.indexOf('\r\n\r\n');
  const head = {};
  for (const line of raw.data.slice(0, at).replace(/\r\n[ \t]+/g, ' ').split('\r\n')) head[line.slice(0, line.indexOf(':')).toLowerCase()] = line.slice(line.indexOf(':') + 2);
  const bytes = raw.data.slice(at + 4).replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  const text = Buffer.from(bytes, 'latin1').toString('utf8').replaceAll('\r\n', '\n');
  return { ...raw, to: raw.to[0], head, text, link: text.match(/https?:\/\/\S+#token=\S+/)?.[0], token: text.match(/#token=(\S+)/)?.[1] };
}

export class Smtp {
  // args: of smtpd.py.
  static async start(args = []) {
    const s = new Smtp();
    s.mails = [];
    s.args = args;
    await s.start();
    return s;
  }

  async start() {
    const args = this.port ? [...this.args, '--port', String(this.port)] : this.args;
    this.child = spawn('/usr/bin/python3', [join(import.meta.dirname, 'smtpd.py'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    alive.add(this.child);
    this.ended = new Promise((done) => this.child.on('close', done));
    this.log = '';
    this.child.stderr.on('data', (d) => (this.log += d));
    const lines = createInterface({ input: this.child.stdout });
    this.port = await new Promise((done, fail) => {
      lines.on('line', (line) => {
        const what = JSON.parse(line);
        if (what.port) done(what.port);
        else this.mails.push(parse(what));
      });
      this.ended.then(() => fail(new Error(`the mail server ended: ${this.log}`)));
    });
    for (const h of [this.child, this.child.stdout, this.child.stderr]) h.unref();
  }

  // The options with which auth uses it. On a shared database a mail that a killed process had under way is taken over after that time.
  get env() {
    return { OGENT_MAIL_URL: `smtp://127.0.0.1:${this.port}`, OGENT_MAIL_FROM: 'Ogent <ogent@example.net>', OGENT_MAIL_RETRY: '200ms', OGENT_MAIL_TIMEOUT: '5s' };
  }

  // The first mail that has not been asked for yet and fits.
  async mail(fits = () => true) {
    for (const end = Date.now() + WAIT_MS; ; await sleep(10)) {
      const at = this.mails.findIndex(fits);
      if (at >= 0) return this.mails.splice(at, 1)[0];
      if (Date.now() > end) throw new Error(`no such mail; there are: ${JSON.stringify(this.mails.map((m) => [m.to, m.head.subject]))}`);
    }
  }

  to(address, subject = /./) {
    return this.mail((m) => m.to === address && subject.test(m.head.subject));
  }

  async stop() {
    alive.delete(this.child);
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
