// VIRTIO 1.3 §6 "Reserved Feature Bits": those that belong to the queues, the transport or every
// device. Values are bit numbers; names as in linux/virtio_config.h and linux/virtio_ring.h.

/** §6: indirect descriptors (§2.7.5.3). */
export const VIRTIO_RING_F_INDIRECT_DESC = 28;
/** §6: `used_event` and `avail_event` (§2.7.7, §2.7.10). */
export const VIRTIO_RING_F_EVENT_IDX = 29;
/** §6: not a legacy device. */
export const VIRTIO_F_VERSION_1 = 32;
/** §6: the device's memory access is translated or limited by the platform. */
export const VIRTIO_F_ACCESS_PLATFORM = 33;
/** §6: packed virtqueue layout (§2.8). */
export const VIRTIO_F_RING_PACKED = 34;
/** §6: buffers are used in the order in which they were made available. */
export const VIRTIO_F_IN_ORDER = 35;
/** §6: memory accesses are ordered as the platform says. */
export const VIRTIO_F_ORDER_PLATFORM = 36;
/** §6: single root I/O virtualization. */
export const VIRTIO_F_SR_IOV = 37;
/** §6: available buffer notifications carry the index. */
export const VIRTIO_F_NOTIFICATION_DATA = 38;
/** §6: available buffer notifications carry data that the device gave. */
export const VIRTIO_F_NOTIF_CONFIG_DATA = 39;
/** §6: queues can be reset one by one. */
export const VIRTIO_F_RING_RESET = 40;
