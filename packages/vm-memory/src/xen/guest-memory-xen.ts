import { XEN_MMAP_FOREIGN } from '@node-vmm/virtio-bindings';
import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { ForeignMapping } from '@node-vmm/xen-sys';
import type { GuestAddress } from '../guest-address.ts';
import { type GuestRange, sortRanges } from '../guest-range.ts';
import type { MappedRegion } from '../mapped-region.ts';
import { regionsOfMapping } from '../mapping-regions.ts';
import { RegionGuestMemory } from '../region-guest-memory.ts';
import type { ShareableMemory, SharedMemoryRegion } from '../shared-memory.ts';
import { extentsWithMemory } from './foreign-extents.ts';
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

/** Where to look for the memory of a Xen guest. */
export interface XenDiscoverOptions extends ForeignSourceOptions {
  /** Where the architecture may have RAM, page-aligned. */
  readonly candidateRanges: Iterable<GuestRange>;
  /** Highest guest frame that exists (`XENMEM_maximum_gpfn`); nothing above is looked at. */
  readonly maxGfn: bigint;
  /**
   * For ranges that are far larger than the memory in them, where each page that is asked for in
   * vain costs time and room: samples are taken first, and after so many bytes without memory the
   * rest of a range is not looked at. Default: every page is asked for.
   */
  readonly giveUpAfter?: bigint;
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

  /**
   * Maps whatever memory a guest has within ranges: its layout is read from what can be mapped, and a
   * hole ends a region. Pages of the ranges that are no RAM but can be mapped are taken too. Node's
   * event loop goes on turning meanwhile.
   *
   * @throws {VmMemoryError} FOREIGN_MAP_FAILED when there is no memory at all, or with the
   * `XenSysError` as cause, such as NO_SUCH_DOMAIN; BAD_REGION, OVERLAP. Nothing stays mapped then
   * @throws {XenSysError} NO_PRIVCMD, NOT_PERMITTED
   */
  static async discover(options: XenDiscoverOptions): Promise<GuestMemoryXen> {
    const source = new ForeignSource(options);
    const mappings: ForeignMapping[] = [];
    try {
      const end = (options.maxGfn + 1n) * BigInt(PAGE_SIZE);
      const candidates = clip(options.candidateRanges, end);
      const { giveUpAfter } = options;
      const ranges =
        giveUpAfter === undefined
          ? candidates
          : await extentsWithMemory(source, candidates, giveUpAfter);
      const regions: MappedRegion[] = [];
      const found: { guestAddr: GuestAddress; length: number }[] = [];
      for (const piece of piecesOf(ranges)) {
        const mapped = await source.mapAsync(piece);
        mappings.push(mapped);
        for (const { offset, length } of runsOf(mapped.errors)) {
          const guestAddr = (piece.guestAddr + BigInt(offset)) as GuestAddress;
          regions.push(...regionsOfMapping(guestAddr, mapped.mapping, offset, length));
          const last = found.at(-1);
          if (last !== undefined && last.guestAddr + BigInt(last.length) === guestAddr) {
            last.length += length;
          } else {
            found.push({ guestAddr, length });
          }
        }
      }
      if (found.length === 0) throw foreignMapFailed(options.domid, 0n, 0, 0, undefined);
      return new GuestMemoryXen(regions, mappings, source, shared(found, source));
    } catch (error) {
      for (const owner of [...mappings, source]) owner[Symbol.dispose]();
      throw error;
    }
  }
}

/** Runs of pages that were mapped, as byte offsets and lengths. */
function* runsOf(errors: Int32Array): Generator<{ offset: number; length: number }> {
  for (let i = 0; i < errors.length; i++) {
    const first = i;
    while (i < errors.length && errors[i] === 0) i++;
    if (i > first) yield { offset: first * PAGE_SIZE, length: (i - first) * PAGE_SIZE };
  }
}

function clip(ranges: Iterable<GuestRange>, end: bigint): GuestRange[] {
  return sortRanges(ranges).flatMap(({ guestAddr, length }) => {
    const room = end - guestAddr;
    if (room <= 0n) return [];
    return [{ guestAddr, length: BigInt(length) < room ? length : room }];
  });
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
