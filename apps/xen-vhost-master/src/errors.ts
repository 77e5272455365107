import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * - `USAGE`: the command line makes no sense.
 * - `BAD_CONFIG`: the configuration file cannot be read or makes no sense.
 * - `ABORTED`: the guest was detached from while its memory was being looked for.
 * - `NOT_READY`: asked for too early.
 * - `BAD_DEVICE`: what the toolstack or the user says of the device cannot be served.
 * - `NO_ROOM`: this domain has no room to map a guest into for another back-end.
 * - `STATE_DIR`: the directory in which guests are kept cannot be used.
 * - `BAD_IMAGE`: the image of a KVM guest cannot be read.
 */
export type BridgeErrorCode =
  | 'USAGE'
  | 'BAD_CONFIG'
  | 'ABORTED'
  | 'NOT_READY'
  | 'BAD_DEVICE'
  | 'NO_ROOM'
  | 'STATE_DIR'
  | 'BAD_IMAGE';

/** What an error of this program is about. */
export interface BridgeErrorContext {
  /** File or directory that cannot be used. */
  readonly path?: string;
}

/** An error of this program itself; those of the layers below pass through with their own codes. */
export class BridgeError extends CodedError<BridgeErrorCode, BridgeErrorContext> {
  static override readonly brand = '@node-vmm/xen-vhost-master/BridgeError';
}
