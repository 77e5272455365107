import { existsSync } from 'node:fs';
import process from 'node:process';
import {
  asFd,
  checkInteger,
  exitNow,
  exitWithin,
  type Logger,
  MainPoller,
  type Poller,
  type RateLimitedLogger,
  rateLimited,
  silentLogger,
  ThreadInterrupt,
  UnixListener,
} from '@node-vmm/vmm-sys-util';
import type { DeviceSpec } from './device-spec.ts';
import { VhostUserBackendError } from './errors.ts';
import { ServedDevice } from './served-device.ts';
import type { DeviceStatus, StatusOptions } from './status.ts';
import { type WorkerEvent, WorkerThread } from './worker-thread.ts';
import { WATCH_INTERVAL_MS, type WatchdogEvents } from './worker-watchdog.ts';

/** What a daemon is made of. */
export interface VhostUserDaemonOptions {
  /** Watches sockets on the main thread; default one of its own. */
  readonly poller?: Poller;
  /** Default: none. */
  readonly logger?: Logger;
  /** Most threads that serve vrings, 1..256, default 1. Each serves any number of devices. */
  readonly workers?: number;
  /**
   * Offer XEN_MMAP, by which a front-end lends memory of a Xen domain. Default: whether this machine
   * has Xen's privcmd device.
   */
  readonly xenMmap?: boolean;
  /**
   * How long `close` may take, milliseconds, default 5000. A thread that is still in a system call of
   * its device then cannot be ended but with the process, which ends with status 1.
   */
  readonly closeTimeout?: number;
}

interface WorkerSlot {
  readonly thread: WorkerThread;
  readonly devices: Set<ServedDevice>;
}

const MAX_WORKERS = 256;
const CLOSE_TIMEOUT_MS = 5_000;
/** Longest timer that JavaScript has. */
const MAX_TIMEOUT_MS = 0x7fff_ffff;
/** Where Linux has Xen's privcmd (xenfs had it elsewhere before 2012). */
const PRIVCMD_PATH = '/dev/xen/privcmd';
/** How long other stalls are looked for more often after one, milliseconds. */
const ALERT_MS = 2_000;
const ALERT_INTERVAL_MS = 20;
/** How long a logger has for the last line of a process that is ended, milliseconds. */
const LAST_WORDS_MS = 100;

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
  readonly #xenMmap: boolean;
  readonly #closeTimeout: number;
  #interrupt: ThreadInterrupt | undefined;
  #watch: NodeJS.Timeout | undefined;
  #alertUntil = 0;
  readonly #hanging = new WeakSet<WorkerThread>();
  readonly #slots: WorkerSlot[] = [];
  readonly #devices = new Map<number, ServedDevice>();
  #nextDevice = 0;
  #closing: Promise<void> | undefined;
  #fail: (error: VhostUserBackendError) => void = () => undefined;

  /** @throws {RangeError} when `workers` is out of range */
  constructor(options: VhostUserDaemonOptions = {}) {
    const { workers = 1, closeTimeout = CLOSE_TIMEOUT_MS } = options;
    checkInteger('workers', workers, 1, MAX_WORKERS);
    checkInteger('closeTimeout', closeTimeout, 1, MAX_TIMEOUT_MS);
    this.#ownPoller = options.poller === undefined ? new MainPoller() : undefined;
    this.#poller = options.poller ?? (this.#ownPoller as MainPoller);
    this.#logger = rateLimited(options.logger ?? silentLogger);
    this.failure = new Promise((resolve) => {
      this.#fail = resolve;
    });
    this.#maxWorkers = workers;
    this.#closeTimeout = closeTimeout;
    this.#xenMmap = options.xenMmap ?? existsSync(PRIVCMD_PATH);
    process.on('exit', this.#onExit);
  }

  /**
   * Makes a device in a worker thread and serves it.
   *
   * @throws {VhostUserBackendError} INVALID_DEVICE; whatever loading the module or making the device
   * threw, as `cause`; CLOSED
   * @throws {SysError} when the socket cannot be bound: EADDRINUSE, EACCES ...
   * @throws {DescriptorError} when `listenFd` is no Unix stream socket that listens
   * @throws {RangeError} when `socketMode` or `socketGroup` is out of range
   */
  async addDevice(spec: DeviceSpec): Promise<ServedDevice> {
    if (this.#closing !== undefined) throw closed(spec.name);
    const listener = listen(spec);
    const slot = this.#leastLoaded();
    const id = this.#nextDevice++;
    const onClosed = (gone: ServedDevice): void => {
      slot.devices.delete(gone);
      this.#devices.delete(id);
    };
    const device = new ServedDevice(
      id,
      spec,
      slot.thread,
      this.#poller,
      this.#logger,
      this.#xenMmap,
      onClosed,
    );
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
    const half = setTimeout(() => {
      for (const { thread } of this.#slots) thread.terminate();
    }, this.#closeTimeout / 2);
    const end = setTimeout(() => this.#giveUp(), this.#closeTimeout);
    await Promise.all([...this.#devices.values()].map((device) => device.close()));
    for (const { thread } of this.#slots) thread.stop();
    await Promise.all(this.#slots.map(({ thread }) => thread.ended));
    clearTimeout(half);
    clearTimeout(end);
    clearTimeout(this.#watch);
    process.off('exit', this.#onExit);
    this.#ownPoller?.close();
  }

  #giveUp(): void {
    const names = [...this.#devices.values()].map(({ name }) => name);
    this.#logger.error(
      { devices: names },
      `process ended: a device did not come back within ${this.#closeTimeout} ms of being closed`,
    );
    setTimeout(() => exitNow(1), LAST_WORDS_MS);
  }

  /** Node waits for threads at its exit, also for those that it cannot end. */
  readonly #onExit = (): void => {
    const busy = this.#slots.filter(({ thread }) => thread.exiting(this.#closeTimeout));
    if (busy.length > 0) exitWithin(this.#closeTimeout / 1000);
  };

  /** Looks at all workers, again and again: what holds one up is to be noticed within a second. */
  readonly #look = (): void => {
    const now = performance.now();
    for (const { thread } of this.#slots) thread.look(now);
    const pause = now < this.#alertUntil ? ALERT_INTERVAL_MS : WATCH_INTERVAL_MS;
    this.#watch = setTimeout(this.#look, pause).unref();
  };

  #watchdogEvents(slot: () => WorkerSlot): WatchdogEvents {
    return {
      notifyStalled: (device) => {
        this.#alertUntil = performance.now() + ALERT_MS;
        this.#devices.get(device)?.notifyStalled();
      },
      deviceWaits: (device, call) => this.#devices.get(device)?.waits(call),
      deviceHangs: (id, call) => {
        const { thread } = slot();
        if (this.#hanging.has(thread)) return;
        this.#hanging.add(thread);
        const error = this.#devices.get(id)?.hangs(call);
        thread.terminate(error);
        if (error !== undefined) this.#fail(error);
      },
    };
  }

  #startWorker(name: string): WorkerSlot {
    this.#interrupt ??= ThreadInterrupt.install();
    if (this.#watch === undefined) this.#look();
    const watchdog = this.#watchdogEvents(() => slot);
    const thread = new WorkerThread(name, this.#interrupt, watchdog, (event) =>
      this.#onEvent(event),
    );
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

function listen(spec: DeviceSpec): UnixListener {
  const { name, socketPath, socketMode: mode, socketGroup: group, listenFd } = spec;
  if (socketPath !== undefined && listenFd === undefined) {
    return UnixListener.bind(socketPath, {
      ...(mode === undefined ? {} : { mode }),
      ...(group === undefined ? {} : { group }),
    });
  }
  if (socketPath === undefined && listenFd !== undefined) {
    if (mode === undefined && group === undefined) return UnixListener.fromFd(asFd(listenFd));
    throw new TypeError(`Cannot serve device ${name}: socketMode and socketGroup need socketPath`);
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
