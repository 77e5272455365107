/**
 * Counts notifications that the kernel took, as far as this process sees them: an event of a vCPU without a
 * request, while there are wirings of the kernel's. What comes at once is one event.
 */
export class KernelKicks {
  readonly #idle: () => number;
  #counted = 0;
  #wirings = 0;
  /** Vain announcements when the first wiring was made. */
  #before = 0;

  /** @param idle - times that a vCPU was said to have posted a request, and had not */
  constructor(idle: () => number) {
    this.#idle = idle;
  }

  get count(): number {
    return this.#counted + (this.#wirings === 0 ? 0 : this.#idle() - this.#before);
  }

  /** The kernel takes some. */
  begin(): void {
    if (this.#wirings++ === 0) this.#before = this.#idle();
  }

  /** Undoes one {@link begin}. */
  end(): void {
    if (this.#wirings === 1) this.#counted = this.count;
    this.#wirings--;
  }
}
