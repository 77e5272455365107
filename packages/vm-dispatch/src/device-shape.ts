import { TRANSPORT_COUNTERS } from '@node-vmm/virtio-device';
import type { DeviceShape } from './device-memory.ts';

/** How much room the memory of a device needs. */
export function deviceShape(device: {
  readonly queueMaxSizes: readonly number[];
  readonly configSize: number;
}): DeviceShape {
  const queues = device.queueMaxSizes.length;
  return { queues, configSize: device.configSize, counters: TRANSPORT_COUNTERS.length };
}
