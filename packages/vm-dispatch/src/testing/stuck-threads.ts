import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StuckFiles } from './stuck-files.ts';

/** Undefined in a bundle of CommonJS, which has no such thread: whoever starts one is told that it is not there. */
const HERE: string | undefined = import.meta.url;
/** Tests run the sources, which Node 20 cannot load in a worker thread. */
const ENTRY =
  HERE?.endsWith('.ts') === true ? '../../dist/testing/stuck-thread.js' : './stuck-thread.js';

/**
 * Dispatch threads that a test has stuck at the next answer to a vCPU, which they have written and do not announce:
 * in a loop, or in a system call that nothing ends but the test.
 */
export class StuckThreads implements Disposable {
  /** `threadModule` of the threads. */
  readonly module: URL;
  readonly #dir = mkdtempSync(join(tmpdir(), 'stuck-'));
  readonly #files = new StuckFiles(this.#dir);

  constructor() {
    const entry = new URL(ENTRY, HERE ?? 'file:///');
    entry.searchParams.set('dir', this.#dir);
    // Of a file Node gives a thread the path alone.
    const program = `import ${JSON.stringify(entry.href)};`;
    this.module = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
  }

  /** After {@link loopNext}: whether the thread loops. */
  get looping(): boolean {
    return !existsSync(this.#files.loop);
  }

  /** After {@link blockNext}: whether the thread is at its system call. */
  get blocking(): boolean {
    return existsSync(this.#files.blocked);
  }

  /** The next answer is the thread's last: it loops. */
  loopNext(): void {
    writeFileSync(this.#files.loop, '');
  }

  /** The next answer waits in a system call, until {@link free}. */
  blockNext(): void {
    execFileSync('mkfifo', [this.#files.fifo]);
  }

  /** Whoever waits in the system call goes on. */
  free(): void {
    const { fifo } = this.#files;
    // Waits for it to be there, as it is not for a moment after each signal.
    closeSync(openSync(fifo, constants.O_WRONLY));
    rmSync(fifo);
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true });
  }
}
