import { describe } from 'vitest';
import { I2C_FUNC_I2C } from '../../src/linux/i2c-dev.ts';
import { LinuxI2cDevFile } from '../../src/linux/i2c-dev-file.ts';
import { LinuxI2cHost } from '../../src/linux/linux-i2c-host.ts';
import { makeBoard } from '../../src/simulated/board.ts';
import { i2cHostCompliance } from '../support/compliance.ts';

describe('I2cHost: simulated', () => {
  const bus = makeBoard([{ chip: '24c02', address: 0x50 }]);
  // One board for all tests, as a real adapter would be.
  const open = () => ({
    name: bus.name,
    transfer: bus.transfer.bind(bus),
    [Symbol.dispose]: () => undefined,
  });
  i2cHostCompliance({ open, eeprom: 0x50, absent: 0x51, smbusOnly: false, maxMessages: 42 });
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
