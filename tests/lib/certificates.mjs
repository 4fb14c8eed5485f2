// A certificate authority of a test's own, and certificates that it signs, made by openssl.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export class Authority {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'ogent-ca-'));
    this.file = join(this.folder, 'ca.pem'); // what a client trusts
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
    openssl('x509', '-req', '-in', request, '-CA', this.file, '-CAkey', this.path('ca.key'), '-CAcreateserial', '-days', String(days),
      '-extfile', this.path('ext'), '-out', cert);
    return { key: readFileSync(key), cert: readFileSync(cert) };
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
