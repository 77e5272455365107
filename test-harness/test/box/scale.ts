import { type Bed, boxStatus } from '../../src/box/index.ts';

/** True in `npm run box:soak`. */
export const soak: boolean = process.env['NODE_VMM_SOAK'] === '1';

/** How often loops go round: a core in CI, long in `npm run box:soak`. */
export const SCALE = {
  /** Transfers without a loss. */
  transfers: soak ? 1000 : 100,
  /** The same, of each of two guests at once. */
  sharedTransfers: soak ? 100 : 20,
  /** Edges of a GPIO line, none lost. */
  edges: soak ? 10_000 : 1000,
  /** Guests that come and go. */
  rounds: soak ? 6 : 3,
  /** Guests with many devices that are destroyed under load. */
  destroys: soak ? 50 : 2,
  /** Guests' memory given back, and taken again. */
  balloons: soak ? 10 : 1,
  /** How much, of 512. */
  balloonMib: soak ? 256 : 8,
  /** Starts of the bridge under running guests. */
  restarts: 20,
  /** Kills of a serving process. */
  kills: soak ? 100 : 10,
  /** SIGKILLs of a bridge whose guests are under load, each with a guest of its own. */
  bridgeKills: 20,
} as const;

const ready: readonly Bed[] = boxStatus()
  .beds.filter((status) => status.ready)
  .map(({ bed }) => bed);
/** The newest of an architecture that is there. */
const newest = (architecture: Bed['architecture']): Bed | undefined =>
  ready.filter((bed) => bed.architecture === architecture).at(-1);

/** End of a test's title that runs in `npm run box:soak` only. */
export const LATER = ' (skipped, unavailable: not in the core set, see npm run box:soak)';

/**
 * Why a test that is no part of the core set is left out on a bed; empty when it is not. CI has such
 * tests on one bed, the newest arm64 one, where they are quickest; `npm run box:soak` on all.
 */
export function notHere(bed: Bed): string {
  const one = newest('arm64') ?? ready.at(-1);
  return soak || bed.name === one?.name ? '' : LATER;
}

/** The same for what CI has on the newest series of the bed's architecture. */
export function notThisSeries(bed: Bed): string {
  return soak || bed.series === newest(bed.architecture)?.series ? '' : LATER;
}

/** The same for what CI has no time for. */
export function notInCi(_bed: Bed): string {
  return soak ? '' : LATER;
}
