import type { GuestRange } from '@node-vmm/vm-memory';

/** How an interrupt line of x86 is read by the guest: as its firmware set it up. */
export type IrqTrigger = 'level' | 'edge';

/** Where a guest looks for a device. */
export interface DeviceSite {
  /** Unique among all devices of all guests and sources: `<source>/<guest>/<device>`. */
  readonly key: string;
  /** The guest: a domid under Xen. */
  readonly guest: number;
  /** Guest physical address of the virtio-mmio window. */
  readonly base: bigint;
}

/** A virtio device that some guest is to have, as its source describes it. */
export interface DeviceDescription extends DeviceSite {
  /** VIRTIO 1.3 §5 device ID. */
  readonly deviceId: number;
  /** Interrupt of the device: a shared peripheral interrupt on Arm, an ISA line on x86. */
  readonly irq: number;
  /** Default: what the architecture's usual firmware makes of that line. */
  readonly trigger?: IrqTrigger;
  /** Where the guest may have RAM; default: where its architecture puts it. */
  readonly memory?: readonly GuestRange[];
  /** Socket of the back-end; default: what the command line gives this type of device. */
  readonly socket?: string;
}

/** Who brings devices up and down, each by itself. */
export interface DeviceSink {
  /**
   * Brings a device up; it can be discovered by the guest when the promise ends. `remove` aborts one
   * that is still under way. One that fails may be added again; until then its window stays claimed, as
   * {@link DeviceSink.claim} does it.
   *
   * @param onPlaced - called when the device's window is claimed: the guest may touch it from then
   * on, and waits where it must
   */
  add(device: DeviceDescription, onPlaced: () => void): Promise<void>;
  /**
   * Claims the window of a device that is not served, so that its guest finds no device there (ID 0)
   * instead of an access that nobody answers. Left alone where somebody else serves devices of that
   * guest, since this may be one of theirs: then a window that was claimed is given back. Idempotent.
   * `remove` gives it back, `add` goes on from it.
   *
   * @returns whether the device is ours
   * @throws {VmError} when the VM refuses the window; what attaching to the guest throws
   */
  claim(site: DeviceSite): boolean;
  /** True for a device that an earlier bridge left, and that `add` goes on with: its driver notices nothing. */
  isKept?(device: DeviceDescription): boolean;
  /** Takes a device down, wherever it is; nothing of it remains when the promise ends. */
  remove(key: string): Promise<void>;
}

/** Holds a guest still; the function lets it go. Undefined where that is not possible. */
export type HoldGuest = (guest: number) => (() => void) | undefined;

/** Where devices are announced: by a toolstack in the xenstore, or told by the user. */
export interface DeviceSource {
  /** Ends when nothing that is announced from then on can be missed. */
  start(sink: DeviceSink): Promise<void>;
  /**
   * Announces nothing more, takes its devices down and lets every guest go; tells the toolstack that
   * the devices are closed, where it listens.
   */
  close(): Promise<void>;
  /**
   * Announces nothing more and lets every guest go; its devices stay as they are for another bridge, and
   * nobody is told anything.
   */
  leave?(): Promise<void>;
}
