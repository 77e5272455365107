import { DispatchPool, type DispatchThreadComponents } from '@node-vmm/vm-dispatch';
import type { Arguments } from './settings.ts';

/**
 * Starts the threads that are to serve guests' register accesses.
 *
 * @param run - how many, and their priority
 * @returns undefined where there is to be none: the main thread serves them
 * @throws {VmError} NOT_SUPPORTED when one cannot run, or not with that priority
 */
export async function openDispatchPool(
  run: Pick<Arguments, 'dispatchThreads' | 'dispatchNice'>,
  components: DispatchThreadComponents,
): Promise<DispatchPool | undefined> {
  const { dispatchThreads: threads, dispatchNice: nice } = run;
  if (threads === 0) return undefined;
  const priority = nice === undefined ? {} : { nice };
  const pool = await DispatchPool.start(components, { threads, ...priority });
  components.logger?.info({ threads, ...priority }, 'registers are served by dispatch threads');
  return pool;
}
