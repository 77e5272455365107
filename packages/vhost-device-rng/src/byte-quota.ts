/**
 * A token bucket of bytes: so many at once, and so many in every period on average. It is in debt where
 * bytes had to be given that it did not have; what comes pays that first.
 */
export class ByteQuota {
  /** Bytes at once, and in each period. */
  readonly most: number;
  readonly #perMs: number;
  readonly #now: () => number;
  #tokens: number;
  #filled: number;

  /**
   * @param most - bytes, >= 1
   * @param period - milliseconds, >= 1
   * @param now - a clock that never goes back, milliseconds
   */
  constructor(most: number, period: number, now: () => number) {
    this.most = most;
    this.#perMs = most / period;
    this.#now = now;
    this.#tokens = most;
    this.#filled = now();
  }

  /** Bytes that may be given now, whole ones. */
  get available(): number {
    this.#fill();
    return Math.max(0, Math.floor(this.#tokens));
  }

  /** Bytes that may be given where there is no time to wait: one period's in advance. */
  get borrowable(): number {
    this.#fill();
    return Math.max(0, Math.floor(this.#tokens + this.most));
  }

  /** @returns whole milliseconds until so many may be given, 0 for now. @param bytes - 1..`most` */
  waitFor(bytes: number): number {
    this.#fill();
    return Math.max(0, Math.ceil((bytes - this.#tokens) / this.#perMs));
  }

  /** Counts what was given. */
  take(bytes: number): void {
    this.#tokens -= bytes;
  }

  #fill(): void {
    const now = this.#now();
    this.#tokens = Math.min(this.most, this.#tokens + (now - this.#filled) * this.#perMs);
    this.#filled = now;
  }
}
