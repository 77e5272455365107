import { DispatchPool, type DispatchThreadComponents } from '@node-vmm/vm-dispatch';

/**
 * Starts the threads that are to serve guests' register accesses.
 *
 * @param threads - how many
 * @returns undefined where there is to be none: the main thread serves them
 * @throws {VmError} NOT_SUPPORTED when one cannot run
 */
export async function openDispatchPool(
  threads: number,
  components: DispatchThreadComponents,
): Promise<DispatchPool | undefined> {
  if (threads === 0) return undefined;
  const pool = await DispatchPool.start(components, { threads });
  components.logger?.info({ threads }, 'registers are served by dispatch threads');
  return pool;
}
