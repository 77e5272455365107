/**
 * Runs a step again after every change, never twice at a time: changes that come while it runs become
 * one run after it. So that no sequence of events can be missed, the step compares what there is with
 * what is known.
 */
export class Rescan {
  readonly #step: () => Promise<void>;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;

  /** @param step - rejects never */
  constructor(step: () => Promise<void>) {
    this.#step = step;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Something changed. @returns the end of the run that has seen it or of one before */
  changed(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#running !== undefined) {
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#step().finally(() => {
      this.#running = undefined;
      if (!this.#again) return;
      this.#again = false;
      void this.changed();
    });
    return this.#running;
  }

  /** Runs no more; ends when nothing runs. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }
}
