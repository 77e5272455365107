import type { Logger, Poller, UnixListener } from '@node-vmm/vmm-sys-util';
import type { DeviceLink } from './device-link.ts';
import { DeviceServer } from './device-server.ts';
import type { DeviceSpec } from './device-spec.ts';
import { VhostUserBackendError } from './errors.ts';
import type { DeviceCall } from './pulse.ts';
import type { DeviceStatus, StatusOptions } from './status.ts';
import type {
  ErrorRecord,
  Params,
  Result,
  RingCounters,
  WorkerCallName,
} from './worker-protocol.ts';
import { errorOf, type WorkerThread } from './worker-thread.ts';

/** A device that a `VhostUserDaemon` serves. */
export class ServedDevice {
  readonly name: string;
  readonly socketPath: string | undefined;
  readonly #id: number;
  readonly #spec: DeviceSpec;
  readonly #thread: WorkerThread;
  readonly #poller: Poller;
  readonly #logger: Logger;
  readonly #xenMmap: boolean;
  readonly #onClosed: (device: ServedDevice) => void;
  #server: DeviceServer | undefined;
  #failure: VhostUserBackendError | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    id: number,
    spec: DeviceSpec,
    thread: WorkerThread,
    poller: Poller,
    logger: Logger,
    xenMmap: boolean,
    onClosed: (device: ServedDevice) => void,
  ) {
    this.name = spec.name;
    this.socketPath = spec.socketPath;
    this.#id = id;
    this.#spec = spec;
    this.#thread = thread;
    this.#poller = poller;
    this.#logger = logger.child({ device: spec.name });
    this.#xenMmap = xenMmap;
    this.#onClosed = onClosed;
  }

  /** Why the device serves nothing any more, undefined while it works. */
  get failure(): VhostUserBackendError | undefined {
    return this.#failure;
  }

  /** @internal Makes the device in its worker and serves it. `listener` becomes the device's then. */
  async start(listener: UnixListener): Promise<void> {
    const { name, module, options } = this.#spec;
    const description = await this.#call('addDevice', { name, module: module.href, options });
    if (this.#closing !== undefined) {
      throw new VhostUserBackendError('CLOSED', `Cannot serve device ${name}: it has been closed`, {
        device: name,
      });
    }
    const device: DeviceLink = { call: (call, params) => this.#call(call, params) };
    const logger = this.#logger;
    this.#server = new DeviceServer({
      listener,
      description,
      device,
      poller: this.#poller,
      logger,
      xenMmap: this.#xenMmap,
    });
    logger.info(
      { socket: this.socketPath, queues: description.queueMaxSizes.length },
      'device ready',
    );
  }

  /** State and counters. */
  async status({ timeoutMs }: StatusOptions = {}): Promise<DeviceStatus> {
    const rings = this.#failure === undefined ? await this.#counters(timeoutMs) : [];
    const server = this.#server;
    const served = server?.connected ? 'connected' : 'listening';
    const answered = rings === undefined ? 'not answering' : served;
    return {
      name: this.name,
      socketPath: this.socketPath,
      state: this.#failure !== undefined ? 'failed' : answered,
      connections: server?.connections ?? 0,
      memoryRegions: server?.memoryRegions ?? 0,
      rings: rings ?? [],
    };
  }

  /** @returns undefined when the worker does not answer, or not in time */
  async #counters(timeoutMs: number | undefined): Promise<RingCounters[] | undefined> {
    // Closing, or its worker has ended: either way nobody is there to answer.
    const counters = this.#call('counters', {}).catch(() => undefined);
    if (timeoutMs === undefined) return counters;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    try {
      return await Promise.race([counters, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Stops serving the device and disposes of it. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** @internal */
  configChanged(): void {
    this.#server?.configChanged();
  }

  /** @internal */
  memoryReleased(generation: number): void {
    this.#server?.memoryReleased(generation);
  }

  /** @internal The front-end's eventfd blocked the worker. */
  notifyStalled(): void {
    this.#logger.error(
      {},
      'front-end dropped: it made a notification descriptor blocking and filled it, which holds up all devices of a worker',
    );
    this.#server?.dropHostile();
  }

  /** @internal Device code has been waiting for long. */
  waits(call: DeviceCall): void {
    this.#logger.warn(
      { call },
      `device ${this.name} has not come back from ${call} yet: all devices of its worker wait`,
    );
  }

  /** @internal Device code does not come back. */
  hangs(call: DeviceCall): VhostUserBackendError {
    const error = new VhostUserBackendError(
      'DEVICE_HANGS',
      `Cannot go on with device ${this.name}: ${call} does not come back; look there for a loop or a wait without end`,
      { device: this.name },
    );
    this.#logger.error({ err: error }, error.message);
    return error;
  }

  /** @internal Device code threw in the worker. */
  failed(record: ErrorRecord): VhostUserBackendError {
    const cause = errorOf(record).cause;
    const error = new VhostUserBackendError(
      'DEVICE_FAILED',
      `Cannot go on with device ${this.name}: ${record.message}`,
      { device: this.name },
      { cause },
    );
    this.#logger.error({ err: error }, error.message);
    this.fail(error);
    return error;
  }

  /** @internal The device serves nothing any more: its socket goes, front-ends are dropped. */
  fail(error: VhostUserBackendError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    void this.#server?.close();
  }

  async #close(): Promise<void> {
    await this.#server?.close();
    try {
      await this.#call('removeDevice', {});
    } catch (error) {
      this.#logger.debug({ err: error }, 'device not removed: it is gone with its worker');
    }
    this.#onClosed(this);
  }

  #call<N extends WorkerCallName>(call: N, params: Omit<Params<N>, 'device'>): Promise<Result<N>> {
    return this.#thread.call(call, { ...params, device: this.#id } as Params<N>);
  }
}
