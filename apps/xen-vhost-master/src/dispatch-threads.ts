// How many threads serve registers, and how soon they get a processor.
import { BridgeError } from './errors.ts';

/** Ours: 0, and the main thread does. */
export const DEFAULT_DISPATCH_THREADS = 1;
/** Ours: what a pool of `vm-dispatch` has at most, which would load native code; a test compares them. */
export const MOST_DISPATCH_THREADS = 64;
/** setpriority(2): the first and the last. */
export const NICE_RANGE = [-20, 19] as const;

/** @throws {BridgeError} USAGE for the priority of threads that are not there */
export function checkDispatch(run: {
  readonly dispatchThreads: number;
  readonly dispatchNice: number | undefined;
}): void {
  if (run.dispatchThreads > 0 || run.dispatchNice === undefined) return;
  const text =
    'the main thread serves the registers (--dispatch-threads 0), which has no --dispatch-nice';
  throw new BridgeError('USAGE', text);
}
