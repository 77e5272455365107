import { hex } from '@node-vmm/vmm-sys-util';
import type { BridgedDevice } from './bridged-device.ts';
import type { DeviceDescription } from './device-source.ts';
import type { KeptDevice } from './kept-device.ts';
import type { ServedDevice } from './served-device.ts';
import type { DeviceStatus } from './status.ts';
import { deviceById } from './supported-devices.ts';

/** A device that a bridge serves, from when it was announced. */
export interface DeviceEntry {
  readonly description: DeviceDescription;
  readonly abort: AbortController;
  /** Ends when the device is up or has failed and left nothing behind. */
  readonly up: Promise<ServedDevice>;
  readonly progress: Progress;
  /** Ends when it is gone; there is one once somebody wants that. */
  down?: Promise<void>;
}

/** What is known of a device on its way up. */
export interface Progress {
  socket?: string;
  device?: BridgedDevice;
  /** What another bridge left of it. */
  kept?: KeptDevice;
}

/** As plain data. */
export function deviceStatus({ description, progress, down }: DeviceEntry): DeviceStatus {
  const { key, guest, base, irq, deviceId } = description;
  const { socket, device } = progress;
  const here = device === undefined ? 'coming up' : 'up';
  return {
    device: key,
    guest,
    type: deviceById(deviceId).name,
    base: hex(base),
    irq,
    socket,
    state: down === undefined ? here : 'going down',
    ...device?.status(),
  };
}
