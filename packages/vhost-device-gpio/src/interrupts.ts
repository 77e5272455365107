import type { DescriptorChain, DeviceQueue } from '@node-vmm/vhost-user-backend';
import {
  VIRTIO_GPIO_IRQ_REQUEST,
  VIRTIO_GPIO_IRQ_RESPONSE,
  VIRTIO_GPIO_IRQ_STATUS_INVALID,
  VIRTIO_GPIO_IRQ_STATUS_VALID,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING,
  VIRTIO_GPIO_IRQ_TYPE_NONE,
} from '@node-vmm/virtio-bindings/gpio';
import { type GpioCounters, InterruptCounters } from './counters.ts';
import type { GpioHost, GpioLevel } from './gpio-host.ts';
import { isActiveLevel, isEdgeTrigger, type LineStates } from './line-states.ts';

/**
 * What became of an edge: an interrupt at once; one that waits for the driver to unmask the line; one
 * with another that waited already; or no interrupt.
 */
export type EdgeOutcome = 'delivered' | 'latched' | 'coalesced' | 'none';

/** An event buffer: as long as we have one, the line is unmasked. */
interface Held {
  readonly queue: DeviceQueue;
  readonly chain: DescriptorChain;
}

/**
 * The eventq: VIRTIO 1.3 §5.18.7. What of it a dead process must not lose is in `LineStates`: a latch is
 * set before anything else is done with an edge, and dropped when the driver can see the interrupt; one
 * that dies in between has the next one tell it twice, which is better than never.
 */
export class Interrupts {
  readonly lines: InterruptCounters;
  readonly #states: LineStates;
  readonly #host: GpioHost;
  readonly #counters: GpioCounters;
  readonly #onInterrupt: (line: number) => void;
  readonly #held = new Map<number, Held>();
  /** Lines whose last trigger the host refused. */
  readonly #refused = new Set<number>();
  readonly #request = new Uint8Array(VIRTIO_GPIO_IRQ_REQUEST.SIZE);
  readonly #view = new DataView(this.#request.buffer);
  readonly #status = new Uint8Array(VIRTIO_GPIO_IRQ_RESPONSE.SIZE);
  #live = true;

  /** @param onInterrupt - told after the driver */
  constructor(
    states: LineStates,
    host: GpioHost,
    counters: GpioCounters,
    onInterrupt: (line: number) => void,
  ) {
    this.#states = states;
    this.#host = host;
    this.#counters = counters;
    this.#onInterrupt = onInterrupt;
    this.lines = new InterruptCounters(states.length);
  }

  /** The driver has not unmasked the line, or has been interrupted since. */
  masked(line: number): boolean {
    return !this.#held.has(line);
  }

  /**
   * Takes an event buffer. One that has not the right form, or whose line is not enabled, there is not or
   * has one already, is returned at once.
   *
   * @param allowed - VIRTIO_GPIO_F_IRQ has been negotiated
   */
  unmask(queue: DeviceQueue, chain: DescriptorChain, allowed: boolean): void {
    this.#counters.unmasks++;
    const line = this.#lineOf(chain);
    if (line === undefined) this.#counters.malformed++;
    if (line === undefined || !allowed) {
      this.#return(queue, chain, VIRTIO_GPIO_IRQ_STATUS_INVALID);
      return;
    }
    if (this.#held.has(line)) {
      this.#counters.duplicates++;
      this.#return(queue, chain, VIRTIO_GPIO_IRQ_STATUS_INVALID);
      return;
    }
    const trigger = this.#states.trigger(line);
    if (trigger === VIRTIO_GPIO_IRQ_TYPE_NONE && !this.#refused.has(line)) {
      this.#return(queue, chain, VIRTIO_GPIO_IRQ_STATUS_INVALID);
      return;
    }
    this.#held.set(line, { queue, chain: chain.detach() });
    if (this.#states.latched(line)) this.#deliver(line);
    else this.#checkLevel(line);
  }

  /** A line changed its level. */
  edge(line: number, rising: boolean): EdgeOutcome {
    const level: GpioLevel = rising ? 1 : 0;
    const trigger = this.#states.trigger(line);
    if (!isEdgeTrigger(trigger)) {
      this.#states.setLevel(line, level);
      if (!isActiveLevel(trigger, level) || !this.#held.has(line)) return 'none';
      this.#deliver(line);
      return 'delivered';
    }
    const wanted = rising ? VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING : VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING;
    if ((trigger & wanted) === 0) {
      this.#states.setLevel(line, level);
      return 'none';
    }
    const coalesced = this.#states.latched(line);
    this.#states.setLatchedAt(line, level);
    if (coalesced) {
      this.lines.coalesced(line);
      return 'coalesced';
    }
    if (this.#held.has(line)) {
      this.#deliver(line);
      return 'delivered';
    }
    this.lines.latched(line);
    return 'latched';
  }

  /** The interrupt of a line is enabled, and the host tells of its edges. */
  enabled(line: number): void {
    this.#refused.delete(line);
    this.#checkLevel(line);
  }

  /**
   * The host does not tell of the line's edges. Linux's driver queues a buffer all the same, and queues
   * it again as often as it is returned: such a one is kept.
   */
  refused(line: number): void {
    this.#refused.add(line);
  }

  /** The driver is about to disable the interrupt: its buffer goes back, its latch is dropped. */
  disabled(line: number): void {
    this.#refused.delete(line);
    if (this.#states.latched(line)) this.lines.dropped(line);
    const held = this.#held.get(line);
    if (held === undefined) return;
    this.#held.delete(line);
    this.#return(held.queue, held.chain, VIRTIO_GPIO_IRQ_STATUS_INVALID);
    held.queue.flush();
  }

  /** The eventq stops in order: all buffers go back, for the driver to queue them again. */
  returnAll(): void {
    for (const { queue, chain } of this.#held.values()) {
      this.#return(queue, chain, VIRTIO_GPIO_IRQ_STATUS_INVALID);
    }
    this.#held.clear();
  }

  /** The eventq has stopped, or the device was reset: nothing goes back. */
  forget(): void {
    this.#held.clear();
  }

  /** No refusal counts any more. */
  reset(): void {
    this.forget();
    this.#refused.clear();
  }

  close(): void {
    this.#live = false;
    this.reset();
  }

  #lineOf(chain: DescriptorChain): number | undefined {
    const { readableLength, writableLength } = chain;
    if (readableLength !== VIRTIO_GPIO_IRQ_REQUEST.SIZE) return undefined;
    if (writableLength !== VIRTIO_GPIO_IRQ_RESPONSE.SIZE) return undefined;
    chain.read(this.#request, 0);
    const line = VIRTIO_GPIO_IRQ_REQUEST.get(this.#view, 0, 'gpio');
    return line < this.#states.length ? line : undefined;
  }

  /** Interrupts for a level that is there, which nothing is remembered of. */
  #checkLevel(line: number): void {
    const held = this.#held.get(line);
    const trigger = this.#states.trigger(line);
    if (held === undefined || trigger === VIRTIO_GPIO_IRQ_TYPE_NONE || isEdgeTrigger(trigger))
      return;
    this.#host.getValue(line, (error, level) => {
      if (!this.#live) return;
      if (error !== undefined) this.#counters.hostErrors++;
      // By now it may be another buffer, or another trigger.
      else if (this.#held.get(line) === held && isActiveLevel(this.#states.trigger(line), level)) {
        this.#deliver(line);
      }
    });
  }

  #deliver(line: number): void {
    const held = this.#held.get(line);
    if (held === undefined) return;
    this.#held.delete(line);
    this.#return(held.queue, held.chain, VIRTIO_GPIO_IRQ_STATUS_VALID);
    held.queue.flush();
    // Not before the driver can see it.
    this.#states.unlatch(line);
    this.lines.delivered(line);
    this.#onInterrupt(line);
  }

  #return(queue: DeviceQueue, chain: DescriptorChain, status: number): void {
    if (status === VIRTIO_GPIO_IRQ_STATUS_INVALID) this.#counters.invalid++;
    this.#status[0] = status;
    queue.complete(chain, chain.write(this.#status, 0));
  }
}
