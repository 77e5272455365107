import { DispatchThread, type DispatchThreadOptions } from '@node-vmm/vm-dispatch';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterAll, beforeAll } from 'vitest';

/** A dispatch thread that lives as long as the tests of the suite in which this is made. */
export class SuiteThread {
  readonly poller = new MainPoller();
  #thread: DispatchThread | undefined;

  constructor(options: DispatchThreadOptions = {}) {
    beforeAll(async () => {
      this.#thread = await DispatchThread.start({ poller: this.poller }, options);
    });
    afterAll(async () => {
      this.#thread?.close();
      await this.#thread?.ended;
      this.poller.close();
    });
  }

  /** Within a test. @throws {Error} before that */
  get thread(): DispatchThread {
    if (this.#thread === undefined) throw new Error('Cannot use the thread: no test runs yet');
    return this.#thread;
  }
}
