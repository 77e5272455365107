import { InflightKeeper, type VhostUserFrontend } from '@node-vmm/vhost-user-master';

/** Entries of a queue, as many as an area for requests in flight can have: whatever rings a guest makes. */
const QUEUE_SIZE = 32_768;

/**
 * The record of a device's requests in flight, which one serving process hands on to the next: for a device
 * that returns requests in any order, and whose state outlives its process.
 */
export class RecordedRequests implements Disposable {
  #keeper: InflightKeeper | undefined;

  /**
   * Gives the record to a serving process; the first makes it. Before each start of a ring: once is enough for
   * each process.
   *
   * @param frontend - negotiated, with features set
   * @throws {VhostUserMasterError} STATE_LOST, and as every request
   */
  async handOver(frontend: VhostUserFrontend): Promise<void> {
    this.#keeper ??= new InflightKeeper({
      queues: frontend.queueCount ?? 1,
      queueSize: QUEUE_SIZE,
      stateful: true,
    });
    await this.#keeper.handOver(frontend);
  }

  /** The front-end has taken a ring back. */
  forget(index: number): void {
    this.#keeper?.forget(index);
  }

  /** The device has been reset, or nobody uses it any more. Idempotent. */
  close(): void {
    this.#keeper?.close();
    this.#keeper = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
