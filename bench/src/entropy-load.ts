import type { VhostUserFrontend } from '@node-vmm/vhost-user-master';
import { featureWord, VIRTIO_RING_F_EVENT_IDX } from '@node-vmm/virtio-queue';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { EPOLLET, EPOLLIN, Epoll, EventFd } from '@node-vmm/vmm-sys-util';

const QUEUE_SIZE = 256;
const MEMORY_SIZE = 16 * 1024 * 1024;
const DATA = 0x10_0000;
const STUCK_MS = 5000;

/** One way to load an entropy device. */
export interface Scenario {
  /** Requests in flight. */
  readonly depth: number;
  /** Bytes of each. */
  readonly size: number;
  readonly seconds: number;
}

/** What a scenario measured. */
export interface Measured {
  readonly requestsPerSecond: number;
  readonly megabytesPerSecond: number;
  /** Round trip in microseconds; at depth 1 that of a request, else of a whole batch. */
  readonly p50: number;
  readonly p99: number;
}

/**
 * The guest's side: one ring in a memfd. While a load runs, this thread blocks in `epoll_wait` as a
 * vCPU blocks until its interrupt.
 */
export class EntropyLoad {
  readonly #memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: MEMORY_SIZE }]);
  readonly #layout = SplitDriverQueue.layout(QUEUE_SIZE, 0n);
  readonly #kick = EventFd.create();
  readonly #call = EventFd.create();
  readonly #epoll = new Epoll();
  #driver: SplitDriverQueue | undefined;

  /** Hands the ring to the back-end. */
  async start(frontend: VhostUserFrontend): Promise<void> {
    await frontend.negotiate();
    const features = frontend.deviceFeatures;
    if ((features & featureWord(VIRTIO_RING_F_EVENT_IDX)) === 0n) {
      throw new Error('Cannot compare: the back-end has no event index');
    }
    await frontend.setFeatures(features);
    await frontend.setMemTable(this.#memory);
    this.#driver = new SplitDriverQueue(this.#memory, { ...this.#layout, features });
    this.#epoll.add(this.#call.fd, EPOLLIN | EPOLLET, 0);
    const { descTable, availRing, usedRing } = this.#layout;
    await frontend.startVring({
      index: 0,
      size: QUEUE_SIZE,
      descTable,
      availRing,
      usedRing,
      base: 0,
      kick: this.#kick,
      call: this.#call,
    });
  }

  /** Loads the device, without turning Node's event loop. */
  run({ depth, size, seconds }: Scenario): Measured {
    const times: number[] = [];
    const begin = performance.now();
    const end = begin + seconds * 1000;
    let requests = 0;
    let now = begin;
    while (now < end) {
      this.#batch(depth, size);
      const then = now;
      now = performance.now();
      times.push(now - then);
      requests += depth;
    }
    this.#checkData(depth, size);
    const elapsed = (now - begin) / 1000;
    times.sort((a, b) => a - b);
    const quantile = (q: number): number => 1000 * (times[Math.floor(q * times.length)] ?? 0);
    return {
      requestsPerSecond: requests / elapsed,
      megabytesPerSecond: (requests * size) / elapsed / 1e6,
      p50: quantile(0.5),
      p99: quantile(0.99),
    };
  }

  close(): void {
    this.#epoll.close();
    this.#kick.close();
    this.#call.close();
    this.#memory.close();
  }

  /** Figures of a device that writes nothing would be good ones. */
  #checkData(depth: number, size: number): void {
    for (let i = 0; i < depth; i++) {
      const bytes = new Uint8Array(size);
      const at = guestAddress(DATA + i * size);
      this.#memory.read(at, bytes);
      if (new Set(bytes).size < 16)
        throw new Error(`Cannot trust the device: buffer ${i} is not random`);
      this.#memory.write(at, new Uint8Array(size));
    }
  }

  /** Submits `depth` requests with one kick and waits for them with one interrupt. */
  #batch(depth: number, size: number): void {
    const driver = this.#driver;
    if (driver === undefined) throw new Error('Cannot load the device: the ring is not started');
    for (let i = 0; i < depth; i++) driver.addWritable(DATA + i * size, 0, size);
    driver.enableInterrupts(depth);
    if (driver.publish()) this.#kick.signal();
    let left = depth;
    for (;;) {
      while (left > 0 && driver.pollUsed()) {
        if (driver.usedWritten < 1 || driver.usedWritten > size) {
          throw new Error(
            `Cannot trust the device: it wrote ${driver.usedWritten} of ${size} bytes`,
          );
        }
        left--;
      }
      if (left === 0) return;
      if (this.#epoll.wait(STUCK_MS) === 0) {
        throw new Error(`Cannot go on: ${left} requests unanswered after ${STUCK_MS} ms`);
      }
    }
  }
}
