const MARK: unique symbol = Symbol.for('@node-vmm/vhost-device-i2c/I2cError');

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

/** The error of this package. */
export class I2cError extends Error {
  override readonly name = 'I2cError';
  readonly code: I2cErrorCode;
  readonly [MARK] = true;

  constructor(code: I2cErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** True for an `I2cError` of any copy of this package. */
  static is(error: unknown): error is I2cError {
    return typeof error === 'object' && error !== null && MARK in error;
  }
}
