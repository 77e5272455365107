import type { ProtocolFeature } from './features.ts';
import type { PayloadKind } from './payload-values.ts';

/**
 * Descriptors that a message carries: none, exactly one, at most one, one per memory region, or by
 * what the payload says (NOFD bit clear, log area instead of an address).
 */
export type FdRule = 'none' | 'one' | 'optional' | 'perRegion' | 'byPayload';

/** The answer that a request always gets. */
export interface ReplySpec {
  /** Layouts that a reply may have, told apart by their length. */
  readonly payload: readonly PayloadKind[];
  readonly fds: FdRule;
  /** Only when this has been negotiated; otherwise as a request without a reply. */
  readonly with?: ProtocolFeature;
}

/**
 * One request of the protocol. A request without `reply` is acknowledged by a `u64` (0 is success)
 * when its header says NEED_REPLY and REPLY_ACK has been negotiated.
 */
export interface MessageSpec {
  /** Request number. */
  readonly id: number;
  readonly payload: PayloadKind;
  readonly fds: FdRule;
  readonly reply?: ReplySpec;
  /** Reply in place of the acknowledgement, in postcopy mode only. */
  readonly postcopyReply?: PayloadKind;
  /** Protocol feature that must have been negotiated. */
  readonly feature?: ProtocolFeature;
  /** The back-end must have offered VHOST_USER_F_PROTOCOL_FEATURES. */
  readonly protocolFeatures?: true;
}

/** The requests of one channel, by verbatim name. */
export type MessageTable = Readonly<Record<string, MessageSpec>>;

/** Name of a request in a table. */
export type MessageName<T extends MessageTable> = keyof T & string;
