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
import { sortRanges } from './guest-range.ts';
import { MappedRegion } from './mapped-region.ts';
import { RegionSlice } from './region-slice.ts';
import type { SegmentTable } from './segment-table.ts';

// Stands for "nothing here": every range check against it fails.
const NOWHERE = new MappedRegion(0n as GuestAddress, 0, new ArrayBuffer(0));

/**
 * {@link GuestMemory} over regions that stay mapped for as long as it lives: the base of the memfd
 * and Xen implementations. Lookups try the region of the last hit first, since consecutive accesses
 * of a queue rarely leave it.
 */
export class RegionGuestMemory implements GuestMemory {
  #regions: readonly MappedRegion[];
  readonly #owned: readonly Disposable[];
  #last: MappedRegion;
  #live = true;
  readonly #faults: FaultWatch;
  readonly #scratch = new Uint8Array(8);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  /**
   * @param regions - in any order; adjacent ones are accessed across their border
   * @param owned - what keeps them mapped, disposed of when the memory is
   * @throws {VmMemoryError} BAD_REGION, OVERLAP; `owned` stays the caller's then
   */
  constructor(regions: Iterable<MappedRegion>, owned: readonly Disposable[] = []) {
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

  readU8(guestAddr: GuestAddress): number {
    const region = this.#within(guestAddr, 1);
    if (region === undefined) throw outOfRange(guestAddr, 1);
    return region.view.getUint8(Number(guestAddr) - region.start);
  }

  readU16(guestAddr: GuestAddress): number {
    const region = this.#within(guestAddr, 2);
    if (region !== undefined) {
      return region.view.getUint16(Number(guestAddr) - region.start, true);
    }
    this.read(guestAddr, this.#scratch.subarray(0, 2));
    return this.#scratchView.getUint16(0, true);
  }

  readU32(guestAddr: GuestAddress): number {
    const region = this.#within(guestAddr, 4);
    if (region !== undefined) {
      return region.view.getUint32(Number(guestAddr) - region.start, true);
    }
    this.read(guestAddr, this.#scratch.subarray(0, 4));
    return this.#scratchView.getUint32(0, true);
  }

  readU64(guestAddr: GuestAddress): bigint {
    const region = this.#within(guestAddr, 8);
    if (region !== undefined) {
      return region.view.getBigUint64(Number(guestAddr) - region.start, true);
    }
    this.read(guestAddr, this.#scratch);
    return this.#scratchView.getBigUint64(0, true);
  }

  writeU8(guestAddr: GuestAddress, value: number): void {
    const region = this.#within(guestAddr, 1);
    if (region === undefined) throw outOfRange(guestAddr, 1);
    region.view.setUint8(Number(guestAddr) - region.start, value);
  }

  writeU16(guestAddr: GuestAddress, value: number): void {
    const region = this.#within(guestAddr, 2);
    if (region !== undefined) {
      region.view.setUint16(Number(guestAddr) - region.start, value, true);
      return;
    }
    this.#scratchView.setUint16(0, value, true);
    this.write(guestAddr, this.#scratch.subarray(0, 2));
  }

  writeU32(guestAddr: GuestAddress, value: number): void {
    const region = this.#within(guestAddr, 4);
    if (region !== undefined) {
      region.view.setUint32(Number(guestAddr) - region.start, value, true);
      return;
    }
    this.#scratchView.setUint32(0, value, true);
    this.write(guestAddr, this.#scratch.subarray(0, 4));
  }

  writeU64(guestAddr: GuestAddress, value: bigint): void {
    const region = this.#within(guestAddr, 8);
    if (region !== undefined) {
      region.view.setBigUint64(Number(guestAddr) - region.start, value, true);
      return;
    }
    this.#scratchView.setBigUint64(0, value, true);
    this.write(guestAddr, this.#scratch);
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
    if (offset >= 0 && offset + length <= last.length && length > 0) {
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
    for (const owner of this.#owned) owner[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
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
      const region = this.#regions[i++] as MappedRegion;
      const offset = at - region.start;
      const run = Math.min(left, region.length - offset);
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

  #copy(guestAddr: GuestAddress, bytes: Uint8Array, toGuest: boolean): void {
    const length = bytes.length;
    if (length === 0) return;
    let region = this.#within(guestAddr, length);
    let at = Number(guestAddr);
    let done = 0;
    if (region === undefined && !this.#covered(at, length)) throw outOfRange(guestAddr, length);
    for (let i = region === undefined ? this.#indexAt(at) : 0; done < length; i++) {
      region ??= this.#regions[i] as MappedRegion;
      const offset = at - region.start;
      const run = Math.min(length - done, region.length - offset);
      if (toGuest) copyBytes(bytes, done, region.bytes, offset, run);
      else copyBytes(region.bytes, offset, bytes, done, run);
      at += run;
      done += run;
      region = undefined;
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
