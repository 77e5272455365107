import { type FaultMark, type HostPointer, viewOf } from '@node-vmm/vmm-sys-util';
import type { GuestAddress } from './guest-address.ts';
import type { GuestMemory } from './guest-memory.ts';
import { HostWindows } from './host-windows.ts';
import { MappedRegion } from './mapped-region.ts';
import { RegionGuestMemory } from './region-guest-memory.ts';

/**
 * Where a region is mapped in this process: plain data that `postMessage` carries to another thread,
 * which shares the address space but needs views of its own.
 */
export interface RegionMapping {
  readonly guestAddr: bigint;
  /** Bytes. */
  readonly length: number;
  /** Address of the first byte in this process. */
  readonly hostAddress: number;
  /** Where its mark is, if it is guarded. */
  readonly fault?: FaultMark | undefined;
}

/** Shows a mapping of another thread's in this one, which must stay for as long as any of it is looked at. */
export function windowsOfMapping({ hostAddress, length }: RegionMapping): HostWindows {
  // SAFETY: the caller guarantees that [hostAddress, hostAddress + length) is mapped for the life of what
  // is shown; a hostAddress came from HostPointer by mappingsOf and is exact.
  const show = (offset: number, size: number): Uint8Array =>
    new Uint8Array(viewOf(BigInt(hostAddress + offset) as HostPointer, size));
  return new HostWindows(hostAddress, length, show);
}

/** The mappings of a memory, for {@link GuestMemoryView.attach} in another thread. */
export function mappingsOf(memory: GuestMemory): RegionMapping[] {
  return memory.regions.map(({ guestAddr, length, hostAddress, fault }) => ({
    guestAddr,
    length,
    hostAddress,
    fault,
  }));
}

/** Guest memory that another thread of this process mapped and owns. Closing it unmaps nothing. */
export class GuestMemoryView extends RegionGuestMemory {
  /**
   * @param mappings - of memory that its owner keeps mapped until this view is closed: an access
   * afterwards is a segmentation fault
   * @param windowsOf - where a mapping is shown, for a thread that has several memories in the same mappings
   * @throws {VmMemoryError} BAD_REGION, OVERLAP
   */
  static attach(
    mappings: Iterable<RegionMapping>,
    windowsOf: (mapping: RegionMapping) => HostWindows = windowsOfMapping,
  ): GuestMemoryView {
    const regions = Array.from(mappings, (mapping) => {
      const { guestAddr, fault } = mapping;
      return new MappedRegion(guestAddr as GuestAddress, windowsOf(mapping), fault);
    });
    return new GuestMemoryView(regions);
  }
}
