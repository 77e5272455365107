import { type Fields, type Struct, U64_MAX, type Values } from '@node-vmm/vmm-sys-util';
import type { CodecOptions } from './payload-values.ts';

/** Layout of one payload kind. */
export interface PayloadCodec<V> {
  /** Shortest and longest payload in bytes that a peer may send. */
  size(): readonly [min: number, max: number];
  /** Decodes `source`, whose length is within `size`. Returns a text when the length is wrong. */
  decode(source: Uint8Array): V | string;
  encode(value: V, options: CodecOptions): Uint8Array;
  /** What the specification excludes in this value ("message syntax only"), or undefined. */
  check?(value: V): string | undefined;
  /**
   * What must not be sent, or undefined. What is received may have it: a layout that was not negotiated,
   * and what a guest chose for its ring, which is no fault of the front-end that passes it on.
   */
  checkSent?(value: V, options: CodecOptions): string | undefined;
}

/** A payload that is exactly one struct, with the mapping between wire and decoded names. */
export function structPayload<F extends Fields, V>(
  layout: Struct<F>,
  fromWire: (wire: Values<F>) => V,
  toWire: (value: V) => Partial<Values<F>>,
  check?: (value: V) => string | undefined,
  checkSent?: (value: V) => string | undefined,
): PayloadCodec<V> {
  return {
    size: () => [layout.SIZE, layout.SIZE],
    decode: (source) => fromWire(layout.decode(source)),
    encode: (value) => layout.encode(toWire(value)),
    ...(check === undefined ? {} : { check }),
    ...(checkSent === undefined ? {} : { checkSent }),
  };
}

/** The first text that is not undefined. */
export function firstOf(...checks: readonly (string | undefined)[]): string | undefined {
  return checks.find((text) => text !== undefined);
}

/** Complains unless `start + size` stays within 64 bits. */
export function checkSpan(title: string, start: bigint, size: bigint): string | undefined {
  return start < 0n || size < 0n || start + size > U64_MAX
    ? `${title} 0x${start.toString(16)} + size 0x${size.toString(16)} exceeds 64 bits`
    : undefined;
}

/** Complains about a value that is no unsigned integer of `bits` bits. */
export function checkUint(title: string, value: number, bits: 8 | 16 | 32): string | undefined {
  return Number.isInteger(value) && value >= 0 && value < 2 ** bits
    ? undefined
    : `${title} ${value} is no unsigned ${bits}-bit integer`;
}

/** Complains about a value that is no unsigned 64-bit integer. */
export function checkUint64(title: string, value: bigint): string | undefined {
  return value >= 0n && value <= U64_MAX
    ? undefined
    : `${title} ${value} is no unsigned 64-bit integer`;
}

/** Complains about an address that is no multiple of `alignment`. */
export function checkAligned(title: string, value: bigint, alignment: bigint): string | undefined {
  return value % alignment === 0n
    ? undefined
    : `${title} 0x${value.toString(16)} is not aligned to ${alignment}`;
}

/** View of the bytes for struct accessors. */
export function viewOfBytes(source: Uint8Array): DataView {
  return new DataView(source.buffer, source.byteOffset, source.byteLength);
}
