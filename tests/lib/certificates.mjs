// A certificate authority of a test's own, and certificates that it signs, made by openssl.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
// Of what `openssl ca` wants to know, only the dates could not be given to `openssl x509` of every version.
const CONFIG = `[ca]
default_ca = test
[test]
database = index
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
`;
const date = (days) => new Date(Date.now() + days * 86400000).toISOString().replace(/[-:T]|\.\d+/g, '');
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export class Authority {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'ogent-ca-'));
    this.file = join(this.folder, 'ca.pem'); // what a client trusts
    writeFileSync(this.path('config'), CONFIG);
    writeFileSync(this.path('index'), '');
    openssl('req', '-x509', ...newKey, '-keyout', this.path('ca.key'), '-out', this.file, '-days', '2', '-subj', '/CN=Test authority');
  }

  path(name) {
    return join(this.folder, name);
  }

  // names: as in a certificate's subjectAltName, 'DNS:localhost,IP:127.0.0.1'. days below 0: expired.
  issue(names, { days = 2 } = {}) {
    const [key, request, cert] = ['leaf.key', 'leaf.csr', 'leaf.pem'].map((n) => this.path(n));
    writeFileSync(this.path('ext'), `subjectAltName=${names}\nextendedKeyUsage=serverAuth\n`);
    openssl('req', '-new', ...newKey, '-keyout', key, '-out', request, '-subj', '/CN=test');
    const signing = ['-config', 'config', '-cert', this.file, '-keyfile', this.path('ca.key'), '-in', request, '-out', cert, '-notext'];
    execFileSync('openssl', ['ca', '-batch', ...signing, '-extfile', 'ext', '-startdate', date(-10), '-enddate', date(days)], {
      cwd: this.folder,
      stdio: 'ignore',
    });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
