import {
  resumePosition,
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VRING_DESC,
} from '@node-vmm/virtio-queue';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { ForwardingMemory, LoanLedger } from '@node-vmm/vm-memory/testing';
import { describe, expect, it } from 'vitest';
import { BORDER, chainsOf, DATA, pattern, Rig, readable, TABLE, writable } from '../rig.ts';

/** A rig with `count` chains taken. */
function taken(count: number) {
  const rig = new Rig();
  for (let i = 0; i < count; i++) rig.driver.add([readable(i * 16, 8), writable(i * 16 + 8, 8)]);
  rig.driver.publish();
  return { ...rig, batch: rig.queue.popBatch() };
}

describe('chains between popBatch and complete', () => {
  it('refuses to take more while some are owed', () => {
    const { queue, batch } = taken(2);
    queue.complete(batch.at(0), 0);
    expect(() => queue.popBatch()).toThrow(TypeError);
    batch.at(1).detach();
    expect(queue.popBatch().length).toBe(0);
  });

  it('refuses to complete a chain twice', () => {
    const { queue, batch, driver } = taken(1);
    const chain = batch.at(0);
    queue.complete(chain, 4);
    expect(() => queue.complete(chain, 4)).toThrow(TypeError);
    queue.flush();
    expect(driver.raw.usedIndex).toBe(1);
    expect(queue.inflight).toBe(0);
  });

  it.each<[unknown, number, number]>([
    [8, 8, 0],
    [0, 0, 0],
    [9, 8, 1],
    [-1, 0, 1],
    [1.5, 1, 1],
    [Number.NaN, 0, 1],
    [undefined, 0, 1],
    ['4', 0, 1],
    [4n, 0, 1],
  ])('counts a length that cannot be: %s is told as %d', (written, told, counted) => {
    const { queue, batch, driver } = taken(1);
    queue.complete(batch.at(0), written as number);
    queue.flush();
    expect(driver.poll()?.written).toBe(told);
    expect(queue.counters.wrongLengths).toBe(counted);
  });

  it('are what iterating a batch gives, once for each look', () => {
    const { queue, batch } = taken(3);
    expect([...batch]).toEqual(chainsOf(batch));
    expect([...batch]).toHaveLength(3);
    for (const chain of batch) queue.complete(chain, 0);
    expect(queue.inflight).toBe(0);
    expect([...queue.popBatch()]).toEqual([]);
  });

  it("refuses another queue's chain", () => {
    const { queue } = taken(1);
    const other = taken(1);
    expect(() => queue.complete(other.batch.at(0), 4)).toThrow(TypeError);
    expect(() => queue.complete({ ...other.batch.at(0) } as never, 4)).toThrow(TypeError);
  });

  it('refuses access to a chain that is completed or detached', () => {
    const { queue, batch } = taken(2);
    queue.complete(batch.at(0), 4);
    batch.at(1).detach();
    for (const chain of chainsOf(batch)) {
      expect(() => chain.read(new Uint8Array(1), 0)).toThrow(TypeError);
      expect(() => chain.write(new Uint8Array(1), 0)).toThrow(TypeError);
      expect(() => chain.detach()).toThrow(TypeError);
    }
  });

  it('refuses to say what it read of memory that is not there', () => {
    class Gone extends ForwardingMemory {
      gone = false;
      override get faulted(): boolean {
        return this.gone;
      }
    }
    const layout = [{ guestAddr: guestAddress(0), length: 0x10_0000 }];
    const memory = new Gone(GuestMemoryMmap.create(layout));
    const { driver, queue } = new Rig({ memory });
    for (const offset of [0, 16]) driver.add([readable(offset, 8), writable(offset + 8, 8)]);
    driver.publish();
    const batch = queue.popBatch();
    const kept = batch.at(1).detach();
    expect([batch.at(0).faulted, batch.at(0).read(new Uint8Array(8), 0)]).toEqual([false, 8]);
    memory.gone = true;
    for (const chain of [batch.at(0), kept]) {
      expect(chain.faulted).toBe(true);
      expect(() => chain.read(new Uint8Array(8), 0)).toThrow(
        expect.objectContaining({ code: 'FAULT' }),
      );
      // What is written goes where it harms nobody.
      expect(chain.write(Uint8Array.of(1), 0)).toBe(1);
      queue.complete(chain, 1);
    }
    memory[Symbol.dispose]();
  });

  it('refuses offsets in front of a chain', () => {
    const { batch } = taken(1);
    for (const offset of [-1, 0.5, Number.NaN]) {
      expect(() => batch.at(0).write(new Uint8Array(1), offset)).toThrow(RangeError);
      expect(() => batch.at(0).read(new Uint8Array(1), offset)).toThrow(RangeError);
    }
  });

  it('keeps a detached chain through later batches', () => {
    const { queue, batch, driver, memory } = taken(1);
    memory.write(guestAddress(DATA), pattern(8));
    const kept = batch.at(0).detach();
    for (let i = 0; i < 20; i++) {
      driver.add([readable(0x100, 8), writable(0x108, 8)]);
      driver.publish();
      queue.complete(queue.popBatch().at(0), 8);
      queue.flush();
      driver.poll();
    }
    const target = new Uint8Array(8);
    expect(kept.read(target, 0)).toBe(8);
    expect(target).toEqual(pattern(8));
    expect(kept.write(pattern(8, 9), 0)).toBe(8);
    queue.complete(kept, 8);
    expect(() => queue.complete(kept, 8)).toThrow(TypeError);
    queue.flush();
    expect(driver.poll()).toEqual({ head: kept.head, written: 8 });
    memory.read(guestAddress(DATA + 8), target);
    expect(target).toEqual(pattern(8, 9));
    expect(memory.segmentsOut).toBe(0);
  });

  it('detaches a chain of a detached chain', () => {
    const { queue, batch } = taken(1);
    const first = batch.at(0).detach();
    const second = first.detach();
    expect(() => queue.complete(first, 0)).toThrow(TypeError);
    queue.complete(second, 0);
    expect(queue.inflight).toBe(0);
    expect(queue.popBatch().length).toBe(0);
  });

  it('completes the rest for a device that failed', () => {
    const { queue, batch, driver } = taken(4);
    queue.complete(batch.at(1), 8);
    const kept = batch.at(3).detach();
    expect(queue.completeRest()).toBe(2);
    expect(queue.completeRest()).toBe(0);
    expect(queue.inflight).toBe(1);
    queue.complete(kept, 2);
    queue.flush();
    const used = Array.from({ length: 4 }, () => driver.poll());
    expect(used.map((request) => request?.written)).toEqual([8, 0, 0, 2]);
    expect(queue.popBatch().length).toBe(0);
  });

  it('counts loans: everything borrowed is given back', () => {
    const { queue, batch, memory } = taken(4);
    expect(memory.segmentsOut).toBe(8);
    queue.complete(batch.at(0), 8);
    expect(memory.segmentsOut).toBe(6);
    const kept = batch.at(1).detach();
    queue.completeRest();
    expect(memory.segmentsOut).toBe(2);
    queue[Symbol.dispose]();
    queue.complete(kept, 8);
    expect(memory.segmentsOut).toBe(0);
  });
});

describe('stopping and going on', () => {
  it('goes on where the predecessor stopped', () => {
    const rig = new Rig({ start: 65_533 });
    for (let i = 0; i < 6; i++) rig.driver.add([writable(i * 8, 8)]);
    rig.driver.publish();
    const batch = rig.queue.popBatch(4);
    for (const chain of chainsOf(batch)) rig.queue.complete(chain, 1);
    expect(rig.queue.inflight).toBe(0);
    const { position } = rig.queue;
    expect(position).toBe(1);
    rig.queue[Symbol.dispose]();
    // Published although nobody flushed: a successor may know no more than what the ring says.
    expect(rig.driver.raw.usedIndex).toBe(1);

    const next = rig.successor(position);
    for (const chain of chainsOf(next.popBatch())) next.complete(chain, 2);
    next.flush();
    const used = Array.from({ length: 7 }, () => rig.driver.poll()?.written);
    expect(used).toEqual([1, 1, 1, 1, 2, 2, undefined]);
  });

  it.each(['relocate', 'dispose'] as const)(
    'does not leave the driver told to be quiet: %s',
    (how) => {
      const { queue, driver, memory, config } = new Rig({ features: [] });
      queue.disableNotification();
      expect(driver.raw.usedFlags).toBe(1);
      if (how === 'relocate') queue.relocate(memory, config);
      else queue[Symbol.dispose]();
      expect(driver.raw.usedFlags).toBe(0);
      queue[Symbol.dispose]();
    },
  );

  it('serves again what a predecessor that died had in flight', () => {
    const rig = new Rig();
    const heads = [0, 1, 2].map((i) => rig.driver.add([writable(i * 8, 8)]));
    rig.driver.publish();
    const batch = rig.queue.popBatch();
    rig.queue.complete(batch.at(0), 1);
    rig.queue.flush();

    const position = resumePosition(rig.memory, rig.config);
    expect(position).toBe(1);
    const next = rig.successor(position as number);
    for (const chain of chainsOf(next.popBatch())) next.complete(chain, 2);
    next.flush();
    expect(Array.from({ length: 3 }, () => rig.driver.poll())).toEqual([
      { head: heads[0], written: 1 },
      { head: heads[1], written: 2 },
      { head: heads[2], written: 2 },
    ]);
  });

  it('refuses a state that cannot be', () => {
    const rig = new Rig();
    const { slicesOut } = rig.memory;
    for (const [position, used] of [
      [9, 0],
      [0, 1],
      [0x1_0000, 0],
      [-1, 0],
      [0.5, 0],
      [Number.NaN, 0],
    ] as const) {
      rig.driver.raw.usedIndex = used;
      expect(() => rig.successor(position)).toThrow(expect.objectContaining({ code: 'BAD_STATE' }));
    }
    expect(rig.memory.slicesOut).toBe(slicesOut);
  });

  it('goes on in other memory', () => {
    const layout = [{ guestAddr: guestAddress(0), length: BORDER }];
    const owner = GuestMemoryMmap.create(layout);
    const rig = new Rig({ memory: owner });
    const add = (): number => {
      const head = rig.driver.add([writable(0, 8)]);
      rig.driver.publish();
      return head;
    };
    const heads = [add(), add()];
    const batch = rig.queue.popBatch();
    rig.queue.complete(batch.at(0), 1);
    const bad = { ...rig.config, usedRing: guestAddress(BORDER) };
    using other = new LoanLedger(GuestMemoryMmap.fromRegions(owner.sharedRegions));
    expect(() => rig.queue.relocate(other, rig.config)).toThrow(TypeError);
    const kept = batch.at(1).detach();
    expect(() => rig.queue.relocate(other, bad)).toThrow(
      expect.objectContaining({ code: 'RING_NOT_IN_MEMORY' }),
    );
    rig.queue.relocate(other, rig.config);
    expect(rig.queue.memory).toBe(other);
    expect(rig.driver.poll()).toEqual({ head: heads[0], written: 1 });

    const head = add();
    const next = rig.queue.popBatch().at(0);
    expect([rig.memory.segmentsOut, other.segmentsOut]).toEqual([1, 1]);
    next.write(pattern(8), 0);
    rig.queue.complete(next, 8);
    expect([rig.memory.segmentsOut, other.segmentsOut]).toEqual([1, 0]);
    rig.queue.complete(kept, 2);
    rig.queue.flush();
    expect(rig.driver.poll()).toEqual({ head, written: 8 });
    expect(rig.driver.poll()).toEqual({ head: heads[1], written: 2 });
    expect(rig.memory.readU8(guestAddress(DATA))).toBe(pattern(8)[0]);
    expect([rig.memory.segmentsOut, other.segmentsOut]).toEqual([0, 0]);
    rig.queue[Symbol.dispose]();
    expect(other.slicesOut).toBe(0);
    owner.close();
  });

  it('leaves the ring alone once disposed of', () => {
    const { queue, batch, driver } = taken(2);
    const kept = batch.at(0).detach();
    queue[Symbol.dispose]();
    queue.complete(kept, 8);
    expect(queue.inflight).toBe(0);
    expect(queue.flush()).toBe(false);
    expect(queue.popBatch().length).toBe(0);
    expect(queue.enableNotification()).toBe(false);
    queue.disableNotification();
    expect(driver.raw.usedIndex).toBe(0);
    expect(driver.raw.usedFlags).toBe(0);
  });

  it('refuses guest memory that was closed under a chain', () => {
    const { batch, memory } = taken(1);
    memory[Symbol.dispose]();
    expect(() => batch.at(0).read(new Uint8Array(1), 0)).toThrow(
      expect.objectContaining({ code: 'CLOSED' }),
    );
  });
});

describe('bounds of one call', () => {
  const INDIRECT = { features: [VIRTIO_RING_F_INDIRECT_DESC] };

  it('leaves chains that do not fit the segment table for the next batch', () => {
    const rig = new Rig({ ...INDIRECT, size: 8 });
    const buffers = Array.from({ length: 300 }, (_, i) => writable(i, 1));
    for (let i = 0; i < 8; i++) rig.driver.add(buffers, TABLE);
    rig.driver.publish();
    const lengths: number[] = [];
    for (;;) {
      const batch = rig.queue.popBatch();
      if (batch.length === 0) break;
      lengths.push(batch.length);
      expect(chainsOf(batch).every((chain) => chain.writableCount === 300)).toBe(true);
      rig.queue.completeRest();
    }
    expect(lengths).toEqual([3, 3, 2]);
    expect(rig.queue.counters).toMatchObject({ chains: 8, malformedChains: 0 });
    expect(rig.memory.segmentsOut).toBe(0);
  });

  it('returns a chain that would need more than the whole table', () => {
    const rig = new Rig({ ...INDIRECT, size: 8 });
    rig.driver.add([writable(0, 1)]);
    rig.driver.add(
      Array.from({ length: 1025 }, () => writable(0, 1)),
      TABLE,
    );
    rig.driver.add([writable(0, 1)]);
    rig.driver.publish();
    let chains = 0;
    do {
      chains += rig.queue.popBatch().length;
      rig.queue.completeRest();
    } while (rig.queue.enableNotification());
    expect(chains).toBe(2);
    expect(rig.queue.counters.malformedChains).toBe(1);
    expect(rig.memory.segmentsOut).toBe(0);
  });

  it('pauses on a ring full of long loops of empty descriptors, and gets through', () => {
    const rig = new Rig({ ...INDIRECT, size: 1024 });
    const { raw } = rig.driver;
    const loop = VRING_DESC.encode({ addr: 0n, len: 0, flags: VIRTQ_DESC_F_NEXT, next: 0 });
    rig.memory.write(TABLE, loop);
    for (let i = 0; i < 1024; i++) {
      raw.setDescriptor(i, { addr: 0n, len: 0, flags: VIRTQ_DESC_F_NEXT, next: i });
    }
    raw.setDescriptor(7, { addr: TABLE, len: 0x8000, flags: VIRTQ_DESC_F_INDIRECT });
    raw.offer(...Array.from({ length: 1024 }, (_, i) => i));
    let calls = 0;
    while (rig.queue.enableNotification()) {
      expect(rig.queue.popBatch().length).toBe(0);
      calls++;
    }
    expect(calls).toBeGreaterThan(100);
    expect(rig.queue.counters.malformedChains).toBe(1024);
    rig.queue.flush();
    expect(raw.usedIndex).toBe(1024);
  });
});
