import type { Logger } from '@node-vmm/vmm-sys-util';
import type { DeviceSink, DeviceSource } from './device-source.ts';

/** Several sources at once, for one sink. */
export class CombinedSource implements DeviceSource {
  readonly #sources: readonly DeviceSource[];
  readonly #logger: Logger;

  constructor(sources: readonly DeviceSource[], logger: Logger) {
    this.#sources = sources;
    this.#logger = logger;
  }

  async start(sink: DeviceSink): Promise<void> {
    for (const source of this.#sources) await source.start(sink);
    this.#logger.info({ sources: this.#sources.length }, 'watching for devices');
  }

  close(): Promise<void> {
    return this.#all((source) => source.close());
  }

  leave(): Promise<void> {
    return this.#all((source) => source.leave?.() ?? source.close());
  }

  async #all(end: (source: DeviceSource) => Promise<void>): Promise<void> {
    // All of them, also when one fails: each may hold guests.
    const results = await Promise.allSettled(this.#sources.map(end));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}
