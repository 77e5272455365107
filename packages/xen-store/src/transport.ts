import type { XenStoreError } from './errors.ts';

/** What a transport tells. */
export interface TransportHandler {
  /** Bytes came, in pieces of any size; valid during the call only. */
  data(bytes: Uint8Array): void;
  /** The transport is gone; nothing follows. Not called after `close()`. */
  lost(error: XenStoreError): void;
}

/** A way to xenstored. */
export interface Transport {
  /** For messages: the path. */
  readonly name: string;
  /** Longest payload that a message may have on this way. */
  readonly maxPayload: number;
  /** How many requests may wait for their replies at one time. */
  readonly maxInFlight: number;
  /** Begins to read. Called once. */
  start(handler: TransportHandler): void;
  /**
   * Sends one whole message, at once or when there is room.
   *
   * @throws {XenStoreError} when this message cannot be sent; others may still
   */
  send(message: Uint8Array): void;
  /** Idempotent. */
  close(): void;
}
