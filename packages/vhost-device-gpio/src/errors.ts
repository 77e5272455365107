import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * What went wrong.
 *
 * - `USAGE`: a command line that cannot be meant.
 * - `NO_SUCH_CHIP`, `AMBIGUOUS_CHIP`, `CHIP_UNUSABLE`, `PERMISSION`: the host is not as the command line
 *   expects.
 * - `LINE_BUSY`: someone else has the line; `NOT_SUPPORTED`: the chip cannot do that with the line;
 *   `NO_DEVICE`: the chip is gone; `IO`: anything else that the chip reports.
 */
export type GpioErrorCode = (typeof CODES)[number];

const CODES = [
  'USAGE',
  'NO_SUCH_CHIP',
  'AMBIGUOUS_CHIP',
  'CHIP_UNUSABLE',
  'PERMISSION',
  'LINE_BUSY',
  'NOT_SUPPORTED',
  'NO_DEVICE',
  'IO',
] as const;

/** True for a code of this package's errors, such as one that comes from another thread. */
export function isGpioErrorCode(code: string | undefined): code is GpioErrorCode {
  return (CODES as readonly (string | undefined)[]).includes(code);
}

/** Where it went wrong, as far as that is known. */
export interface GpioErrorContext {
  /** Name of the chip: `gpiochip0`. */
  readonly chip?: string;
  /** Device file. */
  readonly path?: string;
  /** Line of the chip. */
  readonly line?: number;
}

/** The error of this package. */
export class GpioError extends CodedError<GpioErrorCode, GpioErrorContext> {
  static override readonly brand = '@node-vmm/vhost-device-gpio/GpioError';
}
