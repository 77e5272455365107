import { type Bed, boxStatus } from '../../src/box/index.ts';

/** True in `npm run box:soak`. */
const soak = process.env['NODE_VMM_SOAK'] === '1';

/** How often loops go round: a core in CI, long in `npm run box:soak`. */
export const SCALE = {
  /** Transfers without a loss. */
  transfers: soak ? 1000 : 100,
  /** The same, of each of two guests at once. */
  sharedTransfers: soak ? 100 : 20,
  /** Guests that come and go. */
  rounds: soak ? 6 : 3,
} as const;

/**
 * Why a test that is no part of the core set is left out on a bed; empty when it is not. CI has it on
 * the newest bed of each architecture, `npm run box:soak` on all.
 */
export function notHere(bed: Bed): string {
  const ready = boxStatus().beds.filter((status) => status.ready);
  const newest = ready.filter((status) => status.bed.architecture === bed.architecture).at(-1);
  return soak || newest === undefined || newest.bed.series === bed.series
    ? ''
    : ' (skipped, unavailable: not in the core set, see npm run box:soak)';
}
