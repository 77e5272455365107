// The figures themselves are for people: on an emulated machine they say little, and here only that they came.
import { expect, it } from 'vitest';
import { measureForeign } from '../../src/box/scenarios/foreign-bench.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notInCi } from './scale.ts';

const NAMES = ['warm', 'touch', 'alone', 'busy', 'beside', 'file', 'fileAll', 'keptAll'];

onEveryBed(
  'foreign memory on demand',
  [],
  (bed) => {
    it('has its cost measured', { timeout: 1_200_000 }, async () => {
      const figures = await measureForeign(bed, (line) => console.log(`[${bed.name}] ${line}`));
      expect(Object.keys(figures).sort()).toEqual([...NAMES].sort());
      for (const { medianUs, p99Us, perSecond } of Object.values(figures)) {
        expect(medianUs).toBeGreaterThan(0);
        expect(p99Us).toBeGreaterThanOrEqual(medianUs);
        expect(perSecond).toBeGreaterThan(0);
      }
    });
  },
  notInCi,
);
