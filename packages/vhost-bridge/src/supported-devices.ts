import * as id from '@node-vmm/virtio-bindings/device-types';

/** What a virtio transport must know of a device type and vhost-user does not tell. */
export interface SupportedDevice {
  /** Name on the command line and of the socket: `i2c.sock0`. */
  readonly name: string;
  /** VIRTIO 1.3 §5 device ID. */
  readonly deviceId: number;
  /** Number of queues where the back-end does not say (no VHOST_USER_PROTOCOL_F_MQ). */
  readonly queues: number;
  /** Largest size offered for each queue. */
  readonly queueSize: number;
  /** Bytes of configuration space, from linux/virtio_<name>.h; 0 where there is none. */
  readonly configSize: number;
  /**
   * Back-ends return the requests of each queue in the order in which they took them, as the
   * specification wants it (I2C, SPI) or as there is no other way for the type (buffers to be filled one
   * after another). Where they need not, a queue with unfinished requests cannot go to another back-end.
   * Or the queues for which that is so.
   */
  readonly inOrder: boolean | readonly number[];
  /**
   * The driver relies on state that is not in its queues. A back-end that comes back without it (no
   * VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) cannot go on with the device.
   */
  readonly stateful?: boolean;
}

/** Ours: device types that have a name. Any other is served too, named `virtio-<id>`. */
export const SUPPORTED_DEVICES: readonly SupportedDevice[] = [
  {
    name: 'net',
    deviceId: id.VIRTIO_ID_NET,
    queues: 2,
    queueSize: 256,
    configSize: 24,
    inOrder: true,
  },
  {
    name: 'blk',
    deviceId: id.VIRTIO_ID_BLOCK,
    queues: 1,
    queueSize: 256,
    configSize: 72,
    inOrder: false,
  },
  {
    name: 'console',
    deviceId: id.VIRTIO_ID_CONSOLE,
    queues: 2,
    queueSize: 128,
    configSize: 12,
    inOrder: true,
  },
  {
    name: 'rng',
    deviceId: id.VIRTIO_ID_RNG,
    queues: 1,
    queueSize: 256,
    configSize: 0,
    inOrder: true,
  },
  {
    name: 'scsi',
    deviceId: id.VIRTIO_ID_SCSI,
    queues: 3,
    queueSize: 256,
    configSize: 36,
    // Events fill buffers one after another; of the others nothing says so.
    inOrder: [1],
  },
  {
    name: 'gpu',
    deviceId: id.VIRTIO_ID_GPU,
    queues: 2,
    queueSize: 256,
    configSize: 16,
    inOrder: false,
  },
  {
    name: 'input',
    deviceId: id.VIRTIO_ID_INPUT,
    queues: 2,
    queueSize: 256,
    configSize: 136,
    inOrder: true,
  },
  {
    name: 'vsock',
    deviceId: id.VIRTIO_ID_VSOCK,
    queues: 3,
    queueSize: 256,
    configSize: 8,
    inOrder: true,
  },
  {
    name: 'sound',
    deviceId: id.VIRTIO_ID_SOUND,
    queues: 4,
    queueSize: 256,
    configSize: 12,
    // As those of scsi.
    inOrder: [1],
  },
  {
    name: 'fs',
    deviceId: id.VIRTIO_ID_FS,
    queues: 2,
    queueSize: 256,
    configSize: 40,
    inOrder: false,
  },
  {
    name: 'scmi',
    deviceId: id.VIRTIO_ID_SCMI,
    queues: 2,
    queueSize: 256,
    configSize: 0,
    // Commands are independent of each other (§5.17.6.1); notifications fill buffers.
    inOrder: [1],
  },
  {
    name: 'i2c',
    deviceId: id.VIRTIO_ID_I2C_ADAPTER,
    queues: 1,
    queueSize: 64,
    configSize: 0,
    inOrder: true,
  },
  {
    name: 'can',
    deviceId: id.VIRTIO_ID_CAN,
    queues: 3,
    queueSize: 64,
    configSize: 0,
    // Frames that come in fill buffers; of those to be sent nothing says that they keep their order.
    inOrder: [1, 2],
  },
  {
    name: 'gpio',
    deviceId: id.VIRTIO_ID_GPIO,
    queues: 2,
    queueSize: 256,
    configSize: 8,
    inOrder: false,
    stateful: true,
  },
  {
    name: 'spi',
    deviceId: id.VIRTIO_ID_SPI,
    queues: 1,
    queueSize: 256,
    configSize: 0,
    inOrder: true,
  },
];

/** Ours: names of the device types that have one, for messages. */
export const DEVICE_NAMES = SUPPORTED_DEVICES.map((device) => device.name).join(', ');

/** The device type of a VIRTIO device ID. */
export function deviceById(deviceId: number): SupportedDevice {
  return (
    SUPPORTED_DEVICES.find((device) => device.deviceId === deviceId) ?? {
      name: `virtio-${deviceId}`,
      deviceId,
      queues: 1,
      queueSize: 256,
      configSize: 0,
      inOrder: false,
    }
  );
}

/** The device type of a name, undefined when there is none. */
export function deviceByName(name: string): SupportedDevice | undefined {
  return SUPPORTED_DEVICES.find((device) => device.name === name);
}
