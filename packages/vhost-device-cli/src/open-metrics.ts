import type { Logger } from '@node-vmm/vmm-sys-util';
import type { CollectMetrics } from './metrics/server.ts';

export type { CollectMetrics } from './metrics/server.ts';

/**
 * Serves metrics to Prometheus, by HTTP from a thread of its own, until that is disposed. Whoever asks
 * too often, or hangs, takes no time of this thread: `collect` is called four times a second at most.
 *
 * @param address - a path, whose socket has mode 0600; `[host:]port`, by default of the loopback; undefined
 * where nobody asked for metrics
 * @param collect - plain data; what it throws is what is answered
 * @throws {CliError} USAGE, BAD_DIRECTORY, METRICS
 */
export async function openMetrics(
  address: string | undefined,
  collect: CollectMetrics,
  logger: Logger,
): Promise<Disposable | undefined> {
  if (address === undefined) return undefined;
  // Here and not above: who serves none loads no HTTP.
  return (await import('./metrics/server.ts')).MetricsServer.open(address, collect, logger);
}
