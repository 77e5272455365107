// Atmel's data sheet of the AT24C02B (5126).
import { describe, expect, it } from 'vitest';
import { At24c02, type At24c02Options } from '../../src/simulated/at24c02.ts';
import { busWith, r, to, w } from '../support/chips.ts';
import { transfer } from '../support/transfer.ts';

const OTHER = 2;

const eeprom = (options?: At24c02Options) => busWith(new At24c02(options));

/** A bus with a second chip, which is an EEPROM as well. */
function twoEeproms() {
  const first = eeprom();
  first.bus.attach(OTHER, new At24c02());
  return first;
}

describe('At24c02', () => {
  it('is erased, or has the contents given', () => {
    expect(eeprom().read(0, 3)).toEqual([255, 255, 255]);
    expect(eeprom({ contents: Uint8Array.of(1, 2) }).read(0, 3)).toEqual([1, 2, 255]);
  });
});

describe('Write Operations', () => {
  it('Byte Write: a byte is programmed at the STOP', () => {
    const { write, read } = eeprom();
    write(0x31, 0x5a);
    expect(read(0x30, 3)).toEqual([255, 0x5a, 255]);
  });

  it('Page Write: the address wraps within a page of 8', () => {
    const { write, read } = eeprom();
    write(0x15, 1, 2, 3, 4, 5);
    expect(read(0x10, 8)).toEqual([4, 5, 255, 255, 255, 1, 2, 3]);
    write(0x20, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    expect(read(0x20, 8)).toEqual([9, 2, 3, 4, 5, 6, 7, 8]);
  });

  it.each([
    ['this chip, which reads', [w(0, 1), r(1)]],
    ['this chip, which gets an address only', [w(0, 1), w(0)]],
    ['another chip, which writes', [w(0, 1), to(OTHER, w(0))]],
    ['another chip, which reads', [w(0, 1), to(OTHER, r(1))]],
    ['nobody', [w(0, 1), to(OTHER + 1, w())]],
  ])('must be terminated by a STOP: a repeated START to %s abandons the write', (_, messages) => {
    const { bus, read } = twoEeproms();
    transfer(bus, messages);
    expect(read(0, 1)).toEqual([255]);
    // Nothing of it is left for a later STOP.
    transfer(bus, [to(OTHER, w(7))]);
    expect(read(0, 1)).toEqual([255]);
  });

  it('programs the chip that the STOP came to, and no other', () => {
    const { bus, read } = twoEeproms();
    const other = r(1);
    expect(transfer(bus, [w(0, 1), to(OTHER, w(0, 2))])).toBe(2);
    expect(transfer(bus, [to(OTHER, w(0)), to(OTHER, other)])).toBe(2);
    expect([...other.data]).toEqual([2]);
    expect(read(0, 1)).toEqual([255]);
  });

  it('Acknowledge Polling: all inputs are disabled during the write cycle', () => {
    let now = 0;
    const { write, read, bus } = eeprom({ writeCycle: 5, now: () => now });
    expect(write(0, 7)).toBe(1);
    expect(write()).toBe(0);
    now = 4.9;
    expect(transfer(bus, [r(1)])).toBe(0);
    now = 5;
    expect(write()).toBe(1);
    expect(read(0, 1)).toEqual([7]);
  });

  it('no write cycle follows a write that was abandoned, or an address alone', () => {
    const { bus, write } = eeprom({ writeCycle: 5, now: () => 0 });
    transfer(bus, [w(0, 1), to(OTHER, w())]);
    expect(write()).toBe(1);
    write(0);
    expect(write()).toBe(1);
  });
});

describe('Read Operations', () => {
  it('Current Address Read: the counter goes on after the last access', () => {
    const { bus, write, read } = eeprom({ contents: Uint8Array.of(0, 1, 2, 3) });
    expect(read(1, 1)).toEqual([1]);
    const message = r(1);
    transfer(bus, [message]);
    expect([...message.data]).toEqual([2]);
    write(3);
    transfer(bus, [message]);
    expect([...message.data]).toEqual([3]);
  });

  it('Random Read: the address comes by a write without data', () => {
    expect(eeprom({ contents: Uint8Array.of(4, 5, 6) }).read(2, 1)).toEqual([6]);
  });

  it('Sequential Read: rolls over at the end of the memory', () => {
    const { write, read } = eeprom();
    write(0xfe, 1, 2);
    write(0, 3);
    expect(read(0xfe, 4)).toEqual([1, 2, 3, 255]);
  });
});
