import {
  errorMessage,
  type Logger,
  type Poller,
  type UnixListener,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import type { DeviceLink } from './device-link.ts';
import { ServedConnection } from './served-connection.ts';
import type { DeviceDescription } from './worker-protocol.ts';

/** How long to leave a listener alone that cannot accept (no descriptors left), milliseconds. */
const ACCEPT_PAUSE_MS = 100;

export interface DeviceServerOptions {
  /** Becomes the server's. */
  readonly listener: UnixListener;
  readonly description: DeviceDescription;
  readonly device: DeviceLink;
  readonly poller: Poller;
  readonly logger: Logger;
}

/**
 * Serves a device on a socket to one front-end after another. While one is connected others wait in
 * the kernel's backlog.
 */
export class DeviceServer {
  readonly #options: DeviceServerOptions;
  #watch: Watch | undefined;
  #connection: ServedConnection | undefined;
  #pause: NodeJS.Timeout | undefined;
  #generation = 0;
  #connections = 0;
  #live = true;

  constructor(options: DeviceServerOptions) {
    this.#options = options;
    this.#listen();
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Connections since the start. */
  get connections(): number {
    return this.#connections;
  }

  get memoryRegions(): number {
    return this.#connection?.memoryRegions ?? 0;
  }

  configChanged(): void {
    this.#connection?.configChanged();
  }

  memoryReleased(generation: number): void {
    this.#connection?.memoryReleased(generation);
  }

  /** Stops listening and drops the connection; resolves when everything is released. Idempotent. */
  async close(): Promise<void> {
    this.#live = false;
    clearTimeout(this.#pause);
    this.#unwatch();
    this.#options.listener.close();
    this.#connection?.close();
    await this.#connection?.ended;
  }

  #listen(): void {
    if (!this.#live) return;
    const { poller, listener } = this.#options;
    this.#watch = poller.watch(listener.fd, { readable: true }, () => this.#accept());
  }

  #unwatch(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #accept(): void {
    const { listener, logger, description, device, poller } = this.#options;
    try {
      const stream = listener.accept();
      if (stream === undefined) return;
      const connection = new ServedConnection(stream, {
        description,
        device,
        poller,
        logger,
        nextGeneration: () => ++this.#generation,
      });
      this.#unwatch();
      this.#connections++;
      this.#connection = connection;
      logger.info({}, 'front-end connected');
      void connection.ended.then(() => {
        this.#connection = undefined;
        this.#listen();
      });
    } catch (error) {
      // Level-triggered: without a pause this would spin until somebody frees a descriptor.
      logger.error({ err: error }, `connection not accepted: ${errorMessage(error)}`);
      this.#unwatch();
      this.#pause = setTimeout(() => this.#listen(), ACCEPT_PAUSE_MS);
    }
  }
}
