import { TWO_32 } from '@node-vmm/vmm-sys-util';
import type { GuestMemoryRegion } from './guest-memory.ts';

const IOVEC_WORDS = 4;

/**
 * Pieces of guest memory on loan, as parallel arrays that are filled and reused without allocation.
 * The same entries stand ready as a `struct iovec` array for `readv`, `writev` and `preadv`.
 */
export class SegmentTable {
  readonly capacity: number;
  /**
   * `struct iovec[capacity]` as 32-bit words: base low, base high, length low, length high. Entry
   * `i` starts at byte `16 * i`.
   */
  readonly iovecs: Uint32Array<ArrayBuffer>;
  readonly #regions: (GuestMemoryRegion | undefined)[];
  readonly #offsets: Float64Array;
  #count = 0;

  /** @param capacity - entries, >= 1 */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.iovecs = new Uint32Array(capacity * IOVEC_WORDS);
    this.#regions = new Array<GuestMemoryRegion | undefined>(capacity).fill(undefined);
    this.#offsets = new Float64Array(capacity);
  }

  /** Entries in use. */
  get count(): number {
    return this.#count;
  }

  /**
   * Appends `[offset, offset + length)` of a region; the caller has checked that it is within.
   *
   * @returns false when the table is full
   */
  push(region: GuestMemoryRegion, offset: number, length: number): boolean {
    const i = this.#count;
    if (i === this.capacity) return false;
    const host = region.hostAddress + offset;
    const word = i * IOVEC_WORDS;
    this.iovecs[word] = host;
    this.iovecs[word + 1] = host / TWO_32;
    this.iovecs[word + 2] = length;
    this.#regions[i] = region;
    this.#offsets[i] = offset;
    this.#count = i + 1;
    return true;
  }

  /** Drops entries from `count` on. */
  truncate(count: number): void {
    this.#count = Math.min(this.#count, count);
  }

  /** Bytes of entry `i`. */
  lengthAt(i: number): number {
    return this.iovecs[i * IOVEC_WORDS + 2] as number;
  }

  /** Address in this process of entry `i`'s first byte; exact. */
  hostAddressAt(i: number): number {
    const word = i * IOVEC_WORDS;
    return (this.iovecs[word] as number) + (this.iovecs[word + 1] as number) * TWO_32;
  }

  /** Region of entry `i`. */
  regionAt(i: number): GuestMemoryRegion {
    return this.#regions[i] as GuestMemoryRegion;
  }

  /** Offset of entry `i` within its region. */
  offsetAt(i: number): number {
    return this.#offsets[i] as number;
  }

  /**
   * Entry `i` as bytes: a fresh `Uint8Array` over guest memory, valid until given back. Whoever keeps it sees
   * what becomes of that memory, and empty memory once the guest has gone.
   */
  bytesAt(i: number): Uint8Array {
    return this.regionAt(i).bytesAt(this.offsetAt(i), this.lengthAt(i));
  }
}
