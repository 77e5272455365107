import { VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING } from '@node-vmm/virtio-bindings';
import type { TransportWords } from './register-memory.ts';

const EVENTS = VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG;

/**
 * InterruptStatus and InterruptACK (VIRTIO 1.3 §4.2.2).
 *
 * A bit stands for any number of events. A driver may read the status, serve what it says and only
 * then acknowledge (§4.2.3.4): what came after the read it may not have served, so its
 * acknowledgement does not mean that.
 */
export class InterruptStatus {
  readonly #words: TransportWords;

  /** @param words - where it is kept */
  constructor(words: TransportWords) {
    this.#words = words;
  }

  /**
   * Set when the kernel injects interrupts for used buffers without this process seeing them: a
   * used buffer notification may then be pending at any time, so it is always reported.
   */
  get vringAssisted(): boolean {
    return this.#words.vringAssisted !== 0;
  }

  set vringAssisted(assisted: boolean) {
    this.#words.vringAssisted = assisted ? 1 : 0;
  }

  /** What the driver would read, without the effect of reading. */
  get pending(): number {
    return this.vringAssisted ? this.known | VIRTIO_MMIO_INT_VRING : this.known;
  }

  /** Events that this process knows of. */
  get known(): number {
    return this.#words.interruptStatus;
  }

  /** Those of them that were raised again since the driver's last look. */
  get unseen(): number {
    return this.#words.interruptsUnseen;
  }

  /** The driver reads InterruptStatus: it has seen what is pending now. */
  look(): void {
    // A driver that never looks, against §4.2.3.4, means everything by its acknowledgements: its
    // interrupt would otherwise never end.
    this.#words.interruptStatusRead = 1;
    this.#words.interruptsUnseen = 0;
  }

  raise(events: number): void {
    this.#words.interruptStatus |= events;
    if (this.looks) this.#words.interruptsUnseen |= events;
  }

  /** The driver has served events: those that it had seen are over. */
  acknowledge(events: number): void {
    this.#words.interruptStatus &= ~(events & EVENTS & ~this.unseen);
  }

  /** Whether the driver has ever looked: see {@link restore}. */
  get looks(): boolean {
    return this.#words.interruptStatusRead !== 0;
  }

  /** Goes on for another: what was pending there may have come after the driver's last look. */
  restore(pending: number, looks: boolean): void {
    this.#words.interruptStatus = pending & EVENTS;
    this.#words.interruptStatusRead = looks ? 1 : 0;
    this.#words.interruptsUnseen = looks ? this.known : 0;
  }

  clear(): void {
    this.#words.interruptStatus = 0;
    this.#words.interruptsUnseen = 0;
    this.#words.interruptStatusRead = 0;
  }
}
