const MARK: unique symbol = Symbol.for('@node-vmm/xen-store/XenStoreError');

/**
 * Either an error name of xenstored (`ENOENT`, `EACCES`, `EAGAIN`, `EINVAL`, `E2BIG`, `EEXIST`,
 * `ENOSPC`, `EQUOTA`, `ENOSYS`, ...), or one of ours:
 *
 * - `NOT_RUNNING`: nothing answers where the xenstore should be.
 * - `CLOSED`: the connection was closed or lost.
 * - `PROTOCOL`: the answer is none.
 * - `TIMEOUT`: no answer in time.
 * - `INVALID_PATH`, `TOO_LONG`: the request cannot be sent.
 */
export type XenStoreErrorCode = string;

/** A failed request. */
export class XenStoreError extends Error {
  override readonly name = 'XenStoreError';
  readonly code: XenStoreErrorCode;
  /** Path of the request, when it had one. */
  readonly path: string | undefined;
  readonly [MARK] = true;

  constructor(code: XenStoreErrorCode, message: string, path?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.path = path;
  }

  /** True for an error of any copy of this package, optionally only with that code. */
  static is(error: unknown, code?: XenStoreErrorCode): error is XenStoreError {
    if (typeof error !== 'object' || error === null || !(MARK in error)) return false;
    return code === undefined || (error as XenStoreError).code === code;
  }
}
