import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * What went wrong:
 * - `NO_DEVICE`: nothing at the address speaks virtio-mmio version 2, or the place is empty
 * - `WRONG_DEVICE`: the device is of another type
 * - `FEATURES_REFUSED`: the device does not offer, or does not accept, what the driver needs
 * - `QUEUE_REFUSED`: the device does not have the queue or does not enable it
 * - `TIMEOUT`: the machine or the device does not answer
 * - `BROKEN`: the device broke a rule or needs a reset
 * - `OUT_OF_MEMORY`: the driver's share of guest memory is used up
 * - `TOO_LARGE`: a transfer does not fit the queue or its buffers
 * - `I2C_FAILED`: a message of an I2C transfer failed; `context.message` says which
 */
export type DriverErrorCode =
  | 'NO_DEVICE'
  | 'WRONG_DEVICE'
  | 'FEATURES_REFUSED'
  | 'QUEUE_REFUSED'
  | 'TIMEOUT'
  | 'BROKEN'
  | 'OUT_OF_MEMORY'
  | 'TOO_LARGE'
  | 'I2C_FAILED';

/** Values that belong to an error, as far as they are known. */
export interface DriverErrorContext {
  readonly guestAddr?: bigint;
  readonly queue?: number;
  /** Position in a transfer. */
  readonly message?: number;
}

/** An error of a guest-side driver: `code` says which. */
export class DriverError extends CodedError<DriverErrorCode, DriverErrorContext> {
  static override readonly brand = '@node-vmm/virtio-driver/DriverError';
}
