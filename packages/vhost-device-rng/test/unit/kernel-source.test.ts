import { ACCESS_WRITE, GuestMemoryMmap, guestAddress, SegmentTable } from '@node-vmm/vm-memory';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { KernelSource } from '../../src/kernel-source.ts';

const LENGTH = 0x4_0000;

describe('KernelSource', () => {
  const memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: LENGTH }]);
  const source = new KernelSource();
  afterEach(() => memory.write(guestAddress(0), new Uint8Array(LENGTH)));
  afterAll(() => {
    source[Symbol.dispose]();
    memory.close();
  });

  const lend = (...pieces: [address: number, length: number][]): SegmentTable => {
    const table = new SegmentTable(8);
    for (const [address, length] of pieces) memory.lend(address, 0, length, ACCESS_WRITE, table);
    return table;
  };
  /** Bytes that are not 0 are as good as all of them. */
  const filled = (address: number, length: number): number => {
    const bytes = new Uint8Array(length);
    memory.read(guestAddress(address), bytes);
    return bytes.reduce((count, byte) => count + (byte === 0 ? 0 : 1), 0);
  };

  it.each([64, 4096, 0x1_0000])('fills a piece of %i bytes, and nothing around it', (length) => {
    source.fill(lend([0x1000, length]), 0, 1);
    expect(filled(0x1000, length)).toBeGreaterThan(0.9 * length);
    expect(filled(0x1000 + length - 32, 32)).toBeGreaterThan(16);
    expect(filled(0, 0x1000)).toBe(0);
    expect(filled(0x1000 + length, 0x1000)).toBe(0);
  });

  it('fills the one piece that is asked for', () => {
    const table = lend([0, 64], [0x1000, 64], [0x2000, 64]);
    source.fill(table, 1, 1);
    expect([0, 0x1000, 0x2000].map((at) => filled(at, 64) > 32)).toEqual([false, true, false]);
    source.fill(table, 1, 2);
    expect([0, 0x1000, 0x2000].map((at) => filled(at, 64) > 32)).toEqual([false, true, true]);
  });

  it.each([1, 2])('says that memory is not there: %i pieces', (count) => {
    const table = lend([0, 64], [0x1000, 64]);
    // A page that no process has.
    for (const word of [0, 1, 4, 5]) table.iovecs[word] = 0;
    expect(() => source.fill(table, 0, count)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
  });
});
