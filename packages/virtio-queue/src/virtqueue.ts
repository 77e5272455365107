import type { GuestMemory } from '@node-vmm/vm-memory';
import type { ChainBatch } from './chain-batch.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { VirtqueueConfig } from './virtqueue-config.ts';

/** What a queue counted since it was made; read by metrics, never reset. */
export interface QueueCounters {
  /** Chains handed to the device. */
  chains: number;
  /** Chains that broke a rule and were returned with length 0 without the device seeing them. */
  malformedChains: number;
  /** Chains that the device completed with a length that cannot be; the driver was told the nearest. */
  wrongLengths: number;
  /** Notifications that the driver asked for. */
  notifications: number;
  /** Notifications that the driver had suppressed. */
  suppressedNotifications: number;
}

/**
 * The device side of one virtqueue, whatever its layout: `createVirtqueue` makes one.
 *
 * The driver is hostile: a malformed chain is returned unused and counted; a malformed ring (an
 * index that cannot be) breaks the queue, which then serves nothing until it is made anew.
 */
export interface Virtqueue extends Disposable {
  readonly size: number;
  readonly counters: Readonly<QueueCounters>;
  /** Why the queue is broken, undefined while it works. */
  readonly broken: Error | undefined;
  /**
   * Chains that were taken and not yet completed. A queue that is to go on elsewhere is stopped
   * when this is 0: only then does the saved position account for every chain.
   */
  readonly inflight: number;
  /** Guest memory that the ring and the chains of the next batch are in. */
  readonly memory: GuestMemory;
  /**
   * Where another queue object goes on with the ring, once this one was disposed of: what
   * GET_VRING_BASE answers. Unsigned, 32 bits, and opaque: see `createVirtqueue`. Chains in flight are
   * behind it, and lost to a queue that goes on from here, unless a record tells of them.
   */
  readonly position: number;

  /**
   * True while the queue waits for guest memory that is not mapped yet: the next chain stays in the
   * ring, `popBatch` takes nothing, and `enableNotification` announces nothing.
   */
  readonly parked: boolean;
  /** Called when a queue is no longer parked: look at it again. */
  onReady: (() => void) | undefined;

  /**
   * Takes the chains that the driver made available, in ring order. The batch is the queue's own
   * object, valid until the next call: chains not completed by then must have been detached.
   *
   * Malformed chains are completed on the way, so `flush` is due even after an empty batch. A batch
   * may be short, or empty after malformed chains, while more are available: `enableNotification`
   * tells.
   *
   * @param max - most chains to take, default the queue size
   * @returns the batch, empty when nothing is available or the queue is broken
   * @throws {TypeError} when a chain of the last batch was neither completed nor detached
   */
  popBatch(max?: number): ChainBatch;

  /**
   * Returns a chain to the driver. It becomes visible with the next `flush`.
   *
   * @param written - bytes written into the writable part, from its start, 0..`writableLength`. The driver
   * is never told more than fit: what is no such integer is counted as `wrongLengths`, and the nearest one
   * taken in its place
   * @throws {TypeError} when the chain is not this queue's, or was completed or detached before
   */
  complete(chain: DescriptorChain, written: number): void;

  /**
   * Completes, with nothing written, every chain of the last batch that is neither completed nor
   * detached: for a device that failed in the middle of a batch.
   *
   * @returns chains completed
   */
  completeRest(): number;

  /**
   * Publishes completed chains.
   *
   * @returns true when the driver wants a notification for them
   */
  flush(): boolean;

  /** Asks the driver not to notify while the device is busy polling the queue. */
  disableNotification(): void;

  /**
   * Asks the driver to notify again.
   *
   * @returns true when chains became available meanwhile, which no notification will announce
   */
  enableNotification(): boolean;

  /**
   * Goes on in other memory: the front-end has exchanged its memory table, or moved the ring within
   * it. Detached chains stay in the former memory, which the caller keeps mapped until they are
   * completed. Look once afterwards.
   *
   * @param config - of the same size and features
   * @param onReleased - called once the last chain of the former memory was completed, unless there is
   * none. Disposal does not call it: what the device still keeps of a queue that stopped is its owner's
   * to know
   * @returns chains in the former memory that are not completed
   * @throws {VirtioQueueError} MISALIGNED, RING_NOT_IN_MEMORY, RING_NOT_READY; the queue is where it
   * was then
   * @throws {TypeError} when chains of the last batch are neither completed nor detached
   */
  relocate(memory: GuestMemory, config: VirtqueueConfig, onReleased?: () => void): number;

  /**
   * Leaves the ring to whoever goes on with it. Completed chains are published, without the
   * notification that `flush` decides on, and notifications of the driver are asked for again. Chains
   * that are completed later give back their memory, and the driver does not see them. Idempotent.
   */
  [Symbol.dispose](): void;
}
