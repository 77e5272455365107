import { setTimeout as delay } from 'node:timers/promises';
import { VhostBridgeError } from '@node-vmm/vhost-bridge';

/** Ours: a demo that stands still is a failure, after so many milliseconds. */
export const GIVE_UP_MS = 30_000;

/**
 * Waits for a device that comes up.
 *
 * @param ended - resolves to something when the end is asked for
 * @returns false when that was so meanwhile
 * @throws {VhostBridgeError} when it takes too long; what `up` rejects with
 */
export async function comesUp(up: Promise<unknown>, ended: Promise<unknown>): Promise<boolean> {
  const timeout = new AbortController();
  const late = delay(GIVE_UP_MS, 'late', { signal: timeout.signal });
  try {
    const first = await Promise.race([up.then(() => 'up'), ended, late]);
    if (first === 'late') {
      throw new VhostBridgeError('SPAWN_FAILED', `Cannot start: no back-end in ${GIVE_UP_MS} ms`);
    }
    return first === 'up';
  } finally {
    timeout.abort();
    late.catch(() => undefined);
  }
}
