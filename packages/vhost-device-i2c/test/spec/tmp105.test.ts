import { describe, expect, it } from 'vitest';
import { Tmp105 } from '../../src/simulated/tmp105.ts';
import { busWith } from '../support/chips.ts';

// Texas Instruments' data sheet of the TMP105, SLLS648.
const TEMPERATURE = 0;
const CONFIGURATION = 1;
const T_LOW = 2;
const T_HIGH = 3;
const TWELVE_BITS = 0x60;

function make(temperature?: number) {
  const chip = new Tmp105(temperature === undefined ? {} : { temperature });
  const { write, read, bus } = busWith(chip);
  const set = (...words: string[]) => chip.inputs.get('temperature')?.command(words);
  return { chip, bus, write, read, set };
}

describe('TMP105', () => {
  it('after power-on: nine bits, continuous, limits of 75 and 80 degrees', () => {
    const { read } = make(25.4);
    expect(read(TEMPERATURE, 2)).toEqual([25, 0]);
    expect(read(CONFIGURATION, 1)).toEqual([0]);
    expect(read(T_LOW, 2)).toEqual([0x4b, 0]);
    expect(read(T_HIGH, 2)).toEqual([0x50, 0]);
  });

  it.each([
    [128, 0x7ff],
    [127.9375, 0x7ff],
    [100, 0x640],
    [80, 0x500],
    [75, 0x4b0],
    [50, 0x320],
    [25, 0x190],
    [23.5, 0x178],
    [0.25, 0x004],
    [0, 0x000],
    [-0.25, 0xffc],
    [-25, 0xe70],
    [-55, 0xc90],
    [-128, 0x800],
  ])('Temperature Data Format: %d degrees are %d', (degrees, expected) => {
    const { read, write, set } = make();
    write(CONFIGURATION, TWELVE_BITS);
    expect(set(String(degrees))).toEqual({ temperature: degrees });
    const [high = 0, low = 0] = read(TEMPERATURE, 2);
    expect(((high << 8) | low) >> 4).toBe(expected);
    expect(low & 0xf).toBe(0);
  });

  it.each([
    [0x00, 0x80],
    [0x20, 0xc0],
    [0x40, 0xe0],
    [0x60, 0xf0],
  ])('Converter Resolution: configuration %d leaves of the low byte %d', (bits, low) => {
    const { read, write } = make(20.9375);
    write(CONFIGURATION, bits);
    expect(read(TEMPERATURE, 2)).toEqual([20, low]);
    expect(read(CONFIGURATION, 1)).toEqual([bits]);
  });

  it('Shutdown Mode and One-Shot: measures only when it is told to', () => {
    const { read, write, set } = make(20);
    write(CONFIGURATION, TWELVE_BITS | 1);
    set('30');
    expect(read(TEMPERATURE, 2)).toEqual([20, 0]);
    write(CONFIGURATION, 0x80 | TWELVE_BITS | 1);
    expect(read(TEMPERATURE, 2)).toEqual([30, 0]);
    expect(read(CONFIGURATION, 1)).toEqual([TWELVE_BITS | 1]);
    set('40');
    expect(read(TEMPERATURE, 2)).toEqual([30, 0]);
    write(CONFIGURATION, TWELVE_BITS);
    expect(read(TEMPERATURE, 2)).toEqual([40, 0]);
  });

  it('Pointer Register: stays, has two bits, and the temperature is read-only', () => {
    const { read, write, bus } = make(20);
    write(TEMPERATURE, 1, 2);
    expect(read(TEMPERATURE, 4)).toEqual([20, 0, 20, 0]);
    write(T_HIGH, 0x12, 0x3f, 0xff);
    expect(read(0xf8 | T_HIGH, 2)).toEqual([0x12, 0x30]);
    const data = new Uint8Array(2);
    bus.transfer([{ address: 1, read: true, data }], () => undefined);
    expect([...data]).toEqual([0x12, 0x30]);
  });

  it('tells what it is and what it measures', () => {
    const { chip, set } = make(-10.5);
    expect(chip.state()).toEqual({
      ...{ chip: 'tmp105', temperature: -10.5, register: -10.5, configuration: 0 },
      ...{ low: 75, high: 80 },
    });
    expect(set()).toEqual({ temperature: -10.5 });
  });

  it.each([['warm'], [''], ['1e3'], ['0x10'], ['128.5'], ['-129'], ['NaN'], ['1', '2']])(
    'is not %j degrees warm',
    (...words) => {
      const { set } = make();
      expect(() => set(...words)).toThrow(expect.objectContaining({ code: 'USAGE' }));
      expect(set()).toEqual({ temperature: 25 });
      expect(() => new Tmp105({ temperature: 200 })).toThrow(RangeError);
    },
  );
});

// drivers/hwmon/lm75.c: the transfers that it makes, and what it makes of the answers.
describe("Linux's driver lm75", () => {
  /** `temp1_input` and the limits: millidegrees of twelve bits. */
  const millidegrees = ([high = 0, low = 0]: readonly number[]): number =>
    (((((high << 8) | low) << 16) >> 20) * 1000) >> 4;

  it('probe: asks for twelve bits and no shutdown; remove: puts back what was there', () => {
    const { read, write } = make();
    write(CONFIGURATION, 0x01);
    const [before = 0] = read(CONFIGURATION, 1);
    expect(before).toBe(0x01);
    write(CONFIGURATION, (before & ~0x81) | TWELVE_BITS);
    expect(read(CONFIGURATION, 1)).toEqual([TWELVE_BITS]);
    write(CONFIGURATION, before);
    expect(read(CONFIGURATION, 1)).toEqual([before]);
  });

  it.each([
    ['21.5', 21_500],
    ['-40.0625', -40_063],
    ['0', 0],
    ['127.9375', 127_937],
  ])('temp1_input at %s degrees: %d', (celsius, input) => {
    const { read, write, set } = make();
    write(CONFIGURATION, TWELVE_BITS);
    set(celsius);
    expect(millidegrees(read(TEMPERATURE, 2))).toBe(input);
  });

  it('temp1_max, temp1_max_hyst: registers 3 and 2, read back as they were written', () => {
    const { read, write } = make();
    expect([T_HIGH, T_LOW].map((limit) => millidegrees(read(limit, 2)))).toEqual([80_000, 75_000]);
    write(T_HIGH, 0x1e, 0x80);
    write(T_LOW, 0xf6, 0x00);
    expect([T_HIGH, T_LOW].map((limit) => millidegrees(read(limit, 2)))).toEqual([30_500, -10_000]);
  });
});
