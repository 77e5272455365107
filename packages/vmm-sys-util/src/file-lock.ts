import type { Fd } from './brand.ts';
import { EAGAIN } from './errno.ts';
import { check, errno, retry, sys } from './libc.ts';

/** sys/file.h. */
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Locks a file or a directory against all others that ask for it (`flock`), without waiting. The lock is
 * of the open file: the kernel releases it when the last descriptor of that is closed, and so when its
 * holder dies. Another `open` of the same file in this process does not have it.
 *
 * @param subject - for messages
 * @returns false when somebody else has it
 * @throws {SysError} EBADF, ENOLCK ...
 */
export function tryLockFile(fd: Fd, subject?: string): boolean {
  const result = retry(() => sys.flock(fd, LOCK_EX | LOCK_NB));
  if (result < 0 && errno() === EAGAIN) return false;
  check(result, 'flock', subject);
  return true;
}
