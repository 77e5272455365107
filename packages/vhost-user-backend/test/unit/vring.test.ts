import { type DescriptorChain, featureWord, VIRTIO_RING_F_EVENT_IDX } from '@node-vmm/virtio-queue';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress, mappingsOf } from '@node-vmm/vm-memory';
import { TardyMemory } from '@node-vmm/vm-memory/testing';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RingCounters } from '../../src/status.ts';
import { LentMemory } from '../../src/worker/lent-memory.ts';
import { type RingMemory, Vring, type VringOwner } from '../../src/worker/vring.ts';
import { WorkerViews } from '../../src/worker/worker-views.ts';

const FEATURES = featureWord(VIRTIO_RING_F_EVENT_IDX);

describe('Vring', () => {
  let memory: GuestMemoryMmap;
  let driver: SplitDriverQueue;
  let kick: EventFd;
  let scheduled: number;
  /** As the driver's, or a front-end's that makes sure. */
  let onKick: () => void;
  const layout = SplitDriverQueue.layout(64, guestAddress(0));
  let lent: LentMemory;
  let views: WorkerViews;
  let counters: RingCounters;
  let released: number[];
  const start = (
    process: VringOwner['process'],
    position = 0,
    ringMemory: RingMemory = lent,
    features = FEATURES,
  ): Vring => {
    const owner: VringOwner = {
      process,
      watchKick: (_, callback) => {
        onKick = callback;
        return { close: () => undefined, update: () => undefined, [Symbol.dispose]() {} };
      },
      schedule: () => {
        scheduled++;
      },
      notify: (event) => {
        event.signal();
        return true;
      },
      ringBroken: () => undefined,
      lengthWrong: () => undefined,
      chainsForgotten: () => undefined,
      memoryFaulted: () => undefined,
    };
    const config = {
      placement: layout,
      size: layout.size,
      features,
      position,
      inflight: undefined,
      enabled: true,
      kickFd: kick.fd,
      callFd: undefined,
      errFd: undefined,
    };
    return new Vring(0, config, ringMemory, counters, owner);
  };

  const mappings = (number: number) =>
    mappingsOf(memory).map((mapping) => ({ ...mapping, memory: number }));

  const lend = (generation: number) =>
    new LentMemory(generation, { mappings: mappings(1), onDemand: [] }, views, {
      released: (which) => released.push(which),
      wanted: () => undefined,
      idle: () => undefined,
    });

  beforeEach(() => {
    scheduled = 0;
    kick = EventFd.create();
    memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: 0x1_0000 }]);
    driver = new SplitDriverQueue(memory, { ...layout, features: FEATURES });
    released = [];
    views = new WorkerViews();
    lent = lend(1);
    counters = {
      chains: 0,
      malformedChains: 0,
      wrongLengths: 0,
      notifications: 0,
      suppressedNotifications: 0,
      wakeups: 0,
      broken: 0,
    };
  });
  afterEach(() => {
    kick.close();
    memory.close();
  });

  it.each([
    ['that finds nothing', 'nothing', false],
    ['that finds a request', 'request', true],
    ['that finds a request which is answered later', 'later', false],
    ['that finds a chain that is none', 'malformed', true],
  ] as const)('a kick %s interrupts as it should', (_, what, interrupts) => {
    using call = EventFd.create();
    const ring = start((queue, batch) => {
      for (let i = 0; i < batch.length; i++) {
        if (what === 'later') batch.at(i).detach();
        else queue.complete(batch.at(i), 1);
      }
    });
    ring.setFd('call', call.fd);
    // Nobody has heard what may have come before.
    expect(call.drain()).toBe(true);
    if (what !== 'nothing') driver.addWritable(0x8000, 0, 16);
    // Outside of all memory.
    if (what === 'malformed') memory.write(layout.descTable, new Uint8Array(8).fill(0x7f));
    driver.publish();
    onKick();
    ring.serve();
    expect(call.drain()).toBe(interrupts);
    expect(ring.counters().wakeups).toBe(1);
    expect(ring.counters().malformedChains).toBe(what === 'malformed' ? 1 : 0);
    ring.stop();
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

  it('keeps a driver quiet while it is served, and has it kick afterwards', () => {
    // Without event indices, where the ring itself says so.
    driver = new SplitDriverQueue(memory, { ...layout, features: 0n });
    const add = (): void => {
      driver.addWritable(0x8000, 0, 16);
      driver.publish();
    };
    const quiet: number[] = [];
    const ring = start(
      (queue, batch) => {
        quiet.push(memory.readU16(layout.usedRing));
        queue.complete(batch.at(0), 1);
        // The next is there before anybody looks for it.
        if (quiet.length < 3) add();
      },
      0,
      lent,
      0n,
    );
    add();
    expect(ring.serve()).toBe(false);
    expect(quiet).toEqual([1, 1, 1]);
    expect(memory.readU16(layout.usedRing)).toBe(0);
    ring.stop();
  });

  it('tells one that goes on from one that its driver begins with', () => {
    const rings = [0, 7].map((position) => start(() => undefined, position));
    expect(rings.map(({ resumed }) => resumed)).toEqual([false, true]);
    for (const ring of rings) ring.stop();
  });

  it('a ring that starts is looked at without a kick', () => {
    const ring = start(() => undefined);
    expect(scheduled).toBeGreaterThan(0);
    expect(ring.serve()).toBe(false);
    ring.stop();
  });

  it('counts over restarts', () => {
    const serve: VringOwner['process'] = (queue, batch) => queue.complete(batch.at(0), 1);
    const first = start(serve);
    driver.addWritable(0x8000, 0, 16);
    driver.publish();
    first.serve();
    expect(first.counters()).toMatchObject({ chains: 1, wakeups: 1 });
    const position = first.stop();
    expect(position).toBe(1);
    const second = start(serve, position);
    driver.addWritable(0x8000, 0, 16);
    driver.publish();
    second.serve();
    expect(second.counters()).toMatchObject({ chains: 2, wakeups: 2 });
    expect(second.stop()).toBe(2);
    expect(counters).toMatchObject({ chains: 2, wakeups: 2 });
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

  it('while it stops it takes nothing more, and what the device holds may be returned', () => {
    const held: DescriptorChain[] = [];
    const ring = start((_, batch) => {
      for (let i = 0; i < batch.length; i++) held.push(batch.at(i).detach());
    });
    driver.addWritable(0x8000, 0, 16);
    driver.publish();
    ring.serve();
    ring.stopping();
    driver.addWritable(0x8000, 0, 16);
    driver.publish();
    expect(ring.serve()).toBe(false);
    expect(held).toHaveLength(1);
    ring.complete(held[0] as DescriptorChain, 3);
    ring.flush();
    expect(driver.poll()?.written).toBe(3);
    expect(ring.stop()).toBe(1);
  });

  it('memory is given back when neither the ring nor a chain is in it', () => {
    const held: DescriptorChain[] = [];
    const ring = start((_, batch) => {
      for (let i = 0; i < batch.length; i++) held.push(batch.at(i).detach());
    });
    driver.addWritable(0x8000, 0, 16);
    driver.addWritable(0x8000, 0, 16);
    driver.publish();
    ring.serve();
    const next = lend(2);
    ring.move(layout, next);
    // The instance's own use of both ends.
    lent.release();
    next.release();
    ring.complete(held[0] as DescriptorChain, 1);
    expect(released).toEqual([]);
    ring.complete(held[1] as DescriptorChain, 1);
    expect(released).toEqual([1]);
    ring.stop();
    expect(released).toEqual([1]);
    ring.letGo();
    expect(released).toEqual([1, 2]);
  });

  it.each([
    ['the ring', 0],
    ['a buffer', 0x8000],
  ])('%s that is not mapped yet parks the ring until it is', (_, address) => {
    const late = new TardyMemory(memory);
    let served = 0;
    const process: VringOwner['process'] = (queue, batch) => {
      served += batch.length;
      for (let i = 0; i < batch.length; i++) queue.complete(batch.at(i), 1);
    };
    const users = { retain: () => undefined, release: () => undefined };
    const ring = start(process, 0, { view: late, ...users });
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
