import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WORKSPACE_ROOT } from './paths.ts';
import { XenBox, type XenBoxOptions } from './xen-box.ts';

const DAEMON = join(WORKSPACE_ROOT, 'packages/vhost-device-i2c/dist/main.js');

/** A `vhost-device-i2c` on this machine, outside the box. */
export class OuterDaemon {
  readonly socket: string;
  readonly #dir: string;
  readonly #process: ChildProcess;

  private constructor(dir: string, board: string) {
    this.#dir = dir;
    this.socket = join(dir, 'vi2c.sock0');
    const args = ['-s', join(dir, 'vi2c.sock'), `--simulate=${board}`, '--log-level', 'warn'];
    this.#process = spawn(process.execPath, [DAEMON, ...args], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
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
  }
}

/**
 * Boots a box whose dom0 has two I2C adapters: bus 0 with full I2C, which is QEMU's
 * `vhost-user-i2c-pci` served by our own daemon out here (a DS1338 clock at 0x20, a 24c02 EEPROM at
 * 0x50), and bus 1, the kernel's SMBus-only stub with a chip at 0x30.
 */
export async function bootI2cBox(
  name: string,
  options: XenBoxOptions = {},
): Promise<{ box: XenBox; outer: OuterDaemon }> {
  const outer = OuterDaemon.start('ds1338@0x20,24c02@0x50');
  try {
    const box = await XenBox.boot({ memory: 3072, ...options, name, i2cSocket: outer.socket });
    await box.sh('modprobe i2c-stub chip_addr=0x30; mkdir -p /run/vhost');
    return { box, outer };
  } catch (error) {
    await outer.stop();
    throw error;
  }
}
