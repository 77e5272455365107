import type { Held } from '@node-vmm/vm-device';

/** A queue as the driver set it up, handed over when the driver starts the device. */
export interface QueueConfig {
  readonly index: number;
  /** Entries, a power of two up to the queue's maximum (any number with VIRTIO_F_RING_PACKED). */
  readonly size: number;
  /**
   * Guest physical addresses of descriptor area, driver area and device area: not zero, aligned as
   * VIRTIO 1.3 §2.7 asks; whether there is memory is not checked.
   */
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
}

/**
 * What stands behind a virtio transport: the transport keeps registers and the rules of VIRTIO, this
 * does the work. The transport calls in the order that the specification has, whatever the driver
 * does: `acceptFeatures` true, `activate`, any of `startQueue`, `stopQueue` and `notifyQueue`, `reset`.
 * Errors thrown are caught; those of `activate`, `startQueue` and `stopQueue` set DEVICE_NEEDS_RESET.
 */
export interface VirtioDevice {
  /** VIRTIO 1.3 §5 device ID. */
  readonly deviceId: number;
  readonly vendorId: number;
  /** Feature bits offered, VIRTIO_F_VERSION_1 included. */
  readonly features: bigint;
  /** Largest size of each queue; the length is the number of queues. Fixed. */
  readonly queueMaxSizes: readonly number[];

  /**
   * Reads configuration space. May be called at any time.
   *
   * @returns false when the bytes do not exist; the driver then reads zero
   */
  readConfig(offset: number, target: Uint8Array): boolean;
  /**
   * Writes configuration space. The bytes are the caller's: copy what is kept.
   *
   * @returns what is to be over before the driver goes on, or nothing
   */
  writeConfig(offset: number, source: Uint8Array): Held | undefined;

  /**
   * FEATURES_OK: may the driver use this set? It is a subset of `features` and has VERSION_1.
   *
   * @returns false to refuse
   */
  acceptFeatures(features: bigint): boolean;

  /**
   * DRIVER_OK: serve these queues. A failure later is reported by `VirtioMmioTransport.needsReset`.
   */
  activate(features: bigint, queues: readonly QueueConfig[]): void;
  /** A queue was enabled after DRIVER_OK. */
  startQueue(features: bigint, queue: QueueConfig): void;
  /**
   * A queue that `activate` or `startQueue` named is to stop; the driver may free its memory when
   * what this returns is over, or at once.
   */
  stopQueue(index: number): Held | undefined;
  /** The driver notifies a running queue and no ioeventfd took it. */
  notifyQueue(index: number): void;
  /**
   * Stop everything; the driver may free the rings' memory when what this returns is over. Called only when
   * `acceptFeatures` (true), `activate` or `writeConfig` came since the last reset; never called
   * again before that. A `stopQueue` may still be under way. The guest's vCPU
   * stands still meanwhile: the device bounds how long.
   */
  reset(): Held | undefined;
}
