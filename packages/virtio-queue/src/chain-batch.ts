import type { SegmentTable } from '@node-vmm/vm-memory';
import type { DescriptorChain } from './descriptor-chain.ts';

/**
 * All chains of one wake-up. Pieces of successive chains follow one another in `segments`, so a
 * device whose chains are all writable can serve the whole batch by one `readv`.
 */
export interface ChainBatch {
  /** Chains in the batch. */
  readonly length: number;
  readonly segments: SegmentTable;
  /** Chain `index`, in ring order. The object is reused. */
  at(index: number): DescriptorChain;
}
