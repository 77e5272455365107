import { MemoryLogger } from '@node-vmm/vhost-user-backend/testing';
import { EventFd, EventLoop } from '@node-vmm/vmm-sys-util';
import type { RngLimits } from '../../src/limits.ts';
import { RngDevice } from '../../src/rng-device.ts';
import { FakeQueue, FakeSource } from './fakes.ts';

/** A device with a source, a queue and a clock that are the test's. */
export class Rig implements Disposable {
  readonly source = new FakeSource();
  readonly queue = new FakeQueue();
  readonly logger = new MemoryLogger();
  readonly device: RngDevice;
  /** What the quota goes by, milliseconds. */
  now = 0;
  readonly #stop = EventFd.create();
  readonly #loop = new EventLoop(this.#stop);

  constructor(limits: RngLimits = {}) {
    const context = { logger: this.logger, poller: this.#loop };
    this.device = new RngDevice(this.source, context, limits, () => this.now);
  }

  offer(...room: number[]): void {
    this.queue.offer(this.device, ...room);
  }

  /** Lets the device do what it has put off, timers not included. */
  turn(): void {
    this.#loop.turn(0);
  }

  /** Waits for the device's timer, or whatever it has put off. */
  wait(): void {
    this.#loop.turn(-1);
  }

  [Symbol.dispose](): void {
    this.device[Symbol.dispose]();
    this.#loop.close();
    this.#stop.close();
  }
}
