import { describe, expect, it } from 'vitest';
import type { I2cMessage } from '../../src/i2c-host.ts';
import { At24c02, type At24c02Options } from '../../src/simulated/at24c02.ts';
import { Ds1338 } from '../../src/simulated/ds1338.ts';
import type { I2cChip } from '../../src/simulated/i2c-chip.ts';
import { SimulatedBus } from '../../src/simulated/simulated-bus.ts';

const w = (...data: number[]): I2cMessage => ({
  address: 1,
  read: false,
  data: Uint8Array.from(data),
});
const r = (length: number): I2cMessage => ({
  address: 1,
  read: true,
  data: new Uint8Array(length),
});

function reader(chip: I2cChip) {
  const bus = new SimulatedBus().attach(1, chip);
  return {
    bus,
    write: (...data: number[]): number => bus.transfer([w(...data)]),
    read: (from: number, length: number): number[] => {
      const message = r(length);
      expect(bus.transfer([w(from), message])).toBe(2);
      return [...message.data];
    },
  };
}

describe('SimulatedBus', () => {
  it('tells a chip what happens on the bus', () => {
    const events: string[] = [];
    const bus = new SimulatedBus().attach(1, {
      start: (read) => {
        events.push(read ? 'start read' : 'start write');
      },
      write: (byte) => {
        events.push(`write ${byte}`);
      },
      read: () => events.push('read') + 0x100,
      stop: () => events.push('stop'),
    });
    const message = r(2);
    expect(bus.transfer([w(5), message])).toBe(2);
    expect(events).toEqual(['start write', 'write 5', 'start read', 'read', 'read', 'stop']);
    expect([...message.data]).toEqual([4, 5]);
  });

  it('ends a transfer where nobody acknowledges', () => {
    const written: number[] = [];
    const bus = new SimulatedBus().attach(1, {
      write: (byte) => {
        if (byte === 9) return false;
        written.push(byte);
        return true;
      },
      read: () => 0,
    });
    expect(bus.transfer([{ ...w(1), address: 2 }, w(1)])).toBe(0);
    expect(bus.transfer([w(1), w(2, 9, 3), w(4)])).toBe(1);
    expect(written).toEqual([1, 2]);
  });

  it('survives chips that throw, and gives every chip its STOP', () => {
    let stops = 0;
    const bus = new SimulatedBus()
      .attach(1, { write: () => undefined, read: () => 0, stop: () => stops++ })
      .attach(2, {
        write: () => {
          throw new Error('boom');
        },
        read: () => 0,
        stop: () => {
          throw new Error('boom again');
        },
      });
    expect(() => bus.transfer([w(1), { ...w(1), address: 2 }])).toThrow(
      expect.objectContaining({ code: 'CHIP_FAILED', message: expect.stringMatching(/boom$/) }),
    );
    expect(() => bus.transfer([{ ...r(1), address: 2 }])).toThrow(/boom again/);
    expect(stops).toBe(1);
    expect(bus.transfer([w(1)])).toBe(1);
    expect(stops).toBe(2);
  });

  it('has one chip at an address', () => {
    const bus = new SimulatedBus().attach(1, new At24c02());
    expect(() => bus.attach(1, new At24c02())).toThrow(RangeError);
    expect(() => bus.attach(128, new At24c02())).toThrow(RangeError);
    expect(bus.addresses).toEqual([1]);
  });
});

describe('At24c02', () => {
  const eeprom = (options?: At24c02Options) => reader(new At24c02(options));

  it('is erased, or has the contents given', () => {
    expect(eeprom().read(0, 3)).toEqual([255, 255, 255]);
    expect(eeprom({ contents: Uint8Array.of(1, 2) }).read(0, 3)).toEqual([1, 2, 255]);
  });

  it('reads back what was written, and wraps at the end of the memory', () => {
    const { write, read } = eeprom();
    write(0xfe, 1, 2);
    write(0, 3);
    expect(read(0xfe, 4)).toEqual([1, 2, 3, 255]);
  });

  it('wraps writes within a page of 8', () => {
    const { write, read } = eeprom();
    write(0x15, 1, 2, 3, 4, 5);
    expect(read(0x10, 8)).toEqual([4, 5, 255, 255, 255, 1, 2, 3]);
    write(0x20, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    expect(read(0x20, 8)).toEqual([9, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('reads on from the current address', () => {
    const { bus, write, read } = eeprom({ contents: Uint8Array.of(0, 1, 2, 3) });
    expect(read(1, 1)).toEqual([1]);
    const message = r(1);
    bus.transfer([message]);
    expect([...message.data]).toEqual([2]);
    write(3);
    bus.transfer([message]);
    expect([...message.data]).toEqual([3]);
  });

  it('programs at the STOP only', () => {
    const { bus, read } = eeprom();
    bus.transfer([w(0, 1), r(1)]);
    expect(read(0, 1)).toEqual([255]);
  });

  it('does not acknowledge while it programs', () => {
    let now = 0;
    const { bus, write, read } = eeprom({ writeCycle: 5, now: () => now });
    expect(write(0, 7)).toBe(1);
    expect(write()).toBe(0);
    now = 4.9;
    expect(bus.transfer([r(1)])).toBe(0);
    now = 5;
    expect(write()).toBe(1);
    expect(read(0, 1)).toEqual([7]);
  });
});

describe('Ds1338', () => {
  // A Thursday.
  const START = Date.UTC(2026, 0, 15, 13, 59, 58, 250);
  function rtc() {
    const clock = { now: START };
    return { clock, ...reader(new Ds1338({ now: () => clock.now })) };
  }

  it('tells the time of the host', () => {
    const { read, clock } = rtc();
    expect(read(0, 8)).toEqual([0x58, 0x59, 0x13, 5, 0x15, 0x01, 0x26, 0x93]);
    clock.now += 2000;
    expect(read(0, 3)).toEqual([0, 0, 0x14]);
  });

  it('latches the time at the START', () => {
    let calls = 0;
    const chip = new Ds1338({ now: () => START + calls++ * 1000 });
    expect(reader(chip).read(0, 2)).toEqual([0x59, 0x59]);
  });

  it('can be set', () => {
    const { read, write, clock } = rtc();
    write(0, 0x30, 0x15, 0x23, 7, 0x28, 0x02, 0x24);
    clock.now += 999;
    expect(read(0, 7)).toEqual([0x30, 0x15, 0x23, 7, 0x28, 0x02, 0x24]);
    clock.now += 1 + 45 * 60_000;
    expect(read(0, 7)).toEqual([0x31, 0x00, 0x00, 1, 0x29, 0x02, 0x24]);
  });

  it('can be set in part', () => {
    const { read, write, clock } = rtc();
    write(6, 0x30);
    expect(read(0, 7)).toEqual([0x58, 0x59, 0x13, 3, 0x15, 0x01, 0x30]);
    clock.now += 750;
    expect(read(0, 1)).toEqual([0x59]);
  });

  it('knows 12 hours', () => {
    const { read, write, clock } = rtc();
    write(2, 0x40 | 0x20 | 0x11);
    expect(read(0, 3)).toEqual([0x58, 0x59, 0x71]);
    clock.now += 2000;
    expect(read(2, 3)).toEqual([0x40 | 0x12, 6, 0x16]);
    write(2, 0x40 | 0x12);
    write(2, 0x00);
    expect(read(2, 1)).toEqual([0]);
  });

  it('halts, says so in OSF, and goes on', () => {
    const { read, write, clock } = rtc();
    write(0, 0x80 | 0x10);
    clock.now += 60_000;
    expect(read(0, 2)).toEqual([0x90, 0x59]);
    expect(read(7, 1)).toEqual([0xb3]);
    write(0, 0x10);
    clock.now += 1000;
    expect(read(0, 2)).toEqual([0x11, 0x59]);
    expect(read(7, 1)).toEqual([0xb3]);
    write(7, 0x93);
    expect(read(7, 1)).toEqual([0x93]);
    write(7, 0xff);
    expect(read(7, 1)).toEqual([0x93]);
  });

  it('has 56 bytes of memory, and a pointer that wraps to the time', () => {
    const { read, write } = rtc();
    write(8, ...Array.from({ length: 56 }, (_, i) => i));
    expect(read(8, 56)).toEqual(Array.from({ length: 56 }, (_, i) => i));
    expect(read(0x3f, 2)).toEqual([55, 0x58]);
    expect(read(0x7f, 1)).toEqual([55]);
  });

  it('takes impossible times without breaking', () => {
    const { read, write } = rtc();
    write(0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    for (const byte of read(0, 7)) expect(byte).toBeLessThanOrEqual(0xff);
    write(0, 0, 0, 0, 0, 0, 0, 0);
    expect(read(0, 7)).toHaveLength(7);
  });
});
