import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  unlinkSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Fd } from './brand.ts';
import { DirectoryLock } from './directory-lock.ts';
import { EADDRINUSE, ECONNREFUSED, EPERM } from './errno.ts';
import { errorCode, errorMessage, SysError } from './errors.ts';
import { closeFd } from './fd.ts';
import { checkInteger, U32_MAX } from './int.ts';
import { check, sys } from './libc.ts';
import { connectSocket, socketAddress } from './unix-socket-fd.ts';

/** Who may connect, and how many may wait. */
export interface UnixBindOptions {
  /** Connections that wait to be accepted, default 8. */
  readonly backlog?: number;
  /**
   * Permissions of the socket file, 0..0o777; connecting takes write permission. Default: what the
   * umask leaves of 0o777, or 0o660 with `group`.
   */
  readonly mode?: number;
  /** Numeric id of the socket file's group, default the process's. Takes root or a member of it. */
  readonly group?: number;
}

/** linux/fcntl.h; the same on x86_64 and arm64. */
const O_PATH = 0o10000000;

interface Identity {
  readonly dev: bigint;
  readonly ino: bigint;
}

const same = (a: Identity, b: Identity): boolean => a.dev === b.dev && a.ino === b.ino;

/** The file that a bound socket has in the file system. */
export class SocketFile {
  // Absolute: the process may change its directory.
  readonly #path: string;
  readonly #identity: Identity;

  private constructor(path: string, identity: Identity) {
    this.#path = path;
    this.#identity = identity;
  }

  /**
   * Binds and listens. The file is at no moment more open than asked. A file that a dead process left
   * is replaced.
   *
   * @param fd - a socket, stays the caller's
   * @throws {SysError} EADDRINUSE, EACCES, ENOENT ..., EPERM when the group is not ours to give
   * @throws {RangeError} when the path is too long, the mode or the group out of range
   */
  static bind(fd: Fd, path: string, options: UnixBindOptions): SocketFile {
    const address = socketAddress(path);
    const { backlog = 8, group } = options;
    if (group !== undefined) checkInteger('group', group, 0, U32_MAX - 1);
    const mode = options.mode ?? (group === undefined ? undefined : 0o660);
    // The kernel gives the file the socket's own mode, less the umask. The group comes after: until
    // then nobody's but the owner's.
    if (mode !== undefined) {
      checkInteger('mode', mode, 0, 0o777);
      fchmodSync(fd, group === undefined ? mode : mode & 0o700);
    }
    // From the moment of bind until that of listen a socket looks dead, and between the check of one
    // that is dead and its removal another may take its place: whoever binds has the lock.
    const lock = tryLock(dirname(path));
    try {
      bindAddress(fd, address, path, lock);
      const file = new SocketFile(resolve(path), lstatSync(path, { bigint: true }));
      try {
        check(sys.listen(fd, backlog), 'listen', path);
        file.#grant(mode, group);
        return file;
      } catch (error) {
        file.remove();
        throw error;
      }
    } finally {
      if (lock instanceof DirectoryLock) lock.close();
    }
  }

  /** By a descriptor of the file itself, so that no link can lead elsewhere. */
  #grant(mode: number | undefined, group: number | undefined): void {
    if (mode === undefined) return;
    const fd = openSync(this.#path, O_PATH | constants.O_NOFOLLOW);
    try {
      if (!same(fstatSync(fd, { bigint: true }), this.#identity)) throw inUse(this.#path);
      if (group !== undefined) this.#chown(fd, group);
      chmodSync(`/proc/self/fd/${fd}`, mode);
    } finally {
      closeSync(fd);
    }
  }

  #chown(fd: number, group: number): void {
    try {
      chownSync(`/proc/self/fd/${fd}`, -1, group);
    } catch (cause) {
      if (errorCode(cause) !== 'EPERM') throw cause;
      const subject = `${this.#path} (group ${group}: be root or a member)`;
      throw new SysError({ syscall: 'chown', errno: EPERM, subject }, { cause });
    }
  }

  /**
   * Removes the file if it is still this one: not another daemon's that was bound at the path since.
   * To be called while the socket is open: until then the kernel gives its inode number to no other.
   */
  remove(): void {
    try {
      if (same(lstatSync(this.#path, { bigint: true }), this.#identity)) unlinkSync(this.#path);
    } catch {
      // Removed by somebody else: that is what we wanted.
    }
  }
}

function inUse(subject: string, cause?: Error): SysError {
  return new SysError({ syscall: 'bind', errno: EADDRINUSE, subject }, { cause });
}

/** @returns what went wrong, when it did: a path that is free can be bound without the lock */
function tryLock(directory: string): DirectoryLock | Error {
  try {
    return DirectoryLock.take(directory);
  } catch (error) {
    return error instanceof Error ? error : new Error(errorMessage(error));
  }
}

function bindAddress(fd: Fd, address: Uint8Array, path: string, lock: DirectoryLock | Error): void {
  const bind = (): number => check(sys.bind(fd, address, address.length), 'bind', path);
  try {
    bind();
  } catch (error) {
    if (!SysError.is(error) || error.errno !== EADDRINUSE) throw error;
    const stale = staleFile(path);
    if (stale === undefined) throw error;
    if (lock instanceof Error) {
      const directory = dirname(path);
      throw inUse(`${path} (a dead one, but ${directory} cannot be locked to replace it)`, lock);
    }
    if (same(lstatSync(path, { bigint: true }), stale)) unlinkSync(path);
    bind();
  }
}

/** The socket file at `path` that nobody listens on, if that is what is there. */
function staleFile(path: string): Identity | undefined {
  try {
    const file = lstatSync(path, { bigint: true });
    if (!file.isSocket()) return undefined;
    try {
      closeFd(connectSocket(path));
      return undefined;
    } catch (error) {
      return SysError.is(error) && error.errno === ECONNREFUSED ? file : undefined;
    }
  } catch {
    return undefined;
  }
}
