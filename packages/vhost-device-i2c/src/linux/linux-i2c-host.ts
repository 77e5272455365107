import {
  EAGAIN,
  EBUSY,
  ENODEV,
  ENXIO,
  EOPNOTSUPP,
  EREMOTEIO,
  ETIMEDOUT,
  errorMessage,
  SysError,
} from '@node-vmm/vmm-sys-util';
import { formatI2cAddress, isTenBit } from '../address.ts';
import { I2cError, type I2cErrorCode } from '../errors.ts';
import type { I2cHost, I2cMessage, I2cTransferDone } from '../i2c-host.ts';
import { I2C_FUNC_10BIT_ADDR, I2C_FUNC_I2C } from './i2c-dev.ts';
import { type I2cDevFile, LinuxI2cDevFile } from './i2c-dev-file.ts';
import { asSmbus } from './smbus.ts';

/** How adapter drivers say what went wrong: Documentation/i2c/fault-codes.rst of Linux. */
const FAULTS: ReadonlyMap<number, I2cErrorCode> = new Map([
  [ENXIO, 'NO_DEVICE'],
  [ENODEV, 'NO_DEVICE'],
  [EREMOTEIO, 'NO_DEVICE'],
  [EOPNOTSUPP, 'NOT_SUPPORTED'],
  [EAGAIN, 'BUS_BUSY'],
  [EBUSY, 'BUS_BUSY'],
  [ETIMEDOUT, 'TIMEOUT'],
]);

/**
 * An I2C adapter of Linux, by i2c-dev: combined transfers where the adapter knows plain I2C, else
 * the SMBus transfers that are the same on the wire. A transfer blocks its thread until it is over, half
 * a minute at worst: the daemon has a thread for it, see `serveI2cHost`.
 */
export class LinuxI2cHost implements I2cHost {
  readonly name: string;
  readonly #file: I2cDevFile;
  readonly #functions: number;
  #slave: number | undefined;

  /**
   * @param file - becomes the host's, which closes it
   * @throws {SysError} when the kernel does not tell what the adapter can do
   */
  constructor(name: string, file: I2cDevFile) {
    this.name = name;
    this.#file = file;
    this.#functions = file.functions();
  }

  /**
   * Opens `/dev/i2c-<bus>`.
   *
   * @throws Node's own error with `code`, or {SysError}
   */
  static open(bus: number, dev = '/dev'): LinuxI2cHost {
    const file = new LinuxI2cDevFile(`${dev}/i2c-${bus}`);
    try {
      return new LinuxI2cHost(`i2c-${bus}`, file);
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  transfer(messages: readonly I2cMessage[], done: I2cTransferDone): void {
    let succeeded: number;
    try {
      const plain = (this.#functions & I2C_FUNC_I2C) !== 0;
      if (!plain || (this.#functions & I2C_FUNC_10BIT_ADDR) === 0) this.#refuseTenBit(messages);
      succeeded = plain ? this.#file.rdwr(messages) : this.#smbus(messages);
    } catch (error) {
      done(0, this.#failure(error));
      return;
    }
    done(succeeded);
  }

  #failure(error: unknown): I2cError {
    if (I2cError.is(error)) return error;
    const code = (SysError.is(error) ? FAULTS.get(error.errno) : undefined) ?? 'IO';
    const text = `Cannot transfer on ${this.name}: ${errorMessage(error)}`;
    return new I2cError(code, text, { adapter: this.name }, { cause: error });
  }

  /** An adapter that does not know the flag may take the address for one of 7 bits. */
  #refuseTenBit(messages: readonly I2cMessage[]): void {
    const message = messages.find(({ address }) => isTenBit(address));
    if (message === undefined) return;
    throw new I2cError(
      'NOT_SUPPORTED',
      `Cannot transfer on ${this.name}: the adapter has no 10-bit addresses such as ${formatI2cAddress(message.address)}`,
      { adapter: this.name, address: message.address },
    );
  }

  #smbus(messages: readonly I2cMessage[]): number {
    const operation = asSmbus(messages, this.#functions);
    if (operation === undefined) {
      const shape = messages.map(({ read, data }) => `${read ? 'read' : 'write'} ${data.length}`);
      throw new I2cError(
        'NOT_SUPPORTED',
        `Cannot transfer on ${this.name}: the adapter has no SMBus transfer for ${shape.join(', ')}`,
      );
    }
    if (this.#slave !== operation.address) {
      this.#slave = undefined;
      this.#file.slave(operation.address);
      this.#slave = operation.address;
    }
    this.#file.smbus(operation);
    return messages.length;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
