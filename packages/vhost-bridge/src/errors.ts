const MARK: unique symbol = Symbol.for('@node-vmm/vhost-bridge/VhostBridgeError');

/**
 * - `NO_SOCKET`: no back-end socket is configured or free for the device.
 * - `ABORTED`: the device was taken down, or lost its back-end, while it was coming up.
 * - `SPAWN_FAILED`: the back-end that we start did not come up.
 * - `BAD_DEVICE`: there is a device at that place, or the back-end that came back cannot go on with it.
 */
export type VhostBridgeErrorCode = 'NO_SOCKET' | 'ABORTED' | 'SPAWN_FAILED' | 'BAD_DEVICE';

/** An error of the bridge itself; those of the layers below pass through with their own codes. */
export class VhostBridgeError extends Error {
  override readonly name = 'VhostBridgeError';
  readonly code: VhostBridgeErrorCode;
  readonly [MARK] = true;

  constructor(code: VhostBridgeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** True for an error of any copy of this package, optionally only with that code. */
  static is(error: unknown, code?: VhostBridgeErrorCode): error is VhostBridgeError {
    if (typeof error !== 'object' || error === null || !(MARK in error)) return false;
    return code === undefined || (error as VhostBridgeError).code === code;
  }
}
