/** True in `npm run box:soak`. */
const soak = process.env['NODE_VMM_SOAK'] === '1';

/** How often loops go round: a core in CI, long in `npm run box:soak`. */
export const SCALE = {
  /** Transfers without a loss. */
  transfers: soak ? 1000 : 200,
  /** The same, of each of two guests at once. */
  sharedTransfers: soak ? 300 : 50,
  /** Guests that come and go. */
  rounds: soak ? 12 : 6,
} as const;
