import { CHUNK_LENGTH, type ChunkClock } from '@node-vmm/vm-memory';
import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';

/** Small chunks that fit into what stays mapped: so many more mappings a process has for a domain. */
const SMALL_CHUNKS = 256;
/** Pages of the smallest: a call to Xen for fewer costs as much. */
const SMALLEST = 16 * PAGE_SIZE;
/** A chunk that was lent no more often before it was taken away was of use for few of its pages. */
const FEW = 8;
/** Chunks of few uses that are taken away, without as many others between them, until small ones do. */
const THRASHING = 4;
const MOST = 16;
/** Most mappings of a domain, and of all of them, that small chunks may be added to. Linux has 65,530 a process. */
const MAX_OF_DOMAIN = 512;
const MAX_OF_ALL = 8192;

/**
 * How much of a domain's memory is mapped where it is touched. A chunk of 2 MiB costs Xen a call for 512 pages, and
 * its neighbours are free afterwards. Where a guest uses more than what stays mapped, here and there, chunks are
 * taken away after few uses: small ones cost a part of that, and many more places stay mapped.
 */
export class TouchSize {
  /** Bytes of a small chunk, a power of two; 0 where as many large ones stay mapped. */
  readonly #small: number;
  readonly #clock: ChunkClock;
  #score = 0;

  /** @param limit - bytes that stay mapped */
  constructor(limit: number, clock: ChunkClock) {
    const part = 2 ** Math.ceil(Math.log2(limit / SMALL_CHUNKS));
    const small = Math.max(part, SMALLEST);
    this.#small = small < CHUNK_LENGTH ? small : 0;
    this.#clock = clock;
  }

  /** Bytes that are taken away with what has to be, while that goes on and on. */
  get slack(): number {
    return this.#clock.touch * (SMALL_CHUNKS / 16);
  }

  /** A chunk has been taken away for others. @param lent - how often it was */
  evicted(length: number, lent: number): void {
    // Small ones say nothing of whether large ones would do.
    if (length <= this.#small) return;
    this.#score = Math.max(0, Math.min(MOST, this.#score + (lent <= FEW ? 1 : -1)));
  }

  /** All that is mapped ends, and with it what is known. */
  reset(): void {
    this.#score = 0;
    this.#clock.touch = 0;
  }

  /**
   * Tells those who borrow.
   *
   * @param own - mappings that there are of the domain
   * @param all - mappings that there are of all domains
   */
  tell(own: number, all: number): void {
    const small = this.#score >= THRASHING && own < MAX_OF_DOMAIN && all < MAX_OF_ALL;
    this.#clock.touch = small ? this.#small : 0;
  }
}
