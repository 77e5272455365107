import type { SegmentTable } from '@node-vmm/vm-memory';
import type { DescriptorChain } from './descriptor-chain.ts';

/**
 * All chains of one wake-up, in ring order; `for (const chain of batch)` has them, and so has `at`, which
 * allocates nothing. Pieces of successive chains follow one another in `segments`, so a
 * device whose chains are all writable can serve the whole batch by one `readv`.
 */
export interface ChainBatch extends Iterable<DescriptorChain> {
  /** Chains in the batch. */
  readonly length: number;
  readonly segments: SegmentTable;
  /** Chain `index`, in ring order. The object is reused. */
  at(index: number): DescriptorChain;
}
