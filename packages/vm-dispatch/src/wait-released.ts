import type { GuestMemory } from './guest-memory.ts';

/** Ours: milliseconds for which closing a guest waits for a thread that is busy. */
const RELEASE_MS = 2000;
/** Between two looks whether the thread has room for more. */
const LOOK_MS = 10;

/**
 * Stands still until a thread has let go of a guest.
 *
 * @param flush - sends what had no room yet
 * @returns false when it takes too long
 */
export function waitReleased(memory: GuestMemory, flush: () => void): boolean {
  const end = performance.now() + RELEASE_MS;
  while (!memory.waitReleased(LOOK_MS)) {
    // What it is told may be waiting for room; what it asks is answered with the next turn of the loop.
    flush();
    if (performance.now() > end) return false;
  }
  return true;
}
