import process from 'node:process';
import {
  asFd,
  checkInteger,
  type Logger,
  MainPoller,
  type Poller,
  type RateLimitedLogger,
  rateLimited,
  silentLogger,
  UnixListener,
} from '@node-vmm/vmm-sys-util';
import type { DeviceSpec } from './device-spec.ts';
import { VhostUserBackendError } from './errors.ts';
import { ServedDevice } from './served-device.ts';
import type { DeviceStatus, StatusOptions } from './status.ts';
import { type WorkerEvent, WorkerThread } from './worker-thread.ts';

/** What a daemon is made of. */
export interface VhostUserDaemonOptions {
  /** Watches sockets on the main thread; default one of its own. */
  readonly poller?: Poller;
  /** Default: none. */
  readonly logger?: Logger;
  /** Most threads that serve vrings, 1..256, default 1. Each serves any number of devices. */
  readonly workers?: number;
}

interface WorkerSlot {
  readonly thread: WorkerThread;
  readonly devices: Set<ServedDevice>;
}

const MAX_WORKERS = 256;

/**
 * Serves virtio devices to vhost-user front-ends: sockets and messages on the main thread, vrings in
 * worker threads. A device lives on one worker, a worker serves many devices.
 *
 * @example see the README: a whole entropy device in twenty lines.
 */
export class VhostUserDaemon {
  /**
   * Resolves with the first failure: a device threw, or a worker thread ended by itself. The others
   * go on; whether the process does is the application's choice.
   */
  readonly failure: Promise<VhostUserBackendError>;
  readonly #poller: Poller;
  readonly #ownPoller: MainPoller | undefined;
  readonly #logger: RateLimitedLogger;
  readonly #maxWorkers: number;
  readonly #slots: WorkerSlot[] = [];
  readonly #devices = new Map<number, ServedDevice>();
  #nextDevice = 0;
  #closing: Promise<void> | undefined;
  #fail: (error: VhostUserBackendError) => void = () => undefined;

  /** @throws {RangeError} when `workers` is out of range */
  constructor(options: VhostUserDaemonOptions = {}) {
    const { workers = 1 } = options;
    checkInteger('workers', workers, 1, MAX_WORKERS);
    this.#ownPoller = options.poller === undefined ? new MainPoller() : undefined;
    this.#poller = options.poller ?? (this.#ownPoller as MainPoller);
    this.#logger = rateLimited(options.logger ?? silentLogger);
    this.failure = new Promise((resolve) => {
      this.#fail = resolve;
    });
    this.#maxWorkers = workers;
    // A thread in a blocking system call cannot be ended from outside: without this, exit() hangs.
    process.on('exit', this.#stopWorkers);
  }

  /**
   * Makes a device in a worker thread and serves it.
   *
   * @throws {VhostUserBackendError} INVALID_DEVICE; whatever loading the module or making the device
   * threw, as `cause`; CLOSED
   * @throws {SysError} when the socket cannot be bound: EADDRINUSE, EACCES ...
   */
  async addDevice(spec: DeviceSpec): Promise<ServedDevice> {
    if (this.#closing !== undefined) throw closed(spec.name);
    const listener = listen(spec);
    const slot = this.#leastLoaded();
    const id = this.#nextDevice++;
    const device = new ServedDevice(id, spec, slot.thread, this.#poller, this.#logger, (gone) => {
      slot.devices.delete(gone);
      this.#devices.delete(id);
    });
    slot.devices.add(device);
    this.#devices.set(id, device);
    try {
      await device.start(listener);
      if (this.#closing !== undefined) throw closed(spec.name);
      return device;
    } catch (error) {
      listener.close();
      await device.close();
      throw error;
    }
  }

  /** State and counters of every device, as plain data. */
  async status(options: StatusOptions = {}): Promise<DeviceStatus[]> {
    return Promise.all([...this.#devices.values()].map((device) => device.status(options)));
  }

  /** Drops connections, removes sockets, ends the threads and waits for all that. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#devices.values()].map((device) => device.close()));
    this.#stopWorkers();
    await Promise.all(this.#slots.map(({ thread }) => thread.ended));
    process.off('exit', this.#stopWorkers);
    this.#ownPoller?.close();
  }

  readonly #stopWorkers = (): void => {
    for (const { thread } of this.#slots) thread.stop();
  };

  #startWorker(name: string): WorkerSlot {
    const thread = new WorkerThread(name, (event) => this.#onEvent(event));
    const slot: WorkerSlot = { thread, devices: new Set() };
    void thread.ended.then((error) => {
      if (error === undefined) return;
      this.#logger.error({ err: error }, error.message);
      for (const device of slot.devices) device.fail(error);
      this.#fail(error);
    });
    return slot;
  }

  #onEvent(event: WorkerEvent): void {
    if (event.type === 'log') {
      // Limited where it comes from, so that it does not pile up between the threads.
      this.#logger.unlimited[event.level](event.context, event.message);
      return;
    }
    const device = this.#devices.get(event.device);
    if (device === undefined) return;
    if (event.type === 'deviceFailed') this.#fail(device.failed(event.error));
    else if (event.type === 'configChanged') device.configChanged();
    else device.memoryReleased(event.generation);
  }

  /**
   * A thread is started for the first device that needs it, which waits for it: a process that ends
   * while a thread is still loading native code would be aborted by it.
   */
  #leastLoaded(): WorkerSlot {
    const idle = this.#slots.find(({ devices }) => devices.size === 0);
    if (idle !== undefined) return idle;
    if (this.#slots.length < this.#maxWorkers) {
      const slot = this.#startWorker(`vring-${this.#slots.length}`);
      this.#slots.push(slot);
      return slot;
    }
    return this.#slots.reduce((best, slot) =>
      slot.devices.size < best.devices.size ? slot : best,
    );
  }
}

function listen({ name, socketPath, listenFd }: DeviceSpec): UnixListener {
  if (socketPath !== undefined && listenFd === undefined) return UnixListener.bind(socketPath);
  if (socketPath === undefined && listenFd !== undefined) {
    return UnixListener.fromFd(asFd(listenFd));
  }
  throw new TypeError(`Cannot serve device ${name}: give either socketPath or listenFd`);
}

function closed(device: string): VhostUserBackendError {
  return new VhostUserBackendError(
    'CLOSED',
    `Cannot serve device ${device}: the daemon is closed`,
    { device },
  );
}
