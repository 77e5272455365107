import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import {
  Epoll,
  EventFd,
  errorMessage,
  makeAll,
  orClose,
  type ThreadInterrupt,
  threadOptions,
} from '@node-vmm/vmm-sys-util';
import { createPulse, PULSE } from '../between/pulse.ts';
import { UNSETTLED_TOP_LEVEL_AWAIT } from '../between/thread-data.ts';
import type {
  ErrorRecord,
  Params,
  Result,
  WorkerCallName,
  WorkerData,
  WorkerMessage,
} from '../between/worker-calls.ts';
import { VhostUserBackendError } from '../errors.ts';
import { FROM_SOURCE } from './thread-entry.ts';
import { type WatchdogEvents, WorkerWatchdog } from './worker-watchdog.ts';

interface Pending {
  readonly call: WorkerCallName;
  resolve(value: never): void;
  reject(error: Error): void;
}

/** What a worker says without being asked. */
export type WorkerEvent = Exclude<WorkerMessage, { type: 'answer' | 'refusal' }>;

/** The main thread's handle of a worker thread that blocks in `epoll_wait`. */
export class WorkerThread {
  /** Resolves when the thread has ended; with an error when it did so by itself. */
  readonly ended: Promise<VhostUserBackendError | undefined>;
  readonly #ends = makeAll({
    stop: EventFd.create,
    wake: EventFd.create,
    epoll: () => new Epoll(),
  });
  readonly #worker: Worker;
  readonly #pulse = createPulse();
  readonly #watchdog: WorkerWatchdog;
  readonly #port: MessagePort;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #stopping = false;
  #live = true;
  #failure: VhostUserBackendError | undefined;

  /**
   * @param name - for messages
   * @param entry - what it runs: see `threadEntry`
   * @param interrupt - frees the thread when a front-end blocks it
   * @param watchdog - told what `look` finds
   * @param onEvent - called on the main thread
   * @throws {SysError} EMFILE ...
   * @throws {Error} what Node says where it can have no such thread
   */
  constructor(
    name: string,
    entry: URL,
    interrupt: ThreadInterrupt,
    watchdog: WatchdogEvents,
    onEvent: (event: WorkerEvent) => void,
  ) {
    this.#watchdog = new WorkerWatchdog(this.#pulse, interrupt, watchdog);
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const { stop, wake, epoll } = this.#ends;
    const data: WorkerData = {
      nodeVmmThread: 'vring',
      stopFd: stop.fd,
      wakeFd: wake.fd,
      epollFd: epoll.fd,
      pulse: this.#pulse,
      port: port2,
    };
    const ports = { [Symbol.dispose]: () => port1.close() };
    const worker = orClose({ ...this.#ends, ports }, () => startWorker(entry, name, data));
    this.#worker = worker;
    port1.on('message', (message: WorkerMessage) => this.#onMessage(message, onEvent));
    // The thread itself keeps the process alive.
    port1.unref();
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    this.ended = new Promise((resolve) => {
      worker.on('exit', (code) => {
        if (!this.#stopping) this.#failure ??= endedByItself(name, code, cause);
        this.#live = false;
        this.#finish();
        resolve(this.#failure);
      });
    });
  }

  /** Seat of the device whose code runs in the thread, or ran when it ended. */
  get running(): number | undefined {
    if (Atomics.load(this.#pulse, PULSE.DEVICE_TURN) % 2 === 0) return undefined;
    return Atomics.load(this.#pulse, PULSE.DEVICE);
  }

  /**
   * Asks the thread, which answers between two batches. One that is ending does not answer: then this
   * rejects when it has ended, and not before, since until then it may use what it was given.
   *
   * @throws {VhostUserBackendError} what the thread refused with; WORKER_FAILED, CLOSED
   */
  async call<N extends WorkerCallName>(
    seat: number,
    call: N,
    params: Params<N>,
  ): Promise<Result<N>> {
    if (this.#failure !== undefined || this.#stopping || !this.#live) {
      const failure = await this.ended;
      throw failure ?? ended(call);
    }
    const id = this.#nextId++;
    return new Promise<Result<N>>((resolve, reject) => {
      // Options of a device may hold what cannot be cloned: that throws, and rejects.
      this.#port.postMessage({ id, seat, call, params });
      this.#pending.set(id, { call, resolve, reject });
      this.#ends.wake.signal();
    });
  }

  /** Ends the thread's loop; `ended` tells when it is gone. Idempotent, for any moment. */
  stop(): void {
    this.#stopping = true;
    const { stop } = this.#ends;
    if (stop.live) stop.signal();
  }

  /** Looks at what the thread is doing. */
  look(now: number): void {
    if (this.#live) this.#watchdog.look(now);
  }

  /**
   * Ends the thread wherever it is, except in a system call that no signal ends. `ended` tells when it
   * is gone: until then it may use what it was given.
   *
   * @param failure - what `ended` resolves with when the thread was not asked to stop before
   */
  terminate(failure?: VhostUserBackendError): void {
    if (!this.#live) return;
    if (!this.#stopping) this.#failure ??= failure;
    void this.#worker.terminate();
    this.#watchdog.interrupt();
  }

  /**
   * For a process that is about to exit: waits for a thread that is loading modules, during which the
   * process would be aborted, and frees one that a front-end blocks.
   *
   * @param timeout - milliseconds
   * @returns true when the thread may go on holding up the process
   */
  exiting(timeout: number): boolean {
    if (!this.#live) return false;
    this.stop();
    Atomics.wait(this.#pulse, PULSE.LOADING, 1, timeout);
    const busy = [PULSE.DEVICE_TURN, PULSE.NOTIFY_TURN].some(
      (turn) => Atomics.load(this.#pulse, turn) % 2 !== 0,
    );
    if (busy) this.#watchdog.interrupt();
    return busy;
  }

  #onMessage(message: WorkerMessage, onEvent: (event: WorkerEvent) => void): void {
    if (message.type !== 'answer' && message.type !== 'refusal') {
      onEvent(message);
      return;
    }
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.type === 'answer') pending?.resolve(message.result as never);
    else pending?.reject(errorOf(message.error));
  }

  #finish(): void {
    this.#port.close();
    for (const end of Object.values(this.#ends)) end.close();
    for (const { call, reject } of this.#pending.values()) reject(this.#failure ?? ended(call));
    this.#pending.clear();
  }
}

function startWorker(entry: URL, name: string, data: WorkerData): Worker {
  return new Worker(entry, {
    name,
    workerData: data,
    transferList: [data.port],
    // Else the process's own, of which Node refuses some where they are named.
    ...(FROM_SOURCE ? { execArgv: [] } : threadOptions()),
    // Descriptors belong to the process, not to the thread that happens to close them.
    trackUnmanagedFds: false,
  });
}

/** An error of the worker thread as it is seen here, with the stack from there. */
export function errorOf(record: ErrorRecord): VhostUserBackendError {
  const cause = new Error(record.message);
  if (record.stack !== undefined) cause.stack = record.stack;
  return new VhostUserBackendError(record.code, record.message, {}, { cause });
}

function ended(call: WorkerCallName): VhostUserBackendError {
  return new VhostUserBackendError('CLOSED', `Cannot ask a worker for ${call}: it has ended`);
}

function exitReason(code: number): string {
  if (code !== UNSETTLED_TOP_LEVEL_AWAIT) return `exit code ${code}`;
  return `exit code ${code}: an await at the top of a module waits without end`;
}

function endedByItself(name: string, code: number, cause: unknown): VhostUserBackendError {
  const why = cause === undefined ? exitReason(code) : errorMessage(cause);
  return new VhostUserBackendError(
    'WORKER_FAILED',
    `Cannot go on with worker ${name}: ${why}`,
    {},
    { cause },
  );
}
