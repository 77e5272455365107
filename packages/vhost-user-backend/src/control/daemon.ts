import process from 'node:process';
import { CHUNK_LENGTH } from '@node-vmm/vm-memory';
import {
  checkInteger,
  exitNow,
  exitWithin,
  type Logger,
  MainPoller,
  type Poller,
  type RateLimitedLogger,
  rateLimited,
  silentLogger,
} from '@node-vmm/vmm-sys-util';
import type { DeviceSpec } from '../device-spec.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { DeviceStatus, StatusOptions } from '../status.ts';
import { checkSpec } from './check-spec.ts';
import { FOREIGN_LIMIT } from './foreign-domains.ts';
import type { MapForeign } from './foreign-region.ts';
import { openSource } from './front-end-source.ts';
import { GuestMemories } from './guest-memories.ts';
import { printFailure } from './print-failure.ts';
import { ServedDevice } from './served-device.ts';
import { threadEntry } from './thread-entry.ts';
import { WorkerPool } from './worker-pool.ts';

/** What a daemon is made of. */
export interface VhostUserDaemonOptions {
  /** Watches sockets on the main thread; default one of its own. */
  readonly poller?: Poller;
  /** Default: none. */
  readonly logger?: Logger;
  /** Most threads that serve vrings, 1..256, default 1. Each serves any number of devices. */
  readonly workers?: number;
  /**
   * What threads run, `@node-vmm/vhost-user-backend/thread`: for a program that is bundled, the URL of the
   * bundle that has it. Default: beside this module.
   */
  readonly threadModule?: URL;
  /**
   * Maps memory of Xen domains: `mapForeign` of `@node-vmm/vm-memory/xen`. Where it is given XEN_MMAP is
   * offered, by which a front-end lends such memory. Default: neither; nothing of Xen is loaded.
   */
  readonly mapForeign?: MapForeign;
  /**
   * Most bytes of a Xen domain's memory that stay mapped though no request needs them, default 16 MiB, at
   * least 2 MiB: a page that is mapped cannot be given back to Xen. What one request needs may be more.
   */
  readonly foreignLimit?: number;
  /**
   * Offer CONFIGURE_MEM_SLOTS, by which a front-end has more than 8 memory regions and changes them one
   * by one; default yes. A front-end that takes the next process for the one that it has told (QEMU
   * 7.2 that listens) tells it of no memory, unless this is false.
   */
  readonly memSlots?: boolean;
  /**
   * How long a device may take to let go of the requests of a ring that stops, milliseconds, default
   * 3000; the guest waits meanwhile. Then the ring stops without it.
   */
  readonly stopTimeout?: number;
  /**
   * How long `close` may take, milliseconds, default 5000. A thread that is still in a system call of
   * its device then cannot be ended but with the process, which ends with status 1.
   */
  readonly closeTimeout?: number;
  /**
   * Told of each device that fails after `addDevice`, each time: its code threw or does not come back,
   * or its worker ended. `device.restarting` says whether it is made again (`restart` of its
   * `DeviceSpec`). What this throws is an uncaught exception.
   */
  readonly onDeviceFailed?: (device: ServedDevice, error: VhostUserBackendError) => void;
}

const MAX_WORKERS = 256;
/** Below the time after which a front-end takes a back-end for dead: `xen-vhost-master` has 5 s. */
const STOP_TIMEOUT_MS = 3_000;
const CLOSE_TIMEOUT_MS = 5_000;
/** Longest timer that JavaScript has. */
const MAX_TIMEOUT_MS = 0x7fff_ffff;
/** How long a logger has for the last line of a process that is ended, milliseconds. */
const LAST_WORDS_MS = 100;

/**
 * Serves virtio devices to vhost-user front-ends: sockets and messages on the main thread, vrings in
 * worker threads. A device lives on one worker, or has instances on several; a worker serves many.
 *
 * @example see the README: a whole entropy device in twenty lines.
 */
export class VhostUserDaemon {
  readonly #poller: Poller;
  readonly #ownPoller: MainPoller | undefined;
  readonly #logger: RateLimitedLogger;
  readonly #logs: boolean;
  readonly #onDeviceFailed: VhostUserDaemonOptions['onDeviceFailed'];
  readonly #pool: WorkerPool;
  readonly #memSlots: boolean;
  readonly #memories: GuestMemories;
  readonly #stopTimeout: number;
  readonly #closeTimeout: number;
  readonly #devices = new Set<ServedDevice>();
  readonly #failure: Promise<VhostUserBackendError | undefined>;
  #failureWanted = false;
  #failed = false;
  #settleFailure: (error?: VhostUserBackendError) => void = () => undefined;
  #closing: Promise<void> | undefined;

  /**
   * @throws {RangeError} when `workers`, `foreignLimit`, `stopTimeout` or `closeTimeout` is out of range
   * @throws {VhostUserBackendError} THREAD_MODULE when `threadModule` is not there, or was not given in a
   * program that is bundled
   */
  constructor(options: VhostUserDaemonOptions = {}) {
    const { workers = 1, closeTimeout = CLOSE_TIMEOUT_MS, stopTimeout = STOP_TIMEOUT_MS } = options;
    const { foreignLimit = FOREIGN_LIMIT } = options;
    checkInteger('workers', workers, 1, MAX_WORKERS);
    checkInteger('stopTimeout', stopTimeout, 1, MAX_TIMEOUT_MS);
    checkInteger('closeTimeout', closeTimeout, 1, MAX_TIMEOUT_MS);
    checkInteger('foreignLimit', foreignLimit, CHUNK_LENGTH, Number.MAX_SAFE_INTEGER);
    const entry = threadEntry(options.threadModule);
    this.#ownPoller = options.poller === undefined ? new MainPoller() : undefined;
    this.#poller = options.poller ?? (this.#ownPoller as MainPoller);
    this.#logger = rateLimited(options.logger ?? silentLogger);
    this.#logs = options.logger !== undefined;
    this.#onDeviceFailed = options.onDeviceFailed;
    this.#failure = new Promise((resolve) => {
      this.#settleFailure = resolve;
    });
    this.#pool = new WorkerPool(workers, entry, this.#logger);
    this.#closeTimeout = closeTimeout;
    this.#memSlots = options.memSlots ?? true;
    this.#memories = new GuestMemories(
      this.#logger,
      { mapForeign: options.mapForeign, foreignLimit },
      (memories, collect) => this.#pool.viewed(memories, collect),
    );
    this.#stopTimeout = stopTimeout;
    process.on('exit', this.#onExit);
  }

  /**
   * The first failure of a device; undefined when the daemon has been closed without one. Other
   * devices go on. Where neither this was asked for nor `onDeviceFailed` given, a failure without a
   * logger goes to standard error, and after that of the last device the daemon closes itself and the
   * process's exit code is 1, unless it had another.
   */
  get failure(): Promise<VhostUserBackendError | undefined> {
    this.#failureWanted = true;
    return this.#failure;
  }

  /** How many devices work, are being made, or will be made again. */
  get serving(): number {
    return [...this.#devices].filter(works).length;
  }

  /**
   * Makes a device in its worker threads and serves it.
   *
   * @throws as `prepareDevice`
   */
  async addDevice(spec: DeviceSpec): Promise<ServedDevice> {
    const device = await this.prepareDevice(spec);
    device.serve();
    return device;
  }

  /**
   * Does all that may take rights of the process: binds the socket, loads the device's module and makes
   * the device. Front-ends that connect wait in the backlog until `serve` is called on it; in between a
   * process can give up its privileges.
   *
   * @throws {VhostUserBackendError} INVALID_DEVICE; whatever loading the module or making the device
   * threw, as `cause`; DEVICE_HANGS, WORKER_FAILED, CLOSED
   * @throws {SysError} when the socket cannot be bound: EADDRINUSE, EACCES ...
   * @throws {DescriptorError} when `listenFd` is no Unix stream socket that listens, or `connectedFd` none
   * that is connected
   * @throws {RangeError} when `socketMode`, `socketGroup` or one of `restart` is out of range
   */
  async prepareDevice(spec: DeviceSpec): Promise<ServedDevice> {
    if (this.#closing !== undefined) throw closed(spec.name);
    checkSpec(spec);
    const device = new ServedDevice({
      spec,
      pool: this.#pool,
      poller: this.#poller,
      logger: this.#logger,
      memSlots: this.#memSlots,
      memories: this.#memories,
      stopTimeout: this.#stopTimeout,
      onFailed: (failed, error) => this.#onFailed(failed, error),
      onClosed: () => this.#devices.delete(device),
    });
    const source = openSource(spec);
    this.#devices.add(device);
    try {
      await device.prepare(source);
      if (this.#closing !== undefined) throw closed(spec.name);
      return device;
    } catch (error) {
      await device.close();
      throw error;
    }
  }

  /** State and counters of every device, as plain data. */
  async status(options: StatusOptions = {}): Promise<DeviceStatus[]> {
    return Promise.all([...this.#devices].map((device) => device.status(options)));
  }

  /**
   * Asks every worker thread whether it is there: it answers between two batches, so that device code
   * that does not come back makes it late.
   *
   * @param timeoutMs - milliseconds that all of them have, >= 1
   * @returns false when one of them did not answer in time
   */
  async responsive(timeoutMs: number): Promise<boolean> {
    checkInteger('timeoutMs', timeoutMs, 1, MAX_TIMEOUT_MS);
    return inTime(this.#pool.ping(), timeoutMs);
  }

  /**
   * Drops connections, removes sockets, ends the threads and waits for all that. Idempotent. Where a
   * thread cannot be ended within `closeTimeout`, the process ends.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const quarter = setTimeout(() => {
      for (const device of this.#devices) device.hurry();
    }, this.#closeTimeout / 4);
    const half = setTimeout(() => this.#pool.terminate(), this.#closeTimeout / 2);
    const end = setTimeout(() => this.#giveUp(), this.#closeTimeout);
    await Promise.all([...this.#devices].map((device) => device.close()));
    await this.#pool.close();
    this.#memories.close();
    clearTimeout(quarter);
    clearTimeout(half);
    clearTimeout(end);
    process.off('exit', this.#onExit);
    this.#ownPoller?.close();
    this.#settleFailure();
  }

  #giveUp(): void {
    const names = [...this.#devices].map(({ name }) => name);
    this.#logger.error(
      { devices: names },
      `process ended: a device did not come back within ${this.#closeTimeout} ms of being closed`,
    );
    setTimeout(() => exitNow(1), LAST_WORDS_MS);
  }

  readonly #onExit = (): void => {
    if (this.#pool.exiting(this.#closeTimeout)) exitWithin(this.#closeTimeout / 1000);
  };

  #onFailed(device: ServedDevice, error: VhostUserBackendError): void {
    const told = this.#onDeviceFailed !== undefined || (this.#failureWanted && !this.#failed);
    this.#failed = true;
    this.#settleFailure(error);
    if (!told && !this.#logs) printFailure(error);
    if (this.#onDeviceFailed === undefined && !this.#failureWanted && this.serving === 0) {
      // Not an end by force: the process may have more to do than to serve devices.
      process.exitCode ||= 1;
      void this.close();
    }
    this.#onDeviceFailed?.(device, error);
  }
}

/** @returns whether it settled within so many milliseconds */
async function inTime(answer: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  try {
    return await Promise.race([answer.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

function works({ failure, restarting }: ServedDevice): boolean {
  return failure === undefined || restarting;
}

function closed(device: string): VhostUserBackendError {
  return new VhostUserBackendError(
    'CLOSED',
    `Cannot serve device ${device}: the daemon is closed`,
    { device },
  );
}
