import type { DescriptorChain } from '@node-vmm/virtio-queue';
import { type GuestMemoryRegion, GuestMemoryView, type RegionMapping } from '@node-vmm/vm-memory';

/**
 * Guest memory that the main thread mapped and lent to this worker, and how many chains in it the
 * device still holds: the main thread may unmap it when nobody does any more.
 */
export class LentMemory {
  readonly generation: number;
  readonly view: GuestMemoryView;
  /** Chains that the device holds; kept only once a newer memory has taken over. */
  held = 0;
  readonly #regions: Set<GuestMemoryRegion>;

  /** @throws {VmMemoryError} when the mappings overlap */
  constructor(generation: number, mappings: readonly RegionMapping[]) {
    this.generation = generation;
    this.view = GuestMemoryView.attach(mappings);
    this.#regions = new Set(this.view.regions);
  }

  /** True when the chain's pieces are in this memory. A chain without pieces is in none. */
  owns(chain: DescriptorChain): boolean {
    if (chain.readableCount + chain.writableCount === 0) return false;
    return this.#regions.has(chain.segments.regionAt(chain.firstSegment));
  }
}
