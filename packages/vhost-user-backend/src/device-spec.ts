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
  /** Instead of `socketPath`: a listening Unix socket that a supervisor passed. */
  readonly listenFd?: number;
}
