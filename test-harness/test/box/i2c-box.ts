import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type Dom0Process, XenBox, type XenDomain } from '../../src/box/index.ts';

/** What `xl create` is told to give a guest an I2C adapter. */
export const VIRTIO_I2C = 'type=virtio,device22,transport=mmio,grant_usage=0';
const DAEMON = fileURLToPath(
  new URL('../../../packages/vhost-device-i2c/dist/main.js', import.meta.url),
);

/** A `vhost-device-i2c` on this machine, outside the box. */
export class OuterDaemon {
  readonly socket: string;
  readonly #dir: string;
  #process: ChildProcess;
  readonly #board: string;

  private constructor(dir: string, board: string) {
    this.#dir = dir;
    this.#board = board;
    this.socket = join(dir, 'vi2c.sock0');
    this.#process = this.#spawn();
  }

  #spawn(): ChildProcess {
    const args = ['-s', join(this.#dir, 'vi2c.sock'), `--simulate=${this.#board}`];
    return spawn(process.execPath, [DAEMON, ...args, '--log-level', 'warn'], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  }

  /** @param board - as `--simulate` takes it */
  static start(board: string): OuterDaemon {
    return new OuterDaemon(mkdtempSync(join(tmpdir(), 'node-vmm-i2c-')), board);
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGTERM');
    await once(this.#process, 'exit');
    rmSync(this.#dir, { recursive: true });
  }
}

/**
 * Boots a box whose dom0 has two I2C adapters: one with full I2C (QEMU's, served by our own daemon
 * out here, with a DS1338 clock at 0x20 and an EEPROM at 0x50) and the kernel's SMBus-only stub.
 */
export async function bootI2cBox(name: string): Promise<{ box: XenBox; outer: OuterDaemon }> {
  const outer = OuterDaemon.start('ds1338@0x20,24c02@0x50');
  try {
    const box = await XenBox.boot({ name, i2cSocket: outer.socket, memory: 3072 });
    await box.sh('modprobe i2c-stub chip_addr=0x30');
    return { box, outer };
  } catch (error) {
    await outer.stop();
    throw error;
  }
}

/** Bus number in dom0 of the adapter whose name matches. */
export async function busNumber(box: XenBox, name: string): Promise<number> {
  const found = await box.sh(`grep -l '${name}' /sys/bus/i2c/devices/i2c-*/name`);
  return Number(/i2c-(\d+)/.exec(found)?.[1]);
}

/** Runs a command 1,000 times in the guest and counts the failures. */
export async function repeat(guest: XenDomain, count: number, command: string): Promise<number> {
  const script = `f=0; i=0; while [ $i -lt ${count} ]; do ${command} || f=$((f+1)); i=$((i+1)); done; echo $f`;
  return Number(await guest.sh(script, { timeoutMs: 240_000 }));
}

/** Descriptors that a process in dom0 has open. */
export async function openFds(box: XenBox, pattern: string): Promise<number> {
  return Number(await box.sh(`ls /proc/$(pgrep -f '${pattern}' | head -n 1)/fd | wc -l`));
}

/** Checks that nothing of a destroyed guest is left: xenstore, zombie domains. */
export async function expectNoResidue(box: XenBox): Promise<void> {
  const backends = await box.exec('xenstore-ls -f /local/domain/0/backend');
  expect(backends.stdout).not.toMatch(/virtio\/\d+/);
  const domains = (await box.sh('xl list')).trim().split('\n').slice(1);
  expect(domains).toHaveLength(1);
}

/** Waits for a bridge to watch for devices. */
export async function bridgeReady(bridge: Dom0Process): Promise<void> {
  await bridge.waitFor(/watching for devices/);
}
