import { NO_GUEST } from '../protocol.ts';

/**
 * For which guest the thread works now: what is not caught ends the thread, and whose guest is to blame is seen then,
 * by whoever finds it ended, which orders the reads.
 */
export class Serving {
  readonly #guest: Int32Array;

  /** @param guest - shared with the main thread, of one element */
  constructor(guest: Int32Array) {
    this.#guest = guest;
  }

  begin(guest: number): void {
    this.#guest[0] = guest;
  }

  end(): void {
    this.#guest[0] = NO_GUEST;
  }

  /** Does something for a guest. */
  do(guest: number, action: () => void): void {
    this.begin(guest);
    action();
    this.end();
  }
}
