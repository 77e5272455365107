// What a guest waits for when the serving process is killed: from SIGKILL to the answer of a request that was
// made while nobody served, with --supervised and --state-dir. Beside it, in the same run, what a process of
// Node takes that does nothing, and one that only loads the daemon and prints its version. Linux gives a
// request a second. Run after a build: node packages/vhost-device-gpio/bench/restart.bench.mjs
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectDevice, DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import {
  VIRTIO_GPIO_DIRECTION_OUT,
  VIRTIO_GPIO_MSG_GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_VALUE,
  VIRTIO_GPIO_REQUEST,
} from '@node-vmm/virtio-bindings/gpio';

const KILLS = 20;
/** Restarts that follow each other at once are held back. */
const BETWEEN_MS = 3000;

const directory = mkdtempSync(join(tmpdir(), 'gpio-'));
const main = new URL('../dist/main.js', import.meta.url);
const args = ['-l', 's8', '--supervised', '--state-dir', directory, '--log-level', 'silent'];
const daemon = await DaemonProgram.start({ main, args });
const bench = await connectDevice({ socketPath: daemon.socketPath() });
const ask = async (type, gpio, value = 0) => {
  const request = VIRTIO_GPIO_REQUEST.encode({ type, gpio, value });
  const [answer] = await bench.queue(0).request([request], [2]);
  return answer;
};
const serving = () =>
  Number(readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8').split(' ')[0]);
const report = (name, times) => {
  times.sort((a, b) => a - b);
  const at = (part) => times[Math.floor(part * (times.length - 1))];
  const median = at(0.5);
  console.log(`${name.padEnd(44)} median ${median.toFixed(0)} ms, most ${at(1).toFixed(0)} ms`);
  return median;
};
const timed = (...words) => {
  const start = performance.now();
  spawnSync(process.execPath, words, { stdio: 'ignore' });
  return performance.now() - start;
};

await ask(VIRTIO_GPIO_MSG_SET_DIRECTION, 3, VIRTIO_GPIO_DIRECTION_OUT);
await ask(VIRTIO_GPIO_MSG_SET_VALUE, 3, 1);
const restarts = [];
const nothing = [];
const version = [];
for (let kill = 0; kill < KILLS; kill++) {
  await delay(BETWEEN_MS);
  const start = performance.now();
  process.kill(serving(), 'SIGKILL');
  const [status, value] = await ask(VIRTIO_GPIO_MSG_GET_VALUE, 3);
  restarts.push(performance.now() - start);
  if (status !== 0 || value !== 1) throw new Error(`line 3 is lost: status ${status}, ${value}`);
  nothing.push(timed('-e', '0'));
  version.push(timed(fileURLToPath(main), '--version'));
}
const served = report('killed to answered', restarts);
const bare = report('a process of Node that does nothing', nothing);
report('the daemon with --version', version);
console.log(`killed to answered: ${(served / bare).toFixed(2)} x a process that does nothing`);

await bench.close();
await daemon.stop();
rmSync(directory, { recursive: true });
