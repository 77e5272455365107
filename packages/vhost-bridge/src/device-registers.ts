import type { MmioTransportState, TransportCounters } from '@node-vmm/virtio-device';
import type { BusHandler, Wiring } from '@node-vmm/vm-device';
import type { EventFd } from '@node-vmm/vmm-sys-util';

/** The virtio-mmio registers of a device and its interrupt, on whatever thread the guest's accesses arrive. */
export interface DeviceRegisters {
  /** Serves the device's window. */
  readonly handler: BusHandler;
  /** Device status bits as the driver reads them. */
  readonly status: number;
  /** What the driver did wrong. */
  readonly counters: Readonly<TransportCounters>;
  /** The device has changed its configuration space; the driver is told. */
  configChanged(): void;
  /** What the driver wrote to configuration space has come about; it is not told. */
  configWritten(): void;
  /** The device cannot go on: DEVICE_NEEDS_RESET. */
  needsReset(): void;
  /** As `VirtioMmioTransport.setVringInterruptsAssisted`. */
  setVringInterruptsAssisted(on: boolean): void;
  /** Signals of `call` are used buffers that the driver is interrupted for. @throws {VmError} */
  irqfd(call: EventFd): Wiring;
  /** Goes on from other registers; before the window is opened. */
  restore(state: MmioTransportState): void;
  /** A copy of all; undefined where no thread ever had them. */
  state(): Promise<MmioTransportState | undefined>;
}

/** What {@link DeviceRegisters} are made of. */
export interface RegisterEvents {
  /**
   * Once for {@link DeviceRegisters.restore}, after the device was activated, if it is.
   *
   * @param problem - the registers are those of a fresh device, and why
   */
  onRestored(problem: string | undefined): void;
}
