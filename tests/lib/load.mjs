// Requests one after the other on some keep-alive connections at once, until told to stop.
//
//	const load = new Load({ host, port }, '/x', { connections: 20 });
//	…
//	const { done, failed } = await load.stop();   // failed: [{status, error}…], what was no 200

import http from 'node:http';

export class Load {
  done = 0;
  failed = [];
  servers = {}; // answers by their x-server
  stopping = false;

  constructor(where, path, { connections = 20, method = 'GET', body } = {}) {
    this.agent = new http.Agent({ keepAlive: true, maxSockets: connections });
    this.one = () =>
      new Promise((done) => {
        const r = http.request({ ...where, path, method, agent: this.agent, timeout: 20000 }, (res) => {
          res.on('error', (e) => done({ error: e.message }));
          res.resume();
          res.on('end', () => done({ status: res.statusCode, server: res.headers['x-server'] }));
        });
        r.on('timeout', () => r.destroy(new Error('no answer in 20 s')));
        r.on('error', (e) => done({ error: e.message }));
        r.end(body);
      });
    this.workers = Array.from({ length: connections }, () => this.work());
  }

  async work() {
    while (!this.stopping) {
      const r = await this.one();
      this.done++;
      if (r.status !== 200) this.failed.push(r);
      else this.servers[r.server] = (this.servers[r.server] ?? 0) + 1;
    }
  }

  // Resolves when as many more answers have come.
  async more(n) {
    const until = this.done + n;
    while (this.done < until) await new Promise((next) => setTimeout(next, 5));
  }

  async stop() {
    this.stopping = true;
    await Promise.all(this.workers);
    this.agent.destroy();
    return this;
  }
}
