import { createVirtqueue, featureWord, VIRTIO_RING_F_INDIRECT_DESC } from '@node-vmm/virtio-queue';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { type GuestAddress, guestAddress } from '@node-vmm/vm-memory';
import { describe, expect, it } from 'vitest';
import { GRANT, OnDemandMemory } from '../on-demand-memory.ts';
import { pattern } from '../rig.ts';

const RINGS = 0x10n;
const FIRST = 0x200n;
const at = (page: bigint, offset = 0): GuestAddress =>
  guestAddress(GRANT | ((page << 12n) + BigInt(offset)));

describe('a queue over memory that is mapped on demand (grants)', () => {
  const setUp = () => {
    const refs = [RINGS, FIRST, FIRST + 1n, FIRST + 2n];
    const memory = new OnDemandMemory(new Map(refs.map((ref) => [ref, new ArrayBuffer(4096)])));
    const config = {
      ...SplitDriverQueue.layout(16, at(RINGS)),
      features: featureWord(VIRTIO_RING_F_INDIRECT_DESC),
    };
    const driver = new SplitDriverQueue(memory, config);
    const queue = createVirtqueue(memory, config);
    return { memory, driver, queue };
  };

  it('keeps the rings mapped for its life, and buffers for as long as a chain is held', () => {
    const { memory, driver, queue } = setUp();
    expect(memory.mapped).toBe(1);
    memory.write(at(FIRST, 4090), pattern(100));
    driver.add([
      { guestAddr: at(FIRST, 4090), length: 100, writable: false },
      { guestAddr: at(FIRST + 2n), length: 8, writable: true },
    ]);
    driver.publish();
    const chain = queue.popBatch().at(0);
    expect(memory.mapped).toBe(4);
    expect(chain.readableCount).toBe(2);
    const target = new Uint8Array(100);
    expect(chain.read(target, 0)).toBe(100);
    expect(target).toEqual(pattern(100));

    const kept = chain.detach();
    expect(memory.mapped).toBe(4);
    expect(queue.popBatch().length).toBe(0);
    expect(kept.write(pattern(8), 0)).toBe(8);
    queue.complete(kept, 8);
    expect(memory.mapped).toBe(1);
    queue.flush();
    expect(driver.poll()?.written).toBe(8);
    queue[Symbol.dispose]();
    driver[Symbol.dispose]();
    expect(memory.mapped).toBe(0);
  });

  it('maps an indirect table only while it is read', () => {
    const { memory, driver, queue } = setUp();
    const buffer = { guestAddr: at(FIRST + 2n), length: 8, writable: true };
    driver.add([buffer, buffer], at(FIRST, 4084));
    driver.publish();
    const batch = queue.popBatch();
    expect(batch.at(0).writableCount).toBe(2);
    expect(memory.mapped).toBe(2);
    queue.completeRest();
    expect(memory.mapped).toBe(1);
  });

  it('gives back all of a chain of which a part is not granted', () => {
    const { memory, driver, queue } = setUp();
    driver.add([
      { guestAddr: at(FIRST), length: 4096, writable: false },
      { guestAddr: at(FIRST + 1n), length: 8193, writable: true },
    ]);
    driver.publish();
    expect(queue.popBatch().length).toBe(0);
    expect(queue.counters.malformedChains).toBe(1);
    expect(memory.mapped).toBe(1);
  });
});
