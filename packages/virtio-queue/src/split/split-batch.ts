import type { SegmentTable } from '@node-vmm/vm-memory';
import type { ChainBatch } from '../chain-batch.ts';
import { type ChainOwner, SplitChain } from './split-chain.ts';

/** {@link ChainBatch} of a {@link SplitVirtqueue}: filled anew by every `popBatch`. */
export class SplitBatch implements ChainBatch {
  readonly segments: SegmentTable;
  length = 0;
  readonly #owner: ChainOwner;
  readonly #chains: SplitChain[] = [];

  constructor(owner: ChainOwner, segments: SegmentTable) {
    this.#owner = owner;
    this.segments = segments;
  }

  at(index: number): SplitChain {
    if (!(index >= 0 && index < this.length)) {
      throw new RangeError(`Cannot take chain ${index} of a batch: it has ${this.length}`);
    }
    return this.#chains[index] as SplitChain;
  }

  *[Symbol.iterator](): Generator<SplitChain, void, undefined> {
    for (let i = 0; i < this.length; i++) yield this.#chains[i] as SplitChain;
  }

  /** The object for the chain after the last one; it counts once `length` is raised. */
  next(): SplitChain {
    const chains = this.#chains;
    const { length } = this;
    // Made when first needed: most queues never fill a batch of their full size.
    if (length === chains.length) chains.push(new SplitChain(this.#owner, this.segments));
    return chains[length] as SplitChain;
  }
}
