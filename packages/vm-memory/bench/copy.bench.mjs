// Bandwidth of guest memory against Buffer.copy over the same bytes.
// Run after a build: node packages/vm-memory/bench/copy.bench.mjs
import {
  ACCESS_READ_WRITE,
  GuestMemoryMmap,
  guestAddress,
  SegmentTable,
} from '@node-vmm/vm-memory';

const LENGTH = 64 << 20;
const ROUNDS = 7;
const BUDGET = 256 << 20;
const MAX_OPERATIONS = 2_000_000;

run(
  GuestMemoryMmap.create([
    { guestAddr: guestAddress(0), length: LENGTH / 2 },
    { guestAddr: guestAddress(LENGTH / 2), length: LENGTH / 2 },
  ]),
);

/** MB/s, best of the rounds. */
function measure(size, operation) {
  const count = Math.min(MAX_OPERATIONS, Math.ceil(BUDGET / size));
  // Addresses stay in the first region, whose pages are touched before time is taken.
  const slots = Math.floor(LENGTH / 2 / size);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < count; i++) operation((i % slots) * size);
    best = Math.min(best, Number(process.hrtime.bigint() - start));
  }
  return ((size * count) / best) * 1e3;
}

function run(memory) {
  const bytes = Buffer.from(memory.regions[0].bytes.buffer);
  const table = new SegmentTable(4);
  bytes.fill(1);
  for (const size of [8, 64, 512, 4096, 65536, 1 << 20]) {
    const own = Buffer.alloc(size);
    const out = measure(size, (at) => bytes.copy(own, 0, at, at + size));
    const into = measure(size, (at) => own.copy(bytes, at));
    const row = (name, base, operation) => {
      const rate = measure(size, operation);
      return `${name} ${rate.toFixed(0)} (${(rate / base).toFixed(2)} x)`;
    };
    console.log(
      `${String(size).padStart(8)} bytes, MB/s: Buffer.copy out ${out.toFixed(0)}, ` +
        `${row('read', out, (at) => memory.read(BigInt(at), own))}, ` +
        `${row('lend and set', out, (at) => {
          table.truncate(0);
          memory.lend(at, 0, size, ACCESS_READ_WRITE, table);
          own.set(table.bytesAt(0));
          memory.giveBack(table, 0, 1);
        })}; Buffer.copy in ${into.toFixed(0)}, ` +
        `${row('write', into, (at) => memory.write(BigInt(at), own))}`,
    );
  }
  memory.close();
}
