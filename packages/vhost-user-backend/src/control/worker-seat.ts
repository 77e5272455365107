import type { Params, Result, WorkerCallName } from '../between/worker-calls.ts';
import type { WorkerThread } from './worker-thread.ts';

/** The place of a device's instance in a worker thread, from before it is made until after its disposal. */
export class WorkerSeat {
  readonly thread: WorkerThread;
  readonly #number: number;
  readonly #leave: () => void;

  /**
   * @param number - of the instance in the worker
   * @param leave - gives the place up
   */
  constructor(number: number, thread: WorkerThread, leave: () => void) {
    this.#number = number;
    this.thread = thread;
    this.#leave = leave;
  }

  /** Asks the instance. @throws {VhostUserBackendError} as `WorkerThread.call` */
  call<N extends WorkerCallName>(call: N, params: Params<N>): Promise<Result<N>> {
    return this.thread.call(this.#number, call, params);
  }

  /** Nothing is heard of the instance any more. Idempotent. */
  leave(): void {
    this.#leave();
  }
}
