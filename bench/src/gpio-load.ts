import type { VhostUserFrontend } from '@node-vmm/vhost-user-master';
import {
  VIRTIO_GPIO_DIRECTION_IN,
  VIRTIO_GPIO_IRQ_REQUEST,
  VIRTIO_GPIO_IRQ_STATUS_VALID,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING,
  VIRTIO_GPIO_MSG_GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_IRQ_TYPE,
  VIRTIO_GPIO_REQUEST,
  VIRTIO_GPIO_STATUS_OK,
} from '@node-vmm/virtio-bindings';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { EPOLLET, EPOLLIN, Epoll, EventFd } from '@node-vmm/vmm-sys-util';

const QUEUE_SIZE = 256;
const MEMORY_SIZE = 0x10_0000;
const RING_STRIDE = 0x1_0000;
const DATA = 0x8_0000;
const SLOT = 16;
const EVENT_SLOT = DATA + 0x1_0000;
const STUCK_MS = 5000;

/** What was measured; times in microseconds. */
export interface GpioMeasured {
  readonly requestsPerSecond: number;
  readonly p50: number;
  readonly p99: number;
}

/** One queue and its eventfds. */
class Ring {
  readonly kick = EventFd.create();
  readonly call = EventFd.create();
  readonly epoll = new Epoll();
  readonly driver: SplitDriverQueue;
  readonly #index: number;
  readonly #layout: ReturnType<typeof SplitDriverQueue.layout>;

  constructor(memory: GuestMemoryMmap, index: number, features: bigint) {
    this.#index = index;
    this.#layout = SplitDriverQueue.layout(QUEUE_SIZE, BigInt(index * RING_STRIDE));
    this.driver = new SplitDriverQueue(memory, { ...this.#layout, features });
    this.epoll.add(this.call.fd, EPOLLIN | EPOLLET, 0);
  }

  async start(frontend: VhostUserFrontend): Promise<void> {
    const { descTable, availRing, usedRing } = this.#layout;
    const { kick, call } = this;
    const place = { descTable, availRing, usedRing, base: 0 };
    await frontend.startVring({ index: this.#index, size: QUEUE_SIZE, ...place, kick, call });
  }

  publish(): void {
    if (this.driver.publish()) this.kick.signal();
  }

  /** Waits for requests, as a vCPU waits for its interrupt. */
  collect(count: number): void {
    let left = count;
    for (;;) {
      while (left > 0 && this.driver.pollUsed()) left--;
      if (left === 0) return;
      if (this.epoll.wait(STUCK_MS) === 0) {
        throw new Error(`Cannot go on: ${left} requests unanswered after ${STUCK_MS} ms`);
      }
    }
  }

  close(): void {
    this.epoll.close();
    this.kick.close();
    this.call.close();
  }
}

/** The guest's side of a GPIO device of 8 lines. */
export class GpioLoad {
  readonly #memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: MEMORY_SIZE }]);
  #rings: readonly Ring[] = [];

  /** Hands both rings to the back-end. */
  async start(frontend: VhostUserFrontend): Promise<void> {
    await frontend.negotiate();
    const features = frontend.deviceFeatures;
    await frontend.setFeatures(features);
    await frontend.setMemTable(this.#memory);
    this.#rings = [0, 1].map((index) => new Ring(this.#memory, index, features));
    for (const ring of this.#rings) await ring.start(frontend);
  }

  /** Reads lines, `depth` requests with one kick. */
  requests(depth: number, seconds: number): GpioMeasured {
    const times: number[] = [];
    const begin = performance.now();
    let now = begin;
    while (now < begin + seconds * 1000) {
      for (let slot = 0; slot < depth; slot++) {
        this.#add(slot, VIRTIO_GPIO_MSG_GET_VALUE, slot % 8, 0);
      }
      this.#requestRing.driver.enableInterrupts(depth);
      this.#requestRing.publish();
      this.#requestRing.collect(depth);
      const then = now;
      now = performance.now();
      times.push(now - then);
    }
    for (let slot = 0; slot < depth; slot++) this.#mustBeOk(slot);
    return measured(times, (times.length * depth * 1000) / (now - begin));
  }

  /**
   * Has edges injected on line 0, one after the other.
   *
   * @param inject - makes one, without waiting
   * @param settle - called after each
   */
  edges(count: number, inject: () => void, settle: () => void): GpioMeasured {
    this.#ask(VIRTIO_GPIO_MSG_SET_DIRECTION, VIRTIO_GPIO_DIRECTION_IN);
    this.#ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
    this.#memory.write(guestAddress(EVENT_SLOT), VIRTIO_GPIO_IRQ_REQUEST.encode({ gpio: 0 }));
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      this.#eventRing.driver.add([
        { guestAddr: guestAddress(EVENT_SLOT), length: 2, writable: false },
        { guestAddr: guestAddress(EVENT_SLOT + 8), length: 1, writable: true },
      ]);
      this.#eventRing.driver.enableInterrupts(1);
      this.#eventRing.publish();
      // Once this is answered the line has been unmasked.
      this.#ask(VIRTIO_GPIO_MSG_GET_VALUE, 0);
      const begin = performance.now();
      inject();
      this.#eventRing.collect(1);
      times.push(performance.now() - begin);
      if (this.#byte(EVENT_SLOT + 8) !== VIRTIO_GPIO_IRQ_STATUS_VALID) {
        throw new Error('Cannot trust the device: its event is no interrupt');
      }
      settle();
    }
    return measured(times, (count * 1000) / times.reduce((sum, time) => sum + time, 0));
  }

  close(): void {
    for (const ring of this.#rings) ring.close();
    this.#memory.close();
  }

  get #requestRing(): Ring {
    return this.#rings[0] as Ring;
  }

  get #eventRing(): Ring {
    return this.#rings[1] as Ring;
  }

  #add(slot: number, type: number, gpio: number, value: number): void {
    const at = DATA + slot * SLOT;
    this.#memory.write(guestAddress(at), VIRTIO_GPIO_REQUEST.encode({ type, gpio, value }));
    this.#requestRing.driver.add([
      { guestAddr: guestAddress(at), length: VIRTIO_GPIO_REQUEST.SIZE, writable: false },
      { guestAddr: guestAddress(at + 8), length: 2, writable: true },
    ]);
  }

  #ask(type: number, value: number): void {
    this.#add(0, type, 0, value);
    this.#requestRing.driver.enableInterrupts(1);
    this.#requestRing.publish();
    this.#requestRing.collect(1);
    this.#mustBeOk(0);
  }

  #mustBeOk(slot: number): void {
    if (this.#byte(DATA + slot * SLOT + 8) === VIRTIO_GPIO_STATUS_OK) return;
    throw new Error(`Cannot trust the device: request ${slot} has failed`);
  }

  #byte(address: number): number {
    const bytes = new Uint8Array(1);
    this.#memory.read(guestAddress(address), bytes);
    return bytes[0] as number;
  }
}

function measured(times: number[], requestsPerSecond: number): GpioMeasured {
  times.sort((a, b) => a - b);
  const quantile = (q: number): number => 1000 * (times[Math.floor(q * times.length)] ?? 0);
  return { requestsPerSecond, p50: quantile(0.5), p99: quantile(0.99) };
}
