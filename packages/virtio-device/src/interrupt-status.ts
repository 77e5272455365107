import { VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING } from '@node-vmm/virtio-bindings';

const EVENTS = VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG;

/**
 * InterruptStatus and InterruptACK (VIRTIO 1.3 §4.2.2).
 *
 * A bit stands for any number of events. A driver may read the status, serve what it says and only
 * then acknowledge (§4.2.3.4): what came after the read it may not have served, so its
 * acknowledgement does not mean that.
 */
export class InterruptStatus {
  /**
   * Set when the kernel injects interrupts for used buffers without this process seeing them: a
   * used buffer notification may then be pending at any time, so it is always reported.
   */
  vringAssisted = false;
  #pending = 0;
  // Raised again since the driver last looked.
  #unseen = 0;
  // A driver that never looks, against §4.2.3.4, means everything by its acknowledgements: its
  // interrupt would otherwise never end.
  #looks = false;

  /** What the driver would read, without the effect of reading. */
  get pending(): number {
    return this.vringAssisted ? this.#pending | VIRTIO_MMIO_INT_VRING : this.#pending;
  }

  /** Events that this process knows of. */
  get known(): number {
    return this.#pending;
  }

  /** Those of them that came after the driver's last look. */
  get unseen(): number {
    return this.#unseen;
  }

  /** The driver reads InterruptStatus: it has seen what is pending now. */
  look(): void {
    this.#looks = true;
    this.#unseen = 0;
  }

  raise(events: number): void {
    this.#pending |= events;
    if (this.#looks) this.#unseen |= events;
  }

  /** The driver has served events: those that it had seen are over. */
  acknowledge(events: number): void {
    this.#pending &= ~(events & EVENTS & ~this.#unseen);
  }

  /** Whether the driver has ever looked: see {@link restore}. */
  get looks(): boolean {
    return this.#looks;
  }

  /** Goes on for another: what was pending there may have come after the driver's last look. */
  restore(pending: number, looks: boolean): void {
    this.#pending = pending & EVENTS;
    this.#looks = looks;
    this.#unseen = looks ? this.#pending : 0;
  }

  clear(): void {
    this.#pending = 0;
    this.#unseen = 0;
    this.#looks = false;
  }
}
