import { protocolFeatureNames } from './features.ts';
import type { MessageTable } from './message-table.ts';
import type { Decoded } from './message-types.ts';

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

function printPayload(message: Decoded<MessageTable>): string {
  const payload: unknown = message.payload;
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
export function printMessage<T extends MessageTable>(message: Decoded<T>, fdCount = 0): string {
  const text = `${message.name}(${printPayload(message as unknown as Decoded<MessageTable>)})`;
  const parts = [text];
  if (message.reply) parts.push('reply');
  if (message.needReply) parts.push('need_reply');
  if (fdCount > 0) parts.push(fdCount === 1 ? '1 fd' : `${fdCount} fds`);
  return parts.join(' ');
}
