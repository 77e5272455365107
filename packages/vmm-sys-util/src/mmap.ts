import { readFileSync } from 'node:fs';
import type { Fd, HostPointer } from './brand.ts';
import { asFd } from './brand.ts';
import { SysError } from './errors.ts';
import { closeFd } from './fd.ts';
import { callAsync, check, errno, sys, viewOf } from './libc.ts';

/** asm-generic/mman-common.h, asm-generic/mman.h. */
export const PROT_NONE = 0;
/** asm-generic/mman-common.h. */
export const PROT_READ = 1;
/** asm-generic/mman-common.h. */
export const PROT_WRITE = 2;
/** asm-generic/mman-common.h. */
export const PROT_EXEC = 4;
/** linux/mman.h. */
export const MAP_SHARED = 0x01;
/** asm-generic/mman-common.h. */
export const MAP_PRIVATE = 0x02;
/** asm-generic/mman-common.h. */
export const MAP_FIXED = 0x10;
/** asm-generic/mman-common.h. */
export const MAP_ANONYMOUS = 0x20;
/** asm-generic/mman.h. */
export const MAP_LOCKED = 0x2000;
/** asm-generic/mman-common.h. */
export const MAP_NORESERVE = 0x4000;
/** asm-generic/mman-common.h. */
export const MAP_POPULATE = 0x8000;
/** linux/memfd.h. */
export const MFD_CLOEXEC = 1;
/** linux/memfd.h. */
export const MFD_ALLOW_SEALING = 2;
/** linux/memfd.h. */
export const MFD_HUGETLB = 4;
/** linux/memfd.h: where the binary logarithm of the size of huge pages is. */
const MFD_HUGE_SHIFT = 26;
/** linux/fcntl.h. */
export const F_ADD_SEALS = 1033;
export const F_GET_SEALS = 1034;
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
/** linux/fcntl.h. */
export const F_SEAL_WRITE = 8;
/** linux/fcntl.h. */
export const F_SEAL_FUTURE_WRITE = 16;

/** Ours: size of a page as Xen and all our guests count it, in bytes. */
export const PAGE_SIZE = 4096;

const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/**
 * Ours: largest piece that one `ArrayBuffer` shows: 4 GiB, all that Node 20 can. Later ones say 2^53 - 1,
 * no whole number of pages, and what is done piece by piece would be done in one.
 */
export const MAX_VIEW_LENGTH: number = 2 ** 32;

export interface MmapOptions {
  /** Bytes, > 0. */
  readonly length: number;
  /** Default `PROT_READ | PROT_WRITE`. */
  readonly prot?: number;
  /** Default `MAP_SHARED`, or private anonymous memory without `fd`. */
  readonly flags?: number;
  readonly fd?: Fd;
  /** Byte offset in `fd`, page-aligned. */
  readonly offset?: bigint | number;
  /** What is mapped, for messages. */
  readonly subject?: string;
}

/**
 * A mapping that this process owns. Closing it unmaps; a view used afterwards would be a
 * segmentation fault, so `bytes` and `view()` refuse once closed and holders of views must be
 * finished before the owner closes.
 */
export class Mapping implements Disposable {
  readonly pointer: HostPointer;
  readonly length: number;
  #live = true;

  private constructor(pointer: HostPointer, length: number) {
    this.pointer = pointer;
    this.length = length;
  }

  /**
   * @throws {SysError} of `mmap`
   * @throws {RangeError} when `length` is no positive integer
   */
  static create(options: MmapOptions): Mapping {
    const { length, fd, offset = 0 } = options;
    if (!Number.isSafeInteger(length) || length <= 0) {
      throw new RangeError(`"length" expected a positive integer, got ${length}`);
    }
    const prot = options.prot ?? PROT_READ | PROT_WRITE;
    const flags = options.flags ?? (fd === undefined ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    const pointer = sys.mmap(null, length, prot, flags, fd ?? -1, offset);
    if (pointer === MAP_FAILED) {
      const subject = options.subject;
      throw new SysError({
        syscall: 'mmap',
        errno: errno(),
        ...(subject === undefined ? {} : { subject }),
      });
    }
    return new Mapping(pointer, length);
  }

  get live(): boolean {
    return this.#live;
  }

  /**
   * The memory, or a window of it. Every call makes a new `ArrayBuffer` object over the same bytes.
   *
   * @param offset - bytes, within the mapping
   * @param length - bytes, at most {@link MAX_VIEW_LENGTH}
   * @throws {RangeError} when the window is not within the mapping, or the mapping is closed
   */
  buffer(offset = 0, length: number = this.length - offset): ArrayBuffer {
    if (!this.#live) throw new RangeError('Cannot view a mapping: it is closed');
    if (offset < 0 || length < 0 || offset + length > this.length) {
      throw new RangeError(
        `Cannot view a mapping of ${this.length} bytes: [${offset}, ${offset + length}) is outside`,
      );
    }
    // SAFETY: this object owns [pointer, pointer + length) until close(); the window is within.
    return viewOf((this.pointer + BigInt(offset)) as HostPointer, length);
  }

  /**
   * Replaces a window of this mapping by a mapping of its own (`MAP_FIXED`), so that several files,
   * or several pieces of one device, form one run of addresses. `close` unmaps all of it.
   *
   * @param at - byte offset of the window, page-aligned
   * @param options - `length` bytes within this mapping; the flags get `MAP_FIXED`
   * @throws {SysError} of `mmap`; the window may then be unmapped
   * @throws {RangeError} when the window is not within the mapping, or the mapping is closed
   */
  overlay(at: number, options: MmapOptions): void {
    const { length, fd, offset = 0 } = options;
    if (!this.#live) throw new RangeError('Cannot overlay a mapping: it is closed');
    if (at < 0 || length <= 0 || at % PAGE_SIZE !== 0 || at + length > this.length) {
      throw new RangeError(
        `Cannot overlay a mapping of ${this.length} bytes: [${at}, ${at + length}) is no window`,
      );
    }
    const prot = options.prot ?? PROT_READ | PROT_WRITE;
    const flags = options.flags ?? (fd === undefined ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    // SAFETY: the window is within the range that this object owns, so nobody else's memory goes.
    const where = (this.pointer + BigInt(at)) as HostPointer;
    if (sys.mmap(where, length, prot, flags | MAP_FIXED, fd ?? -1, offset) === MAP_FAILED) {
      throw new SysError({
        syscall: 'mmap(MAP_FIXED)',
        errno: errno(),
        ...(options.subject === undefined ? {} : { subject: options.subject }),
      });
    }
  }

  /**
   * Puts empty memory of this process's own in place of all of it, in one call: who still has a view sees
   * zeros, and the addresses serve nobody else until `close`. What was mapped is let go of. For a mapping
   * that may only be unmapped whole, as one of privcmd's, this is that.
   *
   * Such memory can be written to, unless `vm.overcommit_memory` is 2: then that is a segmentation fault.
   *
   * @throws {SysError} ENOMEM when the process may have no more mappings
   * @throws {RangeError} when the mapping is closed
   */
  vacate(): void {
    this.overlay(0, { length: this.length, prot: emptyProt(), flags: EMPTY });
  }

  /**
   * As {@link vacate}, on another thread: what is mapped may take long to let go of. Nothing else may be done
   * with this object before the answer.
   *
   * @returns false when the process may have no more mappings: what was mapped is then there as before
   * @throws {RangeError} when the mapping is closed
   */
  async vacateAsync(): Promise<boolean> {
    if (!this.#live) throw new RangeError('Cannot vacate a mapping: it is closed');
    const { pointer, length } = this;
    const flags = EMPTY | MAP_FIXED;
    // SAFETY: as in `overlay`: the range is this object's own until `close`.
    const at = await callAsync(sys.mmap, pointer, length, emptyProt(), flags, -1, 0);
    return at !== MAP_FAILED;
  }

  /** Unmaps. Idempotent. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    check(sys.munmap(this.pointer, this.length), 'munmap');
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const EMPTY = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/**
 * Where memory is never overcommitted, room that can be written to would count as used. It must not be tried:
 * a call that fails late leaves a hole, which another thread may take.
 */
function emptyProt(): number {
  const strict = readFileSync('/proc/sys/vm/overcommit_memory', 'latin1').trim() === '2';
  return strict ? PROT_READ : PROT_READ | PROT_WRITE;
}

/**
 * How much address space a process has, from where its stack is: a power of two, 2^47 on x86_64.
 *
 * @returns bytes
 */
export function addressSpaceSize(): number {
  const maps = readFileSync('/proc/self/maps', 'latin1');
  const stack = /-([0-9a-f]+) .*\[stack\]$/m.exec(maps)?.[1];
  if (stack === undefined) return 2 ** 47;
  return 2 ** Math.ceil(Math.log2(Number.parseInt(stack, 16)));
}

/**
 * What nobody can do any more to a file in memory: `F_SEAL_SHRINK` ... as a mask.
 *
 * @returns 0 for files that cannot be sealed: those on a disk, pipes, sockets
 */
export function fileSeals(fd: Fd): number {
  return Math.max(0, sys.fcntl(fd, F_GET_SEALS, 0));
}

/** How an anonymous file in memory is made. */
export interface MemfdOptions {
  /** Bytes of a huge page, of which the file is made then; a size that the machine has, such as 2 MiB. */
  readonly hugePageSize?: number;
}

/**
 * Creates an anonymous file in memory of a fixed size, sealed against shrinking so that a peer that
 * maps it cannot be killed by SIGBUS.
 *
 * @param name - for /proc; up to 249 bytes
 * @param size - bytes; whole huge pages, where it is made of such
 * @throws {SysError} EINVAL or ENODEV for huge pages of a size that the machine does not have
 */
export function memfdCreate(name: string, size: number, options: MemfdOptions = {}): Fd {
  const { hugePageSize } = options;
  const huge =
    hugePageSize === undefined ? 0 : MFD_HUGETLB | (Math.log2(hugePageSize) << MFD_HUGE_SHIFT);
  const flags = (MFD_CLOEXEC | MFD_ALLOW_SEALING | huge) >>> 0;
  const fd = asFd(check(sys.memfdCreate(name, flags), 'memfd_create'));
  try {
    check(sys.ftruncate(fd, size), 'ftruncate', name);
    check(sys.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 'fcntl(F_ADD_SEALS)', name);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  return fd;
}
