import { type Bed, bridgeArguments, type Dom0Process, type XenBox } from '../../src/box/index.ts';

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

  /**
   * A bridge that serves these devices of these guests; ends when it watches for them.
   *
   * @param options - besides those that tell it of the devices
   */
  async startBridge(
    bed: Bed,
    guests: Parameters<typeof bridgeArguments>[1],
    options: string,
  ): Promise<Dom0Process> {
    const command = `xen-vhost-master ${bridgeArguments(bed, guests)} ${options}`;
    const bridge = this.start('bridge', command);
    await bridge.waitFor(/watching for devices/);
    return bridge;
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
