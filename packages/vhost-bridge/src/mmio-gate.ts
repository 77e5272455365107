import type { AccessSeat, SeatedHandler } from '@node-vmm/ioreq-eventfd';
import {
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_VERSION,
  VIRTIO_MMIO_VERSION_2,
} from '@node-vmm/virtio-device';
import type { BusHandler, Held } from '@node-vmm/vm-device';

/**
 * Holds a device's window while its back-end is being connected: the guest may probe it before that,
 * since `xl create` does not wait for virtio devices. Accesses are held back for a while; a guest that
 * is not answered in time finds a device with ID 0, which drivers must ignore (VIRTIO 1.3 §4.2.2.2).
 */
export class MmioGate implements SeatedHandler {
  ready: Promise<void> | undefined;
  readonly #open: () => void;
  #target: BusHandler | undefined;
  #place: { readonly seat: AccessSeat; readonly window: number } | undefined;

  /** @param holdMs - milliseconds from now for which accesses wait at most */
  constructor(holdMs: number) {
    let open = (): void => undefined;
    this.ready = new Promise((resolve) => {
      open = resolve;
    });
    const timer = setTimeout(() => this.#open(), holdMs);
    timer.unref();
    this.#open = () => {
      clearTimeout(timer);
      this.ready = undefined;
      open();
    };
  }

  /** Another thread has the window; the device is to be one that it can serve. */
  takeSeat(seat: AccessSeat, window: number): void {
    this.#place = { seat, window };
  }

  /** True where another thread serves the window. */
  get seated(): boolean {
    return this.#place?.seat.live === true;
  }

  /** From now on the device answers. @throws {VmError} NOT_SUPPORTED for one that the window's thread cannot serve */
  open(target: BusHandler): void {
    if (this.#place !== undefined && 'takeSeat' in target) {
      (target as SeatedHandler).takeSeat(this.#place.seat, this.#place.window);
    }
    this.#target = target;
    this.#open();
  }

  /** Nobody waits any longer; there is no device. */
  close(): void {
    this.#target = undefined;
    this.#open();
  }

  read(offset: number, size: number): bigint {
    if (this.#target !== undefined) return this.#target.read(offset, size);
    if (offset === VIRTIO_MMIO_MAGIC_VALUE) return BigInt(VIRTIO_MMIO_MAGIC);
    return offset === VIRTIO_MMIO_VERSION ? BigInt(VIRTIO_MMIO_VERSION_2) : 0n;
  }

  write(offset: number, size: number, value: bigint): Held | undefined {
    return this.#target?.write(offset, size, value);
  }
}
