import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * What went wrong.
 *
 * - `USAGE`: a command line that cannot be meant.
 * - `NO_SUCH_ADAPTER`, `AMBIGUOUS_ADAPTER`, `ADAPTER_UNUSABLE`, `ADDRESS_BUSY`, `PERMISSION`:
 *   the host is not as the command line expects.
 * - `NO_DEVICE`: nobody acknowledged; `NOT_SUPPORTED`: the adapter cannot express the transfer;
 *   `BUS_BUSY`: arbitration lost; `TIMEOUT`; `IO`: anything else that the adapter reports.
 * - `CHIP_FAILED`: a simulated chip threw.
 */
export type I2cErrorCode = (typeof CODES)[number];

const CODES = [
  'USAGE',
  'NO_SUCH_ADAPTER',
  'AMBIGUOUS_ADAPTER',
  'ADAPTER_UNUSABLE',
  'ADDRESS_BUSY',
  'PERMISSION',
  'NO_DEVICE',
  'NOT_SUPPORTED',
  'BUS_BUSY',
  'TIMEOUT',
  'IO',
  'CHIP_FAILED',
] as const;

/** True for a code of this package's errors, such as one that comes from another thread. */
export function isI2cErrorCode(code: string | undefined): code is I2cErrorCode {
  return (CODES as readonly (string | undefined)[]).includes(code);
}

/** Where it went wrong, as far as that is known. */
export interface I2cErrorContext {
  /** Name of the adapter: `i2c-1`. */
  readonly adapter?: string;
  /** Device file. */
  readonly path?: string;
  /** Address of the chip: see `isI2cAddress`. */
  readonly address?: number;
}

/** The error of this package. */
export class I2cError extends CodedError<I2cErrorCode, I2cErrorContext> {
  static override readonly brand = '@node-vmm/vhost-device-i2c/I2cError';
}
