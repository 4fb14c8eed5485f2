// Ports for servers that are told theirs. They lie below those that the kernel gives to outgoing connections, which would else take one
// between the look and the use; and each file of a run has a span of its own (OGENT_TEST_PORTS), since the gateway shares its port with
// whoever else asks for that and two files would serve each other.
import dgram from 'node:dgram';
import net from 'node:net';

const [first, last] = (process.env.OGENT_TEST_PORTS ?? '10000-31999').split('-').map(Number);
let next = first + Math.floor(Math.random() * (last - first));

const isFreeForTcp = (port) => new Promise((done) => {
  const server = net.createServer();
  server.once('error', () => done(false)).listen(port, () => server.close(() => done(true)));
});

const isFreeForUdp = (port) => new Promise((done) => {
  const socket = dgram.createSocket('udp4');
  socket.once('error', () => socket.close(() => done(false))).bind(port, () => socket.close(() => done(true)));
});

// A port that nobody listens on, by TCP or UDP; no other call of this process gets it.
export async function freePort() {
  for (let tries = 0; tries <= last - first; tries++) {
    const port = next;
    next = next === last ? first : next + 1;
    if ((await isFreeForTcp(port)) && (await isFreeForUdp(port))) return port;
  }
  throw new Error(`no port between ${first} and ${last} is free`);
}
