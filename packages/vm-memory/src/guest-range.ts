import { rangeText, VmMemoryError } from './errors.ts';
import type { GuestAddress } from './guest-address.ts';

/** A run of guest physical addresses. */
export interface GuestRange {
  readonly guestAddr: GuestAddress;
  /** Bytes, > 0. */
  readonly length: bigint | number;
}

/**
 * Ours: where guest memory must end: 2^53. Addresses below it are exact as numbers, which keeps `bigint`
 * out of the data path; no processor has more than 52 physical address bits.
 */
export const GUEST_ADDRESS_LIMIT: bigint = 2n ** 53n;

/**
 * Checks ranges that a peer or a configuration gave.
 *
 * @returns the ranges in ascending order
 * @throws {VmMemoryError} BAD_REGION for an empty range or one that ends over
 * {@link GUEST_ADDRESS_LIMIT}; OVERLAP
 */
export function sortRanges<R extends GuestRange>(ranges: Iterable<R>): R[] {
  const sorted = [...ranges].sort((a, b) => (a.guestAddr < b.guestAddr ? -1 : 1));
  let end = 0n;
  for (const { guestAddr, length } of sorted) {
    const context = { guestAddr, length: BigInt(length) };
    if (context.length <= 0n || guestAddr < 0n) {
      throw new VmMemoryError(
        'BAD_REGION',
        `Cannot use a region of ${rangeText(guestAddr, length)}: it is empty`,
        context,
      );
    }
    if (guestAddr + context.length > GUEST_ADDRESS_LIMIT) {
      throw new VmMemoryError(
        'BAD_REGION',
        `Cannot use a region of ${rangeText(guestAddr, length)}: it ends over 2^53`,
        context,
      );
    }
    if (guestAddr < end) {
      throw new VmMemoryError(
        'OVERLAP',
        `Cannot use a region of ${rangeText(guestAddr, length)}: it overlaps another`,
        context,
      );
    }
    end = guestAddr + context.length;
  }
  return sorted;
}
