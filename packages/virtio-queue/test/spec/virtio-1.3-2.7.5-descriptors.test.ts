import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VRING_DESC,
} from '@node-vmm/virtio-queue';
import { GuestMemoryMmap, guestAddress, type LendResult } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer, LoanLedger } from '@node-vmm/vm-memory/testing';
import { describe, expect, it } from 'vitest';
import { BORDER, DATA, END, pattern, Rig, readable, TABLE, writable } from '../rig.ts';

const NEXT = VIRTQ_DESC_F_NEXT;
const WRITE = VIRTQ_DESC_F_WRITE;
const INDIRECT = VIRTQ_DESC_F_INDIRECT;
const data = BigInt(DATA);

/** Memory with a run of 256 MiB that is never touched. */
function hugeMemory(): { size: number; memory: GuestMemoryMmap } {
  const size = 1 << 28;
  const memory = GuestMemoryMmap.create([
    { guestAddr: guestAddress(0), length: 0x1_0000 },
    { guestAddr: guestAddress(0x1_0000_0000), length: size },
  ]);
  return { size, memory };
}

/** Expects that the chain at `head` goes back unseen, with length 0. */
function expectMalformed(rig: Rig, head = 0): void {
  rig.driver.raw.offer(head);
  const slot = rig.driver.raw.usedIndex & (rig.queue.size - 1);
  expect(rig.queue.popBatch().length).toBe(0);
  expect(rig.queue.flush()).toBe(true);
  expect(rig.driver.raw.usedElement(slot)).toEqual({ id: head, len: 0 });
  expect(rig.queue.counters.malformedChains).toBe(1);
  expect(rig.queue.broken).toBeUndefined();
  expect(rig.memory.segmentsOut).toBe(0);
}

describe('§2.7.4.1 The device MUST NOT make assumptions about the arrangement of descriptors', () => {
  it('reads the same bytes however they are cut', () => {
    const rig = new Rig();
    const bytes = pattern(12);
    rig.memory.write(guestAddress(DATA), bytes);
    rig.driver.add([readable(0, 12)]);
    rig.driver.add([readable(0, 1), readable(1, 4), readable(5, 7)]);
    rig.driver.publish();
    const batch = rig.queue.popBatch();
    for (const i of [0, 1]) {
      const target = new Uint8Array(12);
      expect(batch.at(i).read(target, 0)).toBe(12);
      expect(target).toEqual(bytes);
      const part = new Uint8Array(5);
      expect(batch.at(i).read(part, 3)).toBe(5);
      expect(part).toEqual(bytes.subarray(3, 8));
      expect(batch.at(i).read(new Uint8Array(5), 10)).toBe(2);
      expect(batch.at(i).read(new Uint8Array(5), 12)).toBe(0);
    }
  });

  it('writes the same bytes however they are cut', () => {
    const rig = new Rig();
    rig.driver.add([readable(0x100, 4), writable(0, 1), writable(1, 4), writable(5, 7)]);
    rig.driver.publish();
    const chain = rig.queue.popBatch().at(0);
    expect(chain).toMatchObject({ readableLength: 4, writableLength: 12 });
    expect(chain.write(pattern(5), 3)).toBe(5);
    expect(chain.write(pattern(5), 10)).toBe(2);
    const target = new Uint8Array(13);
    rig.memory.read(guestAddress(DATA), target);
    expect([...target]).toEqual([0, 0, 0, ...pattern(5), 0, 0, ...pattern(2), 0]);
  });
});

describe('§2.7.4.2 The driver MUST place device-writable elements after device-readable ones', () => {
  it.each([
    ['directly', false],
    ['in an indirect table', true],
  ])('refuses a readable buffer after a writable one, %s', (_name, indirect) => {
    const rig = new Rig();
    rig.driver.add([writable(0, 4), readable(4, 4)], indirect ? TABLE : undefined);
    rig.driver.publish();
    expect(rig.queue.popBatch().length).toBe(0);
    rig.queue.flush();
    expect(rig.driver.poll()).toEqual({ head: 0, written: 0 });
    expect(rig.queue.counters.malformedChains).toBe(1);
  });

  it('refuses it where the table continues a chain', () => {
    const rig = new Rig();
    const { raw } = rig.driver;
    raw.setDescriptor(0, { addr: data, len: 4, flags: NEXT | WRITE, next: 1 });
    raw.setDescriptor(1, { addr: TABLE, len: 16, flags: INDIRECT });
    rig.memory.write(TABLE, VRING_DESC.encode({ addr: data, len: 4, flags: 0 }));
    expectMalformed(rig);
  });
});

describe('§2.7.5 The Virtqueue Descriptor Table', () => {
  it('takes buffers across a border of guest memory in pieces', () => {
    const rig = new Rig();
    const address = guestAddress(BORDER - 5);
    rig.driver.add([{ guestAddr: address, length: 12, writable: true }]);
    rig.driver.publish();
    const chain = rig.queue.popBatch().at(0);
    expect(chain).toMatchObject({ writableCount: 2, writableLength: 12 });
    expect(chain.write(pattern(12), 0)).toBe(12);
    const target = new Uint8Array(12);
    rig.memory.read(address, target);
    expect(target).toEqual(pattern(12));
  });

  it('gives successive chains successive segments, ready for one readv', () => {
    const rig = new Rig();
    for (let i = 0; i < 4; i++) rig.driver.add([writable(i * 64, 32), writable(i * 64 + 32, 32)]);
    rig.driver.publish();
    const batch = rig.queue.popBatch();
    expect(batch.segments.count).toBe(8);
    const region = rig.memory.regions[0]?.hostAddress ?? 0;
    for (let i = 0; i < 8; i++) {
      const [low = 0, high = 0, lengthLow, lengthHigh] = batch.segments.iovecs.subarray(4 * i);
      expect(high * 2 ** 32 + low).toBe(region + DATA + 32 * i);
      expect([lengthLow, lengthHigh]).toEqual([32, 0]);
      expect(batch.at(i >> 1).firstSegment).toBe(i & ~1);
    }
  });

  it('ignores flags that it does not know', () => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr: data, len: 4, flags: 0xfff8, next: 0xffff });
    rig.driver.raw.offer(0);
    expect(rig.queue.popBatch().at(0)).toMatchObject({ readableLength: 4, writableLength: 0 });
  });

  it('takes empty buffers, which have no address', () => {
    const rig = new Rig();
    const { raw } = rig.driver;
    raw.setDescriptor(0, { addr: 2n ** 64n - 1n, len: 0, flags: NEXT, next: 1 });
    raw.setDescriptor(1, { addr: data, len: 4, flags: WRITE });
    raw.setDescriptor(2, { addr: 0n, len: 0, flags: 0 });
    raw.offer(0, 2);
    const batch = rig.queue.popBatch();
    expect(batch.at(0)).toMatchObject({ readableCount: 0, readableLength: 0, writableLength: 4 });
    expect(batch.at(1)).toMatchObject({ readableLength: 0, writableLength: 0 });
    expect(batch.segments.count).toBe(1);
  });

  it('takes a chain as long as the queue', () => {
    const rig = new Rig();
    rig.driver.add(Array.from({ length: 8 }, (_, i) => readable(i, 1)));
    rig.driver.publish();
    expect(rig.queue.popBatch().at(0).readableCount).toBe(8);
  });

  it.each<[string, bigint, number]>([
    ['outside guest memory', BigInt(END), 1],
    ['partly outside guest memory', BigInt(END) - 4n, 5],
    ['at the end of the address space', 2n ** 64n - 4n, 4],
    ['that wraps around', 2n ** 64n - 4n, 8],
    ['over 2^53', 2n ** 53n + data, 4],
    ['of 4 GiB', data, 0xffff_ffff],
  ])('returns a buffer %s unseen', (_name, addr, len) => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr, len, flags: WRITE });
    expectMalformed(rig);
  });

  it('takes nothing of a chain whose last buffer is bad', () => {
    const rig = new Rig();
    const { raw } = rig.driver;
    raw.setDescriptor(0, { addr: data, len: 4, flags: NEXT, next: 1 });
    raw.setDescriptor(1, { addr: BigInt(END), len: 4, flags: WRITE });
    expectMalformed(rig);
  });

  it('returns a chain that leaves the table unseen', () => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr: data, len: 4, flags: NEXT, next: 8 });
    expectMalformed(rig);
  });

  it('believes what it read first of a driver that rewrites descriptors meanwhile', () => {
    let rewrite = (): void => {};
    class Racing extends LoanLedger {
      override lend(...loan: Parameters<LoanLedger['lend']>): LendResult {
        const lent = super.lend(...loan);
        rewrite();
        return lent;
      }
    }
    const plain = GuestMemoryBuffer.create([{ guestAddr: guestAddress(0), length: BORDER }]);
    const rig = new Rig({ memory: new Racing(plain) });
    rig.driver.add([readable(0, 4), writable(4, 4)]);
    rig.driver.publish();
    rewrite = () => {
      const hostile = { addr: 2n ** 60n, len: 0xffff_ffff, flags: NEXT | INDIRECT, next: 9 };
      rig.driver.raw.setDescriptor(0, hostile);
      rig.driver.raw.setAvail(0, 7);
    };
    const chain = rig.queue.popBatch().at(0);
    expect(chain).toMatchObject({ head: 0, readableLength: 4, writableLength: 4 });
    expect([0, 1].map((i) => chain.segments.lengthAt(i))).toEqual([4, 4]);
    rig.queue.complete(chain, 4);
    rig.queue.flush();
    expect(rig.driver.raw.usedElement(0)).toEqual({ id: 0, len: 4 });
  });

  it('goes on with the chains around a malformed one', () => {
    const rig = new Rig();
    const { raw } = rig.driver;
    raw.setDescriptor(0, { addr: data, len: 4, flags: WRITE });
    raw.setDescriptor(1, { addr: data, len: 4, flags: NEXT, next: 9 });
    raw.setDescriptor(2, { addr: data, len: 8, flags: WRITE });
    raw.offer(0, 1, 2);
    const batch = rig.queue.popBatch();
    expect([batch.at(0).head, batch.at(1).head, batch.length]).toEqual([0, 2, 2]);
    expect(batch.segments.count).toBe(2);
    rig.queue.complete(batch.at(1), 8);
    rig.queue.complete(batch.at(0), 4);
    rig.queue.flush();
    expect([0, 1, 2].map((i) => raw.usedElement(i))).toEqual([
      { id: 1, len: 0 },
      { id: 2, len: 8 },
      { id: 0, len: 4 },
    ]);
  });
});

describe('§2.7.5.2 Drivers MUST NOT add a chain longer than 2^32 bytes; loops are forbidden', () => {
  it.each([
    ['onto itself', [0]],
    ['of two', [1, 0]],
    ['behind a head', [1, 2, 1]],
  ])('ends a loop %s', (_name, nexts) => {
    const rig = new Rig();
    nexts.forEach((next, i) => {
      rig.driver.raw.setDescriptor(i, { addr: data, len: 4, flags: NEXT, next });
    });
    expectMalformed(rig);
  });

  it('ends a loop of empty buffers', () => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr: data, len: 0, flags: NEXT, next: 0 });
    expectMalformed(rig);
  });

  it('ends a loop in an indirect table', () => {
    const rig = new Rig();
    const { raw } = rig.driver;
    raw.setDescriptor(0, { addr: TABLE, len: 32, flags: INDIRECT });
    rig.memory.write(TABLE, VRING_DESC.encode({ addr: data, len: 4, flags: NEXT, next: 1 }));
    const second = VRING_DESC.encode({ addr: data, len: 4, flags: NEXT, next: 0 });
    rig.memory.write(guestAddress(TABLE + 16n), second);
    expectMalformed(rig);
  });

  it('refuses buffers that exist and sum up to 2^32', () => {
    // Sixteen times the same 256 MiB.
    const { size, memory } = hugeMemory();
    const rig = new Rig({ size: 16, memory });
    const offer = (last: number): void => {
      for (let i = 0; i < 16; i++) {
        rig.driver.raw.setDescriptor(i, {
          addr: 0x1_0000_0000n,
          len: i === 15 ? last : size,
          flags: i < 15 ? NEXT : 0,
          next: i + 1,
        });
      }
    };
    offer(size - 1);
    rig.driver.raw.offer(0);
    expect(rig.queue.popBatch().at(0).readableLength).toBe(0xffff_ffff);
    rig.queue.completeRest();
    rig.queue.flush();
    offer(size);
    expectMalformed(rig);
  });
});

describe('§2.7.5.3 Indirect Descriptors', () => {
  it('takes a table of readable and writable buffers', () => {
    const rig = new Rig();
    const head = rig.driver.add([readable(0, 8), readable(8, 4), writable(12, 4)], TABLE);
    rig.driver.publish();
    expect(rig.queue.popBatch().at(0)).toMatchObject({
      head,
      readableLength: 12,
      readableCount: 2,
      writableLength: 4,
      writableCount: 1,
    });
  });

  it('§2.7.5.3.2 MUST ignore the write-only flag of the descriptor of the table', () => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr: TABLE, len: 16, flags: INDIRECT | WRITE });
    rig.memory.write(TABLE, VRING_DESC.encode({ addr: data, len: 4, flags: 0 }));
    rig.driver.raw.offer(0);
    expect(rig.queue.popBatch().at(0)).toMatchObject({ readableLength: 4, writableLength: 0 });
  });

  it('§2.7.5.3.2 MUST handle normal chained descriptors followed by a table', () => {
    const rig = new Rig();
    const { raw } = rig.driver;
    raw.setDescriptor(3, { addr: data, len: 8, flags: NEXT, next: 5 });
    raw.setDescriptor(5, { addr: TABLE, len: 32, flags: INDIRECT });
    rig.memory.write(TABLE, VRING_DESC.encode({ addr: data, len: 2, flags: NEXT, next: 1 }));
    const last = VRING_DESC.encode({ addr: data, len: 1, flags: WRITE });
    rig.memory.write(guestAddress(TABLE + 16n), last);
    raw.offer(3);
    expect(rig.queue.popBatch().at(0)).toMatchObject({ readableLength: 10, writableLength: 1 });
  });

  it('reads tables at any address, across a border of guest memory too', () => {
    for (const at of [TABLE + 1n, TABLE + 7n, BigInt(BORDER) - 16n, BigInt(BORDER) - 5n]) {
      const rig = new Rig();
      rig.driver.add([readable(0, 8), writable(8, 4)], guestAddress(at));
      rig.driver.publish();
      expect(rig.queue.popBatch().at(0)).toMatchObject({ readableLength: 8, writableLength: 4 });
    }
  });

  it('takes a table longer than the queue, as Linux makes them', () => {
    const rig = new Rig();
    rig.driver.add(
      Array.from({ length: 100 }, (_, i) => writable(i, 1)),
      TABLE,
    );
    rig.driver.publish();
    expect(rig.queue.popBatch().at(0).writableCount).toBe(100);
  });

  it.each<[string, number, bigint]>([
    ['is empty', 0, TABLE],
    ['is no multiple of a descriptor', 24, TABLE],
    ['is over 65536 entries', 0x10_0010, TABLE],
    ['is not in guest memory', 16, BigInt(END)],
    ['is partly not in guest memory', 32, BigInt(END) - 16n],
  ])('refuses a table that %s', (_name, len, addr) => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr, len, flags: INDIRECT });
    expectMalformed(rig);
  });

  it.each([
    [1, 1],
    [2, 5],
    [2, 0xffff],
  ])('refuses, in a table of %i, to go on at %i', (entries, next) => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr: TABLE, len: 16 * entries, flags: INDIRECT });
    rig.memory.write(TABLE, VRING_DESC.encode({ addr: data, len: 4, flags: NEXT, next }));
    expectMalformed(rig);
  });

  it('§2.7.5.3.1 refuses a table that the features do not allow', () => {
    const rig = new Rig({ features: [] });
    rig.driver.add([readable(0, 8)], TABLE);
    expectMalformed(rig);
  });

  it('§2.7.5.3.1 refuses a table within a table', () => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr: TABLE, len: 16, flags: INDIRECT });
    rig.memory.write(TABLE, VRING_DESC.encode({ addr: TABLE, len: 16, flags: INDIRECT }));
    expectMalformed(rig);
  });

  it('§2.7.5.3.1 refuses INDIRECT together with NEXT', () => {
    const rig = new Rig();
    rig.driver.raw.setDescriptor(0, { addr: TABLE, len: 16, flags: INDIRECT | NEXT, next: 1 });
    rig.memory.write(TABLE, VRING_DESC.encode({ addr: data, len: 4, flags: 0 }));
    expectMalformed(rig);
  });
});
