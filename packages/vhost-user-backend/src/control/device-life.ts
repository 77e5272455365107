import type { Logger, Poller, UnixListener } from '@node-vmm/vmm-sys-util';
import type { DeviceCall } from '../between/pulse.ts';
import type { ErrorRecord, RingCounters } from '../between/worker-calls.ts';
import type { DeviceSpec } from '../device-spec.ts';
import { VhostUserBackendError } from '../errors.ts';
import { FrontEndListener } from './front-end-listener.ts';
import type { WorkerPool, WorkerTenant } from './worker-pool.ts';
import type { WorkerSeat } from './worker-seat.ts';
import { errorOf } from './worker-thread.ts';

/** What a device's life needs. */
export interface DeviceLifeOptions {
  readonly spec: DeviceSpec;
  readonly pool: WorkerPool;
  readonly poller: Poller;
  readonly logger: Logger;
  readonly xenMmap: boolean;
  /**
   * The device failed while it was served.
   *
   * @param guilty - by its own doing, as far as one can tell
   */
  onFailed(error: VhostUserBackendError, guilty: boolean): void;
  /** A worker thread ended by its doing, in whatever part of its life. */
  onWorkerLost(): void;
}

/**
 * A device from its making in a worker to its disposal. One that is made again after a failure has
 * another life, perhaps in another worker.
 */
export class DeviceLife implements WorkerTenant {
  readonly #options: DeviceLifeOptions;
  readonly #seat: WorkerSeat;
  #making: Promise<unknown> | undefined;
  #server: FrontEndListener | undefined;
  #failure: VhostUserBackendError | undefined;
  #ending: Promise<void> | undefined;

  /** @throws {SysError} EMFILE ... when it takes a new thread and there can be none */
  constructor(options: DeviceLifeOptions) {
    this.#options = options;
    this.#seat = options.pool.seat(this);
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

  /**
   * Makes the device in its worker and serves it.
   *
   * @param listener - stays the caller's, who closes it after `end` was called
   * @throws {VhostUserBackendError}
   */
  async start(listener: UnixListener): Promise<void> {
    const { spec, poller, logger, xenMmap } = this.#options;
    const { name, module, options } = spec;
    try {
      const making = this.#seat.call('addDevice', { name, module: module.href, options });
      this.#making = making;
      const description = await making;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ending !== undefined) throw closed(name);
      const device = this.#seat;
      this.#server = new FrontEndListener({
        listener,
        description,
        device,
        poller,
        logger,
        xenMmap,
      });
      const queues = description.queueMaxSizes.length;
      logger.info({ socket: spec.socketPath, queues }, 'device ready');
    } catch (error) {
      throw this.#failure ?? error;
    }
  }

  counters(): Promise<RingCounters[]> {
    return this.#seat.call('counters', {});
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

  notifyStalled(): void {
    this.#options.logger.error(
      {},
      'front-end dropped: it made a notification descriptor blocking and filled it, which holds up all devices of a worker',
    );
    this.#server?.dropHostile();
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
    const served =
      this.#server !== undefined && this.#ending === undefined && this.#failure === undefined;
    this.#failure ??= error;
    if (served) onFailed(error, guilty);
    // Who makes the device hears it from `start`; who ends it need not know more than the log.
    else if (guilty) logger.error({ err: error }, error.message);
  }

  async #end(): Promise<void> {
    const { logger } = this.#options;
    await this.#server?.close();
    try {
      // The worker makes devices between other requests: one that asks for the end must not overtake.
      await this.#making;
      await this.#seat.call('removeDevice', {});
    } catch (error) {
      logger.debug({ err: error }, 'device not removed: it is gone with its worker');
    }
    this.#seat.leave();
  }
}

function closed(device: string): VhostUserBackendError {
  const text = `Cannot serve device ${device}: it has been closed`;
  return new VhostUserBackendError('CLOSED', text, { device });
}
