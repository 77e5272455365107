/** When what could not be read is read again. */
const RETRY_MS = 1000;

/**
 * Runs a step again after every change, never twice at a time: changes that come while it runs become
 * one run after it. The step compares what there is with what is known, so that no sequence of events
 * can be missed.
 */
export class Rescan {
  readonly #step: () => Promise<boolean>;
  #running: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #again = false;
  #closed = false;

  /** @param step - false: something could not be read, try again later. Rejects never */
  constructor(step: () => Promise<boolean>) {
    this.#step = step;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Something changed. @returns the end of the run under way; one more follows if this came too late */
  changed(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#running !== undefined) {
      this.#again = true;
      return this.#running;
    }
    clearTimeout(this.#retry);
    this.#running = this.#step().then((complete) => {
      this.#running = undefined;
      if (this.#again) {
        this.#again = false;
        void this.changed();
      } else if (!complete && !this.#closed) {
        this.#retry = setTimeout(() => void this.changed(), RETRY_MS);
      }
    });
    return this.#running;
  }

  /** Something else is to be tried again, after a while. */
  later(): void {
    if (this.#closed || this.#running !== undefined) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.changed(), RETRY_MS);
  }

  /** Runs no more; ends when nothing runs. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#running;
  }
}
