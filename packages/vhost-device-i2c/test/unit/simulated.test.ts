import { describe, expect, it } from 'vitest';
import { At24c02 } from '../../src/simulated/at24c02.ts';
import type { I2cChip } from '../../src/simulated/i2c-chip.ts';
import { SimulatedBus } from '../../src/simulated/simulated-bus.ts';
import { r, to, w } from '../support/chips.ts';
import { transfer } from '../support/transfer.ts';

/** A chip that notes what it is told. */
function recorder(events: string[], name = ''): I2cChip {
  const note = (event: string): void => {
    events.push(`${name}${event}`);
  };
  return {
    start: (read) => note(read ? 'start read' : 'start write'),
    otherStart: () => note('other start'),
    write: (byte) => note(`write ${byte}`),
    read: () => {
      note('read');
      return 0x100 + events.length;
    },
    stop: () => note('stop'),
  };
}

describe('SimulatedBus', () => {
  it('tells a chip what happens on the bus', () => {
    const events: string[] = [];
    const bus = new SimulatedBus().attach(1, recorder(events));
    const message = r(2);
    expect(transfer(bus, [w(5), message])).toBe(2);
    expect(events).toEqual(['start write', 'write 5', 'start read', 'read', 'read', 'stop']);
    expect([...message.data]).toEqual([4, 5]);
  });

  it('tells every chip of each START and STOP, once', () => {
    const events: string[] = [];
    const first = recorder(events, '1 ');
    const bus = new SimulatedBus()
      .attach(1, first)
      .attach(2, recorder(events, '2 '))
      // The same chip: its START is not another's.
      .attach(3, first);
    expect(transfer(bus, [to(3, w(5)), to(2, r(0)), to(4, w())])).toBe(2);
    expect(events).toEqual([
      ...['2 other start', '1 start write', '1 write 5'],
      ...['1 other start', '2 start read'],
      ...['1 other start', '2 other start'],
      ...['1 stop', '2 stop'],
    ]);
  });

  it('needs of a chip no more than bytes', () => {
    const bus = new SimulatedBus()
      .attach(1, { write: () => undefined, read: () => 7 })
      .attach(2, recorder([]));
    expect(transfer(bus, [w(1), to(2, w(1)), r(1)])).toBe(3);
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
    expect(transfer(bus, [to(2, w(1)), w(1)])).toBe(0);
    expect(transfer(bus, [w(1), w(2, 9, 3), w(4)])).toBe(1);
    expect(written).toEqual([1, 2]);
  });

  it('survives chips that throw, and gives every chip its START and STOP', () => {
    const events: string[] = [];
    const boom = (event: string) => () => {
      throw new Error(`boom at ${event}`);
    };
    const failing = { write: boom('write'), read: () => 0, stop: boom('stop') };
    const bus = new SimulatedBus().attach(2, failing).attach(1, recorder(events));
    expect(() => transfer(bus, [w(1), to(2, w(1))])).toThrow(
      expect.objectContaining({ code: 'CHIP_FAILED', message: expect.stringMatching(/at write$/) }),
    );
    expect(events).toEqual(['start write', 'write 1', 'other start', 'stop']);
    expect(() => transfer(bus, [to(2, r(1))])).toThrow(/at stop/);
    expect(events.slice(4)).toEqual(['other start', 'stop']);
    const deaf = new SimulatedBus()
      .attach(2, { ...failing, otherStart: boom('START'), stop: () => undefined })
      .attach(3, recorder(events));
    events.length = 0;
    expect(() => transfer(deaf, [to(4, w(1))])).toThrow(/at START/);
    expect(events).toEqual(['other start', 'stop']);
  });

  it('tells 10-bit addresses from those of 7 bits', () => {
    const bus = new SimulatedBus().attach(0xa001, new At24c02({ contents: Uint8Array.of(7) }));
    expect(transfer(bus, [r(1)])).toBe(0);
    const message = to(0xa001, r(1));
    expect(transfer(bus, [to(0xa001, w(0)), message])).toBe(2);
    expect([...message.data]).toEqual([7]);
  });

  it('takes no more than an adapter of Linux', () => {
    const events: string[] = [];
    const bus = new SimulatedBus().attach(1, recorder(events));
    const many = Array.from({ length: 43 }, () => w());
    const refused = expect.objectContaining({ code: 'NOT_SUPPORTED' });
    expect(() => transfer(bus, many)).toThrow(refused);
    expect(() => transfer(bus, [w(), r(8193)])).toThrow(refused);
    expect(events).toEqual([]);
    expect(transfer(bus, many.slice(1))).toBe(42);
  });

  it('has one chip at an address', () => {
    const bus = new SimulatedBus().attach(1, new At24c02());
    expect(() => bus.attach(1, new At24c02())).toThrow(RangeError);
    for (const address of [128, 0x78, 0x7b, 0xa400, -1, 1.5]) {
      expect(() => bus.attach(address, new At24c02())).toThrow(RangeError);
    }
    expect(bus.addresses).toEqual([1]);
  });
});
