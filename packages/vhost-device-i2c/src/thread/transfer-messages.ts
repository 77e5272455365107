import type { I2cMessage } from '../i2c-host.ts';

// A transfer as it goes from the device to the thread of its bus and back: structured-cloneable, and
// nothing but the bytes that the other side needs.

/** What is to be transferred. */
export interface TransferRequest {
  readonly segments: readonly {
    readonly address: number;
    readonly read: boolean;
    readonly length: number;
  }[];
  /** What is written, one message after the other. */
  readonly written: Uint8Array;
}

/** What came of it. */
export interface TransferAnswer {
  readonly succeeded: number;
  /** What was read, one message after the other. */
  readonly read: Uint8Array;
}

/** Copies what a transfer needs. */
export function encodeRequest(messages: readonly I2cMessage[]): TransferRequest {
  return {
    segments: messages.map(({ address, read, data: { length } }) => ({ address, read, length })),
    written: joined(messages, false),
  };
}

/** Messages with memory of their own. */
export function decodeRequest({ segments, written }: TransferRequest): I2cMessage[] {
  let at = 0;
  return segments.map(({ address, read, length }) => {
    if (read) return { address, read, data: new Uint8Array(length) };
    const data = written.subarray(at, at + length);
    at += length;
    return { address, read, data };
  });
}

/** Copies what a transfer has read. */
export function encodeAnswer(messages: readonly I2cMessage[], succeeded: number): TransferAnswer {
  return { succeeded, read: joined(messages, true) };
}

/** Puts what was read where it belongs. */
export function decodeAnswer(
  messages: readonly I2cMessage[],
  { read: bytes }: TransferAnswer,
): void {
  let at = 0;
  for (const { read, data } of messages) {
    if (!read) continue;
    data.set(bytes.subarray(at, at + data.length));
    at += data.length;
  }
}

function joined(messages: readonly I2cMessage[], wanted: boolean): Uint8Array {
  const parts = messages.filter(({ read }) => read === wanted).map(({ data }) => data);
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
