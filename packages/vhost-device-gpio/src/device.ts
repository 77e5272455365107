// The module that the daemon's workers load: see `createDevice`. What it makes is an entropy device
// (entropy: VIRTIO 1.3 §5.4): one queue, and what is writable in a request is filled.
import { randomFillSync } from 'node:crypto';
import type {
  ChainBatch,
  CreateDevice,
  DescriptorChain,
  DeviceQueue,
  VhostUserDevice,
} from '@node-vmm/vhost-user-backend';

/** Entries of the queue that the device recommends. */
export const GPIO_QUEUE_SIZE = 1024;

/** Options of the device: structured-cloneable. */
export interface GpioDeviceOptions {
  /** Most bytes that one request gets, 1..65536. A driver that wants more asks again. */
  readonly maxBytes: number;
}

/**
 * The device. It serves one front-end after another; all its methods run on one worker thread, one at
 * a time, and must not wait: no promises, no timers, no synchronous input that may block.
 */
export class GpioDevice implements VhostUserDevice {
  /** Bits of the device's type; the framework adds those of rings and transport. */
  readonly features = 0n;
  readonly queueMaxSizes: readonly number[] = [GPIO_QUEUE_SIZE];
  readonly #scratch: Uint8Array;

  constructor({ maxBytes }: GpioDeviceOptions) {
    this.#scratch = new Uint8Array(maxBytes);
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    for (let i = 0; i < batch.length; i++) {
      const chain = batch.at(i);
      queue.complete(chain, this.#serve(chain));
    }
  }

  /**
   * Entropy, §5.4.6: what is writable is filled. A readable part, which no driver should send, is not
   * looked at.
   *
   * @returns bytes written
   */
  #serve(chain: DescriptorChain): number {
    const length = Math.min(chain.writableLength, this.#scratch.length);
    const bytes = this.#scratch.subarray(0, length);
    // A driver may send a request without room, which gets nothing.
    if (length > 0) randomFillSync(bytes);
    return chain.write(bytes, 0);
  }

  [Symbol.dispose](): void {
    // Closes what the device holds of the host: nothing yet.
  }
}

/** Makes a device in the worker that serves it. What this throws is an error of the daemon's start. */
export const createDevice: CreateDevice<GpioDeviceOptions> = (options) => new GpioDevice(options);
