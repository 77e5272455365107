const MARK: unique symbol = Symbol.for('@node-vmm/xen-vhost-master/BridgeError');

/**
 * - `USAGE`: the command line makes no sense.
 * - `BAD_CONFIG`: the configuration file cannot be read or makes no sense.
 * - `ABORTED`: the guest was detached from while its memory was being mapped.
 * - `NOT_READY`: asked for too early.
 * - `BAD_DEVICE`: what the toolstack or the user says of the device cannot be served.
 */
export type BridgeErrorCode = 'USAGE' | 'BAD_CONFIG' | 'ABORTED' | 'NOT_READY' | 'BAD_DEVICE';

/** An error of this program itself; those of the layers below pass through with their own codes. */
export class BridgeError extends Error {
  override readonly name = 'BridgeError';
  readonly code: BridgeErrorCode;
  readonly [MARK] = true;

  constructor(code: BridgeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  static is(error: unknown): error is BridgeError {
    return typeof error === 'object' && error !== null && MARK in error;
  }
}
