import { VIRTIO_MMIO_WINDOW_SIZE } from '@node-vmm/virtio-device';
import type { BusHandler, Wiring } from '@node-vmm/vm-device';
import type { BridgedVm } from './bridged-vm.ts';
import { MmioGate } from './mmio-gate.ts';

/**
 * The window of a device, claimed from before there is one until after it has failed: a guest that
 * touches an address which nobody has claimed dies of it where an access without an answer is an abort
 * (Arm). What is not there reads as a device with ID 0.
 */
export class DeviceWindow {
  readonly guest: BridgedVm;
  readonly #gate: MmioGate;
  readonly #wiring: Wiring;
  readonly #onClose: () => void;
  #live = true;

  /**
   * @param base - guest physical address
   * @param holdMs - milliseconds for which accesses wait for a device, at most
   * @param onClose - called once
   * @throws {VmError} when the VM refuses the window
   */
  constructor(guest: BridgedVm, base: bigint, holdMs: number, onClose: () => void) {
    this.guest = guest;
    this.#gate = new MmioGate(holdMs);
    this.#onClose = onClose;
    try {
      const range = { base, length: VIRTIO_MMIO_WINDOW_SIZE };
      this.#wiring = guest.vm.map({ space: 'memory', ...range }, this.#gate);
    } catch (error) {
      this.#gate.close();
      throw error;
    }
  }

  /** True where another thread serves it, and a device is to be one that this thread can serve. */
  get seated(): boolean {
    return this.#gate.seated;
  }

  /** From now on the device answers. @throws {VmError} NOT_SUPPORTED */
  open(device: BusHandler): void {
    this.#gate.open(device);
  }

  /** There is no device; nobody waits for one any longer. */
  vacate(): void {
    this.#gate.close();
  }

  /** Takes the window away from the guest. Idempotent. */
  withdraw(): void {
    this.#wiring.close();
    this.#gate.close();
  }

  /** Withdraws it and lets go of the guest. Idempotent. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.withdraw();
    this.#onClose();
  }
}
