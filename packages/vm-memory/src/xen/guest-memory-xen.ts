import { XEN_MMAP_FOREIGN } from '@node-vmm/virtio-bindings';
import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { ForeignMapping } from '@node-vmm/xen-sys';
import { type GuestRange, sortRanges } from '../guest-range.ts';
import type { MappedRegion } from '../mapped-region.ts';
import { regionsOfMapping } from '../mapping-regions.ts';
import { RegionGuestMemory } from '../region-guest-memory.ts';
import type { ShareableMemory, SharedMemoryRegion } from '../shared-memory.ts';
import {
  ForeignSource,
  type ForeignSourceOptions,
  foreignMapFailed,
  piecesOf,
} from './foreign-source.ts';

/** What to map of a Xen guest. */
export interface XenMapOptions extends ForeignSourceOptions {
  /** Guest physical ranges, page-aligned; every page of them must exist. */
  readonly ranges: Iterable<GuestRange>;
}

/** Memory of a Xen guest, mapped whole by its frame numbers (foreign mapping). */
export class GuestMemoryXen extends RegionGuestMemory implements ShareableMemory {
  readonly sharedRegions: readonly SharedMemoryRegion[];
  readonly #mappings: readonly ForeignMapping[];
  readonly #source: ForeignSource;

  private constructor(
    regions: readonly MappedRegion[],
    mappings: readonly ForeignMapping[],
    source: ForeignSource,
    sharedRegions: readonly SharedMemoryRegion[],
  ) {
    super(regions, [...mappings, source]);
    this.sharedRegions = sharedRegions;
    this.#mappings = mappings;
    this.#source = source;
  }

  /**
   * Lets go of the domain's pages, while the addresses stay until `close`: who still looks sees empty
   * memory. See `Mapping.vacate`. Nothing may be shared any more.
   *
   * @throws {SysError}
   */
  vacate(): void {
    for (const { mapping } of this.#mappings) mapping.vacate();
    this.#source[Symbol.dispose]();
  }

  /**
   * Maps ranges of a guest. A page that cannot be mapped would be a SIGBUS later, so all must be.
   *
   * @throws {VmMemoryError} FOREIGN_MAP_FAILED with how many pages of the piece failed, the first of
   * them and its errno, or with the `XenSysError` as cause; BAD_REGION, OVERLAP. Nothing stays
   * mapped then
   * @throws {XenSysError} NO_PRIVCMD, NOT_PERMITTED
   */
  static map(options: XenMapOptions): GuestMemoryXen {
    const source = new ForeignSource(options);
    const mappings: ForeignMapping[] = [];
    try {
      const ranges = [...options.ranges];
      const regions: MappedRegion[] = [];
      for (const piece of piecesOf(ranges)) {
        const { guestAddr, length } = piece;
        const mapped = source.map(piece);
        mappings.push(mapped);
        const { mapping, errors, failed } = mapped;
        if (failed > 0) {
          const first = errors.findIndex((error) => error !== 0);
          const gfn = guestAddr / BigInt(PAGE_SIZE) + BigInt(first);
          const errno = -(errors[first] ?? 0);
          throw foreignMapFailed(options.domid, gfn, failed, errors.length, errno);
        }
        regions.push(...regionsOfMapping(guestAddr, mapping, 0, length));
      }
      return new GuestMemoryXen(regions, mappings, source, shared(ranges, source));
    } catch (error) {
      for (const owner of [...mappings, source]) owner[Symbol.dispose]();
      throw error;
    }
  }
}

function shared(ranges: Iterable<GuestRange>, source: ForeignSource): SharedMemoryRegion[] {
  const { fd, domid } = source;
  if (fd === undefined) return [];
  return sortRanges(ranges).map(({ guestAddr, length }) => ({
    guestAddr,
    length: BigInt(length),
    fd,
    fdOffset: 0n,
    xen: { mmapFlags: XEN_MMAP_FOREIGN, domid },
  }));
}
