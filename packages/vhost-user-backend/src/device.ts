import type { ChainBatch, DescriptorChain } from '@node-vmm/virtio-queue';
import type { Interest, Logger, Poller, Readiness, Watch } from '@node-vmm/vmm-sys-util';
import type { HostThread, HostThreadOptions } from './host-thread.ts';

export type { ChainBatch, DescriptorChain, Interest, Readiness, Watch };

/** One virtqueue as the device sees it, from its start to its stop: one that starts again is another. */
export interface DeviceQueue {
  readonly index: number;
  /**
   * True when the queue goes on where it was stopped before, by this device or by a predecessor in another
   * process; false when its driver begins with it.
   */
  readonly resumed: boolean;
  /**
   * Returns a chain to the driver.
   *
   * @param written - bytes written into its writable part
   */
  complete(chain: DescriptorChain, written: number): void;
  /** Shows completed chains to the driver and notifies it. Called by itself after `process`. */
  flush(): void;
}

/** Memory of a device that outlives its process: see `DeviceContext.state`. */
export interface DeviceState {
  /**
   * A shared mapping of a file: what is stored here is there after a SIGKILL at any moment, in the order
   * of the stores. Valid until the device has been disposed of; begins at a multiple of 64 bytes.
   */
  readonly bytes: Uint8Array;
  /** True when nothing of before was there: the bytes are zeros. */
  readonly fresh: boolean;
}

/** What the framework lends to a device, or to one of its instances. */
export interface DeviceContext {
  readonly logger: Logger;
  /** Watches host descriptors on the thread that serves this device. */
  readonly poller: Poller;
  /**
   * Number of this instance, 0 unless the device is served by several (`queueWorkers`). The instance
   * serves the queues whose number modulo `instances` is its own.
   */
  readonly instance: number;
  /** 1..256, and no more than the daemon has workers. */
  readonly instances: number;
  /** What instance 0 offered as `shared`; undefined there, and where it offered nothing. */
  readonly shared: SharedArrayBuffer | undefined;
  /** Tells the driver that the configuration space changed. */
  configChanged(): void;
  /**
   * Connects to a thread of this process for calls that block. All devices of the daemon that name the
   * same key share one, whatever worker they are on: it starts with the first connection and ends
   * after the last. In the making of a device this is the usual place: the device is ready when its
   * threads are, and what `createHost` throws is what `addDevice` throws. A thread that ends by itself
   * fails the devices that are connected to it, each for itself.
   *
   * @throws {SysError} when there are no descriptors left
   * @throws {VhostUserBackendError} INVALID_DEVICE when `key`, `module` or `options` cannot be
   */
  hostThread(options: HostThreadOptions): HostThread;
  /**
   * Memory that outlives the process, in the file that `DeviceSpec.statePath` names. With the same
   * layout and size as before it is as the device left it; else it is zeros, so let zeros mean the
   * state after power-on. The same memory at each call, so that both may be asked for once.
   *
   * @param layout - what the bytes mean, a short name with a version: `gpio-1`; 1..64 ASCII characters, no blanks
   * @param size - bytes, 1..1048576
   * @returns undefined where no file was given, and in instances other than 0
   * @throws {RangeError} for another layout or size than those above
   * @throws Node's own error with `code` when the file cannot be written: ENOSPC ...
   */
  state(layout: string, size: number): DeviceState | undefined;
  /**
   * Tells who watches the device from outside: `ServedDevice.onEvent`, `watch` of a control socket.
   * Never waits, and is next to nothing where nobody watches. Events that are not taken in time are
   * dropped, and the next one tells as `lost` how many.
   *
   * @param event - a plain object of JSON, up to 64 KiB of text, or what makes it, called only when it is
   * told; `device` and `lost` are not its names
   * @throws {TypeError} when it is none
   */
  emit(event: object | (() => object)): void;
}

/**
 * A virtio device behind vhost-user. One object serves one front-end connection after another; all
 * its methods run on one thread, one at a time, and must not wait.
 *
 * A device whose queues several threads serve has an instance on each: an object of its own, made with
 * the same options, that owns a part of the queues. All are told of features, resets and writes to the
 * configuration space, one after the other; it is read from instance 0. What else they share is in
 * `shared`.
 *
 * @example see the README: a whole entropy device in twenty lines.
 */
export interface VhostUserDevice extends Disposable {
  /** Device-specific feature bits (0..23 and 50..63 by VIRTIO 1.3 §2.2). */
  readonly features: bigint;
  /**
   * Size of each queue that the device recommends, a power of two up to 32768; the length is the
   * number of queues. vhost-user cannot tell it to the front-end: any legal size is served.
   */
  readonly queueMaxSizes: readonly number[];
  /** Memory for all instances of the device, offered by instance 0; the same for as long as it exists. */
  readonly shared?: SharedArrayBuffer;
  /** Configuration space, read by the driver; empty when there is none. Read at every access. */
  readonly config?: Uint8Array;
  /** The driver writes configuration space. `offset + data.length` is within `config`. */
  writeConfig?(offset: number, data: Uint8Array): void;

  /** A front-end has negotiated features; called before any queue starts. */
  negotiated?(features: bigint): void;

  /**
   * Serves the chains that the driver made available. Chains may be completed here or later (after
   * `detach`), in any order.
   */
  process(queue: DeviceQueue, batch: ChainBatch): void;

  /**
   * The queue is about to stop: it takes no more chains. The device completes those that it holds, here
   * or later, and then calls `done`, by which it says that it will touch none of them any more; what it
   * has not completed is lost. A device that holds no chains after `process` needs none of this.
   *
   * `GET_VRING_BASE` is answered after `done`, so a guest waits for it. After the daemon's `stopTimeout`
   * it is answered all the same; memory that the chains are in stays mapped until `done` is called.
   */
  queueStopping?(queue: DeviceQueue, done: () => void): void;
  /** The queue has stopped. To complete chains of it has no effect any more. */
  queueStopped?(queue: number): void;
  /**
   * Back to the state after power-on: the driver reset the device, or the front-end is gone. A device that
   * is closed is not reset: it is disposed of, and its state is for the next process.
   */
  reset?(): void;

  /**
   * A command from outside, in words: `['line', '3', 'pulse']`. It comes to instance 0, between two
   * batches. Whoever may send commands is trusted as the daemon's user is; what they say is not.
   *
   * @returns a plain object of JSON, up to 1 MiB of text: the answer; undefined for one that says
   * no more than that it is done
   * @throws {DeviceCommandError} for what cannot be done, which is an answer, too. What else it throws
   * is the device's failure
   */
  command?(words: readonly string[]): object | undefined;
  /**
   * True when what a front-end relies on is lost with the process, as where there is no `state`: such a
   * device cannot go on with requests that a predecessor had begun.
   */
  readonly losesState?: boolean;
}

/**
 * Makes a device, in the worker thread that will serve it. A device module exports one by the name
 * `createDevice`.
 */
export type CreateDevice<Options> = (options: Options, context: DeviceContext) => VhostUserDevice;
