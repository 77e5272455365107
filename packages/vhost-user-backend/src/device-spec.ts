/** How a device that has failed is made again. */
export interface RestartOptions {
  /** Milliseconds before it is made again, >= 1, default 1000; doubled each time in a row. */
  readonly firstDelay?: number;
  /**
   * The longest delay, milliseconds, default 60000, so that a guest that provokes the failure cannot
   * keep the host busy. A device that has served for so long begins with `firstDelay` again.
   */
  readonly maxDelay?: number;
  /**
   * How many worker threads may end by its doing, default 5: what devices had open in a thread that
   * ended stays open, for as long as the process lives. Afterwards it is not made again.
   */
  readonly maxLostWorkers?: number;
}

/** Who is to own a file: numeric ids, 0..4294967294. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** A device to serve. */
export interface DeviceSpec {
  /** For logs and errors. */
  readonly name: string;
  /** Module that exports `createDevice`; loaded in the worker thread. */
  readonly module: URL;
  /** Passed to `createDevice`; must be cloneable (`structuredClone`). */
  readonly options?: unknown;
  /**
   * Most worker threads that serve its queues, 1..256, default 1: an instance of the device in each, see
   * `VhostUserDevice`. There are no more than the daemon has workers and the device has queues.
   */
  readonly queueWorkers?: number;
  /** Where to listen. A stale socket file is replaced. */
  readonly socketPath?: string;
  /**
   * Permissions of the socket file, 0..0o777; connecting takes write permission. Default: what the
   * umask leaves of 0o777, or 0o660 with `socketGroup`. The file is at no moment more open.
   */
  readonly socketMode?: number;
  /** Numeric id of the socket file's group, default the process's. */
  readonly socketGroup?: number;
  /** Instead of `socketPath`: a listening Unix socket that a supervisor passed. */
  readonly listenFd?: number;
  /**
   * Instead of `socketPath`: a connected Unix socket that a supervisor passed. Its front-end is the only
   * one: `ServedDevice.deserted` tells when it has gone.
   */
  readonly connectedFd?: number;
  /**
   * Make the device again when it has failed, with the same options. Its socket stays: front-ends wait
   * in the backlog meanwhile. Default: a device that has failed stays so, and its socket is removed.
   */
  readonly restart?: RestartOptions;
  /**
   * File for `DeviceContext.state`, in a directory that exists; made with mode 0600 where there is none,
   * locked for as long as the device exists, and kept after its end. Default: the device has no state
   * that outlives it.
   */
  readonly statePath?: string;
  /**
   * Whose the state file is to be, for a process that will start as that user the next time. Default:
   * as it is, or the process's.
   */
  readonly stateOwner?: FileOwner;
}
