import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * - `NO_SOCKET`: no back-end socket is configured or free for the device.
 * - `BAD_SOCKET`: the back-end that we start could not have a socket: its path would be too long.
 * - `ABORTED`: the device was taken down, or lost its back-end, while it was coming up.
 * - `SPAWN_FAILED`: the back-end that we start did not come up.
 * - `MEMORY_REFUSED`: a back-end that maps all of a guest's memory could not.
 * - `BAD_DEVICE`: there is a device at that place, or the back-end that came back cannot go on with it.
 */
export type VhostBridgeErrorCode =
  | 'NO_SOCKET'
  | 'BAD_SOCKET'
  | 'ABORTED'
  | 'SPAWN_FAILED'
  | 'MEMORY_REFUSED'
  | 'BAD_DEVICE';

/** What an error of the bridge is about. */
export interface VhostBridgeErrorContext {
  /** Command of a back-end. */
  readonly command?: string;
}

/** An error of the bridge itself; those of the layers below pass through with their own codes. */
export class VhostBridgeError extends CodedError<VhostBridgeErrorCode, VhostBridgeErrorContext> {
  static override readonly brand = '@node-vmm/vhost-bridge/VhostBridgeError';
}
