import { setTimeout as delay } from 'node:timers/promises';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { KvmSysError } from './errors.ts';
import type { VcpuControl } from './vcpu-control.ts';
import type { VcpuTicket } from './vcpu-ticket.ts';

/** What a vCPU's Worker finds as its `workerData`. */
export interface VcpuWorkerData<T = unknown> {
  /** For `KvmVcpu.attach`. */
  readonly vcpu: VcpuTicket;
  /** What the starter has given along. */
  readonly data: T;
}

/** A vCPU and the Worker that runs it. */
export interface VcpuThread {
  readonly vcpu: VcpuControl;
  readonly worker: Worker;
  /**
   * Resolved when the thread has ended and has nothing of the vCPU any more.
   *
   * @throws what the thread has thrown; nobody has to wait for it
   */
  readonly ended: Promise<void>;
}

/** Ours: how long a thread may take to leave the guest and to end, milliseconds. */
export const VCPU_STOP_DEADLINE_MS = 2000;

/**
 * Ours: how long a thread may take to load its modules and to take its vCPU, milliseconds. On a machine that has
 * much to do that is seconds.
 */
export const VCPU_BEGIN_DEADLINE_MS = 60_000;
/** Ours: milliseconds between two looks whether a thread has begun. */
const LOOK_MS = 5;

/**
 * The Workers that run vCPUs of a VM. Node waits for its Workers when the process exits, and one in the
 * guest would never end: those started here are taken out of it.
 */
export class VcpuThreads {
  readonly #threads = new Set<VcpuThread>();

  /** Those that have not ended. */
  get running(): number {
    return this.#threads.size;
  }

  /**
   * Starts a Worker for a vCPU. Its module begins with
   * `KvmVcpu.attach((workerData as VcpuWorkerData).vcpu)`, closes that at its end, and must not go on for
   * ever once `stopRequested` is true.
   *
   * @param entry - module of the Worker
   * @param data - given along, cloned
   * @throws {Error} what Node says where it can have no such thread; the vCPU is free then
   */
  start(
    vcpu: VcpuControl,
    entry: URL,
    data?: unknown,
    options: Omit<WorkerOptions, 'workerData'> = {},
  ): VcpuThread {
    const workerData: VcpuWorkerData = { vcpu: vcpu.ticket(), data };
    const worker = new Worker(entry, { name: `vcpu ${vcpu.id}`, ...options, workerData });
    let failure: { readonly error: unknown } | undefined;
    worker.on('error', (error) => {
      failure = { error };
    });
    const ended = new Promise<void>((resolve, reject) => {
      worker.once('exit', () => {
        vcpu.threadEnded();
        this.#remove(thread);
        if (failure === undefined) resolve();
        else reject(failure.error);
      });
    });
    // Nobody has to wait: what was thrown is no unhandled rejection.
    ended.catch(() => undefined);
    const thread: VcpuThread = { vcpu, worker, ended };
    this.#add(thread);
    return thread;
  }

  /**
   * Stops all threads: each leaves the guest, and ends. One that does not, because its own code goes on, is
   * terminated when the deadline has passed. One that has not taken its vCPU yet is not late before it has:
   * terminated while it loads its modules, Node would leave their files open.
   *
   * @param deadlineMs - milliseconds, for each of the two
   * @param beginDeadlineMs - milliseconds that a thread may take to begin; default {@link VCPU_BEGIN_DEADLINE_MS}
   * @throws {KvmSysError} STILL_RUNNING when a thread is in a system call that nothing ends
   */
  async stop(
    deadlineMs: number = VCPU_STOP_DEADLINE_MS,
    beginDeadlineMs: number = VCPU_BEGIN_DEADLINE_MS,
  ): Promise<void> {
    const threads = [...this.#threads];
    await Promise.all(threads.map((thread) => this.#stop(thread, deadlineMs, beginDeadlineMs)));
  }

  async #stop(thread: VcpuThread, deadlineMs: number, beginDeadlineMs: number): Promise<void> {
    thread.vcpu.requestStop();
    await this.#begins(thread, beginDeadlineMs);
    if (await this.#endsWithin(thread, deadlineMs)) return;
    void thread.worker.terminate();
    // For a thread that has gone back into a system call of its own since.
    thread.vcpu.requestStop();
    if (await this.#endsWithin(thread, deadlineMs)) return;
    throw new KvmSysError(
      'STILL_RUNNING',
      `Cannot stop vCPU ${thread.vcpu.id}: its thread did not end within ${2 * deadlineMs} ms`,
      { vcpu: thread.vcpu.id },
    );
  }

  /** Ends when it has, has ended instead, or takes too long. */
  async #begins(thread: VcpuThread, ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (!thread.vcpu.taken && this.#threads.has(thread) && performance.now() < end) {
      await delay(LOOK_MS);
    }
  }

  async #endsWithin(thread: VcpuThread, ms: number): Promise<boolean> {
    const timer = new AbortController();
    const late = delay(ms, false, { signal: timer.signal }).catch(() => false);
    const done = thread.ended.then(
      () => true,
      () => true,
    );
    const result = await Promise.race([done, late]);
    timer.abort();
    return result;
  }

  readonly #onExit = (): void => {
    for (const { vcpu } of this.#threads) vcpu.requestStop();
  };

  #add(thread: VcpuThread): void {
    this.#threads.add(thread);
    if (this.#threads.size > 1) return;
    // One for each VM that runs: more than Node takes for normal are none the less meant.
    process.setMaxListeners(process.getMaxListeners() + 1);
    process.on('exit', this.#onExit);
  }

  #remove(thread: VcpuThread): void {
    if (!this.#threads.delete(thread) || this.#threads.size > 0) return;
    process.off('exit', this.#onExit);
    process.setMaxListeners(process.getMaxListeners() - 1);
  }
}
