import { protocolFeatureNames } from './features.ts';

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Bytes shown of a configuration window or a UUID. */
const SHOWN_BYTES = 32;

function printBytes(value: Uint8Array): string {
  const shown = Buffer.from(value.subarray(0, SHOWN_BYTES)).toString('hex');
  return `<${shown}${value.length > SHOWN_BYTES ? `... ${value.length} bytes` : ''}>`;
}

function printValue(value: unknown): string {
  if (typeof value === 'bigint') return hex(value);
  if (value instanceof Uint8Array) return printBytes(value);
  if (Array.isArray(value)) return `[${value.map(printValue).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([key, field]) => `${key}=${printValue(field)}`);
    return `{${fields.join(', ')}}`;
  }
  return String(value);
}

/** What is printed of a message: any {@link Request}, {@link Reply} or {@link Decoded}, of any table. */
export interface PrintableMessage {
  readonly name: string;
  readonly reply: boolean;
  readonly needReply: boolean;
  readonly payload: unknown;
}

function printPayload(message: PrintableMessage): string {
  const { payload } = message;
  if (payload === undefined) return '';
  if (typeof payload === 'bigint' && message.name.includes('_PROTOCOL_FEATURES')) {
    return `${hex(payload)} ${protocolFeatureNames(payload).join('|')}`.trimEnd();
  }
  return typeof payload === 'object' && !Array.isArray(payload) && !(payload instanceof Uint8Array)
    ? printValue(payload).slice(1, -1)
    : printValue(payload);
}

/**
 * A message on one line: `VHOST_USER_SET_VRING_NUM(index=0, num=256) need_reply`.
 *
 * @param fdCount - descriptors that it carries
 */
export function printMessage(message: PrintableMessage, fdCount = 0): string {
  const text = `${message.name}(${printPayload(message)})`;
  const parts = [text];
  if (message.reply) parts.push('reply');
  if (message.needReply) parts.push('need_reply');
  if (fdCount > 0) parts.push(fdCount === 1 ? '1 fd' : `${fdCount} fds`);
  return parts.join(' ');
}
