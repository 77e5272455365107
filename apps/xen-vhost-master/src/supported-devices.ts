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
}

/** Device types that have a name. Any other is served too, named `virtio-<id>`. */
export const SUPPORTED_DEVICES: readonly SupportedDevice[] = [
  { name: 'net', deviceId: 1, queues: 2, queueSize: 256 },
  { name: 'blk', deviceId: 2, queues: 1, queueSize: 256 },
  { name: 'console', deviceId: 3, queues: 2, queueSize: 128 },
  { name: 'rng', deviceId: 4, queues: 1, queueSize: 256 },
  { name: 'scsi', deviceId: 8, queues: 3, queueSize: 256 },
  { name: 'gpu', deviceId: 16, queues: 2, queueSize: 256 },
  { name: 'input', deviceId: 18, queues: 2, queueSize: 256 },
  { name: 'vsock', deviceId: 19, queues: 3, queueSize: 256 },
  { name: 'sound', deviceId: 25, queues: 4, queueSize: 256 },
  { name: 'fs', deviceId: 26, queues: 2, queueSize: 256 },
  { name: 'scmi', deviceId: 32, queues: 2, queueSize: 256 },
  { name: 'i2c', deviceId: 34, queues: 1, queueSize: 64 },
  { name: 'can', deviceId: 36, queues: 3, queueSize: 64 },
  { name: 'gpio', deviceId: 41, queues: 2, queueSize: 256 },
  { name: 'spi', deviceId: 45, queues: 1, queueSize: 256 },
];

/** The device type of a VIRTIO device ID. */
export function deviceById(deviceId: number): SupportedDevice {
  return (
    SUPPORTED_DEVICES.find((device) => device.deviceId === deviceId) ?? {
      name: `virtio-${deviceId}`,
      deviceId,
      queues: 1,
      queueSize: 256,
    }
  );
}

/** The device type of a name, undefined when there is none. */
export function deviceByName(name: string): SupportedDevice | undefined {
  return SUPPORTED_DEVICES.find((device) => device.name === name);
}
