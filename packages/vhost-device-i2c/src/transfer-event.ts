import { errorCode } from '@node-vmm/vmm-sys-util';
import { formatI2cAddress } from './address.ts';
import { hex } from './hex.ts';
import type { I2cMessage } from './i2c-host.ts';

/** Most bytes of a message that an event shows. */
const SHOWN = 32;

/** A message as those who watch see it. */
export interface TransferEventMessage {
  /** `0x48`; 10-bit addresses from `0xa000` on. */
  readonly address: string;
  readonly read: boolean;
  /** Bytes of data. */
  readonly length: number;
  /** The first 32 of them, hexadecimal; nothing of a read that did not succeed. */
  readonly data: string;
}

/** A transfer on a bus is over. */
export interface TransferEvent {
  readonly event: 'transfer';
  /** Messages that succeeded, from the first on. */
  readonly succeeded: number;
  readonly messages: readonly TransferEventMessage[];
  /** The code of the error, when nobody knows how far it got. */
  readonly error?: string;
}

/** Tells of a transfer: about 5 KiB of text at most. */
export function transferEvent(
  messages: readonly I2cMessage[],
  succeeded: number,
  error: unknown,
): TransferEvent {
  return {
    event: 'transfer',
    succeeded,
    messages: messages.map(({ address, read, data }, index) => ({
      address: formatI2cAddress(address),
      read,
      length: data.length,
      data: read && index >= succeeded ? '' : hex(data.subarray(0, SHOWN)),
    })),
    ...(error === undefined ? {} : { error: errorCode(error) ?? 'UNKNOWN' }),
  };
}
