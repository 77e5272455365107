import {
  closeFds,
  dupFd,
  type FaultGuard,
  type Fd,
  memfdCreate,
  PAGE_SIZE,
} from '@node-vmm/vmm-sys-util';
import { type FdRegion, FileMapping } from './file-mapping.ts';
import { type GuestRange, sortRanges } from './guest-range.ts';
import type { MappedRegion } from './mapped-region.ts';
import { regionsOfMapping } from './mapping-regions.ts';
import { RegionGuestMemory } from './region-guest-memory.ts';
import type { ShareableMemory, SharedMemoryRegion } from './shared-memory.ts';

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
    // One for each that is given, however many regions it has.
    const kept = new Map<Fd, Fd>();
    try {
      for (const region of sortRanges(regions)) {
        const file = FileMapping.create(region, guard);
        owned.push(file);
        const fd = kept.get(region.fd) ?? dupFd(region.fd);
        if (!kept.has(region.fd)) owned.push({ [Symbol.dispose]: () => closeFds([fd]) });
        kept.set(region.fd, fd);
        const { guestAddr } = region;
        const length = BigInt(region.length);
        const fdOffset = BigInt(region.fdOffset);
        const start = Number(fdOffset - file.fileOffset);
        const { mapping, fault } = file;
        mapped.push(...regionsOfMapping(guestAddr, mapping, start, Number(length), fault));
        shared.push({ guestAddr, length, fd, fdOffset });
      }
      return new GuestMemoryMmap(mapped, owned, shared);
    } catch (error) {
      for (const owner of owned) owner[Symbol.dispose]();
      throw error;
    }
  }
}
