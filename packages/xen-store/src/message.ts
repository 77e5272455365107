import { XENSTORE_PAYLOAD_MAX, XSD_SOCKMSG } from './abi/xs-wire.ts';
import { XenStoreError } from './errors.ts';

/** A message of the protocol. */
export interface Message {
  /** `XS_*`. */
  readonly type: number;
  /** Echoed in the reply. */
  readonly requestId: number;
  /** 0 outside transactions. */
  readonly transactionId: number;
  readonly payload: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Encodes a message.
 *
 * @throws {XenStoreError} TOO_LARGE
 */
export function encodeMessage(message: Message): Uint8Array<ArrayBuffer> {
  const { type, requestId, transactionId, payload } = message;
  if (payload.length > XENSTORE_PAYLOAD_MAX) {
    throw new XenStoreError(
      'TOO_LARGE',
      `Cannot send ${payload.length} bytes to xenstore: a message has at most ${XENSTORE_PAYLOAD_MAX}`,
    );
  }
  const bytes = new Uint8Array(XSD_SOCKMSG.SIZE + payload.length);
  XSD_SOCKMSG.write(new DataView(bytes.buffer), 0, {
    type,
    req_id: requestId,
    tx_id: transactionId,
    len: payload.length,
  });
  bytes.set(payload, XSD_SOCKMSG.SIZE);
  return bytes;
}

/** Cuts a stream of bytes into messages. Holds one message at most, whatever the peer sends. */
export class MessageParser {
  readonly #buffer = new Uint8Array(XSD_SOCKMSG.SIZE + XENSTORE_PAYLOAD_MAX);
  readonly #view = new DataView(this.#buffer.buffer);
  #held = 0;

  /** Bytes of a message that is not complete yet. */
  get held(): number {
    return this.#held;
  }

  /**
   * Takes bytes as they come and calls back with each complete message, whose payload is a copy.
   *
   * @throws {XenStoreError} PROTOCOL when a message is too long; the stream is of no use afterwards
   */
  push(bytes: Uint8Array, callback: (message: Message) => void): void {
    let at = 0;
    while (at < bytes.length) {
      const wanted = this.#wanted();
      const taken = Math.min(wanted - this.#held, bytes.length - at);
      this.#buffer.set(bytes.subarray(at, at + taken), this.#held);
      this.#held += taken;
      at += taken;
      if (this.#held < XSD_SOCKMSG.SIZE || this.#held < this.#wanted()) continue;
      const { type, req_id, tx_id, len } = XSD_SOCKMSG.read(this.#view);
      const payload = this.#buffer.slice(XSD_SOCKMSG.SIZE, XSD_SOCKMSG.SIZE + len);
      this.#held = 0;
      callback({ type, requestId: req_id, transactionId: tx_id, payload });
    }
  }

  #wanted(): number {
    if (this.#held < XSD_SOCKMSG.SIZE) return XSD_SOCKMSG.SIZE;
    const length = XSD_SOCKMSG.get(this.#view, 0, 'len');
    if (length > XENSTORE_PAYLOAD_MAX) {
      throw new XenStoreError(
        'PROTOCOL',
        `Cannot read from xenstore: a message of ${length} bytes, over ${XENSTORE_PAYLOAD_MAX}`,
      );
    }
    return XSD_SOCKMSG.SIZE + length;
  }
}

/** Strings, each followed by a zero byte: what most payloads are. */
export function encodeStrings(...strings: readonly string[]): Uint8Array<ArrayBuffer> {
  return encoder.encode(strings.map((text) => `${text}\0`).join(''));
}

/** A string followed by a zero byte, then bytes as they are. */
export function encodeStringAndBytes(text: string, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = encodeStrings(text);
  const out = new Uint8Array(head.length + bytes.length);
  out.set(head);
  out.set(bytes, head.length);
  return out;
}

/** The strings of a payload; a last one without its zero byte counts as well. */
export function decodeStrings(payload: Uint8Array): string[] {
  const parts = decoder.decode(payload).split('\0');
  if (parts.at(-1) === '') parts.pop();
  return parts;
}

/** The first string of a payload; empty when there is none. */
export function decodeString(payload: Uint8Array): string {
  return decodeStrings(payload)[0] ?? '';
}

/** Text of a value: all its bytes as UTF-8. */
export function decodeValue(payload: Uint8Array): string {
  return decoder.decode(payload);
}

/** Bytes of a value. */
export function encodeValue(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? encoder.encode(value) : value;
}
