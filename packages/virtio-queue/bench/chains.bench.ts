// Chains per second through one queue, both sides in one thread: `vitest bench --run` here.

import { featureWord, SplitVirtqueue, VIRTIO_RING_F_EVENT_IDX } from '@node-vmm/virtio-queue';
import { MockDriver } from '@node-vmm/virtio-queue/testing';
import { guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';
import { bench, describe } from 'vitest';

const SIZE = 256;
const BATCH = 64;
const memory = GuestMemoryBuffer.create([{ guestAddr: guestAddress(0), length: 1 << 20 }]);
const config = {
  ...MockDriver.layout(SIZE, 0n),
  features: featureWord(VIRTIO_RING_F_EVENT_IDX),
};

describe(`batches of ${BATCH} chains of one descriptor`, () => {
  const driver = new MockDriver(memory, config);
  const queue = SplitVirtqueue.create(memory, config);
  let chains = 0;

  const offer = (): void => {
    for (let i = 0; i < BATCH; i++) driver.addWritable(0x8_0000 + 64 * i, 0, 64);
    driver.publish();
  };
  const serve = (): void => {
    const batch = queue.popBatch();
    for (let i = 0; i < batch.length; i++) queue.complete(batch.at(i), 64);
    queue.flush();
    chains += batch.length;
  };
  const collect = (): void => {
    while (driver.pollUsed());
  };

  bench('driver and device', () => {
    offer();
    serve();
    collect();
  });

  // The device alone: time taken around its part only.
  let spent = 0n;
  bench(
    'device',
    () => {
      offer();
      const before = process.hrtime.bigint();
      serve();
      spent += process.hrtime.bigint() - before;
      collect();
    },
    {
      setup: () => {
        chains = 0;
        spent = 0n;
      },
      teardown: (_task, mode) => {
        if (mode !== 'run') return;
        const rate = (chains / Number(spent)) * 1e3;
        console.log(`device side: ${rate.toFixed(1)} million chains/s`);
      },
    },
  );
});
