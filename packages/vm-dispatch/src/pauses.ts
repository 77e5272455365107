/** Those who wait until a guest's accesses are no more taken. */
export class Pauses {
  #waiting: (() => void)[] = [];

  /** How many are waited for. */
  get count(): number {
    return this.#waiting.length;
  }

  /** One more. @returns ends with it */
  add(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The first has come. */
  next(): void {
    this.#waiting.shift()?.();
  }

  /** Nobody is left who could take any. */
  end(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
