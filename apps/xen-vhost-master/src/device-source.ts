/** A virtio device that some guest is to have, as the toolstack describes it. */
export interface DeviceDescription {
  /** Unique among all devices of all guests: `<guest>/<device>`. */
  readonly key: string;
  /** The guest: a domid under Xen. */
  readonly guest: number;
  /** VIRTIO 1.3 §5 device ID. */
  readonly deviceId: number;
  /** Guest physical address of the virtio-mmio window. */
  readonly base: bigint;
  /** Interrupt of the device. */
  readonly irq: number;
}

/** Who brings devices up and down, each by itself. */
export interface DeviceSink {
  /**
   * Brings a device up; it can be discovered by the guest when the promise ends. `remove` aborts one
   * that is still under way.
   *
   * @param onPlaced - called when the device's window is claimed: the guest may touch it from then
   * on, and waits where it must
   */
  add(device: DeviceDescription, onPlaced: () => void): Promise<void>;
  /** Takes a device down, wherever it is; nothing of it remains when the promise ends. */
  remove(key: string): Promise<void>;
}

/** Where devices are announced: xenbus under Xen, a fixed list for the simulated VM. */
export interface DeviceSource {
  start(sink: DeviceSink): Promise<void>;
  /** Announces nothing more; tells the toolstack that the devices are closed. */
  close(): Promise<void>;
}
