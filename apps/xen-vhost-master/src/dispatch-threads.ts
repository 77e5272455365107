// How many threads serve registers.

/** Ours: 0, and the main thread does. */
export const DEFAULT_DISPATCH_THREADS = 1;
/** Ours: what a pool of `vm-dispatch` has at most, which would load native code; a test compares them. */
export const MOST_DISPATCH_THREADS = 64;
