import type { HostThread } from '@node-vmm/vhost-user-backend';
import type { EntropyRead, EntropySource } from './entropy-source.ts';
import { SOURCE_READ_MAX, type SourceRequest } from './source-thread.ts';

const NONE = new Uint8Array();

/** A source that another thread reads, since it may let its reader wait. */
export class ThreadSource implements EntropySource {
  readonly most = SOURCE_READ_MAX;
  readonly #thread: HostThread;
  /** What was read and given to nobody: a file has each byte once. */
  #spare = NONE;

  /** @param thread - of `source-thread`; becomes the source's, which closes it */
  constructor(thread: HostThread) {
    this.#thread = thread;
  }

  read(bytes: number, done: EntropyRead): void {
    const spare = this.#spare;
    if (spare.length > 0) {
      this.#spare = spare.subarray(bytes);
      done(spare.subarray(0, bytes));
      return;
    }
    const request: SourceRequest = { bytes: Math.min(bytes, SOURCE_READ_MAX) };
    this.#thread.request(request, (error, answer) => {
      if (error === undefined) done(answer as Uint8Array);
      else done(NONE, error);
    });
  }

  unread(bytes: Uint8Array): void {
    // In front of what is left of an earlier read.
    const spare = new Uint8Array(bytes.length + this.#spare.length);
    spare.set(bytes);
    spare.set(this.#spare, bytes.length);
    this.#spare = spare;
  }

  [Symbol.dispose](): void {
    this.#thread.close();
  }
}
