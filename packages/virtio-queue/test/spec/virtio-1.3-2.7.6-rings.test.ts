import { freshPosition, VIRTQ_DESC_F_WRITE } from '@node-vmm/virtio-queue';
import { guestAddress } from '@node-vmm/vm-memory';
import { describe, expect, it } from 'vitest';
import { chainsOf, DATA, END, Rig, readable, writable } from '../rig.ts';

describe('§2.7 Split Virtqueues: the driver chooses the place', () => {
  const { config, memory } = new Rig();
  it.each([
    ['BAD_SIZE', 'a size of 0', { size: 0 }],
    ['BAD_SIZE', 'a size that is no power of two', { size: 6 }],
    ['BAD_SIZE', 'a size over 32768', { size: 65536 }],
    ['MISALIGNED', 'a table at 8', { descTable: guestAddress(8) }],
    ['MISALIGNED', 'an available ring at an odd address', { availRing: guestAddress(0x101) }],
    ['MISALIGNED', 'a used ring at 2', { usedRing: guestAddress(0x102) }],
    ['RING_NOT_IN_MEMORY', 'a table outside', { descTable: guestAddress(END) }],
    ['RING_NOT_IN_MEMORY', 'an available ring half outside', { availRing: guestAddress(END - 20) }],
    ['RING_NOT_IN_MEMORY', 'a used ring half outside', { usedRing: guestAddress(END - 68) }],
    ['RING_NOT_IN_MEMORY', 'a used ring far outside', { usedRing: guestAddress(2n ** 64n - 4n) }],
    ['RING_NOT_IN_MEMORY', 'a ring across regions', { usedRing: guestAddress(0x2_0000 - 4) }],
  ])('refuses with %s %s, and gives back what it borrowed', (code, _name, values) => {
    const out = memory.slicesOut;
    const rig = new Rig();
    expect(() =>
      Object.assign(rig, { config: { ...config, ...values } }).successor(freshPosition(0n)),
    ).toThrow(expect.objectContaining({ name: 'VirtioQueueError', code }));
    expect(memory.slicesOut).toBe(out);
    expect(rig.memory.slicesOut).toBe(6);
  });

  it('gives back the rings when disposed of', () => {
    const rig = new Rig();
    rig.queue[Symbol.dispose]();
    rig.queue[Symbol.dispose]();
    rig.driver[Symbol.dispose]();
    expect(rig.memory.slicesOut).toBe(0);
  });
});

describe('§2.7.6 The Virtqueue Available Ring', () => {
  it('takes chains in ring order, not more than asked for', () => {
    const rig = new Rig();
    const heads = Array.from({ length: 8 }, (_, i) => rig.driver.add([writable(i, 1)]));
    expect(rig.queue.popBatch().length).toBe(0);
    rig.driver.publish();
    expect(rig.queue.popBatch(0).length).toBe(0);
    const taken: number[] = [];
    for (const max of [1, 3, 100]) {
      const batch = rig.queue.popBatch(max);
      for (const chain of chainsOf(batch)) {
        taken.push(chain.head);
        rig.queue.complete(chain, 1);
      }
      if (max < 100) expect(batch.length).toBe(max);
    }
    expect(taken).toEqual(heads);
    expect(() => rig.queue.popBatch().at(0)).toThrow(RangeError);
  });

  it.each([0, 65_535])('idx always increments, and wraps at 65536: start at %i', (start) => {
    const rig = new Rig({ start });
    for (let i = 0; i < 20; i++) {
      const head = rig.driver.add([writable(i, 4)]);
      rig.driver.publish();
      const batch = rig.queue.popBatch();
      expect(batch.length).toBe(1);
      rig.queue.complete(batch.at(0), i & 3);
      expect(rig.queue.flush()).toBe(true);
      expect(rig.driver.poll()).toEqual({ head, written: i & 3 });
    }
    expect(rig.driver.raw.usedIndex).toBe((start + 20) & 0xffff);
    expect(rig.driver.raw.availIndex).toBe((start + 20) & 0xffff);
  });

  it('takes a full batch across the wrap', () => {
    const rig = new Rig({ start: 65_531 });
    for (let i = 0; i < 8; i++) rig.driver.add([writable(i, 1)]);
    rig.driver.publish();
    const batch = rig.queue.popBatch();
    expect(batch.length).toBe(8);
    for (const chain of chainsOf(batch)) rig.queue.complete(chain, 1);
    rig.queue.flush();
    expect(rig.driver.raw.usedIndex).toBe(3);
    for (let i = 0; i < 8; i++) expect(rig.driver.poll()?.written).toBe(1);
  });

  it.each([
    ['ahead by more than the queue is long', 9],
    ['backwards', 0xffff],
    ['by half of its range', 0x8000],
  ])('breaks when idx jumps %s', (_name, index) => {
    const rig = new Rig();
    rig.driver.raw.availIndex = index;
    expect(rig.queue.popBatch().length).toBe(0);
    expect(rig.queue.broken).toMatchObject({ code: 'BAD_AVAIL_INDEX', context: { index } });
    expect(rig.queue.enableNotification()).toBe(false);
    rig.driver.raw.availIndex = 0;
    expect(rig.queue.popBatch().length).toBe(0);
    expect(rig.queue.flush()).toBe(false);
  });

  it('breaks when a driver offers more than the queue holds, counted from what was used', () => {
    const rig = new Rig();
    const { raw } = rig.driver;
    for (let i = 0; i < 8; i++) {
      raw.setDescriptor(i, { addr: BigInt(DATA), len: 1, flags: VIRTQ_DESC_F_WRITE });
    }
    raw.offer(0, 1, 2, 3, 4, 5, 6, 7);
    for (const chain of chainsOf(rig.queue.popBatch())) chain.detach();
    expect(rig.queue.inflight).toBe(8);
    raw.offer(0);
    expect(rig.queue.popBatch().length).toBe(0);
    expect(rig.queue.broken).toMatchObject({ code: 'BAD_AVAIL_INDEX' });
  });

  it('breaks when an entry names no descriptor, and hands out the chains in front', () => {
    const rig = new Rig();
    const { raw } = rig.driver;
    raw.setDescriptor(0, { addr: BigInt(DATA), len: 1, flags: VIRTQ_DESC_F_WRITE });
    raw.offer(0, 8, 0);
    const batch = rig.queue.popBatch();
    expect(batch.length).toBe(1);
    expect(rig.queue.broken).toMatchObject({ code: 'BAD_HEAD', context: { index: 8 } });
    rig.queue.complete(batch.at(0), 1);
    rig.queue.flush();
    expect(raw.usedIndex).toBe(1);
    expect(rig.queue.popBatch().length).toBe(0);
  });

  it('serves a head that is offered twice twice', () => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(3, { addr: BigInt(DATA), len: 4, flags: VIRTQ_DESC_F_WRITE });
    rig.driver.raw.offer(3, 3);
    for (const chain of chainsOf(rig.queue.popBatch())) rig.queue.complete(chain, 4);
    rig.queue.flush();
    expect(rig.driver.raw.usedIndex).toBe(2);
  });
});

describe('§2.7.8 The Virtqueue Used Ring', () => {
  it('shows completed chains with the next flush, in the order of completion', () => {
    const rig = new Rig();
    const heads = [0, 1, 2].map((i) => rig.driver.add([writable(i * 8, 8)]));
    rig.driver.publish();
    const batch = rig.queue.popBatch();
    rig.queue.complete(batch.at(2), 3);
    rig.queue.complete(batch.at(0), 1);
    expect(rig.driver.poll()).toBeUndefined();
    rig.queue.flush();
    expect(rig.driver.poll()).toEqual({ head: heads[2], written: 3 });
    expect(rig.driver.poll()).toEqual({ head: heads[0], written: 1 });
    expect(rig.driver.poll()).toBeUndefined();
    rig.queue.complete(batch.at(1), 2);
    rig.queue.flush();
    expect(rig.driver.poll()).toEqual({ head: heads[1], written: 2 });
  });

  it.each([
    [5, 5],
    [8, 8],
    [9, 8],
    [2 ** 40, 8],
    [-1, 0],
    [Number.NaN, 0],
  ])('§2.7.8.2 never says that more was written than was: %d says %d', (written, says) => {
    const rig = new Rig();
    rig.driver.add([readable(0, 16), writable(16, 8)]);
    rig.driver.publish();
    rig.queue.complete(rig.queue.popBatch().at(0), written);
    rig.queue.flush();
    expect(rig.driver.poll()?.written).toBe(says);
  });
});
