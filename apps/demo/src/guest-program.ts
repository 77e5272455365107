// The guest of the demo: a process that has nothing but the machine's memory, its ioreq page and its
// event channels, and drives the I2C adapter as Linux's i2c-virtio would.
import { SimulatedGuest } from '@node-vmm/ioreq-eventfd/simulated';
import { EXIT_OK, type Main } from '@node-vmm/vhost-device-cli';
import { VirtioI2cDriver } from '@node-vmm/virtio-driver';
import { hex } from '@node-vmm/vmm-sys-util';
import { Narrator } from './narrator.ts';

const DS1338 = 0x68;
const EEPROM = 0x50;
const CELL = 0x20;
/** Pages of a 24c02: a write must not cross their borders. */
const PAGE = 8;

const narrator = new Narrator('guest');

function bcd(byte: number | undefined, mask: number): number {
  const value = (byte ?? 0) & mask;
  return (value >> 4) * 10 + (value & 15);
}

/** The first seven registers of a DS1338: seconds to year, in BCD. */
function readClock(i2c: VirtioI2cDriver): Date {
  const [second, minute, hour, , day, month, year] = i2c.writeRead(DS1338, Uint8Array.of(0), 7);
  return new Date(
    Date.UTC(
      2000 + bcd(year, 0xff),
      bcd(month, 0x1f) - 1,
      bcd(day, 0x3f),
      bcd(hour, 0x3f),
      bcd(minute, 0x7f),
      bcd(second, 0x7f),
    ),
  );
}

/** What the guest does. */
export const main: Main = async ([machine = '']) => {
  using guest = SimulatedGuest.attach(machine);
  const [device] = guest.machine.devices;
  if (device === undefined) throw new Error('Cannot run: the machine has no device');
  const i2c = new VirtioI2cDriver(guest, { base: BigInt(device.base), irq: device.irq });
  narrator.say(`I2C adapter found at ${device.base}, features ${hex(i2c.features)}, running`);

  const time = readClock(i2c);
  narrator.say(`DS1338 at ${hex(DS1338)} says ${time.toISOString()}`);
  const drift = Math.abs(Date.now() - time.getTime());
  if (drift > 5000) throw new Error(`Cannot trust the clock: it is ${drift} ms off`);

  const text = new TextEncoder().encode('node-vmm');
  i2c.write(EEPROM, Uint8Array.of(CELL, ...text.subarray(0, PAGE)));
  narrator.say(`wrote "${new TextDecoder().decode(text)}" to the 24c02 at ${hex(EEPROM)}`);
  const back = new TextDecoder().decode(i2c.writeRead(EEPROM, Uint8Array.of(CELL), text.length));
  narrator.say(`read back "${back}"`);
  if (back !== 'node-vmm') throw new Error('Cannot read back what was written');

  const [absent] = i2c.transfer([{ address: 0x31, read: true, length: 1 }]);
  if (absent?.ok !== false) throw new Error('Cannot be: an address without a chip answered');
  narrator.say('nothing answers at 0x31, as it should be');

  const count = 1000;
  const started = performance.now();
  for (let i = 0; i < count; i++) i2c.writeRead(EEPROM, Uint8Array.of(CELL), 1);
  const each = ((performance.now() - started) * 1000) / count;
  narrator.say(`${count} more transfers, ${each.toFixed(0)} us each`);
  return EXIT_OK;
};
