// `npm run bench [-- name ...]`: node bench/dist/main.js [name ...]
import { box } from './box.ts';
import { dispatch } from './dispatch.ts';
import { entropy } from './entropy.ts';
import { eventfd } from './eventfd.ts';
import { gpio } from './gpio.ts';
import { packageBench } from './package-bench.ts';

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  eventfd,
  poller: () => packageBench('packages/vmm-sys-util/bench/poller.bench.mjs'),
  dispatch,
  kvm: async () => {
    await packageBench('packages/kvm-sys/bench/exits.bench.mjs');
    await packageBench('packages/kvm-sys/bench/requests.bench.mjs');
  },
  memory: () => packageBench('packages/vm-memory/bench/copy.bench.mjs'),
  tables: () => packageBench('packages/vhost-device-rng/bench/tables.bench.mjs'),
  foreign: async () => {
    await packageBench('packages/vhost-user-backend/bench/foreign-file.bench.mjs');
    await packageBench('packages/vhost-user-backend/bench/foreign-spread.bench.mjs');
    await packageBench('packages/vhost-user-backend/bench/foreign.bench.mjs');
  },
  virtqueue: () => packageBench('packages/virtio-queue/bench/chains.bench.mjs'),
  entropy,
  gpio,
  restart: () => packageBench('packages/vhost-device-gpio/bench/restart.bench.mjs'),
  box,
};

const USAGE = `Usage: npm run bench [-- <name> ...]

Benchmarks: ${Object.keys(BENCHES).join(', ')}; default: all
`;

const names = process.argv.slice(2);
if (names.includes('--help') || names.includes('-h')) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const unknown = names.find((name) => !(name in BENCHES));
if (unknown !== undefined) {
  console.error(`npm run bench: no benchmark "${unknown}"; see npm run bench -- --help`);
  process.exit(2);
}
for (const [name, bench] of Object.entries(BENCHES)) {
  if (names.length > 0 && !names.includes(name)) continue;
  console.log(name);
  await bench();
}
