import { errorMessage } from '@node-vmm/vmm-sys-util';
import type { FaultLog } from './faults.ts';
import type { VirtioDevice } from './virtio-device.ts';

/**
 * A driver's accesses to configuration space (VIRTIO 1.3 §4.2.2): by 1, 2, 4 and 8 bytes, at any
 * offset.
 */
export class ConfigAccess {
  readonly #device: VirtioDevice;
  readonly #faults: FaultLog;
  // Scratch, one view of each access size.
  readonly #value = new DataView(new ArrayBuffer(8));
  readonly #windows = [1, 2, 4, 8].map((size) => new Uint8Array(this.#value.buffer, 0, size));

  constructor(device: VirtioDevice, faults: FaultLog) {
    this.#device = device;
    this.#faults = faults;
  }

  /** @returns zero for what does not exist */
  read(offset: number, size: number): bigint {
    const bytes = this.#window(offset, size);
    if (bytes === undefined) return 0n;
    this.#value.setBigUint64(0, 0n);
    let exists = false;
    this.#call('readConfig', () => {
      exists = this.#device.readConfig(offset, bytes);
    });
    if (exists) return this.#value.getBigUint64(0, true);
    this.#faults.report('badConfig', 'read', { offset, size });
    return 0n;
  }

  /** @returns true when the device heard of it */
  write(offset: number, size: number, value: bigint): boolean {
    const bytes = this.#window(offset, size);
    if (bytes === undefined) return false;
    this.#value.setBigUint64(0, value, true);
    this.#call('writeConfig', () => this.#device.writeConfig(offset, bytes));
    return true;
  }

  #window(offset: number, size: number): Uint8Array | undefined {
    const bytes = this.#windows.find((window) => window.length === size);
    if (bytes === undefined) this.#faults.report('badWidth', 'config', { offset, size });
    return bytes;
  }

  #call(name: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#faults.report('deviceErrors', name, { error: errorMessage(error) });
    }
  }
}
