import { setTimeout as delay } from 'node:timers/promises';

/** Waits for a condition; the test's timeout ends a failure. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}

/** Lets everything that is under way come to rest. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await delay(5);
}
