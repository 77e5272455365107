import { fstatSync } from 'node:fs';
import {
  type FaultGuard,
  type FaultMark,
  type FaultProtection,
  FaultWatch,
  type Fd,
  isPowerOfTwo,
  Mapping,
  mappingPageSize,
  PAGE_SIZE,
} from '@node-vmm/vmm-sys-util';
import { deviceName } from './device-name.ts';
import { rangeText, VmMemoryError } from './errors.ts';
import type { GuestRange } from './guest-range.ts';

/** A region of guest memory in a file, as a vhost-user front-end describes it. */
export interface FdRegion extends GuestRange {
  /** Regular file, memfd, or a device that has memory. */
  readonly fd: Fd;
  /** Byte offset of the region in the file; need not be aligned. */
  readonly fdOffset: bigint | number;
}

/**
 * A part of a file, or of a device that has memory, mapped once, for as many as are to reach some of it. Keeps
 * no descriptor.
 */
export class FileMapping implements Disposable {
  /** Where in the file it begins, bytes. */
  readonly fileOffset: bigint;
  readonly mapping: Mapping;
  readonly #protection: FaultProtection | undefined;
  readonly #faults: FaultWatch | undefined;

  private constructor(
    fileOffset: bigint,
    mapping: Mapping,
    protection: FaultProtection | undefined,
  ) {
    this.fileOffset = fileOffset;
    this.mapping = mapping;
    this.#protection = protection;
    this.#faults = protection === undefined ? undefined : new FaultWatch([protection.mark]);
  }

  /**
   * Looks at what a region's descriptor is, as it is now.
   *
   * @throws {VmMemoryError} BAD_REGION, FILE_TOO_SMALL
   */
  static check(region: FdRegion): void {
    const { guestAddr, fd } = region;
    const length = BigInt(region.length);
    const fdOffset = BigInt(region.fdOffset);
    const context = { guestAddr, length };
    const stat = fstatSync(fd, { bigint: true });
    // No mapping of theirs may be replaced in part, which a guard would do.
    if (deviceName(stat)?.startsWith('xen!') === true) {
      const text =
        `Cannot map ${rangeText(guestAddr, length)}: descriptor ${fd} is a device of Xen's, whose memory is ` +
        'mapped by foreign mappings alone';
      throw new VmMemoryError('BAD_REGION', text, context);
    }
    // What is no file has no size; where a device has no memory, that is a fault like that of a file.
    if (stat.isFile() && (fdOffset < 0n || fdOffset + length > stat.size)) {
      const text =
        `Cannot map ${rangeText(guestAddr, length)}: file offset ${fdOffset} and length exceed ` +
        `the file's ${stat.size} bytes`;
      throw new VmMemoryError('FILE_TOO_SMALL', text, context);
    }
  }

  /**
   * Maps what a region needs, in whole pages of the file's. The descriptor stays the caller's.
   *
   * @param guard - guards it against what the file's owner does to it
   * @throws {VmMemoryError} BAD_REGION, FILE_TOO_SMALL, MAP_FAILED
   * @throws {FaultGuardError} TABLE_FULL
   */
  static create(region: FdRegion, guard?: FaultGuard): FileMapping {
    FileMapping.check(region);
    const length = BigInt(region.length);
    const fdOffset = BigInt(region.fdOffset);
    // mmap wants offsets, and munmap of huge pages wants lengths, in units of the file system's page;
    // st_blksize is that page on hugetlbfs and tmpfs, and a multiple of it elsewhere.
    const unit = pageUnit(fstatSync(region.fd).blksize);
    const delta = Number(fdOffset % BigInt(unit));
    const offset = fdOffset - BigInt(delta);
    const mapping = map(region, offset, Math.ceil((Number(length) + delta) / unit) * unit);
    if (guard === undefined) return new FileMapping(offset, mapping, undefined);
    try {
      const pageSize = mappingPageSize(region.fd);
      const guarded = Math.ceil(mapping.length / pageSize) * pageSize;
      const { pointer } = mapping;
      const protection = guard.protect({ pointer, length: guarded, pageSize });
      return new FileMapping(offset, mapping, protection);
    } catch (error) {
      mapping.close();
      throw error;
    }
  }

  /** Bytes. */
  get length(): number {
    return this.mapping.length;
  }

  /** Where its mark is, if it is guarded. */
  get fault(): FaultMark | undefined {
    return this.#protection?.mark;
  }

  /** Some of it was found not to be there. */
  get faulted(): boolean {
    return this.#faults?.faulted === true;
  }

  /** True when it has all of `[fileOffset, fileOffset + length)`. */
  covers(fileOffset: bigint, length: bigint): boolean {
    const start = fileOffset - this.fileOffset;
    return start >= 0n && start + length <= BigInt(this.length);
  }

  /** Lets go of the file: who still looks sees empty memory. See `Mapping.vacate`. @throws {SysError} */
  vacate(): void {
    this.mapping.vacate();
    // Afterwards: a fault until then is still one of ours.
    this.#protection?.close();
  }

  /** Unmaps: nobody looks any more. Idempotent. */
  close(): void {
    // In this order: what is unmapped is known to no guard any more.
    this.#protection?.close();
    this.mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function map({ guestAddr, length, fd }: FdRegion, offset: bigint, size: number): Mapping {
  try {
    return Mapping.create({ length: size, fd, offset });
  } catch (cause) {
    const text = `Cannot map ${rangeText(guestAddr, length)}: mmap refused`;
    throw new VmMemoryError('MAP_FAILED', text, { guestAddr, length: BigInt(length) }, { cause });
  }
}

function pageUnit(blockSize: number): number {
  return blockSize >= PAGE_SIZE && isPowerOfTwo(blockSize) ? blockSize : PAGE_SIZE;
}
