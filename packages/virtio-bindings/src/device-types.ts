// VIRTIO 1.3 §5 "Device Types": device IDs of the types that something here has a name for; names as
// in linux/virtio_ids.h.

/** Network device, §5.1. */
export const VIRTIO_ID_NET = 1;
/** Block device, §5.2. */
export const VIRTIO_ID_BLOCK = 2;
/** Console, §5.3. */
export const VIRTIO_ID_CONSOLE = 3;
/** Entropy source, §5.4. */
export const VIRTIO_ID_RNG = 4;
/** SCSI host, §5.6. */
export const VIRTIO_ID_SCSI = 8;
/** GPU device, §5.7. */
export const VIRTIO_ID_GPU = 16;
/** Input device, §5.8. */
export const VIRTIO_ID_INPUT = 18;
/** Socket device, §5.10. */
export const VIRTIO_ID_VSOCK = 19;
/** Audio device, §5.14. */
export const VIRTIO_ID_SOUND = 25;
/** File system device, §5.11. */
export const VIRTIO_ID_FS = 26;
/** SCMI device, §5.17. */
export const VIRTIO_ID_SCMI = 32;
/** I2C adapter, §5.16. */
export const VIRTIO_ID_I2C_ADAPTER = 34;
/** CAN device, of the table in §5; it has no section. */
export const VIRTIO_ID_CAN = 36;
/** GPIO device, §5.18. */
export const VIRTIO_ID_GPIO = 41;
/** SPI master, of the table in §5; it has no section, nor is it in every linux/virtio_ids.h. */
export const VIRTIO_ID_SPI = 45;
