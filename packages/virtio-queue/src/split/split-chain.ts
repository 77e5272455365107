import { copyBytes, SegmentTable, VmMemoryError } from '@node-vmm/vm-memory';
import type { DescriptorChain } from '../descriptor-chain.ts';
import type { Lender } from '../lender.ts';

/** A chain that the device holds. */
export const CHAIN_OPEN = 0;
/** A chain that was returned to the driver. */
export const CHAIN_COMPLETED = 1;
/** A chain whose copy is the one to complete. */
export const CHAIN_DETACHED = 2;
export type ChainState = typeof CHAIN_OPEN | typeof CHAIN_COMPLETED | typeof CHAIN_DETACHED;

/** What a chain needs of its queue. */
export interface ChainOwner {
  /** Where the chains of the current batch were lent. */
  readonly lender: Lender;
  /** A chain of the current batch has a copy that is completed in its place. */
  chainDetached(): void;
}

/** {@link DescriptorChain} of a {@link SplitVirtqueue}: one object per batch position, refilled. */
export class SplitChain implements DescriptorChain {
  readonly owner: ChainOwner;
  readonly segments: SegmentTable;
  head = 0;
  readableLength = 0;
  writableLength = 0;
  firstSegment = 0;
  readableCount = 0;
  writableCount = 0;
  state: ChainState = CHAIN_COMPLETED;
  /** Of a detached chain: where it was lent. Its queue may have moved to other memory since. */
  lender: Lender | undefined;

  constructor(owner: ChainOwner, segments: SegmentTable) {
    this.owner = owner;
    this.segments = segments;
  }

  get segmentCount(): number {
    return this.readableCount + this.writableCount;
  }

  get faulted(): boolean {
    return (this.lender ?? this.owner.lender).faulted;
  }

  read(target: Uint8Array, offset: number): number {
    const copied = this.#copy(this.firstSegment, this.readableCount, target, offset, false);
    if (this.faulted) throw notThere();
    return copied;
  }

  write(source: Uint8Array, offset: number): number {
    const first = this.firstSegment + this.readableCount;
    return this.#copy(first, this.writableCount, source, offset, true);
  }

  detach(): DescriptorChain {
    if (this.state !== CHAIN_OPEN) {
      throw new TypeError('Cannot detach a descriptor chain: it is completed or detached already');
    }
    const count = this.segmentCount;
    const segments = new SegmentTable(Math.max(1, count));
    const from = this.segments;
    for (let i = this.firstSegment; i < this.firstSegment + count; i++) {
      segments.push(from.regionAt(i), from.offsetAt(i), from.lengthAt(i));
    }
    const copy = new SplitChain(this.owner, segments);
    copy.head = this.head;
    copy.readableLength = this.readableLength;
    copy.writableLength = this.writableLength;
    copy.readableCount = this.readableCount;
    copy.writableCount = this.writableCount;
    copy.state = CHAIN_OPEN;
    copy.lender = this.lender ?? this.owner.lender;
    this.state = CHAIN_DETACHED;
    if (this.lender === undefined) this.owner.chainDetached();
    return copy;
  }

  #copy(first: number, count: number, bytes: Uint8Array, offset: number, out: boolean): number {
    if (this.state !== CHAIN_OPEN) {
      throw new TypeError('Cannot access a descriptor chain: it is completed or detached');
    }
    // A negative offset would reach memory in front of the piece.
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw new RangeError(`"offset" expected a non-negative integer, got ${offset}`);
    }
    const { segments } = this;
    let skip = offset;
    let done = 0;
    for (let i = first; i < first + count && done < bytes.length; i++) {
      const length = segments.lengthAt(i);
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const run = Math.min(length - skip, bytes.length - done);
      const offset = segments.offsetAt(i) + skip;
      const window = segments.regionAt(i).windowAt(offset, run);
      const at = offset - window.offset;
      if (out) copyBytes(bytes, done, window.bytes, at, run);
      else copyBytes(window.bytes, at, bytes, done, run);
      done += run;
      skip = 0;
    }
    return done;
  }
}

function notThere(): VmMemoryError {
  return new VmMemoryError(
    'FAULT',
    "Cannot read a descriptor chain: some of the guest's memory is not there (its file was " +
      'truncated, or there is no room for it)',
  );
}
