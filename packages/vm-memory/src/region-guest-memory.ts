import { type FaultMark, FaultWatch, TWO_32 } from '@node-vmm/vmm-sys-util';
import { copyBytes } from './copy-bytes.ts';
import { rangeText, VmMemoryError } from './errors.ts';
import type { GuestAddress } from './guest-address.ts';
import {
  type Access,
  type GuestMemory,
  type GuestMemoryRegion,
  type GuestSlice,
  LEND_FAULT,
  LEND_READY,
  type LendResult,
} from './guest-memory.ts';
import { GuestNumbers } from './guest-numbers.ts';
import { sortRanges } from './guest-range.ts';
import { MappedRegion } from './mapped-region.ts';
import { RegionSlice } from './region-slice.ts';
import type { SegmentTable } from './segment-table.ts';

// Stands for "nothing here": every range check against it fails.
const NOWHERE = MappedRegion.ofBuffer(0n as GuestAddress, 0, new ArrayBuffer(0));
const NO_BYTES = new Uint8Array(0);
const NO_VIEW = new DataView(NO_BYTES.buffer);

/**
 * {@link GuestMemory} over regions that stay mapped for as long as it lives: the base of the memfd
 * and Xen implementations. Lookups try the region of the last hit first, since consecutive accesses
 * of a queue rarely leave it.
 */
export class RegionGuestMemory extends GuestNumbers implements GuestMemory {
  #regions: readonly MappedRegion[];
  readonly #owned: readonly Disposable[];
  #last: MappedRegion;
  /** What was shown last: where it begins, how long it is, and its bytes. */
  #start = 0;
  #length = -1;
  #bytes: Uint8Array = NO_BYTES;
  #view: DataView = NO_VIEW;
  #live = true;
  readonly #faults: FaultWatch;

  /**
   * @param regions - in any order; adjacent ones are accessed across their border
   * @param owned - what keeps them mapped, disposed of when the memory is
   * @throws {VmMemoryError} BAD_REGION, OVERLAP; `owned` stays the caller's then
   */
  constructor(regions: Iterable<MappedRegion>, owned: readonly Disposable[] = []) {
    super();
    this.#regions = sortRanges(regions);
    this.#last = this.#regions[0] ?? NOWHERE;
    this.#owned = owned;
    this.#faults = new FaultWatch(marksOf(this.#regions));
  }

  get regions(): readonly GuestMemoryRegion[] {
    return this.#regions;
  }

  get faulted(): boolean {
    return this.#faults.faulted;
  }

  /** False once closed. */
  get live(): boolean {
    return this.#live;
  }

  contains(guestAddr: GuestAddress, length: number): boolean {
    return this.#covered(Number(guestAddr), length);
  }

  read(guestAddr: GuestAddress, target: Uint8Array): void {
    this.#copy(guestAddr, target, false);
  }

  write(guestAddr: GuestAddress, source: Uint8Array): void {
    this.#copy(guestAddr, source, true);
  }

  slice(guestAddr: GuestAddress, length: number, _access: Access): GuestSlice {
    if (!Number.isInteger(length) || length <= 0) throw outOfRange(guestAddr, length);
    const region = this.#within(guestAddr, length);
    if (region !== undefined) {
      return new RegionSlice(region, Number(guestAddr) - region.start, length);
    }
    if (!this.contains(guestAddr, length)) throw outOfRange(guestAddr, length);
    throw new VmMemoryError(
      'NOT_CONTIGUOUS',
      `Cannot borrow ${rangeText(guestAddr, length)}: the run crosses a region border`,
      { guestAddr, length: BigInt(length) },
    );
  }

  lend(
    addrLow: number,
    addrHigh: number,
    length: number,
    _access: Access,
    table: SegmentTable,
  ): LendResult {
    const address = addrHigh * TWO_32 + addrLow;
    const last = this.#last;
    const offset = address - last.start;
    if (offset >= 0 && offset + length <= last.length && length > 0 && length <= last.maxPiece) {
      return table.push(last, offset, length) ? LEND_READY : LEND_FAULT;
    }
    return this.#lendAcross(address, length, table);
  }

  whenReady(_retry: () => void): void {
    // Everything is mapped: no loan has to wait.
  }

  giveBack(_table: SegmentTable, _first: number, _count: number): void {
    // Everything stays mapped until the memory is closed: a loan costs nothing and needs no end.
  }

  /** Unmaps what the memory owns. Views of it that were kept must not be used. Idempotent. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    for (const region of this.#regions) region.close();
    this.#regions = [];
    this.#last = NOWHERE;
    this.#length = -1;
    this.#bytes = NO_BYTES;
    this.#view = NO_VIEW;
    for (const owner of this.#owned) owner[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  protected shown(guestAddr: GuestAddress, length: number): DataView | undefined {
    const at = this.#shown(guestAddr, length);
    if (at < 0) return undefined;
    this.at = at;
    return this.#view;
  }

  /** Index of the last region that starts at or below `address`, -1 when there is none. */
  #indexAt(address: number): number {
    const regions = this.#regions;
    let low = 0;
    let high = regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((regions[middle] as MappedRegion).start <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The region that holds the whole range, else undefined. */
  #within(guestAddr: GuestAddress, length: number): MappedRegion | undefined {
    const address = Number(guestAddr);
    let region = this.#last;
    if (address < region.start || address + length > region.start + region.length) {
      region = this.#regions[this.#indexAt(address)] ?? NOWHERE;
      if (address + length > region.start + region.length) return undefined;
      this.#last = region;
    }
    return region;
  }

  #covered(address: number, length: number): boolean {
    if (length === 0) return true;
    if (!(length > 0)) return false;
    const regions = this.#regions;
    let i = this.#indexAt(address);
    let at = address;
    for (let region = regions[i]; region !== undefined; region = regions[++i]) {
      const end = region.start + region.length;
      if (at < region.start || at >= end) return false;
      if (address + length <= end) return true;
      at = end;
    }
    return false;
  }

  #lendAcross(address: number, length: number, table: SegmentTable): LendResult {
    if (length === 0 || !this.#covered(address, length)) return LEND_FAULT;
    const mark = table.count;
    let i = this.#indexAt(address);
    let at = address;
    let left = length;
    while (left > 0) {
      const region = this.#regions[i] as MappedRegion;
      const offset = at - region.start;
      const run = Math.min(left, region.length - offset, region.maxPiece);
      if (offset + run === region.length) i++;
      if (!table.push(region, offset, run)) {
        table.truncate(mark);
        return LEND_FAULT;
      }
      this.#last = region;
      at += run;
      left -= run;
    }
    return LEND_READY;
  }

  /**
   * Where in `#bytes` and `#view` the range begins, which are made to show it where it is within one region.
   *
   * @returns -1 when it is not, or is longer than what one window shows
   */
  #shown(guestAddr: GuestAddress, length: number): number {
    const address = Number(guestAddr);
    const at = address - this.#start;
    if (at >= 0 && at + length <= this.#length) return at;
    const region = this.#within(guestAddr, length);
    if (region === undefined || length > region.maxPiece) return -1;
    const offset = address - region.start;
    const window = region.windowAt(offset, length);
    this.#start = region.start + window.offset;
    this.#length = window.length;
    this.#bytes = window.bytes;
    this.#view = window.view;
    return offset - window.offset;
  }

  #copy(guestAddr: GuestAddress, bytes: Uint8Array, toGuest: boolean): void {
    const { length } = bytes;
    if (length === 0) return;
    const at = this.#shown(guestAddr, length);
    if (at < 0) this.#copyAcross(guestAddr, bytes, toGuest);
    else if (toGuest) copyBytes(bytes, 0, this.#bytes, at, length);
    else copyBytes(this.#bytes, at, bytes, 0, length);
  }

  #copyAcross(guestAddr: GuestAddress, bytes: Uint8Array, toGuest: boolean): void {
    const { length } = bytes;
    const address = Number(guestAddr);
    if (!this.#covered(address, length)) throw outOfRange(guestAddr, length);
    let i = this.#indexAt(address);
    for (let done = 0; done < length; ) {
      const region = this.#regions[i] as MappedRegion;
      const offset = address + done - region.start;
      const run = Math.min(length - done, region.length - offset, region.maxPiece);
      if (offset + run === region.length) i++;
      const window = region.windowAt(offset, run);
      const at = offset - window.offset;
      if (toGuest) copyBytes(bytes, done, window.bytes, at, run);
      else copyBytes(window.bytes, at, bytes, done, run);
      done += run;
    }
  }
}

function marksOf(regions: readonly MappedRegion[]): FaultMark[] {
  const marks: FaultMark[] = [];
  for (const { fault } of regions) if (fault !== undefined) marks.push(fault);
  return marks;
}

function outOfRange(guestAddr: GuestAddress, length: number): VmMemoryError {
  return new VmMemoryError(
    'OUT_OF_RANGE',
    `Cannot access ${rangeText(guestAddr, length)}: no guest memory there`,
    { guestAddr, length: Number.isSafeInteger(length) ? BigInt(length) : 0n },
  );
}
