import { describe } from 'vitest';
import { type Bed, type BedFeature, boxStatus, lacking } from '../../src/box/index.ts';

/** Beds to use, by name and separated by commas; default all. For work on one of them. */
const ONLY = process.env['NODE_VMM_BEDS']?.split(',');

/**
 * Runs a suite on every bed. One that cannot be had, and one that lacks what the suite needs, is a skip
 * whose title says why.
 *
 * @param needs - what a bed must have for it
 * @param whyNot - end of the title where the suite does not run all the same: ` (skipped, ...)`
 */
export function onEveryBed(
  title: string,
  needs: readonly BedFeature[],
  suite: (bed: Bed) => void,
  whyNot: (bed: Bed) => string = () => '',
): void {
  for (const { bed, ready, state, reason } of boxStatus().beds) {
    if (ONLY !== undefined && !ONLY.includes(bed.name)) continue;
    const lacks = lacking(bed, needs);
    const why =
      lacks.length > 0
        ? ` (skipped, unavailable: the bed has no ${lacks.join(', ')})`
        : !ready
          ? ` (skipped, ${state}: ${reason})`
          : whyNot(bed);
    describe.skipIf(why !== '')(`[${bed.name}] ${title}${why}`, () => suite(bed));
  }
}
