// VIRTIO 1.3 §2.1 "Device Status Field"; names as in linux/virtio_config.h.

/** §2.1 ACKNOWLEDGE: the guest found the device. */
export const VIRTIO_CONFIG_S_ACKNOWLEDGE = 1;
/** §2.1 DRIVER: the guest knows how to drive it. */
export const VIRTIO_CONFIG_S_DRIVER = 2;
/** §2.1 DRIVER_OK: the driver is set up. */
export const VIRTIO_CONFIG_S_DRIVER_OK = 4;
/** §2.1 FEATURES_OK: negotiation is complete. */
export const VIRTIO_CONFIG_S_FEATURES_OK = 8;
/** §2.1 DEVICE_NEEDS_RESET: the device cannot go on. */
export const VIRTIO_CONFIG_S_NEEDS_RESET = 0x40;
/** §2.1 FAILED: the guest gave the device up. */
export const VIRTIO_CONFIG_S_FAILED = 0x80;
