/** A device to serve. */
export interface DeviceSpec {
  /** For logs and errors. */
  readonly name: string;
  /** Module that exports `createDevice`; loaded in the worker thread. */
  readonly module: URL;
  /** Passed to `createDevice`; must be cloneable (`structuredClone`). */
  readonly options?: unknown;
  /** Where to listen. A stale socket file is replaced. */
  readonly socketPath?: string;
  /** Permission bits of the socket, such as 0o660; default by the process's umask. */
  readonly socketMode?: number;
  /** Number of the group that owns the socket; default the process's. */
  readonly socketGroup?: number;
  /** Instead of `socketPath`: a listening Unix socket that a supervisor passed. */
  readonly listenFd?: number;
}
