/** Numbers that look random and are the same every time: a case that fails does so again. */
export class Random {
  #state: number;

  /** @param seed - 1..0xffffffff */
  constructor(seed: number) {
    this.#state = seed;
  }

  /** An integer from 0 up to `end`, which is not among them. */
  below(end: number): number {
    return this.#next() % end;
  }

  /** One of some values. @throws {RangeError} when there are none */
  of<T>(values: readonly [T, ...T[]] | readonly T[]): T {
    if (values.length === 0) throw new RangeError('Cannot choose: there are no values');
    return values[this.below(values.length)] as T;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#next() & 0xff);
  }

  /** Marsaglia's xorshift of 32 bits. */
  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
}
