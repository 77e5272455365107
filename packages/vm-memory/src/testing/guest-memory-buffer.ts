import { addressOf } from '@node-vmm/vmm-sys-util';
import { type GuestRange, sortRanges } from '../guest-range.ts';
import { MappedRegion } from '../mapped-region.ts';
import { RegionGuestMemory } from '../region-guest-memory.ts';

/** Guest memory in plain `ArrayBuffer`s: needs no system call and cannot outlive its mapping. */
export class GuestMemoryBuffer extends RegionGuestMemory {
  /**
   * Makes zeroed memory.
   *
   * @throws {VmMemoryError} BAD_REGION, OVERLAP
   */
  static create(layout: Iterable<GuestRange>): GuestMemoryBuffer {
    return new GuestMemoryBuffer(
      sortRanges(layout).map(({ guestAddr, length }) => {
        const buffer = new ArrayBuffer(Number(length));
        return MappedRegion.ofBuffer(guestAddr, Number(addressOf(buffer)), buffer);
      }),
    );
  }
}
