import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Announcement, Bed } from '../src/box/bed.ts';
import { BEDS } from '../src/box/beds.ts';
import { bridgeArguments } from '../src/box/guest-devices.ts';

const VARIABLE = 'NODE_VMM_DISPATCH_THREADS';
const before = process.env[VARIABLE];

const bed = (announcement: Announcement): Bed => ({ ...(BEDS[0] as Bed), announcement });

describe('what a bridge in dom0 is told', () => {
  beforeEach(() => {
    delete process.env[VARIABLE];
  });
  afterEach(() => {
    if (before === undefined) delete process.env[VARIABLE];
    else process.env[VARIABLE] = before;
  });

  it('is nothing where the toolstack says all', () => {
    expect(bridgeArguments(bed('virtio'), { web: ['i2c'] })).toBe('');
  });

  it('is how many dispatch threads it has, where that was asked for', () => {
    process.env[VARIABLE] = '2';
    expect(bridgeArguments(bed('virtio'), { web: ['i2c'] })).toBe('--dispatch-threads 2');
    expect(bridgeArguments(bed('told'), { web: ['i2c'] })).toMatch(
      /^--device i2c,domain=web,\S+ --dispatch-threads 2$/,
    );
    process.env[VARIABLE] = 'all';
    expect(() => bridgeArguments(bed('told'), {})).toThrow(
      expect.objectContaining({
        code: 'BAD_ENVIRONMENT',
        message: expect.stringContaining('=all'),
      }),
    );
  });
});
