import { AVAIL_RING_WORD, FLAGS_WORD, IDX_WORD, type SplitRing } from '../split/split-ring.ts';

/** Fields of a descriptor as written by a driver that obeys no rule. */
export interface RawDescriptor {
  readonly addr: bigint;
  readonly len: number;
  readonly flags: number;
  readonly next?: number;
}

/** Every field of a split ring, readable and writable, for hostile tests. */
export class RawRing {
  readonly #ring: SplitRing;

  constructor(ring: SplitRing) {
    this.#ring = ring;
  }

  /** Writes descriptor `index`. */
  setDescriptor(index: number, { addr, len, flags, next = 0 }: RawDescriptor): void {
    this.#ring.desc.set(
      [
        Number(BigInt.asUintN(32, addr)),
        Number(BigInt.asUintN(32, addr >> 32n)),
        len,
        (flags & 0xffff) | (next << 16),
      ],
      4 * index,
    );
  }

  /** Writes the available entry in ring slot `slot`. */
  setAvail(slot: number, head: number): void {
    this.#ring.avail[AVAIL_RING_WORD + slot] = head;
  }

  /** Offers heads from the current `avail.idx` on and raises it. */
  offer(...heads: readonly number[]): void {
    const mask = this.#ring.size - 1;
    for (const head of heads) {
      this.setAvail(this.availIndex & mask, head);
      this.availIndex = (this.availIndex + 1) & 0xffff;
    }
  }

  get availFlags(): number {
    return this.#ring.avail[FLAGS_WORD] as number;
  }
  set availFlags(value: number) {
    this.#ring.avail[FLAGS_WORD] = value;
  }

  get availIndex(): number {
    return this.#ring.avail[IDX_WORD] as number;
  }
  set availIndex(value: number) {
    this.#ring.avail[IDX_WORD] = value;
  }

  get usedEvent(): number {
    return this.#ring.avail[this.#ring.usedEventWord] as number;
  }
  set usedEvent(value: number) {
    this.#ring.avail[this.#ring.usedEventWord] = value;
  }

  get usedFlags(): number {
    return this.#ring.used[FLAGS_WORD] as number;
  }
  set usedFlags(value: number) {
    this.#ring.used[FLAGS_WORD] = value;
  }

  get usedIndex(): number {
    return this.#ring.used[IDX_WORD] as number;
  }
  set usedIndex(value: number) {
    this.#ring.used[IDX_WORD] = value;
  }

  get availEvent(): number {
    return this.#ring.used[this.#ring.availEventWord] as number;
  }
  set availEvent(value: number) {
    this.#ring.used[this.#ring.availEventWord] = value;
  }

  /** Used element in ring slot `slot`. */
  usedElement(slot: number): { id: number; len: number } {
    const { usedElems } = this.#ring;
    return { id: usedElems[1 + 2 * slot] as number, len: usedElems[2 + 2 * slot] as number };
  }
}
