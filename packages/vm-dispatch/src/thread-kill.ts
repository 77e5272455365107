import type { Worker } from 'node:worker_threads';
import { ThreadInterrupt } from '@node-vmm/vmm-sys-util';

/** Ours: how long a thread may take to end, milliseconds; what it does is to come to the next call or loop. */
const END_MS = 1000;
/** Ours: milliseconds between two signals: one may come just before the system call that it is to end. */
const SIGNAL_MS = 20;

/**
 * Ends a worker thread wherever it is: in a loop, or in a system call that a signal ends. One that nothing ends it
 * stays in; it runs nothing when it comes back from there.
 */
export class ThreadKill {
  readonly #worker: Worker;
  readonly #tid: () => number;
  #timer: NodeJS.Timeout | undefined;
  #begun = false;

  /** @param tid - of the thread, as the kernel has it; 0 before it has said so */
  constructor(worker: Worker, tid: () => number) {
    this.#worker = worker;
    this.#tid = tid;
  }

  /** Whether it is being ended. */
  get begun(): boolean {
    return this.#begun;
  }

  /** @param onRefused - called once where it has not ended in time; it may yet */
  begin(onRefused: () => void): void {
    if (this.#begun) return;
    this.#begun = true;
    void this.#worker.terminate();
    const interrupt = ThreadInterrupt.install();
    const end = performance.now() + END_MS;
    const signal = (): void => {
      const tid = this.#tid();
      if (tid > 0) interrupt.interrupt(tid);
      if (performance.now() < end) return;
      this.over();
      onRefused();
    };
    this.#timer = setInterval(signal, SIGNAL_MS);
    signal();
  }

  /** It has ended. */
  over(): void {
    clearInterval(this.#timer);
  }
}
