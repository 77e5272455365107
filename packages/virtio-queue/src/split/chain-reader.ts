import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from '@node-vmm/virtio-bindings';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  type GuestMemory,
  LEND_NOT_YET,
  LEND_READY,
  type LendResult,
  type SegmentTable,
} from '@node-vmm/vm-memory';
import { IndirectTable } from './indirect-table.ts';
import { CHAIN_COMPLETED, CHAIN_OPEN, type SplitChain } from './split-chain.ts';
import { MALFORMED, NO_ROOM, NOT_YET, TAKEN, type TakeResult } from './take-result.ts';

// Stands in for "no longer than 2^32 bytes in total" (VIRTIO 1.3 §2.7.5), one byte stricter: lengths
// fit 32 bits, as in the used ring.
const MAX_CHAIN_LENGTH = 0xffff_ffff;

/**
 * Reads descriptor chains of a split ring: each descriptor field once, each rule checked before the
 * device sees anything, each loop bounded.
 */
export class ChainReader {
  /** Descriptors that may still be read before the caller has to pause. */
  steps = 0;
  readonly #memory: GuestMemory;
  readonly #desc: Uint32Array;
  readonly #size: number;
  readonly #segments: SegmentTable;
  readonly #indirect: IndirectTable | undefined;

  /**
   * @param desc - the descriptor table, four words per descriptor
   * @param segments - where borrowed buffers go
   * @param indirect - true when indirect descriptors are negotiated
   */
  constructor(memory: GuestMemory, desc: Uint32Array, segments: SegmentTable, indirect: boolean) {
    this.#memory = memory;
    this.#desc = desc;
    this.#size = desc.length / 4;
    this.#segments = segments;
    this.#indirect = indirect ? new IndirectTable(memory, segments.capacity) : undefined;
  }

  /**
   * Reads the chain at `head` into `chain` and borrows its buffers.
   *
   * @returns TAKEN, else `undo` is due
   */
  take(chain: SplitChain, head: number): TakeResult {
    const desc = this.#desc;
    const size = this.#size;
    chain.head = head;
    chain.readableLength = 0;
    chain.writableLength = 0;
    chain.firstSegment = this.#segments.count;
    chain.readableCount = 0;
    chain.writableCount = 0;
    chain.state = CHAIN_OPEN;
    let writing = false;
    let index = head;
    for (let left = size; left > 0; left--) {
      const word = 4 * index;
      const addrLow = desc[word] as number;
      const addrHigh = desc[word + 1] as number;
      const length = desc[word + 2] as number;
      const tail = desc[word + 3] as number;
      this.steps--;
      if ((tail & VIRTQ_DESC_F_INDIRECT) !== 0) {
        if ((tail & VIRTQ_DESC_F_NEXT) !== 0) return MALFORMED;
        return this.#takeIndirect(chain, addrLow, addrHigh, length, writing);
      }
      const write = (tail & VIRTQ_DESC_F_WRITE) !== 0;
      if (writing && !write) return MALFORMED;
      writing = write;
      const result = this.#append(chain, addrLow, addrHigh, length, write);
      if (result !== TAKEN) return result;
      if ((tail & VIRTQ_DESC_F_NEXT) === 0) return TAKEN;
      index = tail >>> 16;
      if (index >= size) return MALFORMED;
    }
    return MALFORMED;
  }

  /** The rest of a chain, in an indirect table (§2.7.5.3); `writing` as in {@link take}. */
  #takeIndirect(
    chain: SplitChain,
    addrLow: number,
    addrHigh: number,
    length: number,
    writing: boolean,
  ): TakeResult {
    const table = this.#indirect;
    if (table === undefined) return MALFORMED;
    const opened = table.open(addrLow, addrHigh, length);
    if (opened !== TAKEN) return opened;
    let wrote = writing;
    let index = 0;
    let result: TakeResult = MALFORMED;
    for (let left = table.limit; left > 0; left--) {
      if (!table.load(index)) break;
      const { flags } = table;
      this.steps--;
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) break;
      const write = (flags & VIRTQ_DESC_F_WRITE) !== 0;
      if (wrote && !write) break;
      wrote = write;
      const appended = this.#append(chain, table.addrLow, table.addrHigh, table.length, write);
      if (appended !== TAKEN || (flags & VIRTQ_DESC_F_NEXT) === 0) {
        result = appended;
        break;
      }
      index = table.next;
    }
    table.close();
    return result;
  }

  #append(
    chain: SplitChain,
    addrLow: number,
    addrHigh: number,
    length: number,
    write: boolean,
  ): TakeResult {
    // The specification does not forbid empty buffers. They add nothing, and their address is not
    // looked at.
    if (length === 0) return TAKEN;
    if (chain.readableLength + chain.writableLength + length > MAX_CHAIN_LENGTH) return MALFORMED;
    const segments = this.#segments;
    const before = segments.count;
    const access = write ? ACCESS_WRITE : ACCESS_READ;
    const answer = this.#memory.lend(addrLow, addrHigh, length, access, segments);
    if (answer !== LEND_READY) return this.#refused(chain, length, answer);
    const added = segments.count - before;
    if (write) {
      chain.writableLength += length;
      chain.writableCount += added;
    } else {
      chain.readableLength += length;
      chain.readableCount += added;
    }
    return TAKEN;
  }

  /** What a refused loan means for its chain. */
  #refused(chain: SplitChain, length: number, answer: LendResult): TakeResult {
    if (answer === LEND_NOT_YET) return NOT_YET;
    const { capacity, count } = this.#segments;
    // A loan has at most one piece per region, or one per page where pages are mapped on demand, and of
    // what is longer than MAX_PIECE as many again.
    const pieces = Math.max(this.#memory.regions.length, Math.ceil(length / 4096) + 1);
    return chain.firstSegment > 0 && capacity - count < pieces ? NO_ROOM : MALFORMED;
  }

  /** Gives back what a chain that is not handed out has borrowed. */
  undo(chain: SplitChain): void {
    const first = chain.firstSegment;
    chain.state = CHAIN_COMPLETED;
    this.#memory.giveBack(this.#segments, first, this.#segments.count - first);
    this.#segments.truncate(first);
  }
}
