import { SysError } from '@node-vmm/vmm-sys-util';
import { beforeEach, describe, expect, it } from 'vitest';
import { I2cError } from '../../src/errors.ts';
import type { I2cMessage } from '../../src/i2c-host.ts';
import {
  I2C_FUNC_10BIT_ADDR,
  I2C_FUNC_I2C,
  I2C_FUNC_SMBUS_READ_I2C_BLOCK,
  I2C_FUNC_SMBUS_WRITE_I2C_BLOCK,
  I2C_M_RD,
  I2C_M_TEN,
} from '../../src/linux/i2c-dev.ts';
import { addressAndFlags, type I2cDevFile } from '../../src/linux/i2c-dev-file.ts';
import { LinuxI2cHost } from '../../src/linux/linux-i2c-host.ts';
import type { SmbusOperation } from '../../src/linux/smbus.ts';
import { transfer } from '../support/transfer.ts';

/** What i2c-stub offers: everything of SMBus, no plain I2C. */
const SMBUS_EMUL = 0x0eff_0000;

class FakeDevFile implements I2cDevFile {
  readonly calls: string[] = [];
  readonly #functions: number;
  failure: Error | undefined;
  constructor(functions: number) {
    this.#functions = functions;
  }
  functions(): number {
    return this.#functions;
  }
  slave(address: number): void {
    this.calls.push(`slave ${address}`);
    this.#fail();
  }
  rdwr(messages: readonly I2cMessage[]): number {
    this.calls.push(`rdwr ${messages.length}`);
    this.#fail();
    return messages.length;
  }
  smbus({ direction, command, size, output, input }: SmbusOperation): void {
    this.calls.push(
      `${direction === 1 ? 'read' : 'write'} size=${size} command=${command} out=${output} in=${input.length}`,
    );
    this.#fail();
    input.fill(0x5a);
  }
  #fail(): void {
    if (this.failure !== undefined) throw this.failure;
  }
  [Symbol.dispose](): void {
    this.calls.push('close');
  }
}

const write = (...data: number[]): I2cMessage => ({
  address: 0x50,
  read: false,
  data: Uint8Array.from(data),
});
const read = (length: number, address = 0x50): I2cMessage => ({
  address,
  read: true,
  data: new Uint8Array(length),
});
const block = (length: number): I2cMessage => write(9, ...new Array<number>(length).fill(1));

let file: FakeDevFile;
let host: LinuxI2cHost;
function use(functions: number): void {
  file = new FakeDevFile(functions);
  host = new LinuxI2cHost('i2c-0', file);
}
beforeEach(() => use(SMBUS_EMUL));

describe('SMBus adapters', () => {
  it.each([
    ['a quick write', [write()], 'write size=0 command=0 out= in=0'],
    ['a quick read', [read(0)], 'read size=0 command=0 out= in=0'],
    ['a byte written', [write(7)], 'write size=1 command=7 out= in=0'],
    ['a byte read', [read(1)], 'read size=1 command=0 out= in=1'],
    ['byte data written', [write(7, 1)], 'write size=2 command=7 out=1 in=0'],
    ['word data written', [write(7, 1, 2)], 'write size=3 command=7 out=1,2 in=0'],
    ['a block written', [write(7, 1, 2, 3)], 'write size=8 command=7 out=1,2,3 in=0'],
    [
      'the longest block written',
      [block(32)],
      `write size=8 command=9 out=${'1,'.repeat(31)}1 in=0`,
    ],
    ['byte data read', [write(7), read(1)], 'read size=2 command=7 out= in=1'],
    ['word data read', [write(7), read(2)], 'read size=3 command=7 out= in=2'],
    ['a block read', [write(7), read(7)], 'read size=8 command=7 out= in=7'],
    ['the longest block read', [write(7), read(32)], 'read size=8 command=7 out= in=32'],
    ['a process call', [write(7, 1, 2), read(2)], 'write size=4 command=7 out=1,2 in=2'],
  ])('make %s', (_, messages, call) => {
    expect(transfer(host, messages)).toBe(messages.length);
    expect(file.calls).toEqual(['slave 80', call]);
    for (const { read: isRead, data } of messages) {
      if (isRead) expect(data.every((byte) => byte === 0x5a)).toBe(true);
    }
  });

  it.each([
    ['a long read without a command', [read(2)]],
    ['a block over 32 bytes written', [block(33)]],
    ['a block over 32 bytes read', [write(7), read(33)]],
    ['a read after a longer write', [write(7, 1), read(1)]],
    ['a quick and a read', [write(), read(1)]],
    ['a write and a quick read', [write(7), read(0)]],
    ['two addresses', [write(7), read(1, 0x51)]],
    ['two writes', [write(7), write(8)]],
    ['a read and a write', [read(1), write(7)]],
    ['three messages', [write(7), read(1), read(1)]],
  ])('cannot make %s', (_, messages) => {
    expect(() => transfer(host, messages)).toThrow(
      expect.objectContaining({ code: 'NOT_SUPPORTED' }),
    );
    expect(file.calls).toEqual([]);
  });

  it('use blocks where bytes and words are missing', () => {
    use(I2C_FUNC_SMBUS_READ_I2C_BLOCK | I2C_FUNC_SMBUS_WRITE_I2C_BLOCK);
    transfer(host, [write(7, 1)]);
    transfer(host, [write(7), read(1)]);
    expect(file.calls.slice(1)).toEqual([
      'write size=8 command=7 out=1 in=0',
      'read size=8 command=7 out= in=1',
    ]);
    for (const messages of [[write()], [write(1)], [read(1)], [write(1, 2, 3), read(2)]]) {
      expect(() => transfer(host, messages)).toThrow(I2cError);
    }
  });

  it('set the address when it changes, and again after a failure', () => {
    transfer(host, [read(1)]);
    transfer(host, [read(1)]);
    transfer(host, [read(1, 0x51)]);
    expect(file.calls.filter((call) => call.startsWith('slave'))).toEqual(['slave 80', 'slave 81']);
    file.failure = new SysError({ syscall: 'ioctl(I2C_SLAVE)', errno: 16 });
    expect(() => transfer(host, [read(1)])).toThrow(expect.objectContaining({ code: 'BUS_BUSY' }));
    file.failure = undefined;
    file.calls.length = 0;
    transfer(host, [read(1, 0x51)]);
    expect(file.calls[0]).toBe('slave 81');
  });
});

describe('10-bit addresses', () => {
  const messages = [write(1), read(1, 0xa150)];

  it('have a flag of their own, and no offset', () => {
    expect([...messages, { ...write(1), address: 0xa3ff }].map(addressAndFlags)).toEqual([
      { addr: 0x50, flags: 0 },
      { addr: 0x150, flags: I2C_M_RD | I2C_M_TEN },
      { addr: 0x3ff, flags: I2C_M_TEN },
    ]);
  });

  it('are passed to adapters that have them', () => {
    use(I2C_FUNC_I2C | I2C_FUNC_10BIT_ADDR);
    expect(transfer(host, messages)).toBe(2);
    expect(file.calls).toEqual(['rdwr 2']);
  });

  it.each([
    ['plain I2C only', I2C_FUNC_I2C],
    ['SMBus only', SMBUS_EMUL | I2C_FUNC_10BIT_ADDR],
  ])('are not passed to an adapter with %s', (_, functions) => {
    use(functions);
    const refused = expect.objectContaining({
      code: 'NOT_SUPPORTED',
      message: expect.stringContaining('0xa150'),
    });
    expect(() => transfer(host, [read(1, 0xa150)])).toThrow(refused);
    expect(() => transfer(host, messages)).toThrow(refused);
    expect(file.calls).toEqual([]);
  });
});

describe('I2C adapters', () => {
  it('make every transfer as it is', () => {
    use(I2C_FUNC_I2C | SMBUS_EMUL);
    for (const messages of [[write()], [read(0)], [read(300)], [write(1), read(1), write(2)]]) {
      expect(transfer(host, messages)).toBe(messages.length);
    }
    expect(file.calls).toEqual(['rdwr 1', 'rdwr 1', 'rdwr 1', 'rdwr 3']);
  });

  it.each([
    [6, 'NO_DEVICE'],
    [121, 'NO_DEVICE'],
    [95, 'NOT_SUPPORTED'],
    [11, 'BUS_BUSY'],
    [110, 'TIMEOUT'],
    [5, 'IO'],
  ])('say errno %i as %s', (errno, code) => {
    use(I2C_FUNC_I2C);
    file.failure = new SysError({ syscall: 'ioctl(I2C_RDWR)', errno });
    expect(() => transfer(host, [read(1)])).toThrow(expect.objectContaining({ code }));
  });

  it('are closed with the host', () => {
    host[Symbol.dispose]();
    expect(file.calls).toEqual(['close']);
  });
});
