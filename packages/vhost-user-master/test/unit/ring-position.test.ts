import { guestAddress } from '@node-vmm/vm-memory';
import { describe, expect, it } from 'vitest';
import { type InflightFile, type KeptRing, RingPosition } from '../../src/index.ts';

const AVAIL = 0x1000;
const USED = 0x2000;
const SIZE = 64;

/** A ring of which only the indices exist. */
class Ring {
  used = 0;
  avail = 0;

  position(record?: InflightFile, kept?: KeptRing): RingPosition {
    const memory = {
      readU16: (address: bigint): number => (address === BigInt(USED + 2) ? this.used : this.avail),
    };
    const place = {
      index: 3,
      size: SIZE,
      availRing: guestAddress(AVAIL),
      usedRing: guestAddress(USED),
      features: 0n,
    };
    return new RingPosition(memory, place, record, kept);
  }

  set(used: number, avail: number): this {
    this.used = used;
    this.avail = avail;
    return this;
  }
}

describe('the position in a ring', () => {
  it('is behind what was returned', () => {
    const ring = new Ring();
    const position = ring.position();
    expect(position.base).toBe(0);
    ring.set(5, 9);
    expect(position.resume(true)).toBe(5);
    ring.set(65_530, 3);
    expect(position.resume(true)).toBe(65_530);
    expect(position.base).toBe(65_530);
  });

  it.each([
    [3, 0],
    [65_530, 0],
    [2, 7],
  ])('is 0 while indices %i and %i are what firmware left behind', (used, avail) => {
    const ring = new Ring().set(used, avail);
    const position = ring.position();
    expect(position.resume(true)).toBe(0);
    expect(position.progress()).toBe('none');
    // The driver clears them and makes its first request.
    ring.set(0, 1);
    expect(position.progress()).toBe('none');
    ring.set(1, 1);
    expect(position.progress()).toBe('possible');
    expect(position.resume(true)).toBe(1);
  });

  it.each([
    [9, 5],
    [5, 5 + SIZE + 1],
  ])('is none when %i were returned of %i', (used, avail) => {
    const ring = new Ring();
    const position = ring.position();
    ring.set(used, avail);
    expect(() => position.resume(true)).toThrow(
      expect.objectContaining({
        code: 'IMPOSSIBLE_RING',
        message: expect.stringContaining('vring 3'),
      }),
    );
  });

  it('is none for a device that may return requests in any order, unless all are returned', () => {
    const ring = new Ring();
    const position = ring.position();
    // Nobody has touched it.
    expect(position.resume(false)).toBe(0);
    ring.set(5, 9);
    expect(() => position.resume(false)).toThrow(
      expect.objectContaining({
        code: 'UNKNOWN_ORDER',
        message: expect.stringMatching(/vring 3.*used index 5, available index 9/),
      }),
    );
    ring.set(9, 9);
    expect(position.resume(false)).toBe(9);
  });

  it('is known for requests in any order where the last back-end recorded them, and the next gets it', () => {
    const ring = new Ring();
    const position = ring.position();
    const record = {} as InflightFile;
    // Given to a back-end that records, when nothing was unfinished.
    expect(position.resume(false, record)).toBe(0);
    ring.set(5, 9);
    expect(position.resume(false, record)).toBe(5);
    ring.set(6, 9);
    expect(position.progress()).toBe('possible');
    for (const other of [undefined, {} as InflightFile]) {
      expect(() => position.resume(false, other)).toThrow(
        expect.objectContaining({ code: 'UNKNOWN_ORDER' }),
      );
    }
    ring.set(9, 9);
    expect(position.resume(false)).toBe(9);
    ring.set(9, 10);
    // The one before did not record.
    expect(() => position.resume(false, record)).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_ORDER' }),
    );
  });

  it('is known to the process after this one', () => {
    const ring = new Ring().set(3, 0);
    const untouched = ring.position().keep();
    expect(untouched).toEqual({ origin: { used: 3, avail: 0 } });
    // What firmware left is still all that is there.
    expect(ring.position(undefined, untouched).resume(true)).toBe(0);
    ring.set(5, 9);
    const served = ring.position(undefined, untouched);
    expect(served.resume(true)).toBe(5);
    expect(served.keep(7)).toEqual({ origin: { used: 3, avail: 0 }, stoppedAt: 7 });
    const record = {} as InflightFile;
    expect(ring.position(record, served.keep(7)).resume(false, record)).toBe(5);
  });

  it('is known for requests in any order where the back-end stopped behind the last returned', () => {
    const ring = new Ring();
    const origin = ring.position().keep().origin;
    ring.set(5, 9);
    // It had taken two more.
    expect(() => ring.position(undefined, { origin, stoppedAt: 7 }).resume(false)).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_ORDER' }),
    );
    const position = ring.position(undefined, { origin, stoppedAt: 5 });
    expect(position.resume(false)).toBe(5);
    // The next back-end took some of them: that says nothing of it.
    expect(() => position.resume(false)).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_ORDER' }),
    );
  });

  it('says whether a back-end went on there', () => {
    const ring = new Ring();
    const position = ring.position();
    ring.set(5, 6);
    position.resume(true);
    expect(position.progress()).toBe('none');
    ring.set(6, 6);
    expect(position.progress()).toBe('possible');
    // One that counts from 0 again.
    ring.set(1, 6);
    expect(position.progress()).toBe('impossible');
    // One that counts further than it was asked for.
    ring.set(7, 6);
    expect(position.progress()).toBe('impossible');
    ring.set(5, 6);
    position.resume(true);
    // Over the end of 16 bits.
    ring.set(65_535, 2);
    position.resume(true);
    ring.set(1, 2);
    expect(position.progress()).toBe('possible');
    ring.set(65_534, 2);
    expect(position.progress()).toBe('impossible');
  });

  it('notices a fresh ring that is served on from another', () => {
    const ring = new Ring();
    const position = ring.position();
    ring.set(3, 1);
    expect(position.progress()).toBe('impossible');
    expect(position.indices).toEqual({ used: 3, avail: 1 });
  });

  it('is not misled by a ring that is full', () => {
    const ring = new Ring();
    const position = ring.position();
    ring.set(10, 10 + SIZE);
    position.resume(true);
    ring.set(11, 11 + SIZE);
    expect(position.progress()).toBe('possible');
    // Lapped: what lies between two looks is more than 16 bits can say.
    ring.set(9, 9 + SIZE);
    expect(position.progress()).toBe('impossible');
    ring.set(10 + SIZE, 10 + 2 * SIZE);
    expect(position.progress()).toBe('possible');
  });
});
