import type { SegmentTable } from '@node-vmm/vm-memory';

/**
 * A validated descriptor chain: readable pieces first, then writable ones, every byte of them in
 * guest memory. Lengths are fixed when the chain is taken; contents may change under the device's
 * eyes, so a header is copied once and then believed.
 *
 * Objects are reused by the queue: use one only until the next `popBatch`, or `detach` it.
 */
export interface DescriptorChain {
  /** Index of the chain's first descriptor, what the used ring names. */
  readonly head: number;
  /** Bytes that the device may read. */
  readonly readableLength: number;
  /** Bytes that the device may write. */
  readonly writableLength: number;
  /** Where the chain's pieces are: `[first, first + readableCount)` readable, then the writable. */
  readonly segments: SegmentTable;
  readonly firstSegment: number;
  readonly readableCount: number;
  readonly writableCount: number;

  /**
   * True once some of the guest's memory was found not to be there, as `GuestMemory.faulted`. Who reads
   * `segments` past `read` looks here before acting on what was read.
   */
  readonly faulted: boolean;

  /**
   * Copies from the readable part.
   *
   * @param offset - bytes from the start of the readable part
   * @returns bytes copied, fewer than asked at the end of the part
   * @throws {VmMemoryError} FAULT when guest memory is found not to be there: what was copied may be
   * zeros that no driver wrote, and is not to be acted on
   */
  read(target: Uint8Array, offset: number): number;
  /**
   * Copies into the writable part.
   *
   * @param offset - bytes from the start of the writable part
   * @returns bytes copied, fewer than given at the end of the part
   */
  write(source: Uint8Array, offset: number): number;

  /** A copy that stays valid after the next `popBatch`, for requests that end later. */
  detach(): DescriptorChain;
}
