import type { WantedChunk } from '@node-vmm/vm-memory';
import { type RateLimitedLogger, ThreadInterrupt } from '@node-vmm/vmm-sys-util';
import type { ConnectHost } from '../between/host-protocol.ts';
import type { DeviceCall } from '../between/pulse.ts';
import type { ErrorRecord, InstanceEvent } from '../between/worker-calls.ts';
import { VhostUserBackendError } from '../errors.ts';
import { HostThreads } from './host-threads.ts';
import { WorkerSeat } from './worker-seat.ts';
import { type WorkerEvent, WorkerThread } from './worker-thread.ts';
import { WATCH_INTERVAL_MS, type WatchdogEvents } from './worker-watchdog.ts';

/** What a device in a worker is told, on the main thread. */
export interface WorkerTenant {
  readonly name: string;
  configChanged(): void;
  memoryReleased(generation: number): void;
  /** It needs memory that is mapped on demand. */
  memoryWanted(generation: number, chunks: readonly WantedChunk[]): void;
  /** It has given back a chunk of such memory. */
  memoryIdle(memory: number): void;
  /** It tells those who listen outside: JSON. */
  emitted(text: string): void;
  /** Its front-end's eventfd blocked the worker. */
  notifyStalled(): void;
  /** Memory that its front-end shares is not there. */
  memoryFault(): void;
  /** Its code has been waiting for long. */
  waits(call: DeviceCall): void;
  /** Its code threw. */
  failed(record: ErrorRecord): void;
  /**
   * The worker ends with everything on it.
   *
   * @param guilty - by the device's doing, as far as one can tell
   */
  workerLost(error: VhostUserBackendError, guilty: boolean): void;
}

interface WorkerSlot {
  readonly thread: WorkerThread;
  readonly tenants: Map<number, WorkerTenant>;
}

/** How long other stalls are looked for more often after one, milliseconds. */
const ALERT_MS = 2_000;
const ALERT_INTERVAL_MS = 20;

/** No device's seat: for calls of the thread itself. */
const NOBODY = -1;

/** The worker threads of a daemon, and which device has a seat in which. */
export class WorkerPool {
  /** Most threads that take devices. */
  readonly max: number;
  readonly #entry: URL;
  readonly #logger: RateLimitedLogger;
  readonly #hosts: HostThreads;
  #interrupt: ThreadInterrupt | undefined;
  #watch: NodeJS.Timeout | undefined;
  #alertUntil = 0;
  /** Those that devices may go to. One that hangs or has ended makes room for another. */
  readonly #slots = new Set<WorkerSlot>();
  /** Those that have not ended. */
  readonly #threads = new Set<WorkerThread>();
  #nextSeat = 0;
  #nextThread = 0;

  /** @param entry - what threads run: see `threadEntry` */
  constructor(max: number, entry: URL, logger: RateLimitedLogger) {
    this.max = max;
    this.#entry = entry;
    this.#logger = logger;
    this.#hosts = new HostThreads(entry, logger);
  }

  /**
   * Gives a device that is about to be made a place, with a number that none had before.
   *
   * @param others - places of the same device: this one is in another thread, so there are fewer than
   * `max`
   * @throws {SysError} EMFILE ... when it takes a new thread and there can be none
   */
  seat(tenant: WorkerTenant, others: readonly WorkerSeat[]): WorkerSeat {
    const { thread, tenants } = this.#leastLoaded(new Set(others.map((seat) => seat.thread)));
    const number = this.#nextSeat++;
    tenants.set(number, tenant);
    return new WorkerSeat(number, thread, () => tenants.delete(number));
  }

  /**
   * Resolves when every thread that takes devices has answered, from between two batches. One that ends
   * meanwhile is no longer among them.
   */
  async ping(): Promise<void> {
    await Promise.allSettled([...this.#slots].map(({ thread }) => thread.call(NOBODY, 'ping', {})));
  }

  /** Which of these memories a thread still looks at; one that has ended looks at none. */
  async viewed(memories: readonly number[], collect: boolean): Promise<ReadonlySet<number>> {
    const ask = async (thread: WorkerThread): Promise<readonly number[]> => {
      try {
        return await thread.call(NOBODY, 'viewed', { memories, collect });
      } catch {
        // It rejects when the thread has ended, and not before.
        return [];
      }
    };
    return new Set((await Promise.all([...this.#threads].map(ask))).flat());
  }

  /** Ends threads wherever they are. */
  terminate(): void {
    for (const thread of this.#threads) thread.terminate();
    this.#hosts.terminate();
  }

  /** Ends the threads and waits for that. */
  async close(): Promise<void> {
    for (const thread of this.#threads) thread.stop();
    await Promise.all([...this.#threads].map(({ ended }) => ended));
    await this.#hosts.close();
    clearTimeout(this.#watch);
  }

  /**
   * For a process that is about to exit: Node waits for threads, also for those that it cannot end.
   *
   * @param timeout - milliseconds for each thread
   * @returns true when one may go on holding up the process
   */
  exiting(timeout: number): boolean {
    const hosts = this.#hosts.exiting(timeout);
    return [...this.#threads].filter((thread) => thread.exiting(timeout)).length > 0 || hosts;
  }

  /**
   * A thread is started for the first device that needs it, which waits for it: a process that ends
   * while a thread is still loading native code would be aborted by it.
   */
  #leastLoaded(taken: ReadonlySet<WorkerThread>): WorkerSlot {
    const slots = [...this.#slots].filter(({ thread }) => !taken.has(thread));
    const idle = slots.find(({ tenants }) => tenants.size === 0);
    if (idle !== undefined) return idle;
    if (this.#slots.size < this.max || slots.length === 0) return this.#startWorker();
    return slots.reduce((best, slot) => (slot.tenants.size < best.tenants.size ? slot : best));
  }

  #startWorker(): WorkerSlot {
    this.#interrupt ??= ThreadInterrupt.install();
    const tenants = new Map<number, WorkerTenant>();
    const watchdog = this.#watchdogEvents(() => slot);
    const name = `vring-${this.#nextThread++}`;
    const thread = new WorkerThread(name, this.#entry, this.#interrupt, watchdog, (event) => {
      if (event.type === 'connectHost') this.#connectHost(event, thread);
      else this.#onEvent(event, tenants);
    });
    const slot: WorkerSlot = { thread, tenants };
    this.#slots.add(slot);
    this.#threads.add(thread);
    if (this.#watch === undefined) this.#look();
    void thread.ended.then((error) => {
      this.#threads.delete(thread);
      if (error !== undefined) this.#lose(slot, error, thread.running);
    });
    return slot;
  }

  /** Looks at all workers, again and again: what holds one up is to be noticed within a second. */
  readonly #look = (): void => {
    const now = performance.now();
    for (const thread of this.#threads) thread.look(now);
    const pause = now < this.#alertUntil ? ALERT_INTERVAL_MS : WATCH_INTERVAL_MS;
    this.#watch = setTimeout(this.#look, pause).unref();
  };

  #watchdogEvents(slotOf: () => WorkerSlot): WatchdogEvents {
    const tenant = (id: number): WorkerTenant | undefined => slotOf().tenants.get(id);
    return {
      deviceWaits: (id, call) => tenant(id)?.waits(call),
      deviceHangs: (id, call) => {
        const slot = slotOf();
        const error = hangs(tenant(id)?.name ?? 'that has gone', call);
        // Again at each look: a signal that comes just before a system call does not end it.
        slot.thread.terminate(error);
        this.#lose(slot, error, id);
      },
    };
  }

  /**
   * A thread ends or has ended: no device goes there any more, and those that are there hear it now,
   * however long the thread takes. What it was given stays until it has ended, see `WorkerThread.call`.
   *
   * @param guilty - the device whose doing it is, undefined when nobody knows
   */
  #lose(slot: WorkerSlot, error: VhostUserBackendError, guilty: number | undefined): void {
    if (!this.#slots.delete(slot)) return;
    if (slot.tenants.size === 0) this.#logger.error({ err: error }, error.message);
    const known = guilty === undefined ? undefined : slot.tenants.get(guilty);
    // Each hears it once; what they do about it may change who is there.
    for (const [id, tenant] of [...slot.tenants]) {
      const own = known === undefined || id === guilty;
      const same = own && error.context.device === tenant.name;
      tenant.workerLost(same ? error : lost(tenant.name, error, known?.name), own);
    }
  }

  #connectHost(request: ConnectHost, thread: WorkerThread): void {
    const { seat, link } = request;
    this.#hosts.connect(request, (error) => thread.call(seat, 'hostLost', { link, error }));
  }

  #onEvent(
    event: Exclude<WorkerEvent, ConnectHost>,
    tenants: ReadonlyMap<number, WorkerTenant>,
  ): void {
    if (event.type === 'log') {
      // Limited where it comes from, so that it does not pile up between the threads.
      this.#logger.unlimited[event.level](event.context, event.message);
      return;
    }
    const tenant = tenants.get(event.seat);
    if (tenant !== undefined) this.#tell(tenant, event.event);
  }

  #tell(tenant: WorkerTenant, event: InstanceEvent): void {
    if (event.type === 'failed') tenant.failed(event.error);
    else if (event.type === 'configChanged') tenant.configChanged();
    else if (event.type === 'memoryReleased') tenant.memoryReleased(event.generation);
    else if (event.type === 'memoryWanted') tenant.memoryWanted(event.generation, event.chunks);
    else if (event.type === 'memoryIdle') tenant.memoryIdle(event.memory);
    else if (event.type === 'memoryFault') tenant.memoryFault();
    else if (event.type === 'emitted') tenant.emitted(event.text);
    else {
      this.#alertUntil = performance.now() + ALERT_MS;
      tenant.notifyStalled();
    }
  }
}

function hangs(device: string, call: DeviceCall): VhostUserBackendError {
  return new VhostUserBackendError(
    'DEVICE_HANGS',
    `Cannot go on with device ${device}: ${call} does not come back; look there for a loop or a wait without end`,
    { device },
  );
}

function lost(
  device: string,
  cause: VhostUserBackendError,
  guilty: string | undefined,
): VhostUserBackendError {
  const whose =
    guilty === undefined || guilty === device ? '' : ` by the doing of device ${guilty}`;
  const text = `Cannot go on with device ${device}: its worker has ended${whose} (${cause.message})`;
  return new VhostUserBackendError('WORKER_FAILED', text, { device }, { cause });
}
