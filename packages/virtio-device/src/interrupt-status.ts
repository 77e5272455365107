import { VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING } from './defs.ts';

const EVENTS = VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG;

/** InterruptStatus and InterruptACK (VIRTIO 1.3 §4.2.2). */
export class InterruptStatus {
  /**
   * Set when the kernel injects interrupts for used buffers without this process seeing them: a
   * used buffer notification may then be pending at any time, so it is always reported.
   */
  vringAssisted = false;
  #pending = 0;

  get pending(): number {
    return this.vringAssisted ? this.#pending | VIRTIO_MMIO_INT_VRING : this.#pending;
  }

  /** Events that this process knows of. */
  get known(): number {
    return this.#pending;
  }

  raise(events: number): void {
    this.#pending |= events;
  }

  /** @returns true when no known event is left */
  acknowledge(events: number): boolean {
    this.#pending &= ~(events & EVENTS);
    return this.#pending === 0;
  }

  clear(): void {
    this.#pending = 0;
  }
}
