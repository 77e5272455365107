import { errorMessage, type Logger, type Poller } from '@node-vmm/vmm-sys-util';
import type { DeviceSpec } from '../device-spec.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { DeviceStatus, RingCounters, StatusOptions } from '../status.ts';
import { checkWords, DeviceCommands } from './device-commands.ts';
import { DeviceEvents } from './device-events.ts';
import { DeviceLife } from './device-life.ts';
import type { FrontEndSource } from './front-end-source.ts';
import type { GuestMemories } from './guest-memories.ts';
import type { RegionMapper } from './region-mapper.ts';
import { RestartSchedule } from './restart-schedule.ts';
import { StateFile } from './state-file.ts';
import type { WorkerPool } from './worker-pool.ts';

/** What a served device needs of its daemon. */
export interface ServedDeviceOptions {
  readonly spec: DeviceSpec;
  readonly pool: WorkerPool;
  readonly poller: Poller;
  readonly logger: Logger;
  readonly memSlots: boolean;
  readonly memories: GuestMemories;
  readonly stopTimeout: number;
  /** The device has failed; `restarting` says whether it is made again. */
  onFailed(device: ServedDevice, error: VhostUserBackendError): void;
  onClosed(device: ServedDevice): void;
}

/** A device that a `VhostUserDaemon` serves. */
export class ServedDevice {
  readonly name: string;
  readonly socketPath: string | undefined;
  /** Resolves when no front-end can come any more: that of `connectedFd` has gone. */
  readonly deserted: Promise<void>;
  readonly #options: ServedDeviceOptions;
  readonly #logger: Logger;
  readonly #schedule: RestartSchedule | undefined;
  /** What earlier lives' front-ends left counts for later ones. */
  readonly #mapper: RegionMapper;
  /** Lives whose end is not complete. */
  readonly #ending = new Map<DeviceLife, Promise<void>>();
  readonly #commands: DeviceCommands;
  readonly #events = new DeviceEvents((on) => this.#life?.listen(on));
  #state: StateFile | undefined;
  #source: FrontEndSource | undefined;
  #life: DeviceLife | undefined;
  /** When it began to be served, while it is. */
  #since: number | undefined;
  /** Connections of former lives. */
  #pastConnections = 0;
  #failure: VhostUserBackendError | undefined;
  #serving = false;
  #restarting = false;
  #restart: Promise<void> | undefined;
  #stopWaiting: () => void = () => undefined;
  #desert: () => void = () => undefined;
  #closing: Promise<void> | undefined;

  /** @throws {RangeError} when an option of `restart` is out of range */
  constructor(options: ServedDeviceOptions) {
    const { name, socketPath, restart } = options.spec;
    this.name = name;
    this.socketPath = socketPath;
    this.#options = options;
    this.deserted = new Promise((resolve) => {
      this.#desert = resolve;
    });
    this.#mapper = options.memories.mapper(name);
    this.#commands = new DeviceCommands(name);
    this.#logger = options.logger.child({ device: name });
    this.#schedule = restart === undefined ? undefined : new RestartSchedule(restart);
  }

  /** Why the device serves nothing now, undefined while it works. */
  get failure(): VhostUserBackendError | undefined {
    return this.#failure;
  }

  /** True while a device that has failed is made again, or waits for that. */
  get restarting(): boolean {
    return this.#restarting;
  }

  /** @internal Makes the device in its workers. `source` becomes the device's. */
  async prepare(source: FrontEndSource): Promise<void> {
    this.#source = source;
    this.#state = StateFile.of(this.#options.spec);
    await this.#make();
  }

  /** Accepts front-ends, from now on and also when the device is made again. Idempotent. */
  serve(): void {
    if (this.#serving || this.#closing !== undefined || this.#source === undefined) return;
    this.#serving = true;
    this.#life?.serve(this.#source);
  }

  /** State and counters. */
  async status({ timeoutMs }: StatusOptions = {}): Promise<DeviceStatus> {
    const life = this.#life;
    const works = this.#failure === undefined && life !== undefined;
    const rings = works ? await countersOf(life, timeoutMs) : [];
    const served = this.#life?.connected === true ? 'connected' : 'listening';
    const answered = rings === undefined ? 'not answering' : served;
    const failed = this.#restarting ? 'restarting' : 'failed';
    return {
      name: this.name,
      socketPath: this.socketPath,
      state: this.#failure === undefined ? answered : failed,
      connections: this.#pastConnections + (this.#life?.connections ?? 0),
      memoryRegions: this.#life?.memoryRegions ?? 0,
      rings: rings ?? [],
    };
  }

  /**
   * Has the device do what somebody outside asks for, in words: `['line', '3', 'pulse']`.
   *
   * @returns its answer, a plain object of JSON; undefined when it has nothing to say
   * @throws {DeviceCommandError} USAGE, REFUSED: the device's own refusal
   * @throws {VhostUserBackendError} UNSUPPORTED when it knows no commands; DEVICE_FAILED, also while it is
   * made again; DEVICE_HANGS, WORKER_FAILED, CLOSED
   * @throws {TypeError} when `words` is no array of one or more strings
   */
  async command(words: readonly string[]): Promise<unknown> {
    checkWords(words);
    const life = this.#life;
    if (this.#closing !== undefined) throw notAsked(this.name, 'CLOSED', 'it has been closed');
    if (this.#failure !== undefined || life === undefined) {
      const why = this.#restarting ? 'it has failed and is made again; ask later' : 'it has failed';
      throw notAsked(this.name, 'DEVICE_FAILED', why);
    }
    return this.#commands.wait(life.command(words));
  }

  /**
   * Calls back for each event that the device tells, on the main thread, also when it has been made again,
   * and for `{ event: 'failed', error, restarting }` and `{ event: 'made again' }` of its framework.
   * What is dropped because nobody took it in time is counted: the next event has `lost`. What the
   * listener throws is an uncaught exception.
   *
   * @returns closes
   */
  onEvent(listener: (event: object) => void): Disposable {
    return this.#events.add(listener);
  }

  /** Stops serving the device and disposes of it. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** @internal While it is being closed: waits for none of the device's requests any more. */
  hurry(): void {
    for (const life of this.#ending.keys()) life.hurry();
  }

  async #make(): Promise<void> {
    const { spec, pool, poller, memSlots, memories, stopTimeout } = this.#options;
    const life = new DeviceLife({
      spec,
      pool,
      poller,
      logger: this.#logger,
      mapper: this.#mapper,
      memSlots,
      files: memories.files,
      stopTimeout,
      state: this.#state?.memory,
      onEvent: (text) => this.#events.tell(text),
      onFailed: (error, guilty) => this.#fail(error, guilty),
      onDeserted: () => this.#desert(),
      onWorkerLost: () => this.#schedule?.workerLost(),
    });
    this.#life = life;
    life.listen(this.#events.listening);
    await life.make();
    this.#since = performance.now();
    if (this.#serving && this.#source !== undefined) life.serve(this.#source);
  }

  /**
   * The device serves nothing now: its front-end is dropped, and it is made again or its socket goes.
   *
   * @param guilty - by its own doing: it waits. A device that another took with it does not.
   */
  #fail(error: VhostUserBackendError, guilty: boolean): void {
    const served = this.#since === undefined ? 0 : performance.now() - this.#since;
    this.#since = undefined;
    const delay = guilty ? this.#schedule?.next(served) : this.#schedule && 0;
    this.#failure = error;
    this.#commands.gone(error);
    this.#restarting = delay !== undefined;
    this.#logger.error(
      { err: error, ...(delay === undefined ? {} : { restartMs: delay }) },
      error.message,
    );
    this.#tell({ event: 'failed', error: error.message, restarting: this.#restarting });
    const ended = this.#endLife();
    if (delay === undefined) this.#source?.close();
    // What another device took with it does not wait for a thread that perhaps never ends.
    else this.#restart = this.#makeAgain(guilty ? ended : undefined, delay);
    this.#options.onFailed(this, error);
  }

  async #makeAgain(ended: Promise<void> | undefined, delay: number): Promise<void> {
    await ended;
    await this.#wait(delay);
    if (this.#closing !== undefined) return;
    try {
      // Its disposal may have cost another thread.
      if (this.#schedule?.open === false) throw this.#failure;
      await this.#make();
      this.#failure = undefined;
      this.#restarting = false;
      this.#logger.info({}, 'device made again');
      this.#tell({ event: 'made again' });
    } catch (error) {
      if (this.#closing === undefined) this.#fail(notMade(this.name, error), true);
    }
  }

  /** What a device that has failed cannot tell itself. */
  #tell(event: object): void {
    this.#events.tell(JSON.stringify(event));
  }

  /** Also ends when the device is closed. */
  async #wait(delay: number): Promise<void> {
    if (this.#closing !== undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#stopWaiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** The front-end is dropped at once; the rest may take until a thread has ended. */
  #endLife(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return Promise.resolve();
    this.#life = undefined;
    this.#pastConnections += life.connections;
    const end = life.end();
    this.#ending.set(life, end);
    return end.finally(() => this.#ending.delete(life));
  }

  async #close(): Promise<void> {
    this.#stopWaiting();
    this.#commands.gone(notAsked(this.name, 'CLOSED', 'it is being closed'));
    void this.#endLife();
    this.#source?.close();
    await this.#restart;
    // A life that has begun meanwhile.
    void this.#endLife();
    await Promise.all(this.#ending.values());
    this.#state?.close();
    this.#options.onClosed(this);
  }
}

/** @returns undefined when the worker does not answer, or not in time */
async function countersOf(
  life: DeviceLife,
  timeoutMs: number | undefined,
): Promise<RingCounters[] | undefined> {
  // Closing, or its worker has ended: either way nobody is there to answer.
  const counters = life.counters().catch(() => undefined);
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

function notAsked(
  device: string,
  code: 'CLOSED' | 'DEVICE_FAILED',
  why: string,
): VhostUserBackendError {
  return new VhostUserBackendError(code, `Cannot ask device ${device}: ${why}`, { device });
}

function notMade(device: string, error: unknown): VhostUserBackendError {
  if (VhostUserBackendError.is(error)) return error;
  const text = `Cannot make device ${device} again: ${errorMessage(error)}`;
  return new VhostUserBackendError('DEVICE_FAILED', text, { device }, { cause: error });
}
