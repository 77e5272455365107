import { type CloseReason, VhostUserError } from '@node-vmm/vhost-user';
import { SysError } from '@node-vmm/vmm-sys-util';
import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/** Why a front-end's request did not succeed. */
export type VhostUserMasterErrorCode =
  /** No reply in time. The connection stays: close it when the back-end's state matters. */
  | 'TIMEOUT'
  /** The caller's `AbortSignal` fired. */
  | 'ABORTED'
  /** The connection ended; `cause` says how. */
  | 'CONNECTION_LOST'
  /** The front-end was closed on this side. */
  | 'CLOSED'
  /** The back-end acknowledged with a failure. */
  | 'REQUEST_FAILED'
  /** Descriptors came that this process could not take: it may have no more. `cause` says so. */
  | 'OUT_OF_DESCRIPTORS'
  /** The back-end can make no area for requests in flight now, and says so. */
  | 'NO_INFLIGHT_AREA'
  /** A well-formed reply that does not fit the request. */
  | 'WRONG_REPLY'
  /** The back-end lacks the protocol feature that the request needs. */
  | 'NOT_NEGOTIATED'
  /** More memory regions than the back-end takes. */
  | 'TOO_MANY_REGIONS'
  /** The memory is a Xen guest's and the back-end cannot map that. */
  | 'XEN_MMAP_MISSING'
  /** Too many requests are waiting for replies. */
  | 'TOO_MANY_REQUESTS'
  /** The back-end has no way to reset, and the front-end none to connect again. */
  | 'CANNOT_RESET'
  /** The indices of a ring in use are ones that no back-end can go on with. */
  | 'IMPOSSIBLE_RING'
  /** Requests in a ring are unfinished, and which of them nobody knows. */
  | 'UNKNOWN_ORDER'
  /** The device has state that the back-end which returned does not have. */
  | 'STATE_LOST';

/** What goes with a {@link VhostUserMasterError}. */
export interface VhostUserMasterErrorContext {
  /** Verbatim name of the request. */
  readonly request?: string;
  /** Socket path, when there is one. */
  readonly path?: string;
  /** How the connection ended. */
  readonly reason?: CloseReason['kind'];
}

/** A request to a back-end that did not succeed. */
export class VhostUserMasterError extends CodedError<
  VhostUserMasterErrorCode,
  VhostUserMasterErrorContext
> {
  static override readonly brand = '@node-vmm/vhost-user-master/VhostUserMasterError';
}

/** Errno of a failed `connect` that a back-end which is just starting or restarting causes. */
const TRANSIENT: ReadonlySet<string> = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'EAGAIN',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
]);

/**
 * Whether a new connection has a chance where this one failed: true when the back-end went away or
 * hangs, false when it would answer the same again.
 */
export function shouldReconnect(error: unknown): boolean {
  if (SysError.is(error)) return TRANSIENT.has(error.code);
  if (VhostUserError.is(error)) return error.code === 'PEER_CLOSED';
  if (!VhostUserMasterError.is(error)) return false;
  switch (error.code) {
    case 'TIMEOUT':
    case 'OUT_OF_DESCRIPTORS':
    case 'CANNOT_RESET':
      return true;
    case 'CONNECTION_LOST':
      return reconnectAfter(error.context.reason ?? 'peer-closed');
    case 'ABORTED':
    case 'CLOSED':
    case 'REQUEST_FAILED':
    case 'WRONG_REPLY':
    case 'NO_INFLIGHT_AREA':
    case 'NOT_NEGOTIATED':
    case 'TOO_MANY_REGIONS':
    case 'XEN_MMAP_MISSING':
    case 'TOO_MANY_REQUESTS':
    case 'IMPOSSIBLE_RING':
    case 'UNKNOWN_ORDER':
    case 'STATE_LOST':
      return false;
  }
}

function reconnectAfter(kind: CloseReason['kind']): boolean {
  switch (kind) {
    case 'peer-closed':
    case 'system-error':
      return true;
    case 'protocol-error':
    case 'internal-error':
      return false;
  }
}
