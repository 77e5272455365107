import { VIRTQUEUE_MAX_SIZE } from '@node-vmm/virtio-bindings';
import { isPowerOfTwo } from '@node-vmm/vmm-sys-util';
import type { DeviceDescription } from '../between/worker-calls.ts';
import type { VhostUserDevice } from '../device.ts';
import { VhostUserBackendError } from '../errors.ts';

/** Feature bits that are the device's own; the others are the framework's (VIRTIO 1.3 §2.2). */
const DEVICE_BITS = 0xfffc_0000_00ff_ffffn;
/** Vrings that a message with a descriptor can name. */
const MAX_QUEUES = 256;
/** Most configuration space that vhost-user carries. */
const MAX_CONFIG = 4096;

/**
 * Reads and checks what a device says about itself.
 *
 * @throws {VhostUserBackendError} INVALID_DEVICE
 */
export function describeDevice(name: string, device: VhostUserDevice): DeviceDescription {
  const refuse = (what: string): never => {
    throw new VhostUserBackendError('INVALID_DEVICE', `Cannot serve device ${name}: ${what}`, {
      device: name,
    });
  };
  if (typeof device?.process !== 'function') refuse('createDevice returned no device');
  const { features, queueMaxSizes, config, shared } = device;
  if (typeof features !== 'bigint' || (features & ~DEVICE_BITS) !== 0n) {
    refuse('its features are not within bits 0..23 and 50..63');
  }
  if (!Array.isArray(queueMaxSizes) || queueMaxSizes.length < 1) refuse('it has no queues');
  if (queueMaxSizes.length > MAX_QUEUES) refuse(`it has over ${MAX_QUEUES} queues`);
  for (const size of queueMaxSizes) {
    if (!isPowerOfTwo(size) || size > VIRTQUEUE_MAX_SIZE) {
      refuse(`queue size ${size} is no power of two up to ${VIRTQUEUE_MAX_SIZE}`);
    }
  }
  const configSize = config?.length ?? 0;
  if (configSize > MAX_CONFIG) refuse(`its configuration space is over ${MAX_CONFIG} bytes`);
  if (shared !== undefined && !(shared instanceof SharedArrayBuffer)) {
    refuse('what it shares is no SharedArrayBuffer');
  }
  const losesState = device.losesState === true;
  return { features, queueMaxSizes: [...queueMaxSizes], configSize, losesState, shared };
}
