import { describe, expect, it } from 'vitest';
import { MemoryTable } from '../../src/control/memory-table.ts';

const entry = (guestAddr: bigint, userAddr: bigint, size: bigint) => ({
  region: { guestAddr, userAddr, size, mmapOffset: 0n },
  mappings: [],
  file: undefined,
  foreign: undefined,
  release: () => Promise.resolve(),
});

describe('MemoryTable', () => {
  it('translates ranges that are whole within one region', () => {
    const table = new MemoryTable([entry(0n, 0x1000n, 0x1000n), entry(0x5000n, 0x2000n, 0x1000n)]);
    expect(table.translate(0x1000n, 0x1000)).toBe(0n);
    expect(table.translate(0x1fffn, 1)).toBe(0xfffn);
    expect(table.translate(0x2010n, 16)).toBe(0x5010n);
    expect(table.translate(0xfffn, 1)).toBeUndefined();
    // Neighbours for the front-end need not be neighbours in the guest.
    expect(table.translate(0x1fffn, 2)).toBeUndefined();
    expect(table.translate(0x2fffn, 2)).toBeUndefined();
    expect(table.translate(0xffff_ffff_ffff_ffffn, 2)).toBeUndefined();
    expect(MemoryTable.EMPTY.translate(0n, 1)).toBeUndefined();
  });

  it('refuses regions that overlap for the guest or for the front-end', () => {
    const first = entry(0x1000n, 0x9000n, 0x1000n);
    for (const other of [
      entry(0x1fffn, 0n, 1n),
      entry(0n, 0x9fffn, 1n),
      entry(0n, 0x2_0000n, 0x1001n),
    ]) {
      expect(() => new MemoryTable([first, other])).toThrow(
        expect.objectContaining({ code: 'INVALID_MEMORY' }),
      );
    }
    expect(new MemoryTable([first, entry(0x2000n, 0xa000n, 1n)]).entries).toHaveLength(2);
  });
});
