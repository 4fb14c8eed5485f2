// A virtual machine with Debian and systemd, made by image.sh. It has no network. Orders go through a serial port:
//
//	const vm = await boot(folder);            // has reached multi-user.target
//	await vm.run('systemctl is-active ogent') // its output, trimmed; rejects when the status is not 0
//	await vm.stop();
//
// QEMU interprets the machine, so that it runs everywhere, and slowly; OGENT_TEST_ACCELERATOR=kvm is faster.

import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

// KVM makes it ten times faster, where it works: not inside every other virtual machine, so that it is asked for.
const accelerator = process.env.OGENT_TEST_ACCELERATOR ?? 'tcg';
const patience = accelerator === 'tcg' ? 10 : 1;

class Machine {
  constructor(folder) {
    this.folder = folder;
    this.lines = [];
    this.rest = '';
  }

  async start() {
    const serial = join(this.folder, 'orders.sock');
    const console_ = join(this.folder, 'console.log');
    this.process = spawn(
      'qemu-system-x86_64',
      [
        ...['-accel', accelerator === 'tcg' ? 'tcg,thread=multi' : accelerator, '-cpu', accelerator === 'tcg' ? 'Nehalem' : 'host'],
        ...['-smp', '2', '-m', '1024', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
        ...['-kernel', join(this.folder, 'vmlinuz'), '-initrd', join(this.folder, 'initrd.img')],
        ...['-append', 'root=/dev/vda rw console=ttyS0 quiet mitigations=off'],
        ...['-drive', `file=${join(this.folder, 'run.img')},if=virtio,format=raw,cache=unsafe`],
        ...['-serial', `file:${console_}`],
        ...['-chardev', `socket,id=orders,path=${serial},server=on,wait=on`, '-serial', 'chardev:orders'],
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    this.ended = new Promise((done) => this.process.once('exit', done));
    await this.connect(serial);
    await this.line(120000 * patience, () => readFileSync(console_, 'utf8').slice(-4000));
  }

  async connect(path) {
    for (;;) {
      this.socket = net.connect(path);
      const isConnected = await new Promise((done) => {
        this.socket.once('connect', () => done(true));
        this.socket.once('error', () => done(false));
      });
      if (isConnected) break;
      assert.equal(this.process.exitCode, null, 'QEMU does not start');
      await sleep(50);
    }
    this.socket.setEncoding('utf8');
    this.socket.on('error', () => {});
    this.socket.on('data', (text) => {
      const lines = (this.rest + text).split('\n');
      this.rest = lines.pop();
      this.lines.push(...lines);
      this.wake?.();
    });
  }

  // The next line from the machine.
  async line(ms, explain = () => '') {
    const until = Date.now() + ms;
    while (!this.lines.length) {
      const left = until - Date.now();
      if (left <= 0) assert.fail(`the machine does not answer\n${explain()}`);
      await Promise.race([new Promise((done) => (this.wake = done)), sleep(Math.min(left, 500))]);
    }
    return this.lines.shift().trim();
  }

  // Returns {status, output} of a script for bash.
  async order(script, ms = 60000) {
    this.socket.write(`${Buffer.from(script).toString('base64')}\n`);
    const [status, output = ''] = (await this.line(ms * patience)).split(' ');
    return { status: Number(status), output: Buffer.from(output, 'base64').toString('utf8').trim() };
  }

  async run(script, ms) {
    const { status, output } = await this.order(script, ms);
    assert.equal(status, 0, `${script}\nended with ${status}:\n${output}`);
    return output;
  }

  // Until the script succeeds.
  async until(script, ms = 60000) {
    for (const end = Date.now() + ms * patience; ; await sleep(200)) {
      const { status, output } = await this.order(script);
      if (status === 0) return output;
      assert.ok(Date.now() < end, `still not so: ${script}\n${output}`);
    }
  }

  // Like the power button; the disk keeps what it has.
  async restart() {
    this.socket.write(`${Buffer.from('systemctl poweroff').toString('base64')}\n`);
    await this.ended;
    this.lines = [];
    this.rest = '';
    await this.start();
  }

  async stop() {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}

export async function boot(folder) {
  execFileSync('cp', ['--sparse=always', join(folder, 'disk.img'), join(folder, 'run.img')]);
  const vm = new Machine(folder);
  await vm.start();
  return vm;
}
