import type { ChainBatch } from './chain-batch.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { QueueState } from './queue-state.ts';

/** What a queue counted since it was made; read by metrics, never reset. */
export interface QueueCounters {
  /** Chains handed to the device. */
  chains: number;
  /** Chains that broke a rule and were returned with length 0 without the device seeing them. */
  malformedChains: number;
  /** Notifications that the driver asked for. */
  notifications: number;
  /** Notifications that the driver had suppressed. */
  suppressedNotifications: number;
}

/**
 * The device side of one virtqueue, whatever its layout (split now, packed later).
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
   * @param written - bytes written into the writable part, from its start; more than fit count as
   * all of it
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
   * What another queue object needs to go on from here. Completed chains are published, without the
   * notification that `flush` decides on, and notifications of the driver are asked for again.
   */
  saveState(): QueueState;
}
