import type { FaultMark } from '@node-vmm/vmm-sys-util';
import type { GuestAddress } from './guest-address.ts';
import type { MemoryWindow } from './host-windows.ts';
import type { SegmentTable } from './segment-table.ts';

/** Ours: what a device means to do with memory that it borrows. */
export const ACCESS_READ = 1;
/** Ours: see {@link ACCESS_READ}. */
export const ACCESS_WRITE = 2;
/** Ours: see {@link ACCESS_READ}. */
export const ACCESS_READ_WRITE = 3;
export type Access = typeof ACCESS_READ | typeof ACCESS_WRITE | typeof ACCESS_READ_WRITE;

/** Ours: a byte of the range does not exist, or the table is full. */
export const LEND_FAULT = 0;
/** Ours: the pieces are in the table. */
export const LEND_READY = 1;
/** Ours: the range may exist, but is not mapped or translated yet: `whenReady` tells when to try again. */
export const LEND_NOT_YET = 2;
/** What `GuestMemory.lend` answers. */
export type LendResult = typeof LEND_FAULT | typeof LEND_READY | typeof LEND_NOT_YET;

/**
 * A run of guest physical memory that is mapped in one piece. Nothing of it is shown before it is looked at.
 *
 * What is shown are views of mapped memory: a region refuses once the memory is closed, but a view that was
 * kept then is of memory that may be another's, or a segmentation fault. Whoever closes memory stops its
 * users first.
 */
export interface GuestMemoryRegion {
  readonly guestAddr: GuestAddress;
  /** Bytes, at most `MAX_VIEW_LENGTH`: larger runs are given as several regions. */
  readonly length: number;
  /** Address in this process of the first byte; exact, since user space is below 2^53. */
  readonly hostAddress: number;
  /** Where its mark is, if it is guarded; see `FaultGuard`. */
  readonly fault?: FaultMark | undefined;
  /** The region's bytes, whole. Always the same object. Where it is large, `bytesAt` costs less. */
  readonly bytes: Uint8Array;
  /** The region as a `DataView`, whole. Always the same object. */
  readonly view: DataView;
  /** A part, as a fresh array. The caller has checked that it is within the region. */
  bytesAt(offset: number, length: number): Uint8Array;
  /** What shows a part, for those who look and keep nothing. The caller has checked likewise. */
  windowAt(offset: number, length: number): MemoryWindow;
}

/** A contiguous piece of guest memory on loan. `release` gives it back; idempotent. */
export interface GuestSlice extends Disposable {
  readonly guestAddr: GuestAddress;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly hostAddress: number;
  release(): void;
}

/**
 * Guest physical memory as a device sees it. Consumers only read, write and borrow; how the memory
 * came to be mapped (memfd, Xen foreign mapping, later grants mapped on demand) is the owner's.
 *
 * Borrowed memory has a lifetime: memory that is mapped on demand is unmapped when the last loan of
 * it is given back, so nothing may be kept past `release`.
 */
export interface GuestMemory extends Disposable {
  /** Regions that are always mapped, in ascending order, never overlapping. */
  readonly regions: readonly GuestMemoryRegion[];

  /**
   * True once some of the memory was found not to be there: its file was truncated, or has no room for
   * it. What was read since the last look may be zeros that nobody wrote, and what was written may have
   * gone nowhere. Always false where nothing guards the memory, and SIGBUS ends the process instead.
   */
  readonly faulted: boolean;

  /** True when every byte of `[guestAddr, guestAddr + length)` exists. */
  contains(guestAddr: GuestAddress, length: number): boolean;

  /**
   * Copies out of guest memory, across region borders; all or nothing.
   *
   * @throws {VmMemoryError} OUT_OF_RANGE
   */
  read(guestAddr: GuestAddress, target: Uint8Array): void;
  /** Copies into guest memory; as `read`. */
  write(guestAddr: GuestAddress, source: Uint8Array): void;
  readU8(guestAddr: GuestAddress): number;
  readU16(guestAddr: GuestAddress): number;
  readU32(guestAddr: GuestAddress): number;
  readU64(guestAddr: GuestAddress): bigint;
  writeU8(guestAddr: GuestAddress, value: number): void;
  writeU16(guestAddr: GuestAddress, value: number): void;
  writeU32(guestAddr: GuestAddress, value: number): void;
  writeU64(guestAddr: GuestAddress, value: bigint): void;

  /**
   * Borrows a run that lies within one region (a ring, a table).
   *
   * @throws {VmMemoryError} OUT_OF_RANGE; NOT_CONTIGUOUS when it crosses a region border; NOT_YET when
   * it is not mapped or translated yet, see `whenReady`
   */
  slice(guestAddr: GuestAddress, length: number, access: Access): GuestSlice;

  /**
   * The data path's borrow: appends the pieces of `[addr, addr + length)` to `table`, one for each
   * region touched, or more where that is longer than `MAX_PIECE`, without allocating and without `bigint`.
   *
   * @param addrLow - bits 31..0 of the guest address
   * @param addrHigh - bits 63..32
   * @param length - bytes, 1..2^32 - 1
   * @returns LEND_READY; else the table is as it was. After LEND_NOT_YET the memory keeps what it
   * fetched until the loan is tried again, so that one of several pieces comes to an end
   */
  lend(
    addrLow: number,
    addrHigh: number,
    length: number,
    access: Access,
    table: SegmentTable,
  ): LendResult;

  /**
   * To be called after a loan that had to wait (LEND_NOT_YET, or NOT_YET of `slice`).
   *
   * @param retry - called once, on this thread and never from within a call of this object, when the
   * loan may be tried again; never once the memory is disposed of
   */
  whenReady(retry: () => void): void;

  /** Gives back entries `[first, first + count)` of a table that `lend` filled. */
  giveBack(table: SegmentTable, first: number, count: number): void;
}
