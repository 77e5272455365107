const MARK: unique symbol = Symbol.for('@node-vmm/xen-vhost-master/BridgeError');

/**
 * - `USAGE`: the command line makes no sense.
 * - `BAD_CONFIG`: the configuration file cannot be read or makes no sense.
 * - `NO_SOCKET`: no back-end socket is configured or free for the device.
 * - `ABORTED`: the device was taken down while it was coming up.
 * - `NOT_READY`: asked for too early.
 * - `SPAWN_FAILED`: the back-end that we start did not come up.
 * - `BAD_DEVICE`: the toolstack's description of the device cannot be served.
 */
export type BridgeErrorCode =
  | 'USAGE'
  | 'BAD_CONFIG'
  | 'NO_SOCKET'
  | 'ABORTED'
  | 'NOT_READY'
  | 'SPAWN_FAILED'
  | 'BAD_DEVICE';

/** An error of the bridge itself; those of the layers below pass through with their own codes. */
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
