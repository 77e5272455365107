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
import { runCommand } from './commands.ts';
import type { I2cCounters } from './counters.ts';
import { GroupExecutor } from './group-executor.ts';
import { transferEvent } from './transfer-event.ts';

/** Size of the request queue, as rust-vmm's daemon has it. */
export const I2C_QUEUE_SIZE = 1024;

/**
 * Ours: how long a group may stay incomplete, milliseconds: the patience. A driver makes the requests of
 * a group available one by one, so we may see only the first of them; and a driver whose queue is full
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

/** Ours: how long what waits may take to begin when its queue is about to stop, milliseconds. */
export const STOPPING_PATIENCE_MS = 1000;

/** The group that the driver owes the rest of. */
interface Waiting {
  /** Its number, from the executor. */
  readonly group: number;
  /** Transfers made before. */
  readonly transfers: number;
}

/** How a device treats what drivers may do and not do. */
export interface I2cDeviceRules {
  /**
   * A group of more than 42 messages, or for chips on several adapters, is several transfers with
   * a STOP between them; default: it fails.
   */
  readonly splitGroups?: boolean;
  /**
   * Serves drivers that do not negotiate VIRTIO_I2C_F_ZERO_LENGTH_REQUEST, such as Zephyr's; default:
   * all their requests fail, as §5.16.6.4 has it.
   */
  readonly allowNoZeroLength?: boolean;
}

/** The virtio I2C adapter: VIRTIO 1.3 §5.16. */
export class I2cDevice implements VhostUserDevice {
  readonly features: bigint = FEATURES;
  readonly queueMaxSizes: readonly number[] = [I2C_QUEUE_SIZE];
  readonly #attachments: readonly I2cAttachment[];
  readonly #logger: Logger;
  readonly #allowNoZeroLength: boolean;
  readonly #executor: GroupExecutor;
  readonly #timer = new TimerFd();
  readonly #watch: Watch;
  #queue: DeviceQueue | undefined;
  #waiting: Waiting | undefined;
  /** Called when the queue that is about to stop may do so. */
  #stopped: (() => void) | undefined;
  #refused = false;
  #anew: readonly string[];
  #live = true;

  /**
   * @param attachments - buses and their allowed addresses; the device closes the buses
   * @param anew - chips that begin anew with this device, for messages: `24c02@0x50`
   * @throws {RangeError} when an address is out of range or given twice
   * @throws {SysError} when there are no descriptors left
   */
  constructor(
    attachments: readonly I2cAttachment[],
    context: Pick<DeviceContext, 'emit' | 'logger' | 'poller'>,
    rules: I2cDeviceRules = {},
    anew: readonly string[] = [],
  ) {
    this.#attachments = attachments;
    this.#anew = anew;
    this.#logger = context.logger;
    this.#allowNoZeroLength = rules.allowNoZeroLength ?? false;
    this.#executor = new GroupExecutor({
      map: new AddressMap(attachments),
      logger: context.logger,
      splitGroups: rules.splitGroups ?? false,
      complete: this.#complete,
      onProgress: this.#onProgress,
      onTransfer: (...transfer) => context.emit(() => transferEvent(...transfer)),
    });
    this.#watch = context.poller.watch(this.#timer.fd, { readable: true }, this.#onTimer);
  }

  get counters(): Readonly<I2cCounters> {
    return this.#executor.counters;
  }

  /** §5.16.6.4: a driver without VIRTIO_I2C_F_ZERO_LENGTH_REQUEST is rejected, unless told otherwise. */
  negotiated(features: bigint): void {
    const lacking = (features & FEATURES) === 0n;
    this.#refused = lacking && !this.#allowNoZeroLength;
    if (!lacking) return;
    this.#logger.warn(
      { features: `0x${features.toString(16)}` },
      this.#refused
        ? 'driver without VIRTIO_I2C_F_ZERO_LENGTH_REQUEST: all its requests will fail; --allow-no-zero-length serves it'
        : 'driver without VIRTIO_I2C_F_ZERO_LENGTH_REQUEST is served (--allow-no-zero-length)',
    );
  }

  /** A word of the control socket, as the package's README lists them; undefined if it has none such. */
  command(words: readonly string[]): object | undefined {
    return runCommand(words, this.#attachments, this.counters);
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    this.#queue = queue;
    if (this.#anew.length > 0) this.#beginAnew(queue.resumed);
    for (let i = 0; i < batch.length; i++) {
      if (this.#refused) this.#executor.refuse(batch.at(i));
      else this.#executor.push(batch.at(i));
    }
    this.#executor.detach();
    this.#wait();
  }

  /** Chips that are new are what the driver expects, unless it goes on with those of a predecessor. */
  #beginAnew(resumed: boolean): void {
    const chips = this.#anew;
    this.#anew = [];
    if (!resumed) return;
    const text = 'simulated chips begin anew: what the driver had written to them is lost';
    this.#logger.warn({ chips }, text);
  }

  /**
   * A group that waits for its rest is executed as far as it came, and what there is to execute has a
   * second to begin; what has not begun then fails, which is better than to be lost.
   */
  queueStopping(queue: DeviceQueue, done: () => void): void {
    this.#endGroup();
    queue.flush();
    this.#stopped = done;
    this.#timer.set(STOPPING_PATIENCE_MS);
    this.#settle();
  }

  queueStopped(): void {
    this.#forget();
  }

  /**
   * The chips behind the adapter keep their state: a virtio reset is no power cycle. A transfer that is
   * under way goes on, and what comes next waits for its end.
   */
  reset(): void {
    this.#forget();
    this.#refused = false;
  }

  #forget(): void {
    const done = this.#stopped;
    this.#stopped = undefined;
    this.#waiting = undefined;
    this.#timer.cancel();
    this.#executor.drop();
    // A transfer that is under way has copies of its data: the queue's chains are touched no more.
    done?.();
  }

  readonly #complete = (chain: DescriptorChain, written: number): void =>
    this.#queue?.complete(chain, written);

  /** A transfer that took its time is over. */
  readonly #onProgress = (): void => {
    this.#queue?.flush();
    if (this.#stopped === undefined) this.#wait();
    else this.#settle();
  };

  /** Says that the queue may stop, once nothing is left to complete. */
  #settle(): void {
    const done = this.#stopped;
    if (done === undefined || !this.#executor.idle) return;
    this.#stopped = undefined;
    this.#timer.cancel();
    done();
  }

  /**
   * Starts the patience, or ends it. It is counted from the group's first request: one that grows
   * gets no more of it. Only the time of transfers does not count, which is ours and not the driver's.
   */
  #wait(): void {
    const { openGroup: group, busy, counters } = this.#executor;
    if (group === undefined || busy) {
      this.#stopWaiting();
      return;
    }
    const { transfers } = counters;
    if (this.#waiting?.group === group && this.#waiting.transfers === transfers) return;
    this.#waiting = { group, transfers };
    this.#timer.set(GROUP_PATIENCE_MS);
  }

  #stopWaiting(): void {
    if (this.#waiting === undefined) return;
    this.#waiting = undefined;
    this.#timer.cancel();
  }

  readonly #onTimer = (): void => {
    if (!this.#timer.drain()) return;
    if (this.#stopped === undefined) {
      this.#endGroup();
      this.#queue?.flush();
      return;
    }
    this.#executor.giveUp();
    this.#queue?.flush();
    this.#settle();
  };

  #endGroup(): void {
    this.#stopWaiting();
    if (this.#executor.openGroup === undefined) return;
    this.#executor.counters.splitGroups++;
    this.#executor.end();
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#executor.drop();
    this.#watch.close();
    this.#timer.close();
    for (const { host } of this.#attachments) host[Symbol.dispose]();
  }
}
