import { errorMessage, type Logger, type Poller, type Watch } from '@node-vmm/vmm-sys-util';
import type { DeviceDescription } from '../between/worker-calls.ts';
import type { DeviceLink, MemoryWish } from './device-link.ts';
import { FrontEndConnection } from './front-end-connection.ts';
import type { FrontEndSource } from './front-end-source.ts';
import type { GuestFiles } from './guest-files.ts';
import type { RegionMapper } from './region-mapper.ts';
import { StateBeginning } from './state-beginning.ts';

/** How long to leave a listener alone that cannot accept (no descriptors left), milliseconds. */
const ACCEPT_PAUSE_MS = 100;

/** How long not to listen after a hostile front-end, milliseconds, doubled each time in a row. */
const HOSTILE_PAUSE_MS = 1_000;
const HOSTILE_PAUSE_MAX_MS = 60_000;

export interface FrontEndListenerOptions {
  /** Of the device. */
  readonly name: string;
  /** Stays the caller's; `close` comes first. */
  readonly source: FrontEndSource;
  readonly description: DeviceDescription;
  readonly device: DeviceLink;
  readonly poller: Poller;
  readonly logger: Logger;
  readonly mapper: RegionMapper;
  readonly memSlots: boolean;
  readonly files: GuestFiles;
  /** The last front-end that could come has gone. */
  onDeserted(): void;
}

/**
 * Serves a device on a socket to one front-end after another. While one is connected others wait in
 * the kernel's backlog.
 */
export class FrontEndListener {
  readonly #options: FrontEndListenerOptions;
  #watch: Watch | undefined;
  #connection: FrontEndConnection | undefined;
  #pause: NodeJS.Timeout | undefined;
  readonly #state: StateBeginning;
  #generation = 0;
  #connections = 0;
  #hostile = false;
  #hostileInRow = 0;
  #live = true;

  constructor(options: FrontEndListenerOptions) {
    this.#options = options;
    this.#state = new StateBeginning(options.description.freshState);
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

  memoryWanted(wish: MemoryWish): void {
    this.#connection?.memoryWanted(wish);
  }

  memoryIdle(memory: number): void {
    this.#connection?.memoryIdle(memory);
  }

  /** Drops a front-end whose memory is not there, and what else its guest has. */
  memoryFault(): void {
    this.#connection?.memoryFault();
  }

  /** Drops a front-end that harmed others, and lets it wait before it can do so again. */
  dropHostile(): void {
    this.#hostile = true;
    this.#connection?.close();
  }

  /**
   * Stops listening from this moment (who connects waits in the backlog) and drops the connection;
   * resolves when everything is released. Idempotent.
   */
  async close(): Promise<void> {
    this.#live = false;
    clearTimeout(this.#pause);
    this.#unwatch();
    this.#connection?.close();
    await this.#connection?.ended;
  }

  #listen(): void {
    if (!this.#live) return;
    const { poller, source, onDeserted } = this.#options;
    if (source.fd === undefined) onDeserted();
    else this.#watch = poller.watch(source.fd, { readable: true }, () => this.#accept());
  }

  #unwatch(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #accept(): void {
    const { name, source, logger, description, device, poller, mapper, memSlots, files } =
      this.#options;
    try {
      const stream = source.accept();
      if (stream === undefined) return;
      // Before it is watched again: it may be the connection itself that was passed.
      this.#unwatch();
      const connection = new FrontEndConnection(stream, {
        name,
        description,
        device,
        poller,
        logger,
        mapper,
        memSlots,
        files,
        state: this.#state,
        nextGeneration: () => ++this.#generation,
      });
      this.#connections++;
      this.#connection = connection;
      logger.info({}, 'front-end connected');
      void connection.ended.then(() => {
        this.#connection = undefined;
        this.#listenAfter(this.#takePenalty());
      });
    } catch (error) {
      // Level-triggered: without a pause this would spin until somebody frees a descriptor.
      logger.error({ err: error }, `connection not accepted: ${errorMessage(error)}`);
      this.#unwatch();
      this.#listenAfter(ACCEPT_PAUSE_MS);
    }
  }

  #listenAfter(pause: number): void {
    if (pause === 0) this.#listen();
    else if (this.#live) this.#pause = setTimeout(() => this.#listen(), pause);
  }

  /** @returns milliseconds */
  #takePenalty(): number {
    if (!this.#hostile) {
      this.#hostileInRow = 0;
      return 0;
    }
    this.#hostile = false;
    return Math.min(HOSTILE_PAUSE_MS * 2 ** this.#hostileInRow++, HOSTILE_PAUSE_MAX_MS);
  }
}
