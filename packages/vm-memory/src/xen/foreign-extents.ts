import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { GuestAddress } from '../guest-address.ts';
import type { GuestRange } from '../guest-range.ts';
import type { ForeignSource } from './foreign-source.ts';

/** Looked at as one: bytes. */
const WINDOW = 64n * 1024n * 1024n;
/** One page in so many bytes is asked for; a balloon leaves some of 256 in any window with memory. */
const STRIDE = 256n * 1024n;

/**
 * The parts of ranges that have memory, by windows of 64 MiB: their ends may have none. What is
 * asked for is a sample, so that gigabytes without memory cost thousands of pages and no millions.
 *
 * @param ranges - ascending, page-aligned
 * @param giveUpAfter - bytes without memory after which the rest of a range is left out
 * @throws {VmMemoryError} FOREIGN_MAP_FAILED when the guest cannot be asked
 */
export async function extentsWithMemory(
  source: ForeignSource,
  ranges: readonly GuestRange[],
  giveUpAfter: bigint,
): Promise<GuestRange[]> {
  const extents: { guestAddr: GuestAddress; length: bigint }[] = [];
  for (const { guestAddr, length } of ranges) {
    const end = guestAddr + BigInt(length);
    let empty = 0n;
    for (let at: bigint = guestAddr; at < end && empty < giveUpAfter; at += WINDOW) {
      const size = end - at < WINDOW ? end - at : WINDOW;
      if (!(await source.hasAny(samples(at, size)))) {
        empty += size;
        continue;
      }
      empty = 0n;
      const last = extents.at(-1);
      if (last !== undefined && last.guestAddr + last.length === at) last.length += size;
      else extents.push({ guestAddr: at as GuestAddress, length: size });
    }
  }
  return extents;
}

function samples(base: bigint, size: bigint): BigUint64Array {
  const count = Number((size + STRIDE - 1n) / STRIDE);
  return BigUint64Array.from(
    { length: count },
    (_, i) => (base + BigInt(i) * STRIDE) / BigInt(PAGE_SIZE),
  );
}
