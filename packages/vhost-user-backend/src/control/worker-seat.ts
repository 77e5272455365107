import type { Params, Result, WorkerCallName } from '../between/worker-calls.ts';
import type { DeviceLink } from './device-link.ts';
import type { WorkerThread } from './worker-thread.ts';

/** A device's place in a worker thread, from before it is made until after it is disposed of. */
export class WorkerSeat implements DeviceLink {
  readonly #id: number;
  readonly #thread: WorkerThread;
  readonly #leave: () => void;

  /**
   * @param id - of the device in the worker
   * @param leave - gives the place up
   */
  constructor(id: number, thread: WorkerThread, leave: () => void) {
    this.#id = id;
    this.#thread = thread;
    this.#leave = leave;
  }

  call<N extends WorkerCallName>(call: N, params: Omit<Params<N>, 'device'>): Promise<Result<N>> {
    return this.#thread.call(call, { ...params, device: this.#id } as Params<N>);
  }

  /** Nothing is heard of the device any more. Idempotent. */
  leave(): void {
    this.#leave();
  }
}
