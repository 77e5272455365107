import {
  createVirtqueue,
  inflightSize,
  isWaiting,
  VIRTIO_F_RING_PACKED,
  VIRTQ_DESC_F_WRITE,
} from '@node-vmm/virtio-queue';
import { guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer, TardyMemory } from '@node-vmm/vm-memory/testing';
import { describe, expect, it } from 'vitest';
import { ENTRY, InflightRig, RECORD } from '../inflight-rig.ts';
import { DATA, END, Rig } from '../rig.ts';

// QEMU docs/interop/vhost-user.rst, "Inflight I/O tracking".

const USED_IDX = 2n;

describe('the region of a queue', () => {
  it.each([
    [1, 64],
    [4, 128],
    [64, 1088],
    [256, 4160],
    [32768, 524352],
  ])('of %i entries has as many bytes as in libvhost-user', (size, bytes) => {
    expect(inflightSize({ size, features: 0n })).toBe(bytes);
  });

  it('is not that of a packed ring', () => {
    const features = 1n << BigInt(VIRTIO_F_RING_PACKED);
    expect(() => inflightSize({ size: 8, features })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_LAYOUT' }),
    );
  });

  it('is begun where its version is 0, whatever else is in it', () => {
    const rig = new InflightRig({ start: 500 });
    rig.region.bytes.fill(0xff);
    rig.view.setUint16(RECORD.version, 0, true);
    rig.next(500);
    expect(rig.view.getBigUint64(0)).toBe(0n);
    expect(rig.u16(RECORD.version)).toBe(1);
    expect(rig.u16(RECORD.descNum)).toBe(8);
    expect(rig.u16(RECORD.usedIdx)).toBe(500);
    expect(rig.flagged).toEqual([]);
    expect(rig.device.position).toBe(500);
  });

  it('is begun where the driver has just set up the ring, whatever record it has', () => {
    const rig = new InflightRig();
    rig.request(2);
    rig.take();
    const other = new Rig();
    const queue = createVirtqueue(other.memory, other.config, undefined, rig.region);
    expect([rig.flagged, queue.position]).toEqual([[], 0]);
  });

  it.each([9, 100, 65_527])('is begun where it tells of another ring (%i used)', (used) => {
    const rig = new InflightRig({ start: 0 });
    rig.request(2);
    rig.take();
    rig.view.setUint16(RECORD.usedIdx, used, true);
    expect(rig.next(0).position).toBe(0);
    expect([rig.u16(RECORD.usedIdx), rig.flagged]).toEqual([0, []]);
  });

  it('is not touched before a device goes on with the ring', () => {
    const rig = new InflightRig();
    const before = rig.region.bytes.slice();
    isWaiting(rig.memory, rig.config, 0, rig.region);
    expect(rig.region.bytes).toEqual(before);
  });
});

describe('when receiving available buffers', () => {
  it('each head gets a counter and is in flight', () => {
    const rig = new InflightRig();
    const heads = rig.request(3);
    rig.take();
    expect(heads.map((head) => rig.entry(head))).toEqual([
      { inflight: 1, next: 0, counter: 0n },
      { inflight: 1, next: 0, counter: 1n },
      { inflight: 1, next: 0, counter: 2n },
    ]);
  });

  it('the counter has 64 bits', () => {
    const rig = new InflightRig();
    const [head = 0] = rig.request(1);
    rig.take();
    rig.view.setBigUint64(RECORD.entry + head * ENTRY.size + ENTRY.counter, 0xffff_fffen, true);
    rig.next();
    const [a = 0, b = 0] = rig.request(2);
    rig.take();
    expect([rig.entry(a).counter, rig.entry(b).counter]).toEqual([0xffff_ffffn, 0x1_0000_0000n]);
  });

  it('a chain whose memory is not mapped yet is not in flight', () => {
    const memory = GuestMemoryBuffer.create([{ guestAddr: guestAddress(0), length: END }]);
    const late = new TardyMemory(memory);
    const rig = new InflightRig({ memory: late });
    rig.request(1);
    late.delay(guestAddress(DATA), 0x1000);
    expect(rig.take()).toEqual([]);
    expect([rig.device.parked, rig.flagged]).toEqual([true, []]);
  });
});

describe('when supplying used buffers', () => {
  it('heads are listed before the used index moves, and not in flight after it did', () => {
    const rig = new InflightRig();
    const [a = 0, b = 0, c = 0] = rig.request(3);
    const [first, second, third] = rig.take();
    if (!first || !second || !third) throw new Error('no chains');
    rig.device.complete(third, 1);
    rig.device.complete(first, 1);
    expect(rig.u16(RECORD.lastBatchHead)).toBe(a);
    expect(rig.entry(a).next).toBe(c);
    expect(rig.flagged).toEqual([a, b, c]);
    expect(rig.u16(RECORD.usedIdx)).toBe(0);
    rig.device.flush();
    expect(rig.flagged).toEqual([b]);
    expect(rig.u16(RECORD.usedIdx)).toBe(2);
  });

  it('malformed chains are in the list too', () => {
    const rig = new InflightRig();
    rig.driver.raw.setDescriptor(5, { addr: BigInt(END), len: 4, flags: VIRTQ_DESC_F_WRITE });
    rig.driver.raw.offer(5);
    expect(rig.take()).toEqual([]);
    expect([rig.u16(RECORD.lastBatchHead), rig.flagged]).toEqual([5, [5]]);
    rig.device.flush();
    expect([rig.u16(RECORD.usedIdx), rig.flagged]).toEqual([1, []]);
  });

  it('a ring is published once the list of what was not is as long as the ring', () => {
    const rig = new InflightRig();
    const { raw } = rig.driver;
    raw.setDescriptor(0, { addr: BigInt(DATA), len: 1, flags: VIRTQ_DESC_F_WRITE });
    // A driver that is given nothing back goes on all the same.
    for (let i = 0; i < 20; i++) {
      raw.offer(0);
      for (const chain of rig.take()) rig.device.complete(chain, 1);
    }
    expect(raw.usedIndex).toBe(16);
    expect(rig.device.flush()).toBe(true);
    expect([raw.usedIndex, rig.u16(RECORD.usedIdx)]).toEqual([20, 20]);
  });

  it('what a device completes after its queue was left stays in flight', () => {
    const rig = new InflightRig();
    const [a = 0, b = 0] = rig.request(2);
    const [first, second] = rig.take();
    if (!first || !second) throw new Error('no chains');
    rig.device.complete(first, 1);
    rig.device[Symbol.dispose]();
    expect([rig.driver.raw.usedIndex, rig.flagged]).toEqual([1, [b]]);
    rig.device.complete(second, 1);
    expect([rig.driver.raw.usedIndex, rig.flagged]).toEqual([1, [b]]);
    expect(rig.entry(a).inflight).toBe(0);
  });
});

describe('when reconnecting', () => {
  it.each([0, 65_534])(
    'what was not returned is taken again, in its order, and the ring goes on behind it (from %i)',
    (start) => {
      const rig = new InflightRig({ start });
      const heads = rig.request(4);
      const taken = rig.take();
      for (const i of [2, 0]) rig.device.complete(taken[i] as never, 1);
      rig.device.flush();
      expect(rig.returned()).toEqual([heads[2], heads[0]]);
      // Entries that the driver had in the ring are overwritten: only the record knows of them.
      const more = rig.request(4);
      const next = rig.next(rig.driver.raw.usedIndex);
      expect(next.position).toBe((start + 4) & 0xffff);
      expect(next.enableNotification()).toBe(true);
      expect(rig.take(1).map(({ head }) => head)).toEqual([heads[1]]);
      const rest = rig.take();
      expect(rest.map(({ head }) => head)).toEqual([heads[3], ...more]);
      expect(next.enableNotification()).toBe(false);
      expect(next.inflight).toBe(6);
      for (const chain of rest) next.complete(chain, 1);
      expect(next.flush()).toBe(true);
      expect(rig.returned()).toEqual([heads[3], ...more]);
      expect(rig.flagged).toEqual([heads[1]]);
    },
  );

  it('what was taken by several devices keeps its order', () => {
    const rig = new InflightRig();
    const heads = rig.request(2);
    rig.take();
    rig.next();
    heads.push(...rig.request(2));
    rig.take();
    rig.next();
    expect(rig.take().map(({ head }) => head)).toEqual(heads);
  });

  it.each([
    ['before the record said so', 2],
    ['when half of the record said so', 1],
    ['and the record says so', 0],
  ])(
    'what was returned is not taken again: killed when the used index had moved, %s',
    (_, left) => {
      const rig = new InflightRig();
      const heads = rig.request(3);
      const [first, second] = rig.take();
      rig.device.complete(second as never, 1);
      rig.device.complete(first as never, 1);
      const before = rig.region.bytes.slice();
      rig.device.flush();
      rig.view.setUint16(RECORD.usedIdx, left > 0 ? 0 : 2, true);
      for (const head of heads.slice(0, left)) {
        const at = RECORD.entry + head * ENTRY.size;
        rig.region.bytes[at] = before[at] as number;
      }
      rig.next();
      expect(rig.u16(RECORD.usedIdx)).toBe(2);
      expect(rig.flagged).toEqual([heads[2]]);
      expect(rig.take().map(({ head }) => head)).toEqual([heads[2]]);
      expect(rig.device.position).toBe(3);
    },
  );

  it('what was completed and not published is taken again', () => {
    const rig = new InflightRig();
    const heads = rig.request(2);
    for (const chain of rig.take()) rig.device.complete(chain, 1);
    rig.next();
    expect(rig.take().map(({ head }) => head)).toEqual(heads);
  });

  it('where it stands in the ring is said by the record, not by SET_VRING_BASE', () => {
    const rig = new InflightRig();
    rig.request(2);
    rig.take();
    expect(rig.next(0).position).toBe(2);
    expect(rig.next(1000).position).toBe(2);
  });

  it('a chain to be taken again waits for its memory', () => {
    const memory = GuestMemoryBuffer.create([{ guestAddr: guestAddress(0), length: END }]);
    const late = new TardyMemory(memory);
    const rig = new InflightRig({ memory: late });
    const heads = rig.request(2);
    rig.take();
    late.delay(guestAddress(DATA), 0x1000);
    const next = rig.next();
    expect([rig.take(), next.parked]).toEqual([[], true]);
    late.arrive();
    expect(rig.take().map(({ head }) => head)).toEqual(heads);
  });

  it('a ring with unfinished chains waits, and one whose indices cannot be does not', () => {
    const rig = new InflightRig();
    const waiting = () => isWaiting(rig.memory, rig.config, 0, rig.region);
    rig.request(2);
    expect(waiting()).toBe(true);
    rig.take();
    expect(waiting()).toBe(true);
    rig.driver.raw.availIndex = 1;
    expect(waiting()).toBe(false);
    rig.driver.raw.availIndex = 9;
    expect(waiting()).toBe(false);
  });

  it('a ring of which more is in flight than was ever available is broken', () => {
    const rig = new InflightRig();
    rig.request(3);
    rig.take();
    rig.driver.raw.availIndex = 2;
    const next = rig.next();
    expect(rig.take()).toEqual([]);
    expect(next.broken).toMatchObject({ code: 'BAD_AVAIL_INDEX' });
  });
});

describe('a record that cannot be', () => {
  const cases: [string, (rig: InflightRig) => void][] = [
    ['of another version', ({ view }) => view.setUint16(RECORD.version, 2, true)],
    ['with features', ({ view }) => view.setUint8(7, 1)],
    ['of another size', ({ view }) => view.setUint16(RECORD.descNum, 16, true)],
    [
      'whose list leaves it',
      ({ view, memory, config }) => {
        view.setUint16(RECORD.lastBatchHead, 8, true);
        memory.writeU16(guestAddress(config.usedRing + USED_IDX), 1);
      },
    ],
  ];
  it.each(cases)('is refused: one %s', (_, spoil) => {
    const rig = new InflightRig();
    spoil(rig);
    const out = rig.memory.slicesOut;
    const code = 'BAD_RECORD';
    expect(() => rig.next()).toThrow(expect.objectContaining({ name: 'VirtioQueueError', code }));
    expect(() => isWaiting(rig.memory, rig.config, 0, rig.region)).toThrow(
      expect.objectContaining({ code }),
    );
    expect(rig.memory.slicesOut).toBe(out);
  });

  it('is refused: one for fewer entries than the ring has', () => {
    const code = 'BAD_RECORD';
    expect(() => new InflightRig({ queueSize: 4 })).toThrow(expect.objectContaining({ code }));
  });

  it('may have room for more entries, which are never looked at', () => {
    const rig = new InflightRig({ queueSize: 16 });
    rig.view.setUint8(RECORD.entry + 9 * ENTRY.size, 1);
    expect([rig.next().position, rig.take()]).toEqual([0, []]);
  });

  it('is in memory that the caller aligned and measured', () => {
    const { memory, config, region } = new InflightRig();
    const bytes = region.bytes.subarray(8);
    expect(() => createVirtqueue(memory, config, 0, { bytes, queueSize: 8 })).toThrow(RangeError);
    const odd = new Uint8Array(256).subarray(4);
    expect(() => createVirtqueue(memory, config, 0, { bytes: odd, queueSize: 8 })).toThrow(
      RangeError,
    );
  });
});
