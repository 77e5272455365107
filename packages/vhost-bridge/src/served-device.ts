import type { Logger } from '@node-vmm/vmm-sys-util';
import type { BridgedDevice } from './bridged-device.ts';
import type { DeviceDescription } from './device-source.ts';
import type { DeviceWindow } from './device-window.ts';
import type { KeptDevice } from './kept-device.ts';
import type { SocketLease } from './socket-provider.ts';

/** A device that is up, with all that it has; it ends in one of two ways, once. */
export class ServedDevice {
  readonly #parts: {
    readonly description: DeviceDescription;
    readonly device: BridgedDevice;
    readonly window: DeviceWindow;
    readonly lease: SocketLease;
    readonly logger: Logger;
  };

  /** @param parts - all but the logger become its own */
  constructor(parts: {
    readonly description: DeviceDescription;
    readonly device: BridgedDevice;
    readonly window: DeviceWindow;
    readonly lease: SocketLease;
    readonly logger: Logger;
  }) {
    this.#parts = parts;
  }

  /** Takes it from its guest. */
  async close(): Promise<void> {
    const { device, lease, logger } = this.#parts;
    try {
      await device.close(() => lease.stop?.());
    } finally {
      this.#letGo();
    }
    logger.info({}, 'device down');
  }

  /** Leaves it to another bridge. */
  async keep(): Promise<KeptDevice> {
    const { device, description, lease } = this.#parts;
    try {
      const state = await device.keep();
      const kept = { description, socket: lease.path };
      return state === undefined ? kept : { ...kept, state };
    } finally {
      this.#letGo();
    }
  }

  #letGo(): void {
    this.#parts.window.close();
    this.#parts.lease.release();
  }
}
