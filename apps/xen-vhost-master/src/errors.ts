import { CodedError } from '@node-vmm/vmm-sys-util/errors';

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

/** What an error of the bridge is about. */
export interface BridgeErrorContext {
  /** File that cannot be used. */
  readonly path?: string;
  /** Command of a back-end. */
  readonly command?: string;
}

/** An error of the bridge itself; those of the layers below pass through with their own codes. */
export class BridgeError extends CodedError<BridgeErrorCode, BridgeErrorContext> {
  static override readonly brand = '@node-vmm/xen-vhost-master/BridgeError';
}
