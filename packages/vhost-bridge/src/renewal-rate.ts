/** Ours: rounds at once. Linux's balloon gives 2 MiB back by each, so that 1 GiB is not slowed. */
const BURST = 512;
/** Ours: a message takes each side about a tenth of it, so that a guest has no more of either than that. */
const MS_PER_MESSAGE = 2;
/** Ours: between rounds, however few back-ends are told: 400 MiB a second. */
const MIN_INTERVAL_MS = 5;

/**
 * How often one guest may have its back-ends told that its memory is not what it was: each time costs the bridge and
 * every back-end work, and costs the guest one exit. A guest that goes on without end waits between them.
 */
export class RenewalRate {
  #level = BURST;
  #at = performance.now();

  /**
   * Takes one round.
   *
   * @param messages - that it will take
   * @returns how long the round is to wait, milliseconds; 0 for not at all
   */
  take(messages: number): number {
    const now = performance.now();
    const interval = Math.max(MIN_INTERVAL_MS, messages * MS_PER_MESSAGE);
    this.#level = Math.min(BURST, this.#level + (now - this.#at) / interval) - 1;
    this.#at = now;
    return this.#level >= 0 ? 0 : Math.ceil(-this.#level * interval);
  }
}
