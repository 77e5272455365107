import type { I2cError } from './errors.ts';
import type { I2cChip } from './simulated/i2c-chip.ts';

/** Linux drivers/i2c/i2c-dev.c: most bytes of one message: what Linux's i2c-dev takes. */
export const I2C_MESSAGE_MAX = 8192;
/**
 * linux/i2c-dev.h: most messages of one combined transfer: what Linux's i2c-dev takes
 * (I2C_RDWR_IOCTL_MAX_MSGS).
 */
export const I2C_TRANSFER_MAX = 42;

/** One segment of a transfer: START, address and direction, then the data. */
export interface I2cMessage {
  /** 0..0x7f, or 0xa000 and a 10-bit address: see `isI2cAddress`. */
  readonly address: number;
  /** True when the bus master reads. */
  readonly read: boolean;
  /**
   * What to write, or where what is read goes; up to {@link I2C_MESSAGE_MAX} bytes. Empty for a
   * message that is only an address (SMBus "quick").
   */
  readonly data: Uint8Array;
}

/**
 * A transfer is over.
 *
 * @param succeeded - how many messages succeeded, from the first on. Fewer than given: the next one was
 *   not acknowledged and those after it were not tried.
 * @param error - the transfer failed and nobody knows how far it got; the data of reads means nothing
 *   then
 */
export type I2cTransferDone = (succeeded: number, error?: I2cError) => void;

/**
 * The host's side: an I2C bus that transfers can be made on. A Linux adapter, a simulated bus and a bus
 * in another thread are equals; all pass the same test suite.
 */
export interface I2cHost extends Disposable {
  /** For messages: `i2c-1 (bcm2835)`, `simulated`. */
  readonly name: string;
  /** Where it is simulated: its chips by address, whose inputs can be driven from outside. */
  readonly chips?: ReadonlyMap<number, I2cChip> | undefined;

  /**
   * Makes one combined transfer: START, the messages with a repeated START between them, STOP.
   *
   * @param messages - 1..{@link I2C_TRANSFER_MAX}; the host's, with their data, until the transfer is
   *   over. Until then there is no other.
   * @param done - called once, within this call or later on the same thread, but not after the host's
   *   disposal. What waits must be in the thread's poller: a vring worker has no timers and promises.
   */
  transfer(messages: readonly I2cMessage[], done: I2cTransferDone): void;
}
