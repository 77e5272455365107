import { describe, expect, it } from 'vitest';
import { At24c02 } from '../../src/simulated/at24c02.ts';
import { Ds1338 } from '../../src/simulated/ds1338.ts';
import { keepChips } from '../../src/simulated/keep-chips.ts';
import { SimulatedBus } from '../../src/simulated/simulated-bus.ts';
import { Tmp105 } from '../../src/simulated/tmp105.ts';
import { TwoCopies } from '../../src/simulated/two-copies.ts';
import { busWith } from '../support/chips.ts';

/** A state file: what was kept for a layout and a size, or zeros. */
class StateFile {
  #kept: { layout: string; bytes: Uint8Array } | undefined;
  readonly layouts: string[] = [];

  state(layout: string, size: number) {
    this.layouts.push(layout);
    const fresh = this.#kept?.layout !== layout || this.#kept.bytes.length !== size;
    const bytes = fresh ? new Uint8Array(size) : Uint8Array.from(this.#kept?.bytes ?? []);
    this.#kept = { layout, bytes };
    return { bytes, fresh };
  }
}

const T0 = Date.UTC(2026, 1, 3, 4, 5, 6);

describe('chips whose state outlives the process', () => {
  it('keep an EEPROM, and a clock that has gone on', () => {
    const file = new StateFile();
    let now = T0;
    const boot = () => {
      const [eeprom, clock] = [new At24c02(), new Ds1338({ now: () => now })];
      const [memory, rtc] = [busWith(eeprom), busWith(clock)];
      keepChips([memory.bus, rtc.bus], file);
      return { memory, rtc };
    };
    const first = boot();
    first.memory.write(0x10, 1, 2, 3);
    // 23:59:58 of the last day of a February, and a byte of its memory.
    first.rtc.write(0, 0x58, 0x59, 0x23, 1, 0x28, 0x02, 0x26);
    first.rtc.write(0x08, 0x5a);
    now += 1500;
    expect(first.rtc.read(0, 1)).toEqual([0x59]);

    now += 1000;
    const second = boot();
    expect(second.memory.read(0x0f, 5)).toEqual([0xff, 1, 2, 3, 0xff]);
    expect(second.rtc.read(0, 9)).toEqual([0x00, 0, 0, 2, 1, 3, 0x26, 0x93, 0x5a]);
    second.memory.write(0x10, 9);
    expect(boot().memory.read(0x10, 2)).toEqual([9, 2]);
    expect(new Set(file.layouts).size).toBe(1);
    expect(file.layouts[0]).toMatch(/^i2c-1-[0-9a-f]{16}$/);
  });

  it('keep the time that was set from outside', () => {
    const file = new StateFile();
    const boot = () => {
      const clock = new Ds1338({ now: () => T0 });
      keepChips([new SimulatedBus().attach(0x68, clock)], file);
      return clock;
    };
    boot().inputs.get('time')?.command(['2030-01-02T03:04:05Z']);
    expect(boot().state()).toMatchObject({ time: '2030-01-02T03:04:05Z' });
  });

  it('begin anew on another board, and when they had not been put there', () => {
    const file = new StateFile();
    const boot = (address: number) => {
      const chip = new At24c02({ contents: Uint8Array.of(7) });
      keepChips([new SimulatedBus().attach(address, chip)], file);
      return chip;
    };
    boot(0x50).memory[0] = 1;
    expect(boot(0x50).memory[0]).toBe(1);
    expect(boot(0x51).memory[0]).toBe(7);
    const killed = {
      state: (_: string, size: number) => ({ bytes: new Uint8Array(size), fresh: false }),
    };
    const chip = new At24c02();
    keepChips([new SimulatedBus().attach(1, chip)], killed);
    expect(chip.memory[0]).toBe(0xff);
  });

  it('ask for no memory that they do not need, and do without', () => {
    const file = new StateFile();
    keepChips([new SimulatedBus().attach(0x48, new Tmp105())], file);
    expect(file.layouts).toEqual([]);
    const chip = new At24c02({ contents: Uint8Array.of(7) });
    keepChips([new SimulatedBus().attach(1, chip)], { state: () => undefined });
    expect(chip.memory[0]).toBe(7);
  });

  it('share what is one chip at two addresses', () => {
    const file = new StateFile();
    const chip = new At24c02();
    keepChips([new SimulatedBus().attach(1, chip).attach(2, chip)], file);
    expect(file.state(file.layouts[0] ?? '', 257).fresh).toBe(false);
  });
});

describe('TwoCopies', () => {
  it('has the copy before, whenever the writer of the next is killed', () => {
    const bytes = new Uint8Array(TwoCopies.size(2));
    const copies = new TwoCopies(bytes, 2);
    copies.store((copy) => copy.set([1, 2]));
    expect(() =>
      copies.store((copy) => {
        copy[0] = 3;
        throw new Error('killed');
      }),
    ).toThrow();
    expect([...new TwoCopies(bytes, 2).current]).toEqual([1, 2]);
    copies.store((copy) => copy.set([5, 6]));
    expect([...new TwoCopies(bytes, 2).current]).toEqual([5, 6]);
  });
});
