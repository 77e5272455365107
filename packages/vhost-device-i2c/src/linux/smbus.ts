import type { I2cMessage } from '../i2c-host.ts';
import {
  I2C_FUNC_SMBUS_PROC_CALL,
  I2C_FUNC_SMBUS_QUICK,
  I2C_FUNC_SMBUS_READ_BYTE,
  I2C_FUNC_SMBUS_READ_BYTE_DATA,
  I2C_FUNC_SMBUS_READ_I2C_BLOCK,
  I2C_FUNC_SMBUS_READ_WORD_DATA,
  I2C_FUNC_SMBUS_WRITE_BYTE,
  I2C_FUNC_SMBUS_WRITE_BYTE_DATA,
  I2C_FUNC_SMBUS_WRITE_I2C_BLOCK,
  I2C_FUNC_SMBUS_WRITE_WORD_DATA,
  I2C_SMBUS_BLOCK_MAX,
  I2C_SMBUS_BYTE,
  I2C_SMBUS_BYTE_DATA,
  I2C_SMBUS_I2C_BLOCK_DATA,
  I2C_SMBUS_PROC_CALL,
  I2C_SMBUS_QUICK,
  I2C_SMBUS_READ,
  I2C_SMBUS_WORD_DATA,
  I2C_SMBUS_WRITE,
} from './i2c-dev.ts';

/** One transfer in SMBus terms. */
export interface SmbusOperation {
  readonly address: number;
  /** I2C_SMBUS_READ or I2C_SMBUS_WRITE. */
  readonly direction: number;
  /** First byte written, 0 where there is none. */
  readonly command: number;
  /** I2C_SMBUS_QUICK, I2C_SMBUS_BYTE, ... */
  readonly size: number;
  /** Data bytes after the command. */
  readonly output: Uint8Array;
  /** Where the bytes that are read go. */
  readonly input: Uint8Array;
}

const NONE = new Uint8Array(0);

/**
 * Says a combined transfer in SMBus terms: what goes over the wire is the same, byte for byte.
 *
 * @param functions - I2C_FUNC_ bits of the adapter
 * @returns undefined when SMBus, or this adapter, has no transfer of that shape
 */
export function asSmbus(
  messages: readonly I2cMessage[],
  functions: number,
): SmbusOperation | undefined {
  const [first, second] = messages;
  if (first === undefined || messages.length > 2) return undefined;
  const { address, data } = first;
  const can = (bit: number): boolean => (functions & bit) !== 0;

  if (second === undefined) {
    const direction = first.read ? I2C_SMBUS_READ : I2C_SMBUS_WRITE;
    const output = first.read ? NONE : data.subarray(1);
    const input = first.read ? data : NONE;
    const command = first.read ? 0 : (data[0] ?? 0);
    const size = first.read ? readSize(data.length, can) : writeSize(data.length, can);
    return size === undefined ? undefined : { address, direction, command, size, output, input };
  }

  if (first.read || !second.read || second.address !== address || data.length === 0) {
    return undefined;
  }
  const size = writeReadSize(data.length, second.data.length, can);
  if (size === undefined) return undefined;
  // A process call writes in the kernel's eyes.
  const direction = size === I2C_SMBUS_PROC_CALL ? I2C_SMBUS_WRITE : I2C_SMBUS_READ;
  const command = data[0] as number;
  return { address, direction, command, size, output: data.subarray(1), input: second.data };
}

type Can = (bit: number) => boolean;

function readSize(length: number, can: Can): number | undefined {
  if (length === 0 && can(I2C_FUNC_SMBUS_QUICK)) return I2C_SMBUS_QUICK;
  return length === 1 && can(I2C_FUNC_SMBUS_READ_BYTE) ? I2C_SMBUS_BYTE : undefined;
}

function writeSize(length: number, can: Can): number | undefined {
  if (length === 0) return can(I2C_FUNC_SMBUS_QUICK) ? I2C_SMBUS_QUICK : undefined;
  if (length === 1) return can(I2C_FUNC_SMBUS_WRITE_BYTE) ? I2C_SMBUS_BYTE : undefined;
  if (length === 2 && can(I2C_FUNC_SMBUS_WRITE_BYTE_DATA)) return I2C_SMBUS_BYTE_DATA;
  if (length === 3 && can(I2C_FUNC_SMBUS_WRITE_WORD_DATA)) return I2C_SMBUS_WORD_DATA;
  const block = length - 1 <= I2C_SMBUS_BLOCK_MAX && can(I2C_FUNC_SMBUS_WRITE_I2C_BLOCK);
  return block ? I2C_SMBUS_I2C_BLOCK_DATA : undefined;
}

function writeReadSize(written: number, read: number, can: Can): number | undefined {
  if (written === 3 && read === 2) {
    return can(I2C_FUNC_SMBUS_PROC_CALL) ? I2C_SMBUS_PROC_CALL : undefined;
  }
  if (written !== 1 || read === 0) return undefined;
  if (read === 1 && can(I2C_FUNC_SMBUS_READ_BYTE_DATA)) return I2C_SMBUS_BYTE_DATA;
  if (read === 2 && can(I2C_FUNC_SMBUS_READ_WORD_DATA)) return I2C_SMBUS_WORD_DATA;
  const block = read <= I2C_SMBUS_BLOCK_MAX && can(I2C_FUNC_SMBUS_READ_I2C_BLOCK);
  return block ? I2C_SMBUS_I2C_BLOCK_DATA : undefined;
}
