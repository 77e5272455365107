/**
 * Two copies of something in memory that outlives the process, and which of them counts: who is killed
 * while one is written finds the other.
 */
export class TwoCopies {
  readonly #bytes: Uint8Array;
  readonly #size: number;

  /**
   * @param bytes - as many as `TwoCopies.size(size)`
   * @param size - bytes of a copy
   */
  constructor(bytes: Uint8Array, size: number) {
    this.#bytes = bytes;
    this.#size = size;
  }

  /** Bytes that two copies of a size need. */
  static size(size: number): number {
    return 1 + 2 * size;
  }

  /** The copy that counts; zeros at the beginning. */
  get current(): Uint8Array {
    return this.#copy((this.#bytes[0] as number) & 1);
  }

  /** @param write - writes all of the other copy, which counts from then on */
  store(write: (bytes: Uint8Array) => void): void {
    const other = ((this.#bytes[0] as number) & 1) ^ 1;
    write(this.#copy(other));
    this.#bytes[0] = other;
  }

  #copy(index: number): Uint8Array {
    const at = 1 + index * this.#size;
    return this.#bytes.subarray(at, at + this.#size);
  }
}
