import { type MessagePort, Worker } from 'node:worker_threads';
import {
  asFd,
  closeFd,
  errorMessage,
  type Fd,
  type ThreadInterrupt,
  threadOptions,
} from '@node-vmm/vmm-sys-util';
import {
  HOST_PULSE,
  HOST_PULSE_LENGTH,
  type HostControl,
  type HostErrorRecord,
  type HostEvent,
  type HostThreadData,
  hostErrorRecord,
} from '../between/host-protocol.ts';
import { VhostUserBackendError } from '../errors.ts';
import { FROM_SOURCE } from './thread-entry.ts';

/**
 * A host thread has the objects of a few requests at a time: what Node gives a thread by default is for
 * more. Megabytes.
 */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 2 } as const;

/** Tells a device that the thread is gone; settles when the device has let go of the eventfd. */
export type HostLost = (error: HostErrorRecord) => Promise<unknown>;

interface Connection {
  readonly wakeFd: Fd;
  readonly lost: HostLost;
}

/** The main thread's handle of a host thread. */
export class HostThreadControl {
  readonly key: string;
  /** URL of its module. */
  readonly module: string;
  /** Resolves when the thread has ended and all have let go of it. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #interrupt: ThreadInterrupt;
  readonly #pulse = new Int32Array(new SharedArrayBuffer(4 * HOST_PULSE_LENGTH));
  readonly #connections = new Map<number, Connection>();
  #next = 0;
  #failure: HostErrorRecord | undefined;
  #live = true;

  /**
   * @param entry - what it runs: see `threadEntry`
   * @param interrupt - frees the thread from a system call that a signal ends
   * @param unused - called when the last connection is closed, and when the thread ends
   */
  constructor(
    { key, module, options }: { key: string; module: string; options: unknown },
    entry: URL,
    interrupt: ThreadInterrupt,
    unused: () => void,
  ) {
    this.key = key;
    this.module = module;
    this.#interrupt = interrupt;
    this.#pulse[HOST_PULSE.LOADING] = 1;
    const data: HostThreadData = { nodeVmmThread: 'host', module, options, pulse: this.#pulse };
    const worker = new Worker(entry, {
      name: `host-${key}`,
      workerData: data,
      // Else the process's own, of which Node refuses some where they are named.
      ...(FROM_SOURCE ? { execArgv: [] } : threadOptions()),
      resourceLimits: RESOURCE_LIMITS,
      // Descriptors are closed by their owners: Node would warn of those that a system call gave.
      trackUnmanagedFds: false,
    });
    this.#worker = worker;
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('message', (event: HostEvent) => {
      if (event.type === 'failed') this.#failure = event.error;
      else if (this.#close(event.connection)) unused();
    });
    this.ended = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#live = false;
        unused();
        const error = this.#failure ?? hostErrorRecord(endedByItself(key, code, cause));
        resolve(this.#tell(error));
      });
    });
  }

  /**
   * @param port - the host's end of the connection
   * @param wakeFd - signalled after each message; becomes the thread's until both have let go of it
   */
  connect(port: MessagePort, wakeFd: number, lost: HostLost): void {
    const connection = this.#next++;
    this.#connections.set(connection, { wakeFd: asFd(wakeFd), lost });
    this.#post({ type: 'connect', connection, port, wakeFd }, [port]);
  }

  /** Ends the thread after the request that it works on; `ended` tells when it is gone. */
  end(): void {
    this.#post({ type: 'end' });
  }

  /** Ends the thread wherever it is, except in a system call that no signal ends. */
  terminate(): void {
    if (!this.#live) return;
    void this.#worker.terminate();
    const tid = Atomics.load(this.#pulse, HOST_PULSE.TID);
    if (tid > 0) this.#interrupt.interrupt(tid);
  }

  /**
   * For a process that is about to exit: waits for a thread that is loading modules, and frees one
   * whose host blocks.
   *
   * @param timeout - milliseconds
   * @returns true when the thread may go on holding up the process
   */
  exiting(timeout: number): boolean {
    if (!this.#live) return false;
    const stuck = Atomics.wait(this.#pulse, HOST_PULSE.LOADING, 1, timeout) === 'timed-out';
    const busy = stuck || Atomics.load(this.#pulse, HOST_PULSE.BUSY) !== 0;
    if (busy) this.terminate();
    return busy;
  }

  #post(message: HostControl, transfer: readonly MessagePort[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** @returns true when it was the last */
  #close(id: number): boolean {
    const connection = this.#connections.get(id);
    if (connection === undefined) return false;
    this.#connections.delete(id);
    closeFd(connection.wakeFd);
    return this.#connections.size === 0;
  }

  async #tell(error: HostErrorRecord): Promise<void> {
    const all = [...this.#connections].map(async ([id, { lost }]) => {
      // A device or a worker that is gone has let go, too.
      await lost(error).catch(() => undefined);
      this.#close(id);
    });
    await Promise.all(all);
  }
}

function endedByItself(key: string, code: number, cause: unknown): VhostUserBackendError {
  const why = cause === undefined ? `exit code ${code}` : errorMessage(cause);
  const text = `Cannot go on with the host thread of ${key}: it has ended (${why})`;
  return new VhostUserBackendError('HOST_THREAD_FAILED', text);
}
