/** Says when something has died too often: more than `most` times within a span of time. */
export class DeathLimit {
  readonly #most: number;
  readonly #span: number;
  #times: number[] = [];

  /** @param span - milliseconds */
  constructor(most: number, span: number) {
    this.#most = most;
    this.#span = span;
  }

  /** Once more. @param now - milliseconds @returns false when that is too often */
  another(now: number): boolean {
    this.#times = [...this.#times.filter((time) => now - time < this.#span), now];
    return this.#times.length <= this.#most;
  }
}
