import { struct, u32 } from '@node-vmm/vmm-sys-util';

/** `enum xsd_sockmsg_type`, xen/include/public/io/xs_wire.h. */
export const XS_DIRECTORY = 1;
export const XS_READ = 2;
export const XS_GET_PERMS = 3;
export const XS_WATCH = 4;
export const XS_UNWATCH = 5;
export const XS_TRANSACTION_START = 6;
export const XS_TRANSACTION_END = 7;
export const XS_GET_DOMAIN_PATH = 10;
export const XS_WRITE = 11;
export const XS_MKDIR = 12;
export const XS_RM = 13;
export const XS_SET_PERMS = 14;
export const XS_WATCH_EVENT = 15;
export const XS_ERROR = 16;
export const XS_IS_DOMAIN_INTRODUCED = 17;
export const XS_DIRECTORY_PART = 22;

/** Most bytes of a message after its header. */
export const XENSTORE_PAYLOAD_MAX = 4096;
/** Longest absolute path in bytes. */
export const XENSTORE_ABS_PATH_MAX = 3072;

/** `struct xsd_sockmsg`, xen/include/public/io/xs_wire.h: the header of every message. */
export const XSD_SOCKMSG = struct(
  'xsd_sockmsg',
  { type: u32(0), req_id: u32(4), tx_id: u32(8), len: u32(12) },
  { size: 16 },
);

/** One message. */
export interface Message {
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly payload: Uint8Array;
}

const encoder = new TextEncoder();
// The xenstore carries bytes; text outside UTF-8 is shown with replacement characters.
const decoder = new TextDecoder();

/** A message as bytes. */
export function encodeMessage(message: Message): Uint8Array {
  const bytes = new Uint8Array(XSD_SOCKMSG.SIZE + message.payload.length);
  XSD_SOCKMSG.write(new DataView(bytes.buffer), 0, {
    type: message.type,
    req_id: message.reqId,
    tx_id: message.txId,
    len: message.payload.length,
  });
  bytes.set(message.payload, XSD_SOCKMSG.SIZE);
  return bytes;
}

/** Strings, each followed by a zero byte. */
export function encodeStrings(...strings: readonly string[]): Uint8Array {
  return encoder.encode(strings.map((text) => `${text}\0`).join(''));
}

/** A string with its zero byte, then raw bytes: the payload of XS_WRITE. */
export function encodeStringAndBytes(text: string, bytes: Uint8Array): Uint8Array {
  const head = encodeStrings(text);
  const payload = new Uint8Array(head.length + bytes.length);
  payload.set(head);
  payload.set(bytes, head.length);
  return payload;
}

/** Text without a terminator. */
export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Bytes as text. */
export function decodeText(payload: Uint8Array): string {
  return decoder.decode(payload);
}

/** Zero-terminated strings, an unterminated last one included. */
export function decodeStrings(payload: Uint8Array): string[] {
  const strings = decodeText(payload).split('\0');
  if (strings.at(-1) === '') strings.pop();
  return strings;
}
