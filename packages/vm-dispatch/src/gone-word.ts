/**
 * Tells a guest's owner, once, that no thread has the guest any more, upon which the owner answers its vCPUs. Not
 * while these wait for another process: that finds what they ask for as it is.
 */
export class GoneWord {
  readonly #tell: () => void;
  #owed = false;
  #held = false;

  constructor(tell: () => void) {
    this.#tell = tell;
  }

  /** Nothing of the guest is to be taken. */
  hold(): void {
    this.#held = true;
  }

  /** The guest is served again. */
  free(): void {
    this.#held = false;
    this.#say();
  }

  /** No thread has it. */
  give(): void {
    this.#owed = true;
    this.#say();
  }

  #say(): void {
    if (this.#held || !this.#owed) return;
    this.#owed = false;
    this.#tell();
  }
}
