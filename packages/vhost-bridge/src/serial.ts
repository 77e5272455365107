/** Runs asynchronous steps one after another, in the order they were given. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve();

  /** @returns what the step returns; a failed step does not keep the next from running */
  run<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(step);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
