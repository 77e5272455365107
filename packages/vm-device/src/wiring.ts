/** A wiring that lasts until closed. */
export interface Wiring extends Disposable {
  /** True when the kernel does it: no code of this process runs on the event. */
  readonly kernelAssisted: boolean;
  /** Idempotent. Afterwards the event takes the ordinary path again. */
  close(): void;
}

/** A wiring of a function that undoes it. */
export class OneWiring implements Wiring {
  readonly kernelAssisted: boolean;
  #undo: (() => void) | undefined;

  /** @param undo - called once */
  constructor(kernelAssisted: boolean, undo: () => void) {
    this.kernelAssisted = kernelAssisted;
    this.#undo = undo;
  }

  close(): void {
    const undo = this.#undo;
    this.#undo = undefined;
    undo?.();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The open wirings of a virtual machine, so that it can undo what its users left. */
export class WiringSet {
  readonly #open = new Set<Wiring>();

  add(kernelAssisted: boolean, undo: () => void): Wiring {
    const wiring = new OneWiring(kernelAssisted, () => {
      this.#open.delete(wiring);
      undo();
    });
    this.#open.add(wiring);
    return wiring;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Closes all, the newest first. */
  close(): void {
    for (const wiring of [...this.#open].reverse()) wiring.close();
  }
}
