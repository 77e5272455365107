import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { ChunkLoans } from './chunk-loans.ts';
import type { GuestAddress } from './guest-address.ts';
import type { RegionMapping } from './guest-memory-view.ts';
import type { HostWindows } from './host-windows.ts';
import { MappedRegion } from './mapped-region.ts';
import { RegionSlice } from './region-slice.ts';

/** Ours: bytes of guest memory that are mapped at once: 512 pages. */
export const CHUNK_LENGTH: number = 512 * PAGE_SIZE;

/** Guest memory that somebody needs. */
export interface WantedChunk {
  /** Whole pages, within one region, at most {@link CHUNK_LENGTH} bytes. */
  readonly guestAddr: number;
  /** Bytes. */
  readonly length: number;
  /** Exactly what a slice is of; else what lies between two multiples of {@link CHUNK_LENGTH}. */
  readonly part: boolean;
  /** Some of it was not there: the owner is to look again. */
  readonly again: boolean;
}

/** A chunk that its owner has mapped, as it is sent to the thread that wanted it, with one loan. */
export interface ChunkMapping extends RegionMapping {
  /** Names it; not used again. */
  readonly memory: number;
  readonly part: boolean;
  /** By page: 1 for one that does not exist, which must not be touched. Undefined when all do. */
  readonly missing: Uint8Array | undefined;
  /** See `ChunkLoans`. */
  readonly loans: Int32Array;
  readonly clock: Int32Array;
}

/** A chunk of guest memory as the thread that borrows it sees it. */
export class DemandChunk extends MappedRegion {
  readonly mapping: ChunkMapping;
  readonly loans: ChunkLoans;
  /** When it came, by `performance.now()`. */
  readonly since: number = performance.now();
  /** Nobody is to find it any more. */
  forgotten = false;
  hidden = false;
  /** Loans in this thread: the owner sees one for all of them. It came with one. */
  #out = 1;
  /** How often it was lent while somebody had it, of which the owner has not been told. */
  #shared = 0;

  constructor(mapping: ChunkMapping, windows: HostWindows) {
    super(BigInt(mapping.guestAddr) as GuestAddress, windows);
    this.mapping = mapping;
    this.loans = new ChunkLoans(mapping.loans, mapping.clock);
  }

  /** True while somebody in this thread has it. */
  get lent(): boolean {
    return this.#out > 0;
  }

  /** One more loan. @returns false when the owner has taken it away, or wants it back */
  retain(): boolean {
    if (this.#out === 0) {
      if (!this.loans.retain()) return false;
    } else {
      if (!this.loans.shareable) return false;
      this.#shared++;
    }
    this.#out++;
    return true;
  }

  /** One loan less. @returns true when it was the last, and the owner waits for that */
  release(): boolean {
    if (--this.#out > 0) return false;
    if (this.#shared > 0) {
      this.loans.shared(this.#shared);
      this.#shared = 0;
    }
    return this.loans.release();
  }

  /** True when every page of a part exists, which the caller has checked to be within. */
  has(offset: number, length: number): boolean {
    const { missing } = this.mapping;
    if (missing === undefined) return true;
    const last = Math.floor((offset + length - 1) / PAGE_SIZE);
    for (let page = Math.floor(offset / PAGE_SIZE); page <= last; page++) {
      if (missing[page] !== 0) return false;
    }
    return true;
  }
}

/** A slice of a chunk, which is lent until it is released. */
export class ChunkSlice extends RegionSlice {
  readonly #loans: ChunkLoans;
  readonly #onReleased: () => void;
  #out = true;

  constructor(chunk: DemandChunk, offset: number, length: number, onReleased: () => void) {
    super(chunk, offset, length);
    this.#loans = chunk.loans;
    this.#loans.slice();
    this.#onReleased = onReleased;
  }

  override release(): void {
    super.release();
    if (!this.#out) return;
    this.#out = false;
    this.#loans.unslice();
    this.#onReleased();
  }
}
