/** Allows so many events at once, and one more each so many milliseconds. */
export class TokenBucket {
  readonly #burst: number;
  readonly #everyMs: number;
  #tokens: number;
  #filled: number;

  /**
   * @param burst - events at once, at least 1
   * @param everyMs - milliseconds until there is room for one more
   * @param now - milliseconds of the clock that later calls go by
   */
  constructor(burst: number, everyMs: number, now: number) {
    this.#burst = burst;
    this.#everyMs = everyMs;
    this.#tokens = burst;
    this.#filled = now;
  }

  /** True when there is room for an event. */
  has(now: number): boolean {
    const tokens = this.#tokens + (now - this.#filled) / this.#everyMs;
    this.#tokens = Math.min(tokens, this.#burst);
    this.#filled = now;
    return this.#tokens >= 1;
  }

  /** Counts an event. @returns false, and counts nothing, when there is no room */
  take(now: number): boolean {
    if (!this.has(now)) return false;
    this.#tokens--;
    return true;
  }
}
