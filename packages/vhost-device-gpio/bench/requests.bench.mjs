// Requests per second of the daemon in a process of its own, and the time from an edge on a simulated line
// to the guest's interrupt. Run after a build: node packages/vhost-device-gpio/bench/requests.bench.mjs
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { connectDevice, DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import {
  VIRTIO_GPIO_DIRECTION_OUT,
  VIRTIO_GPIO_IRQ_REQUEST,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH,
  VIRTIO_GPIO_MSG_GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_IRQ_TYPE,
  VIRTIO_GPIO_MSG_SET_VALUE,
  VIRTIO_GPIO_REQUEST,
} from '@node-vmm/virtio-bindings/gpio';

const DEPTHS = [1, 32];
const ROUND_MS = 500;
const EDGES = 500;

const directory = mkdtempSync(join(tmpdir(), 'gpio-'));
const control = join(directory, 'control');
const main = new URL('../dist/main.js', import.meta.url);
const args = ['--device-list', 's8', '--control-socket', control, '--log-level', 'silent'];
const daemon = await DaemonProgram.start({ main, args });
const bench = await connectDevice({ socketPath: daemon.socketPath() });
const requestq = bench.queue(0);
const ask = (type, gpio, value = 0) =>
  requestq.request([VIRTIO_GPIO_REQUEST.encode({ type, gpio, value })], [2]);

await ask(VIRTIO_GPIO_MSG_SET_DIRECTION, 0, VIRTIO_GPIO_DIRECTION_OUT);
for (const [name, type] of [
  ['GET_VALUE', VIRTIO_GPIO_MSG_GET_VALUE],
  ['SET_VALUE', VIRTIO_GPIO_MSG_SET_VALUE],
]) {
  const request = VIRTIO_GPIO_REQUEST.encode({ type, gpio: 0, value: 0 });
  for (const depth of DEPTHS) {
    let requests = 0;
    const start = performance.now();
    let now = start;
    while (now - start < ROUND_MS) {
      const answers = Array.from({ length: depth }, () => requestq.add([request], [2]));
      requestq.publish();
      await Promise.all(answers);
      requests += depth;
      now = performance.now();
    }
    const perSecond = Math.round((requests * 1000) / (now - start));
    console.log(`${name}, depth ${depth}  ${String(perSecond).padStart(8)} requests/s`);
  }
}

await ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 1, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
const client = await ControlClient.connect(control);
const times = [];
for (let i = 0; i < EDGES; i++) {
  const event = bench.queue(1).request([VIRTIO_GPIO_IRQ_REQUEST.encode({ gpio: 1 })], [1]);
  const start = performance.now();
  const answer = client.command(['line', '1', i % 2 === 0 ? '1' : '0']);
  await event;
  times.push((performance.now() - start) * 1000);
  await answer;
}
times.sort((a, b) => a - b);
const at = (part) => Math.round(times[Math.floor(part * (times.length - 1))]);
console.log(
  `edge to interrupt  median ${at(0.5)} us, 99 % ${at(0.99)} us (through the control socket)`,
);

client.close();
await bench.close();
await daemon.stop();
rmSync(directory, { recursive: true });
