import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { guestAddress } from '@node-vmm/vm-memory';
import { describe, expect, it } from 'vitest';
import { chainsOf, DATA, Rig, readable, writable } from '../rig.ts';

describe('SplitDriverQueue', () => {
  it('lays the parts out as §2.7 wants them aligned', () => {
    for (const size of [1, 2, 8, 256, 32_768]) {
      const layout = SplitDriverQueue.layout(size, 0x1000n);
      expect(layout.descTable % 16n).toBe(0n);
      expect(layout.availRing - layout.descTable).toBe(BigInt(16 * size));
      expect(layout.usedRing % 4n).toBe(0n);
      expect(layout.usedRing - layout.availRing).toBeGreaterThanOrEqual(BigInt(6 + 2 * size));
      const end = Number(layout.usedRing - layout.descTable) + 6 + 8 * size;
      expect(layout.byteLength).toBe(end);
    }
    expect(() => SplitDriverQueue.layout(8, 8n)).toThrow(RangeError);
  });

  it('refuses to add when descriptors run out, and reuses them', () => {
    const { driver, queue } = new Rig();
    for (let round = 0; round < 5; round++) {
      expect(driver.add([readable(0, 1), writable(1, 1), writable(2, 1)])).not.toBe(-1);
      expect(driver.addWritable(DATA, 0, 1)).not.toBe(-1);
      expect(driver.addReadable(DATA, 0, 1)).not.toBe(-1);
      expect(driver.free).toBe(3);
      expect(driver.add([readable(0, 1), readable(0, 1), readable(0, 1), readable(0, 1)])).toBe(-1);
      expect(driver.add([readable(0, 1), readable(0, 1), readable(0, 1)])).not.toBe(-1);
      expect(driver.addWritable(DATA, 0, 1)).toBe(-1);
      expect(driver.add([readable(0, 1)], guestAddress(DATA))).toBe(-1);
      expect(driver.publish()).toBe(true);
      expect(driver.publish()).toBe(false);
      expect(driver.outstanding).toBe(4);
      const chains = chainsOf(queue.popBatch());
      expect(chains.map((chain) => chain.readableCount + chain.writableCount)).toEqual([
        3, 1, 1, 3,
      ]);
      for (const chain of chains.reverse()) queue.complete(chain, 1);
      queue.flush();
      while (driver.pollUsed());
      expect(driver.free).toBe(8);
      expect(driver.outstanding).toBe(0);
    }
    expect(() => driver.add([])).toThrow(RangeError);
  });

  it('notices a device that returns what it did not have', () => {
    const { driver, memory, config } = new Rig();
    driver.raw.usedIndex = 1;
    expect(() => driver.poll()).toThrow(/request 0/);
    memory.writeU32(guestAddress(config.usedRing + 4n), 0xffff_ffff);
    expect(() => driver.poll()).toThrow(/request 4294967295/);
  });
});
