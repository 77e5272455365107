import {
  type DriverBuffer,
  SplitDriverQueue,
  type UsedRequest,
} from '@node-vmm/virtio-queue/driver';
import type { GuestPlatform } from '@node-vmm/vm-device';
import { DriverError } from './errors.ts';
import type { GuestHeap } from './guest-heap.ts';
import type { MmioDriverTransport } from './mmio-driver-transport.ts';

const RING_ALIGNMENT = 4096;

/** How a queue waits. */
export interface DriverQueueOptions {
  /** Entries, default what the device has up to 256. */
  readonly size?: number;
  /** Milliseconds that a request may take, default 10 s. */
  readonly timeout?: number;
}

/** A virtqueue of a device behind a virtio-mmio transport, used by a driver that blocks. */
export class DriverQueue {
  readonly index: number;
  readonly ring: SplitDriverQueue;
  readonly #transport: MmioDriverTransport;
  readonly #platform: GuestPlatform;
  readonly #irq: number;
  readonly #timeout: number;

  /**
   * Lays the queue out in guest memory and enables it; before `driverOk`.
   *
   * @param place - which queue, the interrupt that it is served with, and the negotiated features
   * @throws {DriverError} QUEUE_REFUSED, OUT_OF_MEMORY
   */
  constructor(
    components: {
      readonly platform: GuestPlatform;
      readonly transport: MmioDriverTransport;
      readonly heap: GuestHeap;
    },
    place: { readonly index: number; readonly irq: number; readonly features: bigint },
    options: DriverQueueOptions = {},
  ) {
    const { platform, transport, heap } = components;
    const max = transport.queueMaxSize(place.index);
    if (max === 0) {
      throw new DriverError('QUEUE_REFUSED', `Cannot use queue ${place.index}: there is none`, {
        guestAddr: transport.base,
        queue: place.index,
      });
    }
    const size = options.size ?? Math.min(max, 256);
    const { byteLength } = SplitDriverQueue.layout(size);
    const layout = SplitDriverQueue.layout(size, heap.allocate(byteLength, RING_ALIGNMENT));
    this.ring = new SplitDriverQueue(platform.memory, { ...layout, features: place.features });
    transport.setUpQueue(place.index, layout);
    this.index = place.index;
    this.#transport = transport;
    this.#platform = platform;
    this.#irq = place.irq;
    this.#timeout = options.timeout ?? 10_000;
  }

  /**
   * To be called before the memory of earlier chains is used again: after a `run` that failed the
   * device may hold some of them, and would execute them with other bytes.
   *
   * @throws {DriverError} BROKEN
   */
  checkIdle(): void {
    const { outstanding } = this.ring;
    if (outstanding === 0) return;
    throw new DriverError(
      'BROKEN',
      `Cannot use queue ${this.index}: the device still holds ${outstanding} requests; reset it`,
      { guestAddr: this.#transport.base, queue: this.index },
    );
  }

  /** Adds a chain for `run`. @returns its head, -1 when the queue is full */
  add(buffers: readonly DriverBuffer[]): number {
    return this.ring.add(buffers);
  }

  /**
   * Shows the chains to the device and waits until all are returned.
   *
   * @param onUsed - called for each, in the order of return
   * @throws {DriverError} TIMEOUT, BROKEN
   */
  run(onUsed: (used: UsedRequest) => void): void {
    if (this.ring.publish()) this.#transport.notify(this.index);
    const deadline = Date.now() + this.#timeout;
    while (this.ring.outstanding > 0) {
      const used = this.ring.poll();
      if (used !== undefined) onUsed(used);
      else this.#wait(deadline);
    }
  }

  #wait(deadline: number): void {
    const left = deadline - Date.now();
    if (left <= 0 || !this.#platform.waitInterrupt(this.#irq, left)) {
      throw new DriverError(
        'TIMEOUT',
        `Cannot finish ${this.ring.outstanding} requests on queue ${this.index}: ` +
          `no interrupt within ${this.#timeout} ms`,
        { guestAddr: this.#transport.base, queue: this.index },
      );
    }
    this.#transport.acknowledgeInterrupt();
  }
}
