// A model whose answers a test writes down: `say(text)` and `call(name, arguments, …)` in the order of the requests of one
// conversation, told apart by a word of its first message ("#word"). Without a script it echoes the last message.
import { ModelPeer, chunk } from './model_peer.mjs';

export const say = (text) => ({ text });
export const call = (...calls) => ({ calls });

export class ScriptModel extends ModelPeer {
  constructor(options) {
    super(options);
    this.scripts = new Map();
    this.seen = new Map(); // word → bodies
    this.usage = { prompt_tokens: 11, completion_tokens: 3 };
    this.answer = (req, res, body) => this.play(res, body);
  }

  // A word for the first message of a conversation that is answered so.
  script(...steps) {
    const word = `#s${this.scripts.size}x`;
    this.scripts.set(word, steps);
    this.seen.set(word, []);
    return word;
  }

  play(res, body) {
    const done = `data: ${JSON.stringify({ choices: [], usage: this.usage })}\n\ndata: [DONE]\n\n`;
    const text = JSON.stringify(body.messages);
    const word = [...this.scripts.keys()].find((w) => text.includes(w));
    const steps = this.scripts.get(word);
    this.seen.get(word)?.push(body);
    // As many answers as the conversation has already tell which one is next: a repeated request gets the same.
    const n = body.messages.filter((m) => m.role === 'assistant').length;
    let step = steps?.[Math.min(n, steps.length - 1)] ?? say(`echo: ${body.messages.at(-1).content}`);
    if (typeof step === 'function') step = step(body);
    if (step.calls) {
      const calls = step.calls.map(([name, args], index) => ({
        index, id: `call_${n}_${index}`, type: 'function', function: { name, arguments: JSON.stringify(args) },
      }));
      return res.end(chunk({ role: 'assistant', tool_calls: calls }) + chunk({}, 'tool_calls') + done);
    }
    return res.end(chunk({ role: 'assistant', content: step.text }) + chunk({}, 'stop') + done);
  }
}
