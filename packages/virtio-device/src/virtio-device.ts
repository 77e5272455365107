/** A queue as the driver set it up, handed over when the driver starts the device. */
export interface QueueConfig {
  readonly index: number;
  /** Entries, a power of two up to the queue's maximum. */
  readonly size: number;
  /** Guest physical addresses of descriptor area, driver area and device area. */
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
}

/**
 * What stands behind a virtio transport: the transport keeps registers and the rules of VIRTIO, this
 * does the work. Methods may be called in any order that a hostile driver can cause.
 */
export interface VirtioDevice {
  /** VIRTIO 1.3 §5 device ID. */
  readonly deviceId: number;
  readonly vendorId: number;
  /** Feature bits offered, VIRTIO_F_VERSION_1 included. */
  readonly features: bigint;
  /** Largest size of each queue; the length is the number of queues. */
  readonly queueMaxSizes: readonly number[];

  /**
   * Reads configuration space.
   *
   * @returns false when the bytes do not exist; the driver then reads zero
   */
  readConfig(offset: number, target: Uint8Array): boolean;
  /** Writes configuration space. */
  writeConfig(offset: number, source: Uint8Array): void;

  /**
   * FEATURES_OK: may the driver use this set? It is a subset of `features` and has VERSION_1.
   *
   * @returns false to refuse
   */
  acceptFeatures(features: bigint): boolean;

  /**
   * DRIVER_OK: serve these queues. A failure later is reported by `VirtioTransport.needsReset`.
   */
  activate(features: bigint, queues: readonly QueueConfig[]): void;
  /** A queue was enabled after DRIVER_OK (VIRTIO_F_RING_RESET). */
  startQueue(features: bigint, queue: QueueConfig): void;
  /** A queue is reset after DRIVER_OK; the driver may free its memory when the promise ends. */
  stopQueue(index: number): Promise<void>;
  /** The driver notifies a queue and no ioeventfd took it. */
  notifyQueue(index: number): void;
  /** Stop everything; the driver may free the rings' memory when the promise ends. */
  reset(): Promise<void>;
}
