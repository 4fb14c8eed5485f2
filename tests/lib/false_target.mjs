// A target that was taken over: what it says of files is a lie, by the path that is asked for. `node false_target.mjs OGENT_TARGET DIR`
// is its forced command; what is no errand goes to the real program.
import { spawn } from 'node:child_process';

const [real, dir] = process.argv.slice(2);
const u32 = (n) => {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n);
  return b;
};
const zeros = (n) => Buffer.alloc(n);
const text = (t) => Buffer.concat([u32(Buffer.byteLength(t)), Buffer.from(t)]);
const frame = (type, data) => Buffer.concat([u32(data.length), Buffer.from(type), data]);
const FILE = 0o100644, FOLDER = 0o040755;
const stat = (mode, size = 0) => Buffer.concat([u32(mode), zeros(4), u32(size), zeros(8), zeros(8), zeros(4)]);
const done = ({ mode = FOLDER, size = 0, more = 0, count, items = [], data = Buffer.alloc(0) }) =>
  frame('N', Buffer.concat([u32(0), u32(0), stat(mode, size), zeros(16), u32(0), u32(more), u32(count ?? items.length), ...items, u32(0), text(data)]));
const item = (name) => Buffer.concat([text(name), stat(FILE, 1), text('')]);

const OPEN = 3;
const answers = {
  up: () => done({ items: [item('../../etc/passwd')] }),
  bytes: () => done({ items: [item(Buffer.from([0x66, 0xff]))] }),
  count: () => done({ count: 0xffffffff }),
  many: () => done({ items: Array.from({ length: 300 }, (_, i) => item(`f${i}`)) }),
  error: () => frame('N', Buffer.concat([u32(70000), text(''), text('')])),
  words: () => frame('N', Buffer.concat([u32(74), text('"}\n'), text('x'.repeat(5000))])),
  cut: () => done({ items: [item('f')] }).subarray(0, 60),
  twice: () => Buffer.concat([done({}), done({})]),
  output: () => frame('O', Buffer.from('x')),
  giant: () => Buffer.from([0xff, 0xff, 0xff, 0xff, 0x4e]),
  more: (op) => (op === OPEN ? done({ mode: FILE, size: 10 }) : done({ data: 'x'.repeat(2000) })),
  less: (op) => (op === OPEN ? done({ mode: FILE, size: 10 }) : done({ data: 'x' })),
};

let buffer = Buffer.alloc(0), child;
process.stdin.on('data', (d) => {
  if (child) return child.stdin.write(d);
  buffer = Buffer.concat([buffer, d]);
  if (buffer.length >= 5 && String.fromCharCode(buffer[4]) !== 'F') {
    child = spawn(real, ['--dir', dir], { stdio: ['pipe', 'inherit', 'inherit'] });
    child.on('close', () => process.exit());
    return child.stdin.write(buffer);
  }
  if (!buffer.length) return;
  if (!process.said) process.stdout.write(frame('H', Buffer.concat([text('ogent-target'), u32(6)])));
  process.said = true;
  while (buffer.length >= 5 && buffer.length >= 5 + buffer.readUInt32BE(0)) {
    const data = buffer.subarray(5, 5 + buffer.readUInt32BE(0)), op = data.readUInt32BE(0);
    if (buffer[4] === 0x44) {
      const n = data.readUInt32BE(8), path = data.toString('utf8', 12, 12 + n);
      if (path) process.path = path;
      process.stdout.write(answers[process.path]?.(op) ?? done({}));
    }
    buffer = buffer.subarray(5 + data.length);
  }
});
process.stdin.on('end', () => (child ? child.stdin.end() : process.exit()));
