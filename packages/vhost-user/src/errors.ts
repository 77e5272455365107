const MARK: unique symbol = Symbol.for('@node-vmm/vhost-user/VhostUserError');

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
export class VhostUserError extends Error {
  override readonly name = 'VhostUserError';
  readonly code: VhostUserErrorCode;
  readonly context: VhostUserErrorContext;
  readonly [MARK] = true;

  constructor(
    code: VhostUserErrorCode,
    text: string,
    context: VhostUserErrorContext = {},
    options?: ErrorOptions,
  ) {
    super(text, options);
    this.code = code;
    this.context = context;
  }

  /** True for a `VhostUserError` of any copy of this package, optionally only with that code. */
  static is(error: unknown, code?: VhostUserErrorCode): error is VhostUserError {
    if (typeof error !== 'object' || error === null || !(MARK in error)) return false;
    return code === undefined || (error as VhostUserError).code === code;
  }
}
