import {
  type ChainBatch,
  type DescriptorChain,
  type DeviceContext,
  type DeviceQueue,
  VhostUserBackendError,
  type VhostUserDevice,
  type Watch,
} from '@node-vmm/vhost-user-backend';
import { EventFd, errorCode, type Logger, TimerFd } from '@node-vmm/vmm-sys-util';
import { ByteQuota } from './byte-quota.ts';
import type { EntropySource } from './entropy-source.ts';
import { RNG_PERIOD_MS, type RngLimits } from './limits.ts';

/** Entries of the queue, as rust-vmm's daemon has it. */
export const RNG_QUEUE_SIZE = 1024;
/** Most bytes that one request gets. A driver that wants more asks again (§5.4.6.2). */
export const RNG_REQUEST_MAX = 0x1_0000;
/** Most bytes before the other rings of the worker have their turn: about 2 ms of the kernel's. */
const TURN_BYTES = 0x10_0000;
/** Until a source that has failed, or ended, is asked again. */
const RETRY_MS = 1000;
/** Ours: how long requests wait for their source when their queue is about to stop. */
export const STOPPING_PATIENCE_MS = 500;
/** The longest time that the timer is set to: a debt may take longer, and is looked at again. */
const LONGEST_WAIT_MS = RNG_PERIOD_MS;

/**
 * The virtio entropy device: VIRTIO 1.3 §5.4. Where the source always has enough, a batch is one system
 * call into guest memory. Requests that have to wait (for the quota, for a slow source, for others'
 * turn) do so here, and all are returned in their order.
 */
export class RngDevice implements VhostUserDevice {
  readonly features = 0n;
  readonly queueMaxSizes: readonly number[] = [RNG_QUEUE_SIZE];
  readonly #source: EntropySource;
  readonly #logger: Logger;
  /** Not renewed by a reset: a guest would only have to make one. */
  readonly #quota: ByteQuota | undefined;
  readonly #timer = new TimerFd();
  readonly #wake: EventFd;
  readonly #watches: Watch[] = [];
  #waiting: DescriptorChain[] = [];
  #queue: DeviceQueue | undefined;
  /** The source has been asked and has not answered. */
  #reading = false;
  /** Nothing is done before the timer. */
  #paused = false;
  /** Called when the queue that is about to stop may do so. */
  #stopped: (() => void) | undefined;
  /** What the source last failed with, which has been said. */
  #trouble: string | undefined;
  #live = true;

  /**
   * @param source - becomes the device's, which disposes of it
   * @param now - a clock that never goes back, milliseconds
   * @throws {SysError} when there are no descriptors left
   */
  constructor(
    source: EntropySource,
    { logger, poller }: Pick<DeviceContext, 'logger' | 'poller'>,
    { maxBytes, period = RNG_PERIOD_MS }: RngLimits = {},
    now: () => number = () => performance.now(),
  ) {
    this.#source = source;
    this.#logger = logger;
    this.#quota = maxBytes === undefined ? undefined : new ByteQuota(maxBytes, period, now);
    this.#wake = EventFd.create();
    this.#watches.push(
      poller.watch(this.#timer.fd, { readable: true }, this.#onTimer),
      poller.watch(this.#wake.fd, { readable: true }, this.#onWake),
    );
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    this.#queue = queue;
    if (this.#serveAtOnce(queue, batch)) return;
    for (let i = 0; i < batch.length; i++) this.#waiting.push(batch.at(i).detach());
    this.#serve();
  }

  /** @returns false when the batch, or some of it, has to wait or needs a closer look */
  #serveAtOnce(queue: DeviceQueue, batch: ChainBatch): boolean {
    const { length } = batch;
    if (this.#source.fill === undefined || this.#reading || this.#waiting.length > 0) return false;
    let bytes = 0;
    for (let i = 0; i < length; i++) {
      const { readableCount, writableLength } = batch.at(i);
      if (readableCount > 0 || writableLength > RNG_REQUEST_MAX) return false;
      bytes += writableLength;
    }
    const quota = this.#quota;
    if (bytes > TURN_BYTES || (quota !== undefined && bytes > quota.available)) return false;
    quota?.take(bytes);
    this.#fill(batch);
    for (let i = 0; i < length; i++) {
      const chain = batch.at(i);
      queue.complete(chain, chain.writableLength);
    }
    return true;
  }

  /** @throws {VhostUserBackendError} MEMORY_FAULT: a front-end can cut off a file that it shares */
  #fill({ segments }: ChainBatch): void {
    try {
      this.#source.fill?.(segments, 0, segments.count);
    } catch (cause) {
      if (errorCode(cause) !== 'EFAULT') throw cause;
      const text = 'Cannot fill requests with random bytes: memory of theirs is not there';
      throw new VhostUserBackendError('MEMORY_FAULT', text, {}, { cause });
    }
  }

  /** Asks the source for what the first requests are to get, if they need not wait. */
  #serve(): void {
    if (this.#reading || this.#paused || !this.#completeEmpty()) return;
    const bytes = this.#allowance();
    if (bytes === 0) {
      if (this.#stopped === undefined) this.#awaitQuota();
      else this.#giveUp('they have had their quota, and the next in advance');
      return;
    }
    this.#reading = true;
    this.#source.read(bytes, this.#onRead);
  }

  /** Returns what is first and has no room. @returns true when there is something left */
  #completeEmpty(): boolean {
    let count = 0;
    for (const chain of this.#waiting) {
      if (chain.writableLength > 0) break;
      this.#queue?.complete(chain, 0);
      count++;
    }
    this.#shift(count);
    return this.#waiting.length > 0;
  }

  /** Bytes for as many of the first requests as can have all that they are to get, 0 for none. */
  #allowance(): number {
    const quota = this.#quota;
    const { most } = this.#source;
    const allowed =
      this.#stopped === undefined ? (quota?.available ?? most) : (quota?.borrowable ?? most);
    const limit = Math.min(allowed, most, TURN_BYTES);
    let bytes = 0;
    for (const chain of this.#waiting) {
      const share = this.#shareOf(chain);
      if (bytes + share > limit) break;
      bytes += share;
    }
    return bytes;
  }

  /**
   * What a request is to get. It waits until that much may be given, and is not filled in drops; with its
   * queue about to stop a byte is enough, which is the least that a driver must get (§5.4.6.2).
   */
  #shareOf({ writableLength }: DescriptorChain): number {
    const most = this.#stopped === undefined ? (this.#quota?.most ?? RNG_REQUEST_MAX) : 1;
    return Math.min(writableLength, RNG_REQUEST_MAX, this.#source.most, most);
  }

  #awaitQuota(): void {
    const [first] = this.#waiting;
    if (first === undefined) return;
    this.#pause(this.#quota?.waitFor(this.#shareOf(first)) ?? 1);
  }

  #pause(milliseconds: number): void {
    this.#paused = true;
    this.#timer.set(Math.min(Math.max(1, milliseconds), LONGEST_WAIT_MS));
  }

  readonly #onRead = (bytes: Uint8Array, error?: Error): void => {
    this.#reading = false;
    if (error !== undefined) this.#onTrouble(error);
    else if (bytes.length > 0) this.#give(bytes);
    if (this.#waiting.length === 0) this.#settle();
    else if (!this.#paused) this.#wake.signal();
  };

  /** A source that gives little has given it to the first. */
  #give(bytes: Uint8Array): void {
    if (this.#trouble !== undefined) {
      this.#trouble = undefined;
      this.#logger.info({}, 'the source gives random bytes again');
    }
    let given = 0;
    let count = 0;
    for (const chain of this.#waiting) {
      const share = this.#shareOf(chain);
      if (share > 0 && given === bytes.length) break;
      const written = chain.write(bytes.subarray(given, given + share), 0);
      given += written;
      count++;
      this.#queue?.complete(chain, written);
    }
    this.#shift(count);
    this.#quota?.take(given);
    // Whom they were for has gone, or its queue is about to stop.
    if (given < bytes.length) this.#source.unread(bytes.subarray(given));
    this.#queue?.flush();
  }

  #shift(count: number): void {
    if (count > 0) this.#waiting = this.#waiting.slice(count);
  }

  /** Nothing else is put in the place of a source that has ended or fails: its guests wait. */
  #onTrouble(error: Error): void {
    const code = errorCode(error) ?? error.message;
    if (this.#trouble !== code) {
      this.#trouble = code;
      const context = { code, error: error.message };
      this.#logger.warn(
        context,
        'the source gives nothing: requests wait, it is asked every second',
      );
    }
    if (this.#stopped === undefined) this.#pause(RETRY_MS);
    else this.#giveUp('the source gives nothing');
  }

  readonly #onWake = (): void => {
    this.#wake.drain();
    this.#serve();
    if (this.#waiting.length === 0) this.#settle();
  };

  readonly #onTimer = (): void => {
    if (!this.#timer.drain()) return;
    this.#paused = false;
    if (this.#stopped === undefined) this.#serve();
    else this.#giveUp('the source gives nothing');
    this.#queue?.flush();
  };

  /**
   * What waits gets a byte each: of its quota in advance, and of a slow source as far as that has any
   * within half a second. What gets none is lost.
   */
  queueStopping(_queue: DeviceQueue, done: () => void): void {
    this.#stopped = done;
    this.#paused = false;
    if (this.#waiting.length > 0) this.#timer.set(STOPPING_PATIENCE_MS);
    this.#serve();
    if (this.#waiting.length === 0) this.#settle();
  }

  #giveUp(reason: string): void {
    const lost = this.#waiting.length;
    this.#logger.warn({ lost, reason }, 'the queue stops, and requests get nothing');
    this.#waiting = [];
    this.#settle();
  }

  /** The queue may stop, if it is to. */
  #settle(): void {
    const done = this.#stopped;
    if (done === undefined) return;
    this.#stopped = undefined;
    this.#timer.cancel();
    this.#queue?.flush();
    done();
  }

  queueStopped(): void {
    this.#forget();
  }

  reset(): void {
    this.#forget();
  }

  #forget(): void {
    this.#waiting = [];
    this.#paused = false;
    this.#timer.cancel();
    this.#settle();
    this.#queue = undefined;
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#forget();
    for (const watch of this.#watches) watch.close();
    this.#timer.close();
    this.#wake.close();
    this.#source[Symbol.dispose]();
  }
}
