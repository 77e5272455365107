/**
 * What a device was told since its last reset. A dispatch thread in place of one that died says again what that
 * one may not have said: a device hears of each thing once.
 */
export class ToldSession {
  #accepted: bigint | undefined;
  /** Undefined before DRIVER_OK. */
  #started: Set<number> | undefined;

  /** The driver chose features. @returns false where the device knows */
  accept(features: bigint): boolean {
    if (this.#accepted === features) return false;
    this.#accepted = features;
    return true;
  }

  /** DRIVER_OK. @returns false where the device is active, and may only not know of some queues */
  activate(queues: Iterable<number>): boolean {
    if (this.#started !== undefined) return false;
    this.#started = new Set(queues);
    return true;
  }

  /** @returns false where the device has started the queue */
  start(queue: number): boolean {
    if (this.#started?.has(queue) === true) return false;
    this.#started?.add(queue);
    return true;
  }

  stop(queue: number): void {
    this.#started?.delete(queue);
  }

  reset(): void {
    this.#accepted = undefined;
    this.#started = undefined;
  }
}
