// Feature bits that belong to the queues or to every device: VIRTIO 1.3 §6 "Reserved Feature Bits",
// names as in linux/virtio_config.h and linux/virtio_ring.h. Values are bit numbers.

/** Indirect descriptors (§2.7.5.3). */
export const VIRTIO_RING_F_INDIRECT_DESC = 28;
/** `used_event` and `avail_event` (§2.7.7, §2.7.10). */
export const VIRTIO_RING_F_EVENT_IDX = 29;
/** Not a legacy device. */
export const VIRTIO_F_VERSION_1 = 32;
/** The device's memory access is translated or limited by the platform. */
export const VIRTIO_F_ACCESS_PLATFORM = 33;
/** Packed virtqueue layout (§2.8). */
export const VIRTIO_F_RING_PACKED = 34;
/** Buffers are used in the order in which they were made available. */
export const VIRTIO_F_IN_ORDER = 35;
/** Memory accesses are ordered as the platform says. */
export const VIRTIO_F_ORDER_PLATFORM = 36;
/** Available buffer notifications carry the index. */
export const VIRTIO_F_NOTIFICATION_DATA = 38;
/** Queues can be reset one by one. */
export const VIRTIO_F_RING_RESET = 40;

/** True when `bit` is set in a 64-bit feature word. */
export function hasFeature(features: bigint, bit: number): boolean {
  return ((features >> BigInt(bit)) & 1n) === 1n;
}

/** The feature word with the given bits set. */
export function featureWord(...bits: readonly number[]): bigint {
  return bits.reduce((word, bit) => word | (1n << BigInt(bit)), 0n);
}
