// Requests per second of the daemon in a process of its own, by the size of a request.
// Run after a build: node packages/vhost-device-rng/bench/requests.bench.mjs
import { connectDevice, DaemonProgram } from '@node-vmm/vhost-user-backend/testing';

const BATCH = 64;
const ROUND_MS = 500;

const main = new URL('../dist/main.js', import.meta.url);
const daemon = await DaemonProgram.start({ main, args: ['--log-level', 'silent'] });
const bench = await connectDevice({ socketPath: daemon.socketPath() });
const queue = bench.queue(0);

for (const size of [64, 4096]) {
  let requests = 0;
  const start = performance.now();
  let now = start;
  while (now - start < ROUND_MS) {
    const answers = Array.from({ length: BATCH }, () => queue.add([], [size]));
    queue.publish();
    await Promise.all(answers);
    requests += BATCH;
    now = performance.now();
  }
  const perSecond = Math.round((requests * 1000) / (now - start));
  console.log(`${String(size).padStart(5)} bytes  ${String(perSecond).padStart(8)} requests/s`);
}

await bench.close();
await daemon.stop();
