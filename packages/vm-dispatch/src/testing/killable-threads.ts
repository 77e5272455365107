import process from 'node:process';
import type { Worker } from 'node:worker_threads';

/** Worker threads that the thread which makes this starts from then on, and that a test can kill. */
export class KillableThreads implements Disposable {
  readonly #live: Worker[] = [];
  #started = 0;

  constructor() {
    process.on('worker', this.#add);
  }

  readonly #add = (worker: Worker): void => {
    this.#started++;
    this.#live.push(worker);
    worker.once('exit', () => this.#live.splice(this.#live.indexOf(worker), 1));
  };

  /** How many there were. */
  get started(): number {
    return this.#started;
  }

  /**
   * Ends a thread at whatever JavaScript it runs next: one that blocks is to be woken meanwhile.
   *
   * @param at - of those that live, in the order in which they were started; default: the last
   * @returns ends when it is gone
   */
  async kill(at: number = -1): Promise<void> {
    await this.#live.at(at)?.terminate();
  }

  [Symbol.dispose](): void {
    process.off('worker', this.#add);
  }
}
