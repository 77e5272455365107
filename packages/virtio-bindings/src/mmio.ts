// VIRTIO 1.3 §4.2 "Virtio Over MMIO": registers as offsets in bytes from the window's base, 32 bits each;
// names as in linux/virtio_mmio.h, the specification's stand beside them.

/** §4.2.2 MagicValue: {@link VIRTIO_MMIO_MAGIC}, read only. */
export const VIRTIO_MMIO_MAGIC_VALUE = 0x000;
/** §4.2.2 Version: {@link VIRTIO_MMIO_VERSION_2}, read only. */
export const VIRTIO_MMIO_VERSION = 0x004;
/** §4.2.2 DeviceID: a type of §5, 0 where there is no device; read only. */
export const VIRTIO_MMIO_DEVICE_ID = 0x008;
/** §4.2.2 VendorID, read only. */
export const VIRTIO_MMIO_VENDOR_ID = 0x00c;
/** §4.2.2 DeviceFeatures: the selected 32 bits of what the device offers, read only. */
export const VIRTIO_MMIO_DEVICE_FEATURES = 0x010;
/** §4.2.2 DeviceFeaturesSel, write only. */
export const VIRTIO_MMIO_DEVICE_FEATURES_SEL = 0x014;
/** §4.2.2 DriverFeatures: the selected 32 bits of what the driver accepts, write only. */
export const VIRTIO_MMIO_DRIVER_FEATURES = 0x020;
/** §4.2.2 DriverFeaturesSel, write only. */
export const VIRTIO_MMIO_DRIVER_FEATURES_SEL = 0x024;
/** §4.2.2 QueueSel: the queue that the registers of queues are about, write only. */
export const VIRTIO_MMIO_QUEUE_SEL = 0x030;
/** §4.2.2 QueueSizeMax: 0 where there is no such queue, read only. */
export const VIRTIO_MMIO_QUEUE_NUM_MAX = 0x034;
/** §4.2.2 QueueSize, write only. */
export const VIRTIO_MMIO_QUEUE_NUM = 0x038;
/** §4.2.2 QueueReady. */
export const VIRTIO_MMIO_QUEUE_READY = 0x044;
/** §4.2.2 QueueNotify, write only. */
export const VIRTIO_MMIO_QUEUE_NOTIFY = 0x050;
/** §4.2.2 InterruptStatus: bits VIRTIO_MMIO_INT_*, read only. */
export const VIRTIO_MMIO_INTERRUPT_STATUS = 0x060;
/** §4.2.2 InterruptACK: the same bits, write only. */
export const VIRTIO_MMIO_INTERRUPT_ACK = 0x064;
/** §4.2.2 Status: bits VIRTIO_CONFIG_S_* of §2.1; 0 resets the device. */
export const VIRTIO_MMIO_STATUS = 0x070;
/** §4.2.2 QueueDescLow: guest address of the descriptor area, write only. */
export const VIRTIO_MMIO_QUEUE_DESC_LOW = 0x080;
/** §4.2.2 QueueDescHigh, write only. */
export const VIRTIO_MMIO_QUEUE_DESC_HIGH = 0x084;
/** §4.2.2 QueueDriverLow: guest address of the driver area, write only. */
export const VIRTIO_MMIO_QUEUE_AVAIL_LOW = 0x090;
/** §4.2.2 QueueDriverHigh, write only. */
export const VIRTIO_MMIO_QUEUE_AVAIL_HIGH = 0x094;
/** §4.2.2 QueueDeviceLow: guest address of the device area, write only. */
export const VIRTIO_MMIO_QUEUE_USED_LOW = 0x0a0;
/** §4.2.2 QueueDeviceHigh, write only. */
export const VIRTIO_MMIO_QUEUE_USED_HIGH = 0x0a4;
/** §4.2.2 SHMSel: the shared memory region that the registers below are about, write only. */
export const VIRTIO_MMIO_SHM_SEL = 0x0ac;
/** §4.2.2 SHMLenLow: bytes of the region, all ones where there is none; read only. */
export const VIRTIO_MMIO_SHM_LEN_LOW = 0x0b0;
/** §4.2.2 SHMLenHigh, read only. */
export const VIRTIO_MMIO_SHM_LEN_HIGH = 0x0b4;
/** §4.2.2 SHMBaseLow: guest address of the region, read only. */
export const VIRTIO_MMIO_SHM_BASE_LOW = 0x0b8;
/** §4.2.2 SHMBaseHigh, read only. */
export const VIRTIO_MMIO_SHM_BASE_HIGH = 0x0bc;
/** §4.2.2 QueueReset; not in linux/virtio_mmio.h. */
export const VIRTIO_MMIO_QUEUE_RESET = 0x0c0;
/** §4.2.2 ConfigGeneration: changes with the configuration, read only. */
export const VIRTIO_MMIO_CONFIG_GENERATION = 0x0fc;
/** §4.2.2 Config: the device's configuration space from here on. */
export const VIRTIO_MMIO_CONFIG = 0x100;

/** Bytes of a window: not in §4.2, but as QEMU's machines and Xen's device trees lay windows out. */
export const VIRTIO_MMIO_WINDOW_SIZE = 0x200;

/** §4.2.2: what MagicValue reads, "virt" in little endian. */
export const VIRTIO_MMIO_MAGIC = 0x7472_6976;
/** §4.2.2: what Version reads; 1 is the legacy interface of §4.2.4. */
export const VIRTIO_MMIO_VERSION_2 = 2;

/** §4.2.2 InterruptStatus, Used Buffer Notification. */
export const VIRTIO_MMIO_INT_VRING = 1;
/** §4.2.2 InterruptStatus, Configuration Change Notification. */
export const VIRTIO_MMIO_INT_CONFIG = 2;
