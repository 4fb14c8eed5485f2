// The peer: a LangChain.js agent behind Node's HTTP server, as its users put one up. It keeps nothing.
import http from 'node:http';
import { ChatOpenAI } from '@langchain/openai';
import { createAgent } from 'langchain';

const agent = (streaming) => createAgent({ model: new ChatOpenAI({ model: 'ogent-demo', apiKey: 'none', streaming, configuration: { baseURL: process.env.MODEL_URL } }), tools: [] });
const streamed = agent(true), whole = agent(false);

async function stream(messages, res) {
  res.setHeader('content-type', 'text/event-stream');
  for await (const [chunk] of await streamed.stream({ messages }, { streamMode: 'messages' })) res.write(`data: ${JSON.stringify({ content: chunk.content })}\n\n`);
  res.end();
}

async function invoke(messages, res) {
  const { messages: all } = await whole.invoke({ messages });
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ content: all.at(-1).content }));
}

const server = http.createServer(async (req, res) => {
  const chunks = [];
  for await (const c of req) chunks.push(c);
  if (req.method === 'GET') return res.end('ok');
  const messages = [{ role: 'user', content: JSON.parse(Buffer.concat(chunks)).content }];
  return req.url === '/stream' ? stream(messages, res) : invoke(messages, res);
});
server.listen(Number(process.env.PORT), '127.0.0.1');
