import type { DriverBuffer } from '@node-vmm/virtio-queue/driver';
import type { Watch } from '@node-vmm/vmm-sys-util';
import type { FrontEnd } from './front-end.ts';
import type { Guest } from './guest.ts';
import type { GuestHeap } from './guest-heap.ts';
import { GuestRing } from './guest-ring.ts';
import { placeRequest } from './placed-request.ts';

/** What queues of one guest share. */
export interface QueueSurroundings {
  readonly frontend: FrontEnd;
  readonly guest: Guest;
  readonly heap: GuestHeap;
  /** Negotiated features. */
  readonly features: bigint;
  /** REPLY_ACK has been negotiated. */
  readonly acknowledged: boolean;
}

/** How a request is put into the ring. */
export interface RequestOptions {
  /** As one descriptor that points at a table of the others. */
  readonly indirect?: boolean;
}

interface Pending {
  readonly writable: readonly DriverBuffer[];
  release(): void;
  resolve(answer: Uint8Array[]): void;
  reject(error: Error): void;
}

/** The driver's side of one queue of a device under test. */
export class BenchQueue {
  readonly index: number;
  readonly #surroundings: QueueSurroundings;
  readonly #pending = new Map<number, Pending>();
  #ring: GuestRing;
  #release: () => void;
  #watch: Watch;
  #ended: string | undefined;
  #cause: Error | undefined;

  /** @param size - entries */
  constructor(index: number, size: number, surroundings: QueueSurroundings) {
    this.index = index;
    this.#surroundings = surroundings;
    [this.#ring, this.#release] = this.#makeRing(size, 0);
    this.#watch = this.#watchCalls();
  }

  /** The ring itself, for what no driver should do. */
  get ring(): GuestRing {
    return this.#ring;
  }

  get size(): number {
    return this.#ring.layout.size;
  }

  /** Tells the device of the ring and enables it. @param base - index of the first request to serve */
  async start(base = 0): Promise<void> {
    const { frontend, acknowledged } = this.#surroundings;
    this.#ring.setUp(frontend, base);
    if (acknowledged) await this.#ring.enable(frontend);
    else frontend.send('VHOST_USER_SET_VRING_ENABLE', { index: this.index, num: 1 });
  }

  /** GET_VRING_BASE: the ring stops. @returns index of the next request to serve */
  async stop(): Promise<number> {
    const state = { index: this.index, num: 0 };
    return (await this.#surroundings.frontend.ask('VHOST_USER_GET_VRING_BASE', state)).num;
  }

  /**
   * Stops the ring and starts an empty one. Requests that have not been answered never are.
   *
   * @param size - entries, default as it was
   * @param startIndex - first value of both indices
   */
  async restart(size: number = this.size, startIndex = 0): Promise<void> {
    await this.stop();
    this.#close('the ring was started anew');
    [this.#ring, this.#release] = this.#makeRing(size, startIndex);
    this.#watch = this.#watchCalls();
    await this.start(startIndex);
  }

  /**
   * Makes a request and waits for its answer.
   *
   * @param readable - buffers that the device reads
   * @param writable - sizes of the buffers that the device writes, in bytes
   * @returns those buffers, as far as the device says that it wrote them
   * @throws {Error} when the connection ends or the ring is started anew first
   */
  request(
    readable: readonly Uint8Array[],
    writable: readonly number[],
    options: RequestOptions = {},
  ): Promise<Uint8Array[]> {
    const answer = this.add(readable, writable, options);
    this.publish();
    return answer;
  }

  /**
   * As `request`; the device hears of it at the next `publish`.
   *
   * @throws {RangeError} at once when the ring or the guest's memory is full
   */
  add(
    readable: readonly Uint8Array[],
    writable: readonly number[],
    { indirect = false }: RequestOptions = {},
  ): Promise<Uint8Array[]> {
    if (this.#ended !== undefined) return this.#unanswered(this.#ended);
    const { guest, heap } = this.#surroundings;
    const { buffers, table, release } = placeRequest(guest, heap, readable, writable, indirect);
    const head = this.#ring.driver.add(buffers, table);
    if (head < 0) {
      release();
      throw new RangeError(
        `Cannot add a request of ${buffers.length} buffers to queue ${this.index}: it is full; wait for an answer`,
      );
    }
    const answer = new Promise<Uint8Array[]>((resolve, reject) => {
      this.#pending.set(head, {
        writable: buffers.slice(readable.length),
        ...{ release, resolve, reject },
      });
    });
    // Who does not wait for an answer need not hear that there is none.
    answer.catch(() => undefined);
    return answer;
  }

  /** Shows the device what was added, and kicks if it wants that. */
  publish(): void {
    if (this.#ended !== undefined) return;
    if (this.#ring.driver.publish()) this.#ring.kick.signal();
  }

  /** Takes back what the device has returned; called by itself when the device notifies. */
  collect(): void {
    try {
      this.#collect();
    } catch (error) {
      // A device that returns what it does not have: nobody gets an answer from this ring any more.
      this.#reject(error instanceof Error ? error.message : String(error));
    }
  }

  #collect(): void {
    const { driver } = this.#ring;
    for (let used = driver.poll(); used !== undefined; used = driver.poll()) {
      const pending = this.#pending.get(used.head);
      this.#pending.delete(used.head);
      if (pending === undefined) continue;
      let left = used.written;
      const answer = pending.writable.map(({ guestAddr, length }) => {
        const bytes = new Uint8Array(Math.min(length, left));
        left -= bytes.length;
        this.#surroundings.guest.memory.read(guestAddr, bytes);
        return bytes;
      });
      pending.release();
      if (left === 0) pending.resolve(answer);
      else {
        pending.reject(
          new Error(
            `Cannot read the answer of queue ${this.index}: the device says that it wrote ${left} bytes more than it had room for`,
          ),
        );
      }
    }
  }

  /**
   * Nobody will answer any more: requests without an answer fail, and so do all that come.
   *
   * @param reason - what their errors say
   * @param cause - their `cause`
   */
  end(reason: string, cause?: Error): void {
    this.#ended ??= reason;
    this.#cause ??= cause;
    this.#reject(reason);
  }

  /** Ends the queue and closes its descriptors. Idempotent. */
  close(): void {
    this.#ended ??= 'the queue was closed';
    this.#close(this.#ended);
  }

  #makeRing(size: number, startIndex: number): [GuestRing, () => void] {
    const { guest, heap, features } = this.#surroundings;
    const length = GuestRing.byteLength(size);
    const at = heap.allocate(length);
    const ring = new GuestRing(guest, this.index, features, size, startIndex, at);
    const release = (): void => {
      ring.close();
      heap.free(at, length);
    };
    return [ring, release];
  }

  #watchCalls(): Watch {
    const { call } = this.#ring;
    return this.#surroundings.frontend.poller.watch(call.fd, { readable: true }, () => {
      call.drain();
      this.collect();
    });
  }

  #close(reason: string): void {
    this.#watch.close();
    this.#release();
    this.#release = () => undefined;
    this.#reject(reason);
  }

  #reject(reason: string): void {
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { release, reject } of waiting) {
      release();
      reject(this.#noAnswer(reason));
    }
  }

  #noAnswer(reason: string): Error {
    const options = this.#cause === undefined ? {} : { cause: this.#cause };
    return new Error(`Cannot answer a request of queue ${this.index}: ${reason}`, options);
  }

  #unanswered(reason: string): Promise<never> {
    const answer = Promise.reject(this.#noAnswer(reason));
    answer.catch(() => undefined);
    return answer;
  }
}
