import { constants, openSync } from 'node:fs';
import { asFd, type Fd } from './brand.ts';
import { EAGAIN } from './errno.ts';
import { SysError } from './errors.ts';
import { closeFd } from './fd.ts';
import { tryLockFile } from './file-lock.ts';

const PAUSE_MS = 5;

/**
 * A lock between processes on a directory (`flock`): leaves no file behind, and the kernel releases it
 * when its holder dies. Whoever may read the directory may hold it, so nobody waits for ever.
 */
export class DirectoryLock implements Disposable {
  readonly #fd: Fd;
  #live = true;

  private constructor(fd: Fd) {
    this.#fd = fd;
  }

  /**
   * Blocks this thread until nobody else has the lock.
   *
   * @param patience - milliseconds, default 1000; holders of our kind need less than one
   * @throws {SysError} EAGAIN when somebody kept it for longer than that
   * @throws Node's own error when the directory cannot be opened
   */
  static take(path: string, patience = 1000): DirectoryLock {
    const fd = asFd(openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
    try {
      const clock = new Int32Array(new SharedArrayBuffer(4));
      for (let waited = 0; ; waited += PAUSE_MS) {
        if (tryLockFile(fd, path)) return new DirectoryLock(fd);
        if (waited >= patience) {
          throw new SysError({ syscall: 'flock', errno: EAGAIN, subject: path });
        }
        Atomics.wait(clock, 0, 0, PAUSE_MS);
      }
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
