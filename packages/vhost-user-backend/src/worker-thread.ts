import { execArgv } from 'node:process';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { EventFd, errorMessage } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from './errors.ts';
import type {
  ErrorRecord,
  Params,
  Result,
  WorkerCallName,
  WorkerData,
  WorkerMessage,
} from './worker-protocol.ts';

const FROM_SOURCE = import.meta.url.endsWith('.ts');

/**
 * Tests run the sources, which Node 20 cannot load in a worker thread: there, the thread runs what
 * `tsc -b` built, and without the conditions that resolve our packages to sources.
 */
const ENTRY = new URL(FROM_SOURCE ? '../dist/worker.js' : './worker.js', import.meta.url);

interface Pending {
  resolve(value: never): void;
  reject(error: Error): void;
}

/** What a worker says without being asked. */
export type WorkerEvent = Exclude<WorkerMessage, { type: 'answer' | 'refusal' }>;

/** The main thread's handle of a worker thread that blocks in `epoll_wait`. */
export class WorkerThread {
  /** Resolves when the thread has ended; with an error when it did so by itself. */
  readonly ended: Promise<VhostUserBackendError | undefined>;
  readonly #stop = EventFd.create();
  readonly #wake = EventFd.create();
  readonly #port: MessagePort;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #stopping = false;
  #failure: VhostUserBackendError | undefined;

  /**
   * @param name - for messages
   * @param onEvent - called on the main thread
   */
  constructor(name: string, onEvent: (event: WorkerEvent) => void) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const data: WorkerData = { stopFd: this.#stop.fd, wakeFd: this.#wake.fd, port: port2 };
    const worker = new Worker(ENTRY, {
      name,
      workerData: data,
      transferList: [port2],
      execArgv: FROM_SOURCE ? [] : execArgv,
      // Descriptors belong to the process, not to the thread that happens to close them.
      trackUnmanagedFds: false,
    });
    port1.on('message', (message: WorkerMessage) => this.#onMessage(message, onEvent));
    // The thread itself keeps the process alive.
    port1.unref();
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    this.ended = new Promise((resolve) => {
      worker.on('exit', (code) => {
        if (!this.#stopping) this.#failure = endedByItself(name, code, cause);
        this.#finish();
        resolve(this.#failure);
      });
    });
  }

  /**
   * Asks the thread, which answers between two batches.
   *
   * @throws {VhostUserBackendError} what the thread refused with; WORKER_FAILED, CLOSED
   */
  call<N extends WorkerCallName>(call: N, params: Params<N>): Promise<Result<N>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#stopping) {
      return Promise.reject(
        new VhostUserBackendError('CLOSED', `Cannot ask a worker for ${call}: it is stopped`),
      );
    }
    const id = this.#nextId++;
    return new Promise<Result<N>>((resolve, reject) => {
      // Options of a device may hold what cannot be cloned: that throws, and rejects.
      this.#port.postMessage({ id, call, params });
      this.#pending.set(id, { resolve, reject });
      this.#wake.signal();
    });
  }

  /** Ends the thread's loop; `ended` tells when it is gone. Idempotent, for any moment. */
  stop(): void {
    this.#stopping = true;
    if (this.#stop.live) this.#stop.signal();
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
    this.#stop.close();
    this.#wake.close();
    const error =
      this.#failure ?? new VhostUserBackendError('CLOSED', 'Cannot ask a worker: it has ended');
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/** An error of the worker thread as it is seen here, with the stack from there. */
export function errorOf(record: ErrorRecord): VhostUserBackendError {
  const cause = new Error(record.message);
  if (record.stack !== undefined) cause.stack = record.stack;
  return new VhostUserBackendError(record.code, record.message, {}, { cause });
}

function endedByItself(name: string, code: number, cause: unknown): VhostUserBackendError {
  const why = cause === undefined ? `exit code ${code}` : errorMessage(cause);
  return new VhostUserBackendError(
    'WORKER_FAILED',
    `Cannot go on with worker ${name}: ${why}`,
    {},
    { cause },
  );
}
