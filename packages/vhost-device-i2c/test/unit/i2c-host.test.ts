import { EventFd, EventLoop } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import type { I2cHost } from '../../src/i2c-host.ts';
import { I2C_FUNC_I2C } from '../../src/linux/i2c-dev.ts';
import { LinuxI2cDevFile } from '../../src/linux/i2c-dev-file.ts';
import { LinuxI2cHost } from '../../src/linux/linux-i2c-host.ts';
import { makeBoard } from '../../src/simulated/board.ts';
import { serveI2cHost } from '../../src/thread/serve-i2c-host.ts';
import { ThreadI2cHost } from '../../src/thread/thread-i2c-host.ts';
import { i2cHostCompliance } from '../support/compliance.ts';
import { hostThread } from '../support/host-thread.ts';
import { transferLater } from '../support/transfer.ts';

const EEPROM = { chip: '24c02', address: 0x50 };

/** One board for all tests, as a real adapter would be. */
function shared(bus: I2cHost): I2cHost {
  return {
    name: bus.name,
    transfer: bus.transfer.bind(bus),
    [Symbol.dispose]: () => undefined,
  };
}

describe('I2cHost: simulated', () => {
  const stop = EventFd.create();
  const loop = new EventLoop(stop);
  const bus = makeBoard([EEPROM], loop);
  const open = () => shared(bus);
  i2cHostCompliance({ open, eeprom: 0x50, absent: 0x51, smbusOnly: false, maxMessages: 42 });
});

describe('I2cHost: simulated and slow', () => {
  const stop = EventFd.create();
  const loop = new EventLoop(stop);
  const bus = makeBoard([{ ...EEPROM, latency: 1 }], loop);
  const open = () => shared(bus);
  const turn = () => loop.turn(-1);
  i2cHostCompliance({ open, turn, eeprom: 0x50, absent: 0x51, smbusOnly: false, maxMessages: 42 });

  it('makes a transfer when its time is over, and none after its disposal', () => {
    const slow = makeBoard(
      [
        { ...EEPROM, latency: 1 },
        { chip: 'ds1338', address: 0x68 },
      ],
      loop,
    );
    const read = (address: number) => ({ address, read: true, data: new Uint8Array(1) });
    let over = 0;
    slow.transfer([read(0x50)], () => over++);
    expect(over).toBe(0);
    loop.turn(-1);
    expect(over).toBe(1);
    // The others of the bus take no time.
    slow.transfer([read(0x68)], () => over++);
    expect(over).toBe(2);
    slow.transfer([read(0x50)], () => over++);
    slow[Symbol.dispose]();
    loop.turn(10);
    expect(over).toBe(2);
  });
});

describe('I2cHost: in a thread', () => {
  const bus = makeBoard([EEPROM], new EventLoop(EventFd.create()));
  const open = () => new ThreadI2cHost('simulated', hostThread(serveI2cHost(shared(bus))));
  i2cHostCompliance({ open, eeprom: 0x50, absent: 0x51, smbusOnly: false, maxMessages: 42 });

  it.each([
    ['BUS_BUSY', 'BUS_BUSY'],
    ['ENOENT', 'IO'],
    [undefined, 'IO'],
  ])('fails with the code of an error there: %s', async (code, expected) => {
    const thrown = Object.assign(new Error('Cannot transfer'), { code });
    const failing = {
      answer: () => Promise.reject(thrown),
      [Symbol.dispose]: () => undefined,
    };
    const host = new ThreadI2cHost('failing', hostThread(failing));
    const failure = transferLater(host, [{ address: 1, read: false, data: new Uint8Array(1) }]);
    await expect(failure).rejects.toMatchObject({ code: expected, message: 'Cannot transfer' });
  });
});

// I2C_TEST_BUS=1 I2C_TEST_EEPROM=0x50: a real adapter with a 24c02 whose contents do not matter.
// i2c-stub (chip_addr=0x50) will do.
const testBus = process.env['I2C_TEST_BUS'];

describe.skipIf(testBus === undefined)('I2cHost: Linux, needs I2C_TEST_BUS', () => {
  const bus = Number(testBus);
  const eeprom = Number(process.env['I2C_TEST_EEPROM'] ?? 0x50);
  const absent = Number(process.env['I2C_TEST_ABSENT'] ?? 0x6e);
  // The adapter of QEMU's vhost-user-i2c has a queue of 4.
  const maxMessages = Number(process.env['I2C_TEST_MESSAGES'] ?? 42);
  let smbusOnly = false;
  if (testBus !== undefined) {
    const file = new LinuxI2cDevFile(`/dev/i2c-${bus}`);
    smbusOnly = (file.functions() & I2C_FUNC_I2C) === 0;
    file[Symbol.dispose]();
  }
  const open = () => LinuxI2cHost.open(bus);
  i2cHostCompliance({ open, eeprom, absent, smbusOnly, maxMessages });
});
