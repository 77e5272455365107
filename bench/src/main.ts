// `npm run bench [-- name ...]`: node bench/dist/main.js [name ...]
import { box } from './box.ts';
import { entropy } from './entropy.ts';
import { eventfd } from './eventfd.ts';
import { gpio } from './gpio.ts';
import { packageBench } from './package-bench.ts';

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  eventfd,
  poller: () => packageBench('packages/vmm-sys-util/bench/poller.bench.mjs'),
  memory: () => packageBench('packages/vm-memory/bench/copy.bench.mjs'),
  virtqueue: () => packageBench('packages/virtio-queue/bench/chains.bench.mjs'),
  entropy,
  gpio,
  box,
};

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`Cannot run ${unknown.join(', ')}: there are ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}
for (const [name, bench] of Object.entries(BENCHES)) {
  if (names.length > 0 && !names.includes(name)) continue;
  console.log(name);
  await bench();
}
