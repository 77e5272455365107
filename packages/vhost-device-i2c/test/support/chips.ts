import { expect } from 'vitest';
import type { I2cMessage } from '../../src/i2c-host.ts';
import type { I2cChip } from '../../src/simulated/i2c-chip.ts';
import { SimulatedBus } from '../../src/simulated/simulated-bus.ts';
import { transfer } from './transfer.ts';

/** Where `busWith` puts the chip. */
export const CHIP = 1;

export const w = (...data: number[]): I2cMessage => ({
  address: CHIP,
  read: false,
  data: Uint8Array.from(data),
});

export const r = (length: number): I2cMessage => ({
  address: CHIP,
  read: true,
  data: new Uint8Array(length),
});

/** The same message for another address. */
export const to = (address: number, message: I2cMessage): I2cMessage => ({ ...message, address });

/** A bus with one chip, and the transfers that drivers make. */
export function busWith(chip: I2cChip) {
  const bus = new SimulatedBus().attach(CHIP, chip);
  return {
    bus,
    /** @returns how many messages succeeded, 0 or 1 */
    write: (...data: number[]): number => transfer(bus, [w(...data)]),
    /** Writes the register's number and reads with a repeated START. */
    read: (from: number, length: number): number[] => {
      const message = r(length);
      expect(transfer(bus, [w(from), message])).toBe(2);
      return [...message.data];
    },
  };
}
