import type { ChainBatch, DescriptorChain } from '@node-vmm/virtio-queue';
import type { Interest, Logger, Poller, Readiness, Watch } from '@node-vmm/vmm-sys-util';
import type { HostThread, HostThreadOptions } from './host-thread.ts';

export type { ChainBatch, DescriptorChain, Interest, Readiness, Watch };

/** One virtqueue as the device sees it. */
export interface DeviceQueue {
  readonly index: number;
  /**
   * Returns a chain to the driver.
   *
   * @param written - bytes written into its writable part
   */
  complete(chain: DescriptorChain, written: number): void;
  /** Shows completed chains to the driver and notifies it. Called by itself after `process`. */
  flush(): void;
}

/** What the framework lends to a device. */
export interface DeviceContext {
  readonly logger: Logger;
  /** Watches host descriptors on the thread that serves this device. */
  readonly poller: Poller;
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
   * @throws {DataCloneError} when the options are not cloneable
   */
  hostThread(options: HostThreadOptions): HostThread;
}

/**
 * A virtio device behind vhost-user. One object serves one front-end connection after another; all
 * its methods run on one thread, one at a time, and must not wait.
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
   * The queue is about to stop. Chains that the device holds can still be completed, here and now: what
   * it goes on holding is lost.
   */
  queueStopping?(queue: DeviceQueue): void;
  /** The queue has stopped: chains detached from it must not be completed any more. */
  queueStopped?(queue: number): void;
  /** Back to the state after power-on: the driver reset the device, or the front-end is gone. */
  reset?(): void;
}

/**
 * Makes a device, in the worker thread that will serve it. A device module exports one by the name
 * `createDevice`.
 */
export type CreateDevice<Options> = (options: Options, context: DeviceContext) => VhostUserDevice;
