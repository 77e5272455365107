import { VIRTQUEUE_MAX_SIZE } from '@node-vmm/virtio-bindings';
import { isPowerOfTwo } from '@node-vmm/vmm-sys-util';
import { invalidField } from '../between/invalid-field.ts';
import type { DeviceDescription } from '../between/worker-calls.ts';
import type { VhostUserDevice } from '../device.ts';

/** Feature bits that are the device's own; the others are the framework's (VIRTIO 1.3 §2.2). */
const DEVICE_BITS = 0xfffc_0000_00ff_ffffn;
/** Vrings that a message with a descriptor can name. */
const MAX_QUEUES = 256;
/** Most configuration space that vhost-user carries. */
const MAX_CONFIG = 4096;

/** What a device may leave out. */
const OPTIONAL_FUNCTIONS = [
  'writeConfig',
  'negotiated',
  'queueStopping',
  'queueStopped',
  'reset',
  'command',
] as const;

/**
 * Reads and checks what a device says about itself. Its author need not have had a compiler that does.
 *
 * @param device - what `createDevice` returned
 * @throws {VhostUserBackendError} INVALID_DEVICE
 */
export function describeDevice(
  name: string,
  device: VhostUserDevice,
): Omit<DeviceDescription, 'freshState'> {
  if (typeof device !== 'object' || device === null) {
    const parts = 'features, queueMaxSizes, process and [Symbol.dispose]';
    const expected = `to return an object with ${parts}`;
    throw invalidField(name, 'createDevice', { expected, got: device });
  }
  const check = (good: boolean, field: string, expected: string, got: unknown): void => {
    if (!good) throw invalidField(name, field, { expected, got });
  };
  check(typeof device.process === 'function', 'process', 'a function', device.process);
  const { features, queueMaxSizes, config, shared, losesState } = device;
  checkFeatures(name, features);
  checkQueues(name, queueMaxSizes);
  const isBytes = config === undefined || config instanceof Uint8Array;
  check(isBytes, 'config', 'a Uint8Array, or nothing', config);
  const configSize = config?.length ?? 0;
  const most = `a configuration space of up to ${MAX_CONFIG} bytes`;
  check(configSize <= MAX_CONFIG, 'config.length', most, configSize);
  for (const field of OPTIONAL_FUNCTIONS) {
    const given: unknown = device[field];
    check(given === undefined || typeof given === 'function', field, 'a function, or none', given);
  }
  const dispose: unknown = device[Symbol.dispose];
  check(typeof dispose === 'function', '[Symbol.dispose]', 'a function', dispose);
  const isShared = shared === undefined || shared instanceof SharedArrayBuffer;
  check(isShared, 'shared', 'a SharedArrayBuffer, or nothing', shared);
  const isFlag = losesState === undefined || typeof losesState === 'boolean';
  check(isFlag, 'losesState', 'a boolean, or nothing', losesState);
  return {
    features,
    queueMaxSizes: [...queueMaxSizes],
    configSize,
    losesState: losesState === true,
    shared,
  };
}

function checkFeatures(name: string, features: unknown): void {
  if (typeof features !== 'bigint') {
    const remedy = typeof features === 'number' ? `write ${features}n` : '0n is for none';
    throw invalidField(name, 'features', { expected: 'a bigint', got: features, remedy });
  }
  if ((features & ~DEVICE_BITS) !== 0n) {
    const expected = 'bits 0..23 and 50..63 only, which are what types of devices have';
    throw invalidField(name, 'features', { expected, got: features });
  }
}

function checkQueues(name: string, sizes: unknown): void {
  if (!Array.isArray(sizes) || sizes.length < 1 || sizes.length > MAX_QUEUES) {
    const remedy = typeof sizes === 'number' ? `write [${sizes}]` : undefined;
    const expected = `an array of 1..${MAX_QUEUES} queue sizes`;
    throw invalidField(name, 'queueMaxSizes', { expected, got: sizes, remedy });
  }
  for (const [i, size] of sizes.entries()) {
    if (isPowerOfTwo(size) && size <= VIRTQUEUE_MAX_SIZE) continue;
    const expected = `a power of two up to ${VIRTQUEUE_MAX_SIZE}`;
    throw invalidField(name, `queueMaxSizes[${i}]`, { expected, got: size });
  }
}
