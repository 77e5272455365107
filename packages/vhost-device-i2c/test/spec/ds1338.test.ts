// Maxim's data sheet of the DS1338 (19-6019), and Linux's driver of it.
import { describe, expect, it } from 'vitest';
import { Ds1338 } from '../../src/simulated/ds1338.ts';
import { busWith, r, to, w } from '../support/chips.ts';
import { transfer } from '../support/transfer.ts';

const SECOND = 1000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
/** A Thursday. */
const START = Date.UTC(2026, 0, 15, 13, 59, 58, 250);

function rtc(start = START) {
  const clock = { now: start };
  return { clock, ...busWith(new Ds1338({ now: () => clock.now })) };
}

/** Set to a time, at the beginning of its second. */
function rtcAt(...registers: number[]) {
  const chip = rtc();
  chip.write(0, ...registers);
  return chip;
}

describe('Ds1338', () => {
  it('starts with the host’s time in UTC', () => {
    const { read, clock } = rtc();
    expect(read(0, 8)).toEqual([0x58, 0x59, 0x13, 5, 0x15, 0x01, 0x26, 0x93]);
    clock.now += 749;
    expect(read(0, 1)).toEqual([0x58]);
    clock.now += 1;
    expect(read(0, 1)).toEqual([0x59]);
    clock.now += SECOND;
    expect(read(0, 3)).toEqual([0, 0, 0x14]);
  });

  it('goes on from where it is when the host’s clock is set back', () => {
    const { read, clock } = rtc();
    read(0, 1);
    clock.now -= HOUR;
    expect(read(0, 3)).toEqual([0x58, 0x59, 0x13]);
    clock.now += 2 * SECOND;
    expect(read(0, 3)).toEqual([0, 0, 0x14]);
  });
});

describe('Clock and Calendar: registers', () => {
  it('read back what was written into them, in any order', () => {
    // On the 31st, month := 02 reads back 02, and date := 15 makes it 15 February.
    const { read, write } = rtcAt(0, 0, 0x12, 7, 0x31, 0x01, 0x26);
    write(5, 0x02);
    expect(read(3, 4)).toEqual([7, 0x31, 0x02, 0x26]);
    write(4, 0x15);
    expect(read(3, 4)).toEqual([7, 0x15, 0x02, 0x26]);
  });

  it('table 3: bits that are none read as zero', () => {
    const { read, write } = rtc();
    write(1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    expect(read(1, 6)).toEqual([0x7f, 0x7f, 0x07, 0x3f, 0x1f, 0xff]);
  });

  it.each([
    ['minutes', 1, 0x07],
    ['hours', 2, 0x08],
    ['day', 3, 2],
    ['date', 4, 0x09],
    ['month', 5, 0x10],
    ['year', 6, 0x42],
    ['control', 7, 0x03],
    ['memory', 8, 0xaa],
  ])('a write of the %s does not move the running second', (_, register, value) => {
    const { read, write, clock } = rtc();
    clock.now += 500;
    write(register, value);
    clock.now += 249;
    expect(read(0, 1)).toEqual([0x58]);
    clock.now += 1;
    expect(read(0, 1)).toEqual([0x59]);
  });

  it('a write of the seconds resets the countdown chain', () => {
    const { read, write, clock } = rtc();
    clock.now += 700;
    write(0, 0x20);
    clock.now += 999;
    expect(read(0, 1)).toEqual([0x20]);
    clock.now += 1;
    expect(read(0, 1)).toEqual([0x21]);
  });

  it('are of one instant: the clock is read once at each START', () => {
    let calls = 0;
    const { bus, read, write } = busWith(new Ds1338({ now: () => START + calls++ * 400 }));
    write(1, 0x30, 0x10, 3, 0x04, 0x05, 0x06);
    expect(calls).toBe(1);
    // The pointer wraps to the time within the message.
    expect(read(0x3f, 8)).toEqual([0, 0x59, 0x30, 0x10, 3, 0x04, 0x05, 0x06]);
    expect(calls).toBe(3);
    transfer(bus, [to(9, w(0))]);
    expect(calls).toBe(3);
  });

  it('count each register by itself when they hold what is no date', () => {
    const { read, write, clock } = rtcAt(0x50, 0x59, 0x23, 3, 0x31, 0x02, 0x26);
    clock.now += 9 * SECOND;
    expect(read(0, 7)).toEqual([0x59, 0x59, 0x23, 3, 0x31, 0x02, 0x26]);
    clock.now += SECOND;
    expect(read(0, 7)).toEqual([0, 0, 0, 4, 0x01, 0x03, 0x26]);
    write(0, 0x7f, 0x7f, 0x3f, 0, 0, 0, 0xff);
    expect(read(0, 7)).toEqual([0x7f, 0x7f, 0x3f, 0, 0, 0, 0xff]);
    write(0, 0);
    for (let i = 0; i < 14; i++) {
      clock.now += 31 * DAY;
      const [second, minute, hour, day, date, month] = read(0, 6) as number[];
      expect(second).toBe(0);
      expect(minute).toBeLessThanOrEqual(0x59);
      expect(hour).toBeLessThanOrEqual(0x23);
      expect(day).toBeLessThanOrEqual(7);
      expect(date).toBeLessThanOrEqual(0x31);
      expect(month).toBeLessThanOrEqual(0x12);
    }
    // A year begins beyond its end: it is the first.
    expect(read(6, 1)).toEqual([0]);
  });
});

describe('Clock and Calendar: counting', () => {
  it.each([
    ['a minute', [0x59, 0x09, 0x05, 1, 0x10, 0x06, 0x26], [0, 0x10, 0x05, 1, 0x10, 0x06, 0x26]],
    ['an hour', [0x59, 0x59, 0x19, 1, 0x10, 0x06, 0x26], [0, 0, 0x20, 1, 0x10, 0x06, 0x26]],
    ['a month of 30 days', [0x59, 0x59, 0x23, 1, 0x30, 0x06, 0x26], [0, 0, 0, 2, 1, 0x07, 0x26]],
    ['a month of 31 days', [0x59, 0x59, 0x23, 1, 0x31, 0x07, 0x26], [0, 0, 0, 2, 1, 0x08, 0x26]],
    ['28 February', [0x59, 0x59, 0x23, 7, 0x28, 0x02, 0x26], [0, 0, 0, 1, 1, 0x03, 0x26]],
    ['28 in a leap year', [0x59, 0x59, 0x23, 7, 0x28, 0x02, 0x28], [0, 0, 0, 1, 0x29, 2, 0x28]],
    ['29 February', [0x59, 0x59, 0x23, 7, 0x29, 0x02, 0x28], [0, 0, 0, 1, 1, 0x03, 0x28]],
    ['29 February 2000', [0x59, 0x59, 0x23, 7, 0x28, 0x02, 0x00], [0, 0, 0, 1, 0x29, 2, 0]],
    ['a year', [0x59, 0x59, 0x23, 6, 0x31, 0x12, 0x29], [0, 0, 0, 7, 1, 1, 0x30]],
    ['a century', [0x59, 0x59, 0x23, 6, 0x31, 0x12, 0x99], [0, 0, 0, 7, 1, 1, 0]],
  ])('ends %s', (_, before, after) => {
    const { read, clock } = rtcAt(...before);
    clock.now += SECOND;
    expect(read(0, 7)).toEqual(after);
  });

  it('day of the week: counts midnights, whatever the date', () => {
    const { read, write, clock } = rtcAt(0, 0, 0x12, 6, 0x15, 0x01, 0x26);
    write(4, 0x20);
    write(6, 0x30);
    expect(read(3, 1)).toEqual([6]);
    clock.now += DAY;
    expect(read(3, 4)).toEqual([7, 0x21, 0x01, 0x30]);
    clock.now += DAY;
    expect(read(3, 4)).toEqual([1, 0x22, 0x01, 0x30]);
  });

  it('agrees with the calendar of UTC for a century, however long nobody looks', () => {
    const { read, clock } = rtc(Date.UTC(2000, 0, 1, 3));
    const bcd = (byte: number): number => (byte >> 4) * 10 + (byte & 0xf);
    const last = Date.UTC(2099, 11, 31, 23, 59, 59);
    read(0, 1);
    for (let i = 1; clock.now < last; i++) {
      const [second, minute, hour, day, date, month, year] = read(0, 7).map(bcd) as number[];
      const time = new Date(clock.now);
      expect([year, month, date, hour, minute, second, day]).toEqual([
        time.getUTCFullYear() - 2000,
        time.getUTCMonth() + 1,
        time.getUTCDate(),
        time.getUTCHours(),
        time.getUTCMinutes(),
        time.getUTCSeconds(),
        time.getUTCDay() + 1,
      ]);
      clock.now += (i * 7919 * 61) % (23 * DAY);
    }
  });
});

describe('Clock and Calendar: 12-hour mode', () => {
  it.each([
    ['11 AM', 0x51, 0x72, 6],
    ['noon', 0x72, 0x61, 6],
    ['11 PM', 0x71, 0x52, 7],
    ['midnight', 0x52, 0x41, 6],
    ['9 AM', 0x49, 0x50, 6],
  ])('goes on from %s', (_, hours, next, day) => {
    const { read, clock } = rtcAt(0x59, 0x59, hours, 6, 0x15, 0x01, 0x26);
    expect(read(2, 1)).toEqual([hours]);
    clock.now += SECOND;
    expect(read(0, 4)).toEqual([0, 0, next, day]);
  });

  it('changes the mode and converts nothing: the hours must be written anew', () => {
    const { read, write } = rtcAt(0, 0, 0x71, 1, 1, 1, 0x26);
    write(2, 0x11);
    expect(read(2, 1)).toEqual([0x11]);
  });
});

describe('Control Register and clock halt', () => {
  it('CH stops the oscillator, OSF says so until it is cleared', () => {
    const { read, write, clock } = rtc();
    write(0, 0x80 | 0x10);
    clock.now += 60 * SECOND;
    expect(read(0, 2)).toEqual([0x90, 0x59]);
    expect(read(7, 1)).toEqual([0xb3]);
    // Cleared while halted it stays so: it tells of the moment of stopping.
    write(7, 0x93);
    write(0, 0x80 | 0x11);
    expect(read(7, 1)).toEqual([0x93]);
    write(0, 0x10);
    clock.now += SECOND;
    expect(read(0, 2)).toEqual([0x11, 0x59]);
  });

  it('registers may be written while it is halted', () => {
    const { read, write, clock } = rtc();
    write(0, 0x80);
    write(1, 0x30, 0x08, 2, 0x03, 0x04, 0x05);
    clock.now += DAY;
    expect(read(0, 7)).toEqual([0x80, 0x30, 0x08, 2, 0x03, 0x04, 0x05]);
    write(0, 0);
    clock.now += 61 * SECOND;
    expect(read(0, 7)).toEqual([1, 0x31, 0x08, 2, 0x03, 0x04, 0x05]);
  });

  it('OSF is cleared by writing 0 and never set by writing 1', () => {
    const { read, write } = rtc();
    write(7, 0xff);
    expect(read(7, 1)).toEqual([0x93]);
    write(0, 0x80);
    write(0, 0x00);
    write(7, 0xff);
    expect(read(7, 1)).toEqual([0xb3]);
    write(7, 0x00);
    expect(read(7, 1)).toEqual([0x00]);
  });
});

describe('memory and register pointer', () => {
  it('has 56 bytes, and a pointer that wraps to the time', () => {
    const { read, write } = rtc();
    write(8, ...Array.from({ length: 56 }, (_, i) => i));
    expect(read(8, 56)).toEqual(Array.from({ length: 56 }, (_, i) => i));
    expect(read(0x3f, 2)).toEqual([55, 0x58]);
    expect(read(0x7f, 1)).toEqual([55]);
    write(0x3f, 1, 0x20);
    expect(read(0x3f, 2)).toEqual([1, 0x20]);
  });

  it('a read goes on where the last message stopped', () => {
    const { bus, read } = rtc();
    read(1, 1);
    const message = r(1);
    transfer(bus, [message]);
    expect([...message.data]).toEqual([0x13]);
  });
});

// Transfers of drivers/rtc/rtc-ds1307.c, by regmap.
describe("Linux's driver", () => {
  it('probe: takes a chip in 12-hour mode to 24 hours', () => {
    const { read, write } = rtcAt(0, 0x59, 0x72, 5, 0x15, 0x01, 0x26);
    expect(read(0, 8)[2]).toBe(0x72);
    write(2, 0x12);
    expect(read(0, 7)).toEqual([0, 0x59, 0x12, 5, 0x15, 0x01, 0x26]);
  });

  it('set_time: clears OSF and writes the seven registers; get_time: reads them back', () => {
    const { read, write, clock } = rtc();
    write(0, 0x80);
    const [control] = read(7, 1) as [number];
    write(7, control & ~0x20);
    // Its day of the week is 1 for Sunday: 29 February 2028 is a Tuesday.
    write(0, 0x30, 0x15, 0x23, 3, 0x29, 0x02, 0x28);
    clock.now += 45 * 60 * SECOND;
    expect(read(0, 7)).toEqual([0x30, 0x00, 0x00, 4, 0x01, 0x03, 0x28]);
    expect(read(7, 1)).toEqual([0x93]);
  });

  it('nvmem: reads and writes the 56 bytes behind the control register', () => {
    const { read, write } = rtc();
    write(8 + 50, 1, 2, 3, 4, 5, 6);
    expect(read(8 + 50, 6)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(read(0, 1)).toEqual([0x58]);
  });
});
