import {
  type GuestAddress,
  type GuestMemoryRegion,
  GuestMemoryView,
  MappedRegion,
  RegionGuestMemory,
  type RegionMapping,
} from '@node-vmm/vm-memory';

/**
 * Guest memory that the main thread mapped and lent to this worker. It is given back, and may be unmapped,
 * when nobody here uses it any more. Users are the instance, for its next rings; each ring that is in it;
 * and each ring that has left it, while the device holds chains that it took there.
 */
export class LentMemory {
  readonly generation: number;
  readonly view: RegionGuestMemory;
  readonly #onReleased: (generation: number) => void;
  #users = 1;

  /**
   * Has one user, who made it.
   *
   * @param previous - memory that this one follows: what both have needs no new view, each of which
   * V8 takes for so much memory allocated
   * @param onReleased - the last user has gone
   * @throws {VmMemoryError} when the mappings overlap
   */
  constructor(
    generation: number,
    mappings: readonly RegionMapping[],
    previous: LentMemory | undefined,
    onReleased: (generation: number) => void,
  ) {
    this.generation = generation;
    this.#onReleased = onReleased;
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
        const buffer = bytes.buffer as ArrayBuffer;
        return new MappedRegion(guestAddr, mapping.hostAddress, buffer, mapping.fault);
      }),
    );
  }

  /** One more user. */
  retain(): void {
    this.#users++;
  }

  /** One user less. */
  release(): void {
    if (--this.#users > 0) return;
    this.view.close();
    this.#onReleased(this.generation);
  }
}

function keyOf({ hostAddress, length }: RegionMapping | GuestMemoryRegion): string {
  return `${hostAddress} ${length}`;
}
