/** Knows which device's failure is the end of a daemon: the last one's, or the first. */
export class FatalFailure {
  /** Resolves with the failure that ends the daemon. */
  readonly happened: Promise<Error>;
  readonly #atOnce: boolean;
  readonly #serving: () => number;
  #resolve: (error: Error) => void = () => undefined;
  #last: Error | undefined;
  #complete = false;

  /**
   * @param atOnce - any failure does
   * @param serving - how many devices are left
   */
  constructor(atOnce: boolean, serving: () => number) {
    this.#atOnce = atOnce;
    this.#serving = serving;
    this.happened = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  add(error: Error): void {
    this.#last = error;
    this.#look();
  }

  /** All devices have been added: until now there were others to come. */
  complete(): void {
    this.#complete = true;
    this.#look();
  }

  #look(): void {
    if (this.#last === undefined) return;
    if (this.#atOnce || (this.#complete && this.#serving() === 0)) this.#resolve(this.#last);
  }
}
