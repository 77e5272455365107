import { fstatSync } from 'node:fs';
import {
  closeFds,
  dupFd,
  type FaultGuard,
  type FaultMark,
  type Fd,
  isPowerOfTwo,
  Mapping,
  mappingPageSize,
  memfdCreate,
  PAGE_SIZE,
} from '@node-vmm/vmm-sys-util';
import { rangeText, VmMemoryError } from './errors.ts';
import type { GuestAddress } from './guest-address.ts';
import { type GuestRange, sortRanges } from './guest-range.ts';
import type { MappedRegion } from './mapped-region.ts';
import { regionsOfMapping } from './mapping-regions.ts';
import { RegionGuestMemory } from './region-guest-memory.ts';
import type { ShareableMemory, SharedMemoryRegion } from './shared-memory.ts';

/** A region of guest memory in a file, as a vhost-user front-end describes it. */
export interface FdRegion extends GuestRange {
  /** Regular file or memfd. */
  readonly fd: Fd;
  /** Byte offset of the region in the file; need not be aligned. */
  readonly fdOffset: bigint | number;
}

export interface CreateOptions {
  /** Name of the memfd in /proc, default `guest-memory`. */
  readonly name?: string;
}

export interface FromRegionsOptions {
  /** Guards the mappings against what the files' owner does to them; default: nothing does. */
  readonly guard?: FaultGuard | undefined;
}

/**
 * Guest memory in memory-mapped files: made here ({@link GuestMemoryMmap.create}) or received from
 * a peer ({@link GuestMemoryMmap.fromRegions}).
 *
 * A peer that truncates a file after it was mapped causes SIGBUS on the next access, which no check
 * can prevent: a guard keeps that from ending the process. Our own memfds are sealed against it.
 */
export class GuestMemoryMmap extends RegionGuestMemory implements ShareableMemory {
  readonly sharedRegions: readonly SharedMemoryRegion[];

  private constructor(
    regions: readonly MappedRegion[],
    owned: readonly Disposable[],
    sharedRegions: readonly SharedMemoryRegion[],
  ) {
    super(regions, owned);
    this.sharedRegions = sharedRegions;
  }

  /**
   * Makes zeroed memory in one memfd that cannot shrink. Pages take up room when first touched.
   *
   * @throws {VmMemoryError} BAD_REGION, OVERLAP, MAP_FAILED
   * @throws {SysError} of `memfd_create` and `ftruncate`
   */
  static create(layout: Iterable<GuestRange>, options: CreateOptions = {}): GuestMemoryMmap {
    const regions: (GuestRange & { fdOffset: number })[] = [];
    let size = 0;
    for (const { guestAddr, length } of sortRanges(layout)) {
      regions.push({ guestAddr, length, fdOffset: size });
      size += Math.ceil(Number(length) / PAGE_SIZE) * PAGE_SIZE;
    }
    const fd = memfdCreate(options.name ?? 'guest-memory', size);
    try {
      return GuestMemoryMmap.fromRegions(regions.map((region) => ({ ...region, fd })));
    } finally {
      closeFds([fd]);
    }
  }

  /**
   * Maps regions of files. The descriptors given stay the caller's, whatever happens: the memory
   * keeps duplicates, which `sharedRegions` names.
   *
   * @param regions - hostile values are refused with nothing left mapped or open
   * @throws {VmMemoryError} BAD_REGION, OVERLAP, FILE_TOO_SMALL, MAP_FAILED
   * @throws {FaultGuardError} TABLE_FULL
   */
  static fromRegions(
    regions: Iterable<FdRegion>,
    { guard }: FromRegionsOptions = {},
  ): GuestMemoryMmap {
    const mapped: MappedRegion[] = [];
    const shared: SharedMemoryRegion[] = [];
    const owned: Disposable[] = [];
    try {
      for (const region of sortRanges(regions)) {
        const { mapping, delta } = mapFile(region);
        // In this order: what is unmapped is known to no guard any more.
        const fault = guard === undefined ? undefined : guardFile(guard, mapping, region.fd, owned);
        owned.push(mapping);
        const fd = dupFd(region.fd);
        owned.push({ [Symbol.dispose]: () => closeFds([fd]) });
        const { guestAddr } = region;
        mapped.push(...regionsOfMapping(guestAddr, mapping, delta, Number(region.length), fault));
        shared.push({
          guestAddr,
          length: BigInt(region.length),
          fd,
          fdOffset: BigInt(region.fdOffset),
        });
      }
      return new GuestMemoryMmap(mapped, owned, shared);
    } catch (error) {
      for (const owner of owned) owner[Symbol.dispose]();
      throw error;
    }
  }
}

/** @param owned - takes the protection */
function guardFile(guard: FaultGuard, mapping: Mapping, fd: Fd, owned: Disposable[]): FaultMark {
  try {
    const pageSize = mappingPageSize(fd);
    const length = Math.ceil(mapping.length / pageSize) * pageSize;
    const protection = guard.protect({ pointer: mapping.pointer, length, pageSize });
    owned.push(protection);
    return protection.mark;
  } catch (error) {
    mapping.close();
    throw error;
  }
}

function mapFile(region: FdRegion): { mapping: Mapping; delta: number } {
  const length = BigInt(region.length);
  const fdOffset = BigInt(region.fdOffset);
  const guestAddr: GuestAddress = region.guestAddr;
  const context = { guestAddr, length };
  const stat = fstatSync(region.fd, { bigint: true });
  if (!stat.isFile()) {
    throw new VmMemoryError(
      'BAD_REGION',
      `Cannot map ${rangeText(guestAddr, length)}: descriptor ${region.fd} is no file`,
      context,
    );
  }
  if (fdOffset < 0n || fdOffset + length > stat.size) {
    throw new VmMemoryError(
      'FILE_TOO_SMALL',
      `Cannot map ${rangeText(guestAddr, length)}: file offset ${fdOffset} and length exceed ` +
        `the file's ${stat.size} bytes`,
      context,
    );
  }
  // mmap wants offsets, and munmap of huge pages wants lengths, in units of the file system's page;
  // st_blksize is that page on hugetlbfs and tmpfs, and a multiple of it elsewhere.
  const unit = pageUnit(Number(stat.blksize));
  const delta = Number(fdOffset % BigInt(unit));
  try {
    const mapping = Mapping.create({
      length: Math.ceil((Number(length) + delta) / unit) * unit,
      fd: region.fd,
      offset: fdOffset - BigInt(delta),
    });
    return { mapping, delta };
  } catch (cause) {
    throw new VmMemoryError(
      'MAP_FAILED',
      `Cannot map ${rangeText(guestAddr, length)}: mmap refused`,
      context,
      { cause },
    );
  }
}

function pageUnit(blockSize: number): number {
  return blockSize >= PAGE_SIZE && isPowerOfTwo(blockSize) ? blockSize : PAGE_SIZE;
}
