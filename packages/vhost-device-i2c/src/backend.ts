import type {
  ChainBatch,
  DescriptorChain,
  DeviceContext,
  DeviceQueue,
  VhostUserDevice,
  Watch,
} from '@node-vmm/vhost-user-backend';
import { VIRTIO_I2C_F_ZERO_LENGTH_REQUEST } from '@node-vmm/virtio-bindings';
import { type Logger, TimerFd } from '@node-vmm/vmm-sys-util';
import { AddressMap, type I2cAttachment } from './address-map.ts';
import type { I2cCounters } from './counters.ts';
import { GroupExecutor } from './group-executor.ts';

/** Size of the request queue, as rust-vmm's daemon has it. */
export const I2C_QUEUE_SIZE = 1024;

/**
 * How long a group may stay incomplete, milliseconds: the patience. A driver makes the requests of a
 * group available one by one, so we may see only the first of them; and a driver whose queue is full
 * never completes the group, yet waits for what it queued. Linux sends as much of a transfer as fits
 * into the queue, every request of it linked to the next, and drops the rest.
 *
 * What comes within the time goes on with the group, and fails when the group has failed: nothing
 * tells it from an unrelated request, and to refuse one that is unrelated is better than to execute
 * one that must not be. What comes later is unrelated. When the time is too short, the repeated START
 * is lost, and what was linked to a failure is executed.
 */
export const GROUP_PATIENCE_MS = 100;

const FEATURES = 1n << BigInt(VIRTIO_I2C_F_ZERO_LENGTH_REQUEST);

/** The group that the driver owes the rest of, and where it came from. */
interface Waiting {
  readonly queue: DeviceQueue;
  /** Its number, from the executor. */
  readonly group: number;
}

/** The virtio I2C adapter: VIRTIO 1.3 §5.16. */
export class I2cDevice implements VhostUserDevice {
  readonly features: bigint = FEATURES;
  readonly queueMaxSizes: readonly number[] = [I2C_QUEUE_SIZE];
  readonly #attachments: readonly I2cAttachment[];
  readonly #logger: Logger;
  readonly #executor: GroupExecutor;
  readonly #timer = new TimerFd();
  readonly #watch: Watch;
  #waiting: Waiting | undefined;
  #refused = false;
  #live = true;

  /**
   * @param attachments - buses and their allowed addresses; the device closes the buses
   * @throws {RangeError} when an address is out of range or given twice
   * @throws {SysError} when there are no descriptors left
   */
  constructor(
    attachments: readonly I2cAttachment[],
    context: Pick<DeviceContext, 'logger' | 'poller'>,
  ) {
    this.#attachments = attachments;
    this.#logger = context.logger;
    this.#executor = new GroupExecutor(new AddressMap(attachments), context.logger);
    this.#watch = context.poller.watch(this.#timer.fd, { readable: true }, this.#onTimer);
  }

  get counters(): Readonly<I2cCounters> {
    return this.#executor.counters;
  }

  /** §5.16.6.4: a driver without VIRTIO_I2C_F_ZERO_LENGTH_REQUEST is rejected. */
  negotiated(features: bigint): void {
    this.#refused = (features & FEATURES) === 0n;
    if (!this.#refused) return;
    this.#logger.warn(
      { features: `0x${features.toString(16)}` },
      'driver without VIRTIO_I2C_F_ZERO_LENGTH_REQUEST: all its requests will fail',
    );
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    const complete = (chain: DescriptorChain, written: number): void =>
      queue.complete(chain, written);
    const { transfers } = this.#executor.counters;
    for (let i = 0; i < batch.length; i++) {
      if (this.#refused) this.#executor.refuse(batch.at(i), complete);
      else this.#executor.push(batch.at(i), complete);
    }
    this.#wait(queue, this.#executor.counters.transfers > transfers);
  }

  /** A group that waits for its rest is executed as far as it came. */
  queueStopping(queue: DeviceQueue): void {
    this.#endGroup(queue);
  }

  queueStopped(): void {
    this.#stopWaiting();
    this.#executor.drop();
  }

  /** The chips behind the adapter keep their state: a virtio reset is no power cycle. */
  reset(): void {
    this.#stopWaiting();
    this.#executor.drop();
    this.#refused = false;
  }

  /**
   * Starts the patience, or ends it. It is counted from the group's first request: one that grows
   * gets no more of it. Only the time of transfers does not count, which is ours and not the driver's.
   */
  #wait(queue: DeviceQueue, transferred: boolean): void {
    const group = this.#executor.openGroup;
    if (group === undefined) {
      this.#stopWaiting();
      return;
    }
    this.#executor.detach();
    if (this.#waiting?.group === group && !transferred) return;
    this.#waiting = { queue, group };
    this.#timer.set(GROUP_PATIENCE_MS);
  }

  #stopWaiting(): void {
    if (this.#waiting === undefined) return;
    this.#waiting = undefined;
    this.#timer.cancel();
  }

  readonly #onTimer = (): void => {
    const queue = this.#waiting?.queue;
    if (this.#timer.drain() && queue !== undefined) this.#endGroup(queue);
  };

  #endGroup(queue: DeviceQueue): void {
    if (this.#waiting === undefined) return;
    this.#stopWaiting();
    this.#executor.counters.splitGroups++;
    this.#executor.end((chain, written) => queue.complete(chain, written));
    queue.flush();
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#watch.close();
    this.#timer.close();
    for (const { host } of this.#attachments) host[Symbol.dispose]();
  }
}
