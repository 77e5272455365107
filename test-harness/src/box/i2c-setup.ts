import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WORKSPACE_ROOT } from './paths.ts';
import { findBed } from './status.ts';
import { XenBox, type XenBoxOptions } from './xen-box.ts';

const DAEMON = join(WORKSPACE_ROOT, 'packages/vhost-device-i2c/dist/main.js');

/** A `vhost-device-i2c` on this machine, outside the box. */
export class OuterDaemon {
  readonly socket: string;
  readonly #dir: string;
  readonly #process: ChildProcess;

  private constructor(dir: string, board: string) {
    this.#dir = dir;
    this.socket = join(dir, 'vi2c.sock');
    const args = ['-s', this.socket, `--simulate=${board}`, '--log-level', 'warn'];
    this.#process = spawn(process.execPath, [DAEMON, ...args], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    process.on('exit', this.#endNow);
  }

  /** @param board - as `--simulate` takes it */
  static start(board: string): OuterDaemon {
    return new OuterDaemon(mkdtempSync(join(tmpdir(), 'node-vmm-i2c-')), board);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGTERM');
      await once(this.#process, 'exit');
    }
    rmSync(this.#dir, { recursive: true });
    process.off('exit', this.#endNow);
  }

  /** However this process ends, as long as it can do anything about it. */
  readonly #endNow = (): void => {
    this.#process.kill('SIGKILL');
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 3 });
  };
}

/** A box for I2C: see {@link bootI2cBox}. */
export interface I2cBox {
  readonly box: XenBox;
  /**
   * Options of `vhost-device-i2c` for a clock at 0x20 and an EEPROM at 0x50, as far as the device list
   * of the caller allows: on dom0's bus 0 where the bed can have it, else simulated in dom0.
   *
   * @param addresses - those that guests may use, e.g. `0x50`
   */
  chips(...addresses: readonly string[]): string;
  /** True when dom0 has a bus with full I2C. */
  readonly fullBus: boolean;
  stop(): Promise<void>;
}

const CHIPS: Readonly<Record<string, string>> = {
  '0x20': 'ds1338',
  '32': 'ds1338',
  '0x50': '24c02',
};

/**
 * Boots a box whose dom0 has two I2C adapters: bus 0 with full I2C, which is QEMU's
 * `vhost-user-i2c-pci` served by our own daemon out here (a DS1338 clock at 0x20, a 24c02 EEPROM at
 * 0x50), and bus 1, the kernel's SMBus-only stub with a chip at 0x30. A bed that cannot have the first
 * has the stub alone.
 */
export async function bootI2cBox(name: string, options: XenBoxOptions = {}): Promise<I2cBox> {
  const bed = findBed(options.bed);
  const fullBus = bed.features.includes('outer-i2c');
  const outer = fullBus ? OuterDaemon.start('ds1338@0x20,24c02@0x50') : undefined;
  try {
    const box = await XenBox.boot({
      memory: 3072,
      ...options,
      bed: bed.name,
      name,
      ...(outer === undefined ? {} : { i2cSocket: outer.socket }),
    });
    await box.sh('modprobe i2c-stub chip_addr=0x30; mkdir -p /run/vhost');
    return {
      box,
      fullBus,
      chips: (...addresses) =>
        fullBus
          ? `-l 0:${addresses.join(':')}`
          : `--simulate=${addresses.map((address) => `${CHIPS[address]}@${address}`).join(',')}`,
      stop: async () => {
        await box.stop();
        await outer?.stop();
      },
    };
  } catch (error) {
    await outer?.stop();
    throw error;
  }
}
