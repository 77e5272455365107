/**
 * What a device connects to: see `DeviceContext.hostThread`.
 *
 * One thread serves all devices of the daemon that name the same key: for a device that uses something
 * of the host that blocks (an adapter, a chip, a slow file), the key says which.
 */
export interface HostThreadOptions {
  /** Names what the thread is for: `/dev/i2c-1`. */
  readonly key: string;
  /** Module that exports `createHost`; loaded in the thread. The same for all who name the key. */
  readonly module: URL;
  /** Passed to `createHost` when the thread starts; must be cloneable (`structuredClone`). */
  readonly options?: unknown;
}

/**
 * Called with the answer, or with an error, whose `code` is that of the error in the thread, if it had
 * one.
 */
export type HostAnswer = (error: Error | undefined, answer?: unknown) => void;

/** A connection of one device to a thread that may block. Closing is idempotent. */
export interface HostThread extends Disposable {
  /**
   * Asks the thread's host. It answers in the order in which this connection asked; connections take
   * turns, a request each.
   *
   * @param request - must be cloneable (`structuredClone`); nothing of guest memory
   * @param answered - called later, never within this call, on the device's thread; not after `close`
   * @throws {DataCloneError} when the request is not cloneable
   */
  request(request: unknown, answered: HostAnswer): void;
  /** What was asked and not begun is not done; nothing is called back any more. */
  close(): void;
}

/**
 * What a host thread serves. It is asked one thing at a time, and may block: nothing else runs in its
 * thread but Node's event loop, which turns between two requests.
 */
export interface Host extends Disposable {
  /**
   * @returns the answer or a promise of it; must be cloneable
   * @throws what the one who asked gets as error, with its `code`
   */
  answer(request: unknown): unknown;
}

/**
 * Makes the host, in its thread. A host module exports one by the name `createHost`. What it throws
 * fails the making of the device that connected first.
 */
export type CreateHost<Options> = (options: Options) => Host | Promise<Host>;
