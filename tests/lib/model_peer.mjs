// A stand-in for a model's server (chat completions, Ollama's list) that a test scripts: `answer(req, res, body)`.
import http from 'node:http';
import https from 'node:https';

export const chunk = (delta, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
export const DONE = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 11, completion_tokens: 3 } })}\n\ndata: [DONE]\n\n`;

export class ModelPeer {
  // tls: {key, cert}, then it speaks HTTPS.
  constructor({ host = '127.0.0.1', models = ['peer-1', 'peer-2'], tls = null } = {}) {
    Object.assign(this, { host, models, tls, requests: [], closed: 0 });
    this.answer = (req, res) => res.end(chunk({ content: 'Hello ' }) + chunk({ content: 'you.' }) + chunk({}, 'stop') + DONE);
  }

  async open(port = 0) {
    const create = this.tls ? (handler) => https.createServer(this.tls, handler) : http.createServer;
    this.server = create(async (req, res) => {
      const chunks = [];
      for await (const c of req) chunks.push(c);
      const body = chunks.length ? JSON.parse(Buffer.concat(chunks)) : null;
      this.requests.push({ method: req.method, url: req.url, headers: req.headers, body });
      res.on('close', () => (this.closed += res.writableFinished ? 0 : 1));
      if (req.url === '/api/tags') return this.json(res, { models: this.models.map((name) => ({ name })) });
      if (req.url.endsWith('/models')) return this.json(res, { data: this.models.map((id) => ({ id })) });
      if (req.url.endsWith('/embeddings') && this.embeddings) return this.embeddings(req, res, body);
      res.setHeader('content-type', 'text/event-stream');
      return this.answer(req, res, body);
    });
    await new Promise((done) => this.server.listen(port, this.host, done));
    this.port = this.server.address().port;
    return this;
  }

  json(res, value) {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(value));
  }

  get url() {
    return `${this.tls ? 'https' : 'http'}://${this.host}:${this.port}`;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}
