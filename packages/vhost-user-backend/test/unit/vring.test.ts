import { type DescriptorChain, featureWord, VIRTIO_RING_F_EVENT_IDX } from '@node-vmm/virtio-queue';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { type GuestMemory, GuestMemoryMmap, guestAddress, mappingsOf } from '@node-vmm/vm-memory';
import { TardyMemory } from '@node-vmm/vm-memory/testing';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LentMemory } from '../../src/lent-memory.ts';
import { Vring, type VringOwner } from '../../src/vring.ts';

const FEATURES = featureWord(VIRTIO_RING_F_EVENT_IDX);

describe('Vring', () => {
  let memory: GuestMemoryMmap;
  let driver: SplitDriverQueue;
  let kick: EventFd;
  let scheduled: number;
  const layout = SplitDriverQueue.layout(64, guestAddress(0));
  const start = (process: VringOwner['process'], view?: GuestMemory): Vring => {
    const ring = new Vring(0, {
      process,
      watchKick: () => ({ close: () => undefined, update: () => undefined, [Symbol.dispose]() {} }),
      schedule: () => {
        scheduled++;
      },
      notify: (event) => {
        event.signal();
        return true;
      },
      ringBroken: () => undefined,
      chainsForgotten: () => undefined,
    });
    const config = {
      placement: layout,
      size: layout.size,
      features: FEATURES,
      nextAvail: 0,
      enabled: true,
      kickFd: kick.fd,
      callFd: undefined,
      errFd: undefined,
    };
    ring.start(config, view === undefined ? new LentMemory(1, mappingsOf(memory)) : { view });
    return ring;
  };

  beforeEach(() => {
    scheduled = 0;
    kick = EventFd.create();
    memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: 0x1_0000 }]);
    driver = new SplitDriverQueue(memory, { ...layout, features: FEATURES });
  });
  afterEach(() => {
    kick.close();
    memory.close();
  });

  it('a driver that never stops gets a bounded turn, then the others have theirs', () => {
    let served = 0;
    const refill = (): void => {
      while (driver.pollUsed());
      while (driver.addWritable(0x8000, 0, 16) >= 0);
      driver.publish();
    };
    const ring = start((queue, batch) => {
      for (let i = 0; i < batch.length; i++) queue.complete(batch.at(i), 1);
      served += batch.length;
      queue.flush();
      refill();
    });
    refill();
    expect(ring.serve()).toBe(true);
    expect(served).toBe(4 * 64);
    ring.stop();
  });

  it('a ring that starts is looked at without a kick', () => {
    const ring = start(() => undefined);
    expect(scheduled).toBeGreaterThan(0);
    expect(ring.serve()).toBe(false);
    ring.stop();
  });

  it('counts over restarts', () => {
    const ring = start((queue, batch) => queue.complete(batch.at(0), 1));
    driver.addWritable(0x8000, 0, 16);
    driver.publish();
    ring.serve();
    expect(ring.stop()).toBe(1);
    expect(ring.counters()).toMatchObject({ chains: 1, wakeups: 1 });
    expect(ring.stop()).toBeUndefined();
  });

  it('what the device returns after the stop changes nothing', () => {
    let held: DescriptorChain | undefined;
    const ring = start((_, batch) => {
      held = batch.at(0).detach();
    });
    driver.addWritable(0x8000, 0, 16);
    driver.publish();
    ring.serve();
    ring.stop();
    ring.complete(held as DescriptorChain, 1);
    ring.flush();
    expect(driver.poll()).toBeUndefined();
  });

  it.each([
    ['the ring', 0],
    ['a buffer', 0x8000],
  ])('%s that is not mapped yet parks the ring until it is', (_, address) => {
    const late = new TardyMemory(memory);
    let served = 0;
    const ring = start((queue, batch) => {
      served += batch.length;
      for (let i = 0; i < batch.length; i++) queue.complete(batch.at(i), 1);
    }, late);
    driver.addWritable(0x8000, 0, 16);
    driver.publish();
    late.delay(guestAddress(address), 1);
    // However often the driver kicks, nobody is busy with it.
    for (let i = 0; i < 3; i++) expect(ring.serve()).toBe(false);
    expect([served, late.waiting, ring.counters().broken]).toEqual([0, 1, 0]);
    const before = scheduled;
    late.arrive();
    expect(scheduled).toBe(before + 1);
    expect(ring.serve()).toBe(false);
    expect(served).toBe(1);
    expect(driver.poll()?.written).toBe(1);
    ring.stop();
  });
});
