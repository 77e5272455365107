import type { BusHandler } from '@node-vmm/vm-device';

/** The port by which a guest ends its machine. */
export class ExitPort implements BusHandler {
  readonly #onExit: (code: number) => void;

  /** @param onExit - is told what the guest has written, 0 to 255; 0 is an orderly end */
  constructor(onExit: (code: number) => void) {
    this.#onExit = onExit;
  }

  read(): bigint {
    return 0n;
  }

  write(_offset: number, _size: number, value: bigint): undefined {
    this.#onExit(Number(value & 0xffn));
  }
}
