import { Completion, type Held, whenOver } from '@node-vmm/vm-device';
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

  /**
   * @param onWrite - called before the device hears of it, if it does
   * @returns what the answer must wait for; it does not fail
   */
  write(offset: number, size: number, value: bigint, onWrite: () => void): Completion | undefined {
    const bytes = this.#window(offset, size);
    if (bytes === undefined) return undefined;
    onWrite();
    this.#value.setBigUint64(0, value, true);
    let held: Held | undefined;
    this.#call('writeConfig', () => {
      held = this.#device.writeConfig(offset, bytes);
    });
    if (held === undefined) return undefined;
    const written = new Completion();
    whenOver(
      held,
      () => written.complete(),
      (error) => {
        this.#failed('writeConfig', error);
        written.complete();
      },
    );
    return written.over ? undefined : written;
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
      this.#failed(name, error);
    }
  }

  #failed(name: string, error: unknown): void {
    this.#faults.report('deviceErrors', name, { error: errorMessage(error) });
  }
}
