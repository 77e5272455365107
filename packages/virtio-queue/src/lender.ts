import type { GuestMemory } from '@node-vmm/vm-memory';
import type { DescriptorChain } from './descriptor-chain.ts';

/**
 * Guest memory that a queue takes chains from, and how many of them the device keeps: each chain is
 * counted where it was lent, with or without pieces. Once the queue has moved to other memory, the
 * last chain that comes back releases this one.
 */
export class Lender {
  readonly #memory: GuestMemory;
  #held = 0;
  #onReleased: (() => void) | undefined;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** See `GuestMemory.faulted`. */
  get faulted(): boolean {
    return this.#memory.faulted;
  }

  /** A chain was detached: it may outlive the queue's stay in this memory. */
  keep(): void {
    this.#held++;
  }

  /** A detached chain is completed: gives back its pieces. */
  takeBack(chain: DescriptorChain): void {
    const { segments, firstSegment, readableCount, writableCount } = chain;
    this.#memory.giveBack(segments, firstSegment, readableCount + writableCount);
    if (--this.#held > 0) return;
    const released = this.#onReleased;
    this.#onReleased = undefined;
    released?.();
  }

  /**
   * The queue takes no more chains from here.
   *
   * @param onReleased - called once the device keeps no chain any more, unless it keeps none now
   * @returns chains that it keeps
   */
  retire(onReleased: (() => void) | undefined): number {
    if (this.#held > 0) this.#onReleased = onReleased;
    return this.#held;
  }
}
