import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/** Why a message or a connection was refused. */
export type VhostUserErrorCode =
  /** The header says another version than 1. */
  | 'UNSUPPORTED_VERSION'
  /** Reserved header flags are set. */
  | 'RESERVED_FLAGS'
  /** No request of this channel has that number. */
  | 'UNKNOWN_REQUEST'
  /** A request came where only replies may, or the reverse. */
  | 'WRONG_DIRECTION'
  /** A reply that answers no request, or another one than is due. */
  | 'UNEXPECTED_REPLY'
  /** The payload is not as long as this message's must be. */
  | 'INVALID_SIZE'
  /** A field of the payload has a value that the specification excludes. */
  | 'INVALID_PAYLOAD'
  /** Too few, too many or unreadable file descriptors for this message. */
  | 'INVALID_FDS'
  /** Descriptors came that this process could not take, because it may have no more: not the peer's fault. */
  | 'OUT_OF_DESCRIPTORS'
  /** The peer closed the connection. */
  | 'PEER_CLOSED'
  /** The peer does not read its replies. */
  | 'OUTPUT_OVERFLOW'
  /** The connection was closed on this side. */
  | 'CLOSED';

/** Numbers and names that go with a {@link VhostUserError}. */
export interface VhostUserErrorContext {
  /** Verbatim name of the message, or its number when it has none. */
  readonly message?: string;
  readonly expected?: string;
  readonly actual?: string;
}

/** A violation of the vhost-user protocol, or the end of a connection. */
export class VhostUserError extends CodedError<VhostUserErrorCode, VhostUserErrorContext> {
  static override readonly brand = '@node-vmm/vhost-user/VhostUserError';
}
