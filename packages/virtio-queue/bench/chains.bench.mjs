// Chains per second through one split virtqueue, driver and device in one thread.
// Run after a build: node packages/virtio-queue/bench/chains.bench.mjs

import {
  createVirtqueue,
  featureWord,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '@node-vmm/virtio-queue';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';

const SIZE = 256;
const BATCH = 64;
const ROUNDS = 7;
const ROUND_NS = 200_000_000;
const BUFFERS = 0x8_0000;
const TABLES = 0xc_0000;

const memory = GuestMemoryBuffer.create([{ guestAddr: guestAddress(0), length: 1 << 20 }]);
const config = {
  ...SplitDriverQueue.layout(SIZE, 0n),
  features: featureWord(VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC),
};
const now = () => Number(process.hrtime.bigint());

/** Buffers of an I2C-like request: header, data, status. */
const request = (i) => [
  { guestAddr: guestAddress(BUFFERS + 64 * i), length: 8, writable: false },
  { guestAddr: guestAddress(BUFFERS + 64 * i + 8), length: 16, writable: false },
  { guestAddr: guestAddress(BUFFERS + 64 * i + 24), length: 1, writable: true },
];

const shapes = {
  '1 descriptor': (driver, i) => driver.addWritable(BUFFERS + 64 * i, 0, 64),
  '3 descriptors': (driver, i) => driver.add(request(i)),
  '3 in an indirect table': (driver, i) => driver.add(request(i), guestAddress(TABLES + 64 * i)),
};

/** Nanoseconds per chain of the device's part and of both parts, best of the rounds. */
function measure(offer) {
  const driver = new SplitDriverQueue(memory, config);
  const queue = createVirtqueue(memory, config);
  let device = Number.POSITIVE_INFINITY;
  let both = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    let chains = 0;
    let served = 0;
    const start = now();
    let end = start;
    while (end - start < ROUND_NS) {
      for (let i = 0; i < BATCH; i++) offer(driver, i);
      driver.publish();
      const before = now();
      const batch = queue.popBatch();
      for (let i = 0; i < batch.length; i++) queue.complete(batch.at(i), 64);
      queue.flush();
      served += now() - before;
      chains += batch.length;
      while (driver.pollUsed());
      end = now();
    }
    device = Math.min(device, served / chains);
    both = Math.min(both, (end - start) / chains);
  }
  queue[Symbol.dispose]();
  driver[Symbol.dispose]();
  return { device, both };
}

let base;
for (const [name, offer] of Object.entries(shapes)) {
  const { device, both } = measure(offer);
  base ??= device;
  const million = (ns) => (1e3 / ns).toFixed(1).padStart(5);
  console.log(
    `${name.padEnd(24)} device ${million(device)} M chains/s (${(base / device).toFixed(2)} x)` +
      `, with driver ${million(both)} M chains/s`,
  );
}
