const MARK: unique symbol = Symbol.for('@node-vmm/vhost-device-cli/CliError');

/**
 * - `USAGE`: the command line makes no sense.
 * - `BAD_DIRECTORY`: there is no directory for the sockets.
 * - `NOT_PERMITTED`: the process may not become the user that it is to be.
 */
export type CliErrorCode = 'USAGE' | 'BAD_DIRECTORY' | 'NOT_PERMITTED';

/** The error of this package. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: CliErrorCode;
  readonly [MARK] = true;

  constructor(code: CliErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** True for a `CliError` of any copy of this package. */
  static is(error: unknown): error is CliError {
    return typeof error === 'object' && error !== null && MARK in error;
  }
}
