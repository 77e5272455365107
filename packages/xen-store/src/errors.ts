import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * Error names that xenstored answers with (`xsd_errors` of io/xs_wire.h), and those of the client.
 * A xenstored may answer with other names; they come through as they are.
 */
export type XenStoreErrorCode =
  | 'EINVAL'
  | 'EACCES'
  | 'EEXIST'
  | 'EISDIR'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'EIO'
  | 'ENOTEMPTY'
  | 'ENOSYS'
  | 'EROFS'
  | 'EBUSY'
  | 'EAGAIN'
  | 'EISCONN'
  | 'E2BIG'
  | 'EPERM'
  /** No xenstored: no socket and no /dev/xen/xenbus, or nobody listens. */
  | 'NOT_RUNNING'
  /** The socket or the device is not accessible. */
  | 'NOT_PERMITTED'
  /** The connection broke. */
  | 'DISCONNECTED'
  /** This client was closed. */
  | 'CLOSED'
  /** xenstored did not answer in time. */
  | 'TIMEOUT'
  /** The request or the directory is larger than this client sends or takes. */
  | 'TOO_LARGE'
  /** What came is no message of the protocol. */
  | 'PROTOCOL'
  | (string & {});

/** What a failed operation was about. */
export interface XenStoreErrorContext {
  /** The path asked for. */
  readonly path?: string;
}

/** A failed operation on xenstore. */
export class XenStoreError extends CodedError<XenStoreErrorCode, XenStoreErrorContext> {
  static override readonly brand = '@node-vmm/xen-store/XenStoreError';
}

/** True for an error that says that a path does not exist. */
export function isNotFound(error: unknown): boolean {
  return XenStoreError.is(error, 'ENOENT');
}
