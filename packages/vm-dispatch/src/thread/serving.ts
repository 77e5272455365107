import { NO_GUEST, SERVING } from '../protocol.ts';

/**
 * For which guest the thread works now: what is not caught ends the thread, and whose guest is to blame is seen then,
 * by whoever finds it ended, which orders the reads. Of a thread that is stuck it is read as well, for a log line, long
 * after it was written.
 */
export class Serving {
  readonly #words: Int32Array;

  /** @param words - `SERVING`, shared with the main thread */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  begin(guest: number): void {
    this.#words[SERVING.GUEST] = guest;
  }

  end(): void {
    this.#words[SERVING.GUEST] = NO_GUEST;
  }

  /** Does something for a guest. */
  do(guest: number, action: () => void): void {
    this.begin(guest);
    action();
    this.end();
  }
}
