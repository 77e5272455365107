import {
  type GuestAddress,
  type GuestMemoryRegion,
  GuestMemoryView,
  MappedRegion,
  RegionGuestMemory,
  type RegionMapping,
} from '@node-vmm/vm-memory';

/**
 * Guest memory that the main thread mapped and lent to this worker, and who still holds chains in it:
 * the main thread may unmap it when nobody does any more.
 */
export class LentMemory {
  readonly generation: number;
  readonly view: RegionGuestMemory;
  /** Rings of which the device holds chains that were taken before a newer memory took over. */
  readonly holders: Set<number> = new Set();

  /**
   * @param previous - memory that this one follows: what both have needs no new view, each of which
   * V8 takes for so much memory allocated
   * @throws {VmMemoryError} when the mappings overlap
   */
  constructor(generation: number, mappings: readonly RegionMapping[], previous?: LentMemory) {
    this.generation = generation;
    const buffers = new Map(
      (previous?.view.regions ?? []).map((region) => [keyOf(region), region]),
    );
    // The same address is the same memory: it cannot have been unmapped while it was lent.
    const fresh = mappings.filter((mapping) => !buffers.has(keyOf(mapping)));
    for (const region of GuestMemoryView.attach(fresh).regions) buffers.set(keyOf(region), region);
    this.view = new RegionGuestMemory(
      mappings.map((mapping) => {
        const { bytes } = buffers.get(keyOf(mapping)) as GuestMemoryRegion;
        const guestAddr = mapping.guestAddr as GuestAddress;
        return new MappedRegion(guestAddr, mapping.hostAddress, bytes.buffer as ArrayBuffer);
      }),
    );
  }
}

function keyOf({ hostAddress, length }: RegionMapping | GuestMemoryRegion): string {
  return `${hostAddress} ${length}`;
}
