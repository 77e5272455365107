import { closeSync, fstatSync, openSync } from 'node:fs';
import { asFd, type Fd } from './brand.ts';
import { EAGAIN, EINTR } from './errno.ts';
import { check, errno, type MemoryArg, retry, sys } from './libc.ts';

const F_DUPFD_CLOEXEC = 1030;
const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const FD_CLOEXEC = 1;
/** asm-generic/fcntl.h. */
const O_ACCMODE = 3;
const O_RDWR = 2;
/** asm-generic/fcntl.h. */
export const O_NONBLOCK = 0o4000;

/**
 * Opens a file, close-on-exec.
 *
 * @param flags - as `fs.openSync` takes them
 * @throws Node's own error with `code`
 */
export function openFd(path: string, flags: string | number = 'r+'): Fd {
  return asFd(openSync(path, flags));
}

/** Closes a descriptor. */
export function closeFd(fd: Fd): void {
  closeSync(fd);
}

/** Closes several descriptors, all of them even when one fails. */
export function closeFds(fds: Iterable<Fd>): void {
  for (const fd of fds) {
    try {
      closeSync(fd);
    } catch {
      // A descriptor that cannot be closed is gone already; the others must still be closed.
    }
  }
}

/** Duplicates a descriptor, close-on-exec. */
export function dupFd(fd: Fd): Fd {
  return asFd(check(sys.fcntl(fd, F_DUPFD_CLOEXEC, 0), 'fcntl(F_DUPFD_CLOEXEC)'));
}

/** Sets or clears O_NONBLOCK. */
export function setNonBlocking(fd: Fd, on: boolean): void {
  const flags = check(sys.fcntl(fd, F_GETFL, 0), 'fcntl(F_GETFL)');
  check(sys.fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 'fcntl(F_SETFL)');
}

/** True for a descriptor that was opened for reading and writing. @throws {SysError} EBADF */
export function isReadWrite(fd: Fd): boolean {
  return (check(sys.fcntl(fd, F_GETFL, 0), 'fcntl(F_GETFL)') & O_ACCMODE) === O_RDWR;
}

/** Sets FD_CLOEXEC: programs that this process starts do not get the descriptor. */
export function setCloseOnExec(fd: Fd): void {
  const flags = check(sys.fcntl(fd, F_GETFD, 0), 'fcntl(F_GETFD)');
  check(sys.fcntl(fd, F_SETFD, flags | FD_CLOEXEC), 'fcntl(F_SETFD)');
}

/**
 * Makes a descriptor that somebody else opened what ours are: non-blocking and close-on-exec. The
 * former is shared by all who have the descriptor.
 *
 * @returns the same descriptor
 * @throws {SysError} EBADF
 */
export function adoptFd(fd: Fd): Fd {
  setNonBlocking(fd, true);
  setCloseOnExec(fd);
  return fd;
}

/** Size of the file behind a descriptor in bytes; 0 for devices. */
export function fileSize(fd: Fd): number {
  return fstatSync(fd).size;
}

/** What the descriptor refers to. */
export function fileKind(fd: Fd): 'file' | 'character-device' | 'socket' | 'other' {
  const stat = fstatSync(fd);
  if (stat.isFile()) return 'file';
  if (stat.isCharacterDevice()) return 'character-device';
  return stat.isSocket() ? 'socket' : 'other';
}

/**
 * Reads into memory.
 *
 * @returns bytes read, 0 at end of file, -1 when the descriptor would block
 * @throws {SysError}
 */
export function readFd(fd: Fd, memory: MemoryArg, count: number): number {
  const n = retry(() => sys.read(fd, memory, count));
  return n < 0 && errno() === EAGAIN ? -1 : check(n, 'read');
}

/**
 * Writes from memory.
 *
 * @returns bytes written, -1 when the descriptor would block
 * @throws {SysError}
 */
export function writeFd(fd: Fd, memory: MemoryArg, count: number): number {
  const n = retry(() => sys.write(fd, memory, count));
  return n < 0 && errno() === EAGAIN ? -1 : check(n, 'write');
}

/**
 * Random bytes of the kernel's, where its generator has been seeded; else it waits for that.
 *
 * @param address - of `[address, address + length)` in this process, which the caller guarantees to be mapped
 * @returns bytes filled: all up to 256, fewer of more where a signal came
 * @throws {SysError} EFAULT
 */
export function getrandom(address: number, length: number): number {
  for (;;) {
    const n = sys.getrandomAt(address, length, 0);
    if (n >= 0) return n;
    if (errno() !== EINTR) return check(n, 'getrandom');
  }
}

/** Most entries that one `readv` or `writev` takes (limits.h IOV_MAX). */
export const IOV_MAX = 1024;

/**
 * Scatters one read over an iovec table.
 *
 * @param iov - `struct iovec[count]` whose pointers the caller guarantees to be mapped
 * @param count - entries, 1..{@link IOV_MAX}
 * @returns bytes read, -1 when the descriptor would block
 * @throws {SysError}
 */
export function readvFd(fd: Fd, iov: MemoryArg, count: number): number {
  const n = retry(() => sys.readv(fd, iov, count));
  return n < 0 && errno() === EAGAIN ? -1 : check(n, 'readv');
}

/** Gathers one write from an iovec table; as {@link readvFd}. */
export function writevFd(fd: Fd, iov: MemoryArg, count: number): number {
  const n = retry(() => sys.writev(fd, iov, count));
  return n < 0 && errno() === EAGAIN ? -1 : check(n, 'writev');
}
