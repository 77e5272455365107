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
   * Takes the chains that the driver made available, in ring order. The batch is the queue's own
   * object, valid until the next call: chains not completed by then must have been detached.
   *
   * @param max - most chains to take, default the queue size
   * @returns the batch, empty when nothing is available or the queue is broken
   */
  popBatch(max?: number): ChainBatch;

  /**
   * Returns a chain to the driver. It becomes visible with the next `flush`.
   *
   * @param written - bytes written into the writable part, from its start
   */
  complete(chain: DescriptorChain, written: number): void;

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

  /** What another queue object needs to go on from here. */
  saveState(): QueueState;
}
