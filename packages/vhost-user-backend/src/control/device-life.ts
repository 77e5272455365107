import type { Logger, Poller } from '@node-vmm/vmm-sys-util';
import type { DeviceCall } from '../between/pulse.ts';
import type { StateMemory } from '../between/state-memory.ts';
import type { CommandAnswer, DeviceDescription, ErrorRecord } from '../between/worker-calls.ts';
import type { DeviceSpec } from '../device-spec.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { RingCounters } from '../status.ts';
import { DeviceInstances } from './device-instances.ts';
import { FrontEndListener } from './front-end-listener.ts';
import type { FrontEndSource } from './front-end-source.ts';
import type { GuestFiles } from './guest-files.ts';
import type { RegionMapper } from './region-mapper.ts';
import type { WorkerPool, WorkerTenant } from './worker-pool.ts';
import { errorOf } from './worker-thread.ts';

/** What a device's life needs. */
export interface DeviceLifeOptions {
  readonly spec: DeviceSpec;
  readonly pool: WorkerPool;
  readonly poller: Poller;
  readonly logger: Logger;
  readonly mapper: RegionMapper;
  readonly memSlots: boolean;
  /** Of the daemon. */
  readonly files: GuestFiles;
  /** Milliseconds that the device has to let go of a ring. */
  readonly stopTimeout: number;
  /** The file of the device's state. */
  readonly state: StateMemory | undefined;
  /**
   * The device failed after it was made.
   *
   * @param guilty - by its own doing, as far as one can tell
   */
  onFailed(error: VhostUserBackendError, guilty: boolean): void;
  /** The last front-end that could come has gone. */
  onDeserted(): void;
  /** The device tells those who listen outside: JSON. */
  onEvent(text: string): void;
  /** A worker thread ended by its doing, in whatever part of its life. */
  onWorkerLost(): void;
}

/**
 * A device from its making in workers to its disposal. One that is made again after a failure has
 * another life, perhaps in other workers.
 */
export class DeviceLife implements Omit<WorkerTenant, 'memoryWanted'> {
  readonly #options: DeviceLifeOptions;
  readonly #instances: DeviceInstances;
  #making: Promise<DeviceDescription> | undefined;
  #description: DeviceDescription | undefined;
  #server: FrontEndListener | undefined;
  #failure: VhostUserBackendError | undefined;
  #ending: Promise<void> | undefined;

  /** @throws {SysError} EMFILE ... when it takes a new thread and there can be none */
  constructor(options: DeviceLifeOptions) {
    this.#options = options;
    const { spec, pool, stopTimeout, state } = options;
    this.#instances = new DeviceInstances({
      spec,
      pool,
      stopTimeout,
      state,
      tenant: this,
      onMemoryWanted: (wish) => this.#server?.memoryWanted(wish),
    });
  }

  get name(): string {
    return this.#options.spec.name;
  }

  get connected(): boolean {
    return this.#server?.connected ?? false;
  }

  /** Connections since it was made. */
  get connections(): number {
    return this.#server?.connections ?? 0;
  }

  get memoryRegions(): number {
    return this.#server?.memoryRegions ?? 0;
  }

  /** Makes the device in its workers. @throws {VhostUserBackendError} */
  async make(): Promise<void> {
    try {
      const making = this.#instances.make();
      this.#making = making;
      const description = await making;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ending !== undefined) throw closed(this.name);
      this.#description = description;
    } catch (error) {
      throw this.#failure ?? error;
    }
  }

  /**
   * Serves the device, which has been made; nothing when it has failed since.
   *
   * @param source - stays the caller's, who closes it after `end` was called
   */
  serve(source: FrontEndSource): void {
    const description = this.#description;
    if (description === undefined || this.#failure !== undefined || this.#ending !== undefined) {
      return;
    }
    const { spec, poller, logger, mapper, memSlots, files, onDeserted } = this.#options;
    const device = this.#instances;
    this.#server = new FrontEndListener({
      name: spec.name,
      source,
      description,
      device,
      poller,
      logger,
      mapper,
      memSlots,
      files,
      onDeserted,
    });
    const queues = description.queueMaxSizes.length;
    logger.info({ socket: spec.socketPath, queues }, 'device ready');
  }

  counters(): Promise<RingCounters[]> {
    return this.#instances.counters();
  }

  /** @throws {VhostUserBackendError} when the device has failed or is gone */
  command(words: readonly string[]): Promise<CommandAnswer> {
    return this.#instances.command(words);
  }

  /** Somebody wants to hear the device's events, or nobody any more. */
  listen(on: boolean): void {
    this.#instances.listen(on);
  }

  /** Waits for no request of the device's any more. */
  hurry(): void {
    this.#instances.hurry();
  }

  /**
   * Listens no more from this moment, drops the front-end and disposes of the device; resolves when
   * everything is released, which takes until the thread has ended where that is lost. Idempotent.
   */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  configChanged(): void {
    this.#server?.configChanged();
  }

  memoryReleased(generation: number): void {
    this.#server?.memoryReleased(generation);
  }

  memoryIdle(memory: number): void {
    this.#server?.memoryIdle(memory);
  }

  emitted(text: string): void {
    this.#options.onEvent(text);
  }

  notifyStalled(): void {
    this.#options.logger.error(
      {},
      'front-end dropped: it made a notification descriptor blocking and filled it, which holds up all devices of a worker',
    );
    this.#server?.dropHostile();
  }

  memoryFault(): void {
    this.#server?.memoryFault();
  }

  waits(call: DeviceCall): void {
    this.#options.logger.warn(
      { call },
      `device ${this.name} has not come back from ${call} yet: all devices of its worker wait`,
    );
  }

  failed(record: ErrorRecord): void {
    const cause = errorOf(record).cause;
    const text = `Cannot go on with device ${this.name}: ${record.message}`;
    const context = { device: this.name };
    this.#fail(new VhostUserBackendError('DEVICE_FAILED', text, context, { cause }), true);
  }

  workerLost(error: VhostUserBackendError, guilty: boolean): void {
    if (guilty) this.#options.onWorkerLost();
    this.#fail(error, guilty);
  }

  #fail(error: VhostUserBackendError, guilty: boolean): void {
    const { logger, onFailed } = this.#options;
    const made =
      this.#description !== undefined && this.#ending === undefined && this.#failure === undefined;
    this.#failure ??= error;
    if (made) onFailed(error, guilty);
    // Who makes the device hears it from `make`; who ends it need not know more than the log.
    else if (guilty) logger.error({ err: error }, error.message);
  }

  async #end(): Promise<void> {
    const { logger } = this.#options;
    this.#instances.closing();
    await this.#server?.close();
    try {
      // The worker makes devices between other requests: one that asks for the end must not overtake.
      await this.#making;
    } catch {
      // What was made of it has to go all the same.
    }
    try {
      await this.#instances.dispose();
    } catch (error) {
      logger.debug({ err: error }, 'device not disposed of: it is gone with its worker');
    }
  }
}

function closed(device: string): VhostUserBackendError {
  const text = `Cannot serve device ${device}: it has been closed`;
  return new VhostUserBackendError('CLOSED', text, { device });
}
