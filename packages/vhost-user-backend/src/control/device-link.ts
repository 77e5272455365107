import type { Params, Result, WorkerCallName } from '../between/worker-calls.ts';

/** A device in its worker, as the control plane on the main thread reaches it. */
export interface DeviceLink {
  /** Answered between two batches. @throws {VhostUserBackendError} */
  call<N extends WorkerCallName>(call: N, params: Omit<Params<N>, 'device'>): Promise<Result<N>>;
}
