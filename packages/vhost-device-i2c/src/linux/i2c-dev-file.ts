import { addressOf, closeFd, type Fd, ioctl, ioctlNumber, openFd } from '@node-vmm/vmm-sys-util';
import { isTenBit, tenBits } from '../address.ts';
import type { I2cMessage } from '../i2c-host.ts';
import {
  I2C_FUNCS,
  I2C_M_RD,
  I2C_M_TEN,
  I2C_MSG,
  I2C_RDWR,
  I2C_RDWR_IOCTL_DATA,
  I2C_RDWR_IOCTL_MAX_MSGS,
  I2C_SLAVE,
  I2C_SMBUS,
  I2C_SMBUS_BLOCK_MAX,
  I2C_SMBUS_DATA,
  I2C_SMBUS_I2C_BLOCK_DATA,
  I2C_SMBUS_IOCTL_DATA,
  I2C_TENBIT,
} from './i2c-dev.ts';
import type { SmbusOperation } from './smbus.ts';

/** The requests of i2c-dev, as far as we use them; tests put something else in the kernel's place. */
export interface I2cDevFile extends Disposable {
  /** I2C_FUNCS. @throws {SysError} */
  functions(): number;
  /** I2C_SLAVE. @throws {SysError} EBUSY when a driver of the host is bound to the address */
  slave(address: number): void;
  /** I2C_RDWR. @returns messages done @throws {SysError} */
  rdwr(messages: readonly I2cMessage[]): number;
  /** I2C_SMBUS at the address set last. @throws {SysError} */
  smbus(operation: SmbusOperation): void;
}

/** Two fields of the `i2c_msg` of a message. */
export function addressAndFlags({ address, read }: I2cMessage): { addr: number; flags: number } {
  const flags = read ? I2C_M_RD : 0;
  return isTenBit(address)
    ? { addr: tenBits(address), flags: flags | I2C_M_TEN }
    : { addr: address, flags };
}

/** `/dev/i2c-N`. Holds the memory that the kernel's structures live in. */
export class LinuxI2cDevFile implements I2cDevFile {
  readonly #fd: Fd;
  readonly #path: string;
  readonly #messages = new DataView(new ArrayBuffer(I2C_RDWR_IOCTL_MAX_MSGS * I2C_MSG.SIZE));
  readonly #rdwr = new DataView(new ArrayBuffer(I2C_RDWR_IOCTL_DATA.SIZE));
  readonly #smbus = new DataView(new ArrayBuffer(I2C_SMBUS_IOCTL_DATA.SIZE));
  readonly #data = new Uint8Array(new ArrayBuffer(I2C_SMBUS_DATA.SIZE));
  /** What I2C_TENBIT was set to. */
  #tenBit = false;
  #live = true;

  /** @throws Node's own error with `code`: ENOENT, EACCES ... */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openFd(path);
    I2C_RDWR_IOCTL_DATA.set(this.#rdwr, 0, 'msgs', addressOf(this.#messages));
    I2C_SMBUS_IOCTL_DATA.set(this.#smbus, 0, 'data', addressOf(this.#data));
  }

  functions(): number {
    const mask = new BigUint64Array(1);
    ioctl(this.#fd, I2C_FUNCS, mask, this.#path);
    return Number((mask[0] as bigint) & 0xffff_ffffn);
  }

  slave(address: number): void {
    const tenBit = isTenBit(address);
    if (tenBit !== this.#tenBit) ioctlNumber(this.#fd, I2C_TENBIT, tenBit ? 1 : 0, this.#path);
    this.#tenBit = tenBit;
    ioctlNumber(this.#fd, I2C_SLAVE, tenBit ? tenBits(address) : address, this.#path);
  }

  rdwr(messages: readonly I2cMessage[]): number {
    for (const [i, message] of messages.entries()) {
      const { data } = message;
      // SAFETY: `data` is the caller's, reachable through `messages` until this call returns, and the
      // kernel touches `len` bytes of it at most.
      I2C_MSG.write(this.#messages, i * I2C_MSG.SIZE, {
        ...addressAndFlags(message),
        len: data.length,
        buf: data.length === 0 ? 0n : addressOf(data),
      });
    }
    I2C_RDWR_IOCTL_DATA.set(this.#rdwr, 0, 'nmsgs', messages.length);
    return ioctl(this.#fd, I2C_RDWR, this.#rdwr, this.#path);
  }

  smbus({ direction, command, size, output, input }: SmbusOperation): void {
    const data = this.#data;
    // A block is preceded by its length; bytes and words (little-endian hosts) stand alone.
    const at = size === I2C_SMBUS_I2C_BLOCK_DATA ? 1 : 0;
    data.fill(0);
    data.set(output, at);
    if (at === 1) data[0] = Math.max(output.length, input.length);
    I2C_SMBUS_IOCTL_DATA.write(this.#smbus, 0, { read_write: direction, command, size });
    // SAFETY: `#data` is as long as the longest member of the union.
    ioctl(this.#fd, I2C_SMBUS, this.#smbus, this.#path);
    if (at === 1 && input.length > 0) this.#checkBlock(input.length);
    input.set(data.subarray(at, at + input.length));
  }

  /** Old adapter drivers may return a block shorter than asked. */
  #checkBlock(wanted: number): void {
    const got = Math.min(this.#data[0] as number, I2C_SMBUS_BLOCK_MAX);
    if (got < wanted) throw new RangeError(`expected a block of ${wanted} bytes, got ${got}`);
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.#fd);
  }
}
