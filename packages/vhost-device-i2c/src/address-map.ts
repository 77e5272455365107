import { checkInteger } from '@node-vmm/vmm-sys-util';
import { I2C_ADDRESS_MAX, type I2cHost } from './i2c-host.ts';

/** A bus and the addresses on it that the guest may reach. */
export interface I2cAttachment {
  readonly host: I2cHost;
  /** 7-bit addresses. */
  readonly addresses: readonly number[];
}

/**
 * The allow-list: which bus answers at which address of the guest's one virtual bus. An address that
 * is not on it looks to the guest like a chip that is not there.
 */
export class AddressMap {
  readonly #hosts = new Array<I2cHost | undefined>(I2C_ADDRESS_MAX + 1).fill(undefined);

  /**
   * @throws {RangeError} when an address is out of range or given twice
   */
  constructor(attachments: readonly I2cAttachment[]) {
    for (const { host, addresses } of attachments) {
      for (const address of addresses) {
        checkInteger('address', address, 0, I2C_ADDRESS_MAX);
        if (this.#hosts[address] !== undefined) {
          throw new RangeError(`"addresses" expected each address once, got ${address} again`);
        }
        this.#hosts[address] = host;
      }
    }
  }

  /** The bus that answers at an address, undefined when the guest may not reach it. */
  hostOf(address: number): I2cHost | undefined {
    return this.#hosts[address];
  }
}
