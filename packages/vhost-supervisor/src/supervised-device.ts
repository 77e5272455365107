import {
  errorMessage,
  type Logger,
  type Poller,
  type UnixListener,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import type { ServingProcess } from './serving-process.ts';
import { SupervisedConnection } from './supervised-connection.ts';

/** How long to leave a listener alone that cannot accept (no descriptors left), milliseconds. */
const ACCEPT_PAUSE_MS = 100;

export interface SupervisedDeviceOptions {
  /** Where front-ends connect; becomes the device's. */
  readonly listener: UnixListener;
  /** The serving process, and its socket of this device. */
  readonly process: ServingProcess;
  readonly path: string;
  /** As `SupervisorOptions.stateful`. */
  readonly stateful: boolean;
  readonly poller: Poller;
  readonly logger: Logger;
}

/** Serves a socket to one front-end after another, whatever happens to the serving process. */
export class SupervisedDevice {
  readonly #options: SupervisedDeviceOptions;
  #watch: Watch | undefined;
  #connection: SupervisedConnection | undefined;
  #pause: NodeJS.Timeout | undefined;
  #live = true;

  constructor(options: SupervisedDeviceOptions) {
    this.#options = options;
    this.#listen();
  }

  /** Drops the front-end, stops listening and removes the socket. Idempotent. */
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
    const { listener, logger, poller, process, path, stateful } = this.#options;
    try {
      const stream = listener.accept();
      if (stream === undefined) return;
      const connection = new SupervisedConnection(stream, {
        process,
        path,
        stateful,
        poller,
        logger,
      });
      this.#unwatch();
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
