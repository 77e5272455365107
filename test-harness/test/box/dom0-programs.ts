import type { Dom0Process, XenBox } from '../../src/box/index.ts';

/** Programs of one test in dom0: they and the test's guests do not outlive it. */
export class Dom0Programs {
  readonly #box: () => XenBox;
  readonly #running: Dom0Process[] = [];

  /** @param box - it is booted by then */
  constructor(box: () => XenBox) {
    this.#box = box;
  }

  start(name: string, command: string): Dom0Process {
    const program = this.#box().spawn(name, command);
    this.#running.push(program);
    return program;
  }

  /** One that the test ends itself. */
  forget(program: Dom0Process): void {
    this.#running.splice(this.#running.indexOf(program), 1);
  }

  /** All at once. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#running
        .splice(0)
        .reverse()
        .map((program) => program.stop()),
    );
  }

  /** After a test: its guests, then its programs, the last first. */
  async clear(): Promise<void> {
    for (const domain of this.#box().domains) await domain.destroy().catch(() => undefined);
    for (const program of this.#running.splice(0).reverse()) await program.stop();
  }
}
