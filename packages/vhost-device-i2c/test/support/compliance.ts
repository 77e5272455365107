import { expect, it } from 'vitest';
import { I2cError } from '../../src/errors.ts';
import type { I2cHost, I2cMessage } from '../../src/i2c-host.ts';
import { transferLater } from './transfer.ts';

/** A bus to test, with a 24c02 whose contents may be overwritten. */
export interface ComplianceBus {
  open(): I2cHost;
  /** Turns the poller that the bus waits in; without it transfers are over at once. */
  readonly turn?: () => void;
  /** Address of the 24c02. */
  readonly eeprom: number;
  /** An address where nothing answers. */
  readonly absent: number;
  /** True when the adapter makes SMBus transfers only. */
  readonly smbusOnly: boolean;
  /** Messages that a transfer may have, up to 42. */
  readonly maxMessages: number;
}

/** Tests that every `I2cHost` passes. */
export function i2cHostCompliance({
  open,
  turn,
  eeprom,
  absent,
  smbusOnly,
  maxMessages,
}: ComplianceBus): void {
  const write = (...data: number[]): I2cMessage => ({
    address: eeprom,
    read: false,
    data: Uint8Array.from(data),
  });
  const read = (length: number): I2cMessage => ({
    address: eeprom,
    read: true,
    data: new Uint8Array(length),
  });

  async function done(host: I2cHost, ...messages: I2cMessage[]): Promise<number> {
    try {
      return await transferLater(host, messages, turn);
    } catch (error) {
      if (I2cError.is(error)) return 0;
      throw error;
    }
  }

  /** Real chips do not acknowledge while they program. */
  async function acknowledged(host: I2cHost, ...messages: I2cMessage[]): Promise<number> {
    const end = performance.now() + 100;
    let result: number;
    do result = await done(host, ...messages);
    while (result === 0 && performance.now() < end);
    return result;
  }

  function using(test: (host: I2cHost) => Promise<void>): () => Promise<void> {
    return async () => {
      const host = open();
      try {
        await test(host);
      } finally {
        host[Symbol.dispose]();
        host[Symbol.dispose]();
      }
    };
  }

  it(
    'reads back what it wrote, a byte and a block',
    using(async (host) => {
      for (const value of [0x5a, 0xa5]) {
        expect(await acknowledged(host, write(0x10, value))).toBe(1);
        const byte = read(1);
        expect(await acknowledged(host, write(0x10), byte)).toBe(2);
        expect([...byte.data]).toEqual([value]);
      }
      expect(await acknowledged(host, write(0x18, 1, 2, 3, 4, 5, 6, 7))).toBe(1);
      const block = read(7);
      expect(await acknowledged(host, write(0x18), block)).toBe(2);
      expect([...block.data]).toEqual([1, 2, 3, 4, 5, 6, 7]);
    }),
  );

  it(
    'goes on reading at the address written before',
    using(async (host) => {
      // Two writes: i2c-stub has registers of 16 bits, and a write of two bytes fills one.
      expect(await acknowledged(host, write(0x20, 9))).toBe(1);
      expect(await acknowledged(host, write(0x21, 8))).toBe(1);
      expect(await acknowledged(host, write(0x20))).toBe(1);
      for (const value of [9, 8]) {
        const byte = read(1);
        expect(await acknowledged(host, byte)).toBe(1);
        expect([...byte.data]).toEqual([value]);
      }
    }),
  );

  it(
    'makes zero-length transfers',
    using(async (host) => {
      expect(await acknowledged(host, write())).toBe(1);
    }),
  );

  it(
    'does not find a chip that is not there, alone or in a transfer with one that is',
    using(async (host) => {
      const nobody = { ...write(0), address: absent };
      expect(await done(host, nobody)).toBe(0);
      expect(await done(host, write(0x10), nobody)).toBeLessThan(2);
      expect(await acknowledged(host, write(0x10), read(1))).toBe(2);
    }),
  );

  it.skipIf(smbusOnly)(
    'makes transfers of many messages and long ones',
    using(async (host) => {
      const pairs = Array.from({ length: maxMessages / 2 }, () => [write(0x10), read(2)]);
      expect(await acknowledged(host, ...pairs.flat())).toBe(pairs.length * 2);
      const whole = read(256);
      expect(await acknowledged(host, write(0), whole)).toBe(2);
      expect([...whole.data.subarray(0x18, 0x1c)]).toEqual([1, 2, 3, 4]);
    }),
  );
}
