import type { Bridge, SpawnedBackends } from '@node-vmm/vhost-bridge';
import { bridgeMetrics } from '@node-vmm/vhost-bridge/status';
import { openMetrics, openStatusSocket } from '@node-vmm/vhost-device-cli';
import type { Logger } from '@node-vmm/vmm-sys-util';

/** How the demo is looked at from outside, as the command line says. */
export interface WatchOptions {
  readonly controlSocket?: string;
  readonly metrics?: string;
}

/** The bridge of a demo, looked at from outside while it is there. */
export class Watched {
  #bridge: Bridge | undefined;
  #sockets: SpawnedBackends | undefined;

  /** As plain data; of a bridge that is not there yet, nothing. */
  readonly status = (): object => ({
    ...this.#bridge?.status(),
    backends: this.#sockets?.status() ?? [],
  });

  /**
   * Answers "xen-vhost-master status" and Prometheus, if that was asked for, until what is returned is closed.
   *
   * @throws {CliError} when a socket cannot be had
   */
  async open(
    bridge: Bridge,
    sockets: SpawnedBackends,
    { controlSocket, metrics }: WatchOptions,
    logger: Logger,
  ): Promise<Disposable> {
    this.#bridge = bridge;
    this.#sockets = sockets;
    const control = await openStatusSocket({ asked: controlSocket }, this.status, logger);
    try {
      const served = await openMetrics(metrics, () => bridgeMetrics(bridge.status()), logger);
      return {
        [Symbol.dispose]: () => {
          served?.[Symbol.dispose]();
          control?.[Symbol.dispose]();
        },
      };
    } catch (error) {
      control?.[Symbol.dispose]();
      throw error;
    }
  }
}
