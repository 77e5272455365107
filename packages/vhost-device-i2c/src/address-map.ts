import { checkI2cAddress } from './address.ts';
import type { I2cHost } from './i2c-host.ts';

/** A bus and the addresses on it that the guest may reach. */
export interface I2cAttachment {
  readonly host: I2cHost;
  /** 7-bit addresses, and 10-bit ones with their offset: see `isI2cAddress`. */
  readonly addresses: readonly number[];
}

/**
 * The allow-list: which bus answers at which address of the guest's one virtual bus. An address that
 * is not on it looks to the guest like a chip that is not there.
 */
export class AddressMap {
  readonly #hosts = new Map<number, I2cHost>();

  /**
   * @throws {RangeError} when an address is out of range or given twice
   */
  constructor(attachments: readonly I2cAttachment[]) {
    for (const { host, addresses } of attachments) {
      for (const address of addresses) {
        checkI2cAddress(address);
        if (this.#hosts.has(address)) {
          throw new RangeError(`"addresses" expected each address once, got ${address} again`);
        }
        this.#hosts.set(address, host);
      }
    }
  }

  /** The bus that answers at an address, undefined when the guest may not reach it. */
  hostOf(address: number): I2cHost | undefined {
    return this.#hosts.get(address);
  }
}
