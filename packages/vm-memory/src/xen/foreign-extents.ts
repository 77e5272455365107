import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { GuestAddress } from '../guest-address.ts';
import { type GuestRange, sortRanges } from '../guest-range.ts';
import type { ForeignSource } from './foreign-source.ts';

/** Ours: pages that are asked for at once. */
const SAMPLES = 256n;
/** One page in so many bytes is asked for; a balloon leaves some of 256 in any window with memory. */
const STRIDE = 256n * 1024n;
/** Looked at as one: bytes. */
const WINDOW = SAMPLES * STRIDE;
/** Ours: most pages of a range that are asked for, so that 1 TiB takes no longer than 16 GiB do. */
const MAX_SAMPLES = 65_536n;
/** Ours: beginning of a larger range that is looked at as a small one is: bytes. */
const BEGINNING = 1024n * 1024n * 1024n;
/** Ours: mapped at once, and let go of before the next: bytes. */
const CHUNK = 2n * 1024n * 1024n;

/** RAM banks of a guest, as {@link findBanks} looks for them. */
export interface BankSearch {
  /** Where the architecture has RAM, ascending, page-aligned. */
  readonly ranges: readonly GuestRange[];
  /**
   * Bytes that the guest may have at most (`XENMEM_maximum_reservation`), undefined where nobody says: then
   * a bank ends where no more memory is found.
   */
  readonly limit: bigint | undefined;
  /** Bytes without memory after which, without a limit, the rest of a range is not looked at. */
  readonly giveUpAfter: bigint;
}

/**
 * The RAM banks of a guest: ranges in which it may have memory, holes included, now or after it ballooned.
 * A bank is as large as what the guest may have; what is behind the last memory found in it, a higher one may
 * have (firmware moves RAM from below 4 GiB to above). One in which none is found is left out. Single pages
 * are looked at, one in 256 KiB, or fewer of ranges over 16 GiB, and never more than the limit has.
 *
 * @throws {VmMemoryError} FOREIGN_MAP_FAILED when the guest cannot be asked
 */
export async function findBanks(source: ForeignSource, search: BankSearch): Promise<GuestRange[]> {
  const banks: GuestRange[] = [];
  let left = search.limit;
  for (const { guestAddr, length } of search.ranges) {
    const size = BigInt(length);
    const bound = left === undefined || size < left ? size : left;
    if (bound === 0n) break;
    const used =
      left === undefined
        ? await firstToLast(source, guestAddr, bound, search.giveUpAfter)
        : await lastWithMemory(source, guestAddr, bound);
    if (used === 0n) continue;
    banks.push({ guestAddr, length: left === undefined ? used : bound });
    if (left !== undefined) left -= used;
  }
  return banks;
}

/**
 * Whether a guest has memory in ranges that somebody told of; those without any are left out.
 *
 * @throws {VmMemoryError} as {@link findBanks}
 */
export async function banksWithMemory(
  source: ForeignSource,
  ranges: readonly GuestRange[],
): Promise<GuestRange[]> {
  const banks: GuestRange[] = [];
  for (const bank of ranges) {
    if ((await lastWithMemory(source, bank.guestAddr, BigInt(bank.length))) > 0n) banks.push(bank);
  }
  return banks;
}

/**
 * The memory that is in ranges now: holes end an extent. Every page is mapped once, in chunks, each of which
 * is let go of before the next.
 *
 * @param signal - gives up before the next chunk
 * @throws {VmMemoryError} as {@link findBanks}
 * @throws the signal's reason
 */
export async function extentsOf(
  source: ForeignSource,
  ranges: Iterable<GuestRange>,
  signal?: AbortSignal,
): Promise<GuestRange[]> {
  const extents: { guestAddr: GuestAddress; length: bigint }[] = [];
  const add = (guestAddr: bigint, length: bigint): void => {
    const last = extents.at(-1);
    if (last !== undefined && last.guestAddr + last.length === guestAddr) last.length += length;
    else extents.push({ guestAddr: guestAddr as GuestAddress, length });
  };
  for (const { guestAddr, length } of sortRanges(ranges)) {
    const end = guestAddr + BigInt(length);
    for (let at: bigint = guestAddr; at < end; at += CHUNK) {
      signal?.throwIfAborted();
      const size = Number(end - at < CHUNK ? end - at : CHUNK);
      using mapped = await source.mapAsync({ guestAddr: at as GuestAddress, length: size });
      for (const [i, error] of mapped.errors.entries()) {
        if (error === 0) add(at + BigInt(i * PAGE_SIZE), BigInt(PAGE_SIZE));
      }
    }
  }
  return extents;
}

/** Bytes from a base to the end of the last window with memory, which is looked for from above; 0: none. */
async function lastWithMemory(source: ForeignSource, base: bigint, bound: bigint): Promise<bigint> {
  const stride = strideOf(bound);
  const window = SAMPLES * stride;
  for (let at = ((bound - 1n) / window) * window; at >= 0n; at -= window) {
    const size = bound - at < window ? bound - at : window;
    if (await source.hasAny(samples(base + at, size, stride))) return at + size;
  }
  if (stride === STRIDE) return 0n;
  // Little memory is where a range begins.
  return await firstToLast(source, base, BEGINNING, BEGINNING);
}

/** Bytes from a page that is looked at to the next, in a range of so many. */
function strideOf(bound: bigint): bigint {
  const times = (bound + MAX_SAMPLES * STRIDE - 1n) / (MAX_SAMPLES * STRIDE);
  return times * STRIDE;
}

/** As {@link lastWithMemory}, from below, for ranges far larger than the memory in them. */
async function firstToLast(
  source: ForeignSource,
  base: bigint,
  bound: bigint,
  giveUpAfter: bigint,
): Promise<bigint> {
  let used = 0n;
  for (let at = 0n; at < bound && at - used < giveUpAfter; at += WINDOW) {
    const size = bound - at < WINDOW ? bound - at : WINDOW;
    if (await source.hasAny(samples(base + at, size, STRIDE))) used = at + size;
  }
  return used;
}

function samples(base: bigint, size: bigint, stride: bigint): BigUint64Array {
  const count = Number((size + stride - 1n) / stride);
  return BigUint64Array.from(
    { length: count },
    (_, i) => (base + BigInt(i) * stride) / BigInt(PAGE_SIZE),
  );
}
