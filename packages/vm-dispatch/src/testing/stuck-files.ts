import { join } from 'node:path';

/** By which files a test and a thread that it has stuck know of each other. */
export class StuckFiles {
  /** Is there until the thread loops. */
  readonly loop: string;
  /** A FIFO that the thread waits at. */
  readonly fifo: string;
  /** Is there when it does. */
  readonly blocked: string;

  constructor(dir: string) {
    this.loop = join(dir, 'loop');
    this.fifo = join(dir, 'fifo');
    this.blocked = join(dir, 'blocked');
  }
}
