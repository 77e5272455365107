import {
  type ChunkMapping,
  type ChunkSource,
  type GuestAddress,
  GuestMemoryDemand,
  GuestMemoryView,
  MappedRegion,
  type RegionGuestMemory,
  type WantedChunk,
} from '@node-vmm/vm-memory';
import type { DemandRange, LentMapping } from '../between/worker-calls.ts';
import type { WorkerViews } from './worker-views.ts';

/** Who lent it, on the main thread. */
export interface MemoryLender {
  /** Nobody here looks at that generation any more. */
  released(generation: number): void;
  /** Memory is needed, which `LentMemory.arrived` brings. */
  wanted(generation: number, chunks: readonly WantedChunk[]): void;
  /** A chunk that is to be given back is in nobody's hands here. */
  idle(memory: number): void;
}

/** What of guest memory is lent to an instance. */
export interface LentParts {
  readonly mappings: readonly LentMapping[];
  readonly onDemand: readonly DemandRange[];
}

/**
 * Guest memory that the main thread mapped, or maps when it is needed, and lent to this worker. It is given
 * back, and may be unmapped, when nobody here uses it any more. Users are the instance, for its next rings;
 * each ring that is in it; and each ring that has left it, while the device holds chains that it took there.
 */
export class LentMemory {
  readonly generation: number;
  readonly view: RegionGuestMemory;
  readonly #demand: GuestMemoryDemand | undefined;
  readonly #mappings: readonly LentMapping[];
  readonly #views: WorkerViews;
  readonly #lender: MemoryLender;
  #users = 1;

  /**
   * Has one user, who made it.
   *
   * @param views - of the thread: what this memory and others have in common is shown once
   * @throws {VmMemoryError} when the mappings overlap
   */
  constructor(
    generation: number,
    { mappings, onDemand }: LentParts,
    views: WorkerViews,
    lender: MemoryLender,
  ) {
    this.generation = generation;
    this.#mappings = mappings;
    this.#views = views;
    this.#lender = lender;
    const retained: LentMapping[] = [];
    const show = (mapping: LentMapping) => {
      retained.push(mapping);
      return views.retain(mapping);
    };
    try {
      if (onDemand.length === 0) {
        this.view = GuestMemoryView.attach(mappings, (mapping) => show(mapping as LentMapping));
      } else {
        const regions = mappings.map(
          (mapping) =>
            new MappedRegion(mapping.guestAddr as GuestAddress, show(mapping), mapping.fault),
        );
        const ranges = onDemand.map(({ guestAddr, length }) => ({
          guestAddr: guestAddr as GuestAddress,
          length,
        }));
        this.#demand = new GuestMemoryDemand(ranges, this.#source(), regions);
        this.view = this.#demand;
      }
    } catch (error) {
      for (const mapping of retained) views.release(mapping);
      throw error;
    }
  }

  /** Chunks that were wanted have come. */
  arrived(chunks: readonly ChunkMapping[]): void {
    this.#demand?.arrived(chunks);
  }

  /** Chunks are gone or to be given back. @returns true when a ring may be in one of them */
  ended(memories: readonly number[]): boolean {
    return this.#demand?.ended(memories) === true;
  }

  /** One more user. */
  retain(): void {
    this.#users++;
  }

  /** One user less. */
  release(): void {
    if (--this.#users > 0) return;
    this.view.close();
    for (const mapping of this.#mappings) this.#views.release(mapping);
    this.#lender.released(this.generation);
  }

  #source(): ChunkSource {
    return {
      want: (chunks) => this.#lender.wanted(this.generation, chunks),
      idle: (memory) => this.#lender.idle(memory),
      show: (chunk) => this.#views.retain(chunk),
      hide: (chunk) => this.#views.release(chunk),
    };
  }
}
