import { lstatSync, unlinkSync } from 'node:fs';
import { asFd, type Fd } from './brand.ts';
import { EADDRINUSE, EAGAIN, ECONNREFUSED } from './errno.ts';
import { SysError } from './errors.ts';
import { closeFd } from './fd.ts';
import { check, errno, retry, sys } from './libc.ts';
import { type Received, SOCKADDR_UN, SockCtrlMsg } from './sock-ctrl-msg.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SHUT_RDWR = 2;

/** Longest socket path in bytes: `sun_path` less its terminating zero. */
export const UNIX_PATH_MAX = 107;

function socketAddress(path: string): Uint8Array {
  const encoded = new TextEncoder().encode(path);
  if (encoded.length === 0 || encoded.length > UNIX_PATH_MAX) {
    throw new RangeError(
      `"path" expected a socket path of 1..${UNIX_PATH_MAX} bytes, got ${encoded.length}: ${path}`,
    );
  }
  return SOCKADDR_UN.encode({ sun_family: AF_UNIX, sun_path: encoded });
}

function newSocket(): Fd {
  return asFd(check(sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket'));
}

/** Options of a stream. */
export interface UnixStreamOptions {
  /** Most descriptors in one message, default 32. */
  readonly maxFds?: number;
}

/** A connected, non-blocking Unix stream socket that passes descriptors. */
export class UnixStream implements Disposable {
  readonly fd: Fd;
  readonly #messages: SockCtrlMsg;
  #live = true;

  private constructor(fd: Fd, options: UnixStreamOptions) {
    this.fd = fd;
    this.#messages = new SockCtrlMsg(fd, options.maxFds ?? 32);
  }

  /** Takes ownership of a connected socket, which must be non-blocking. */
  static fromFd(fd: Fd, options: UnixStreamOptions = {}): UnixStream {
    return new UnixStream(fd, options);
  }

  /**
   * Connects without waiting.
   *
   * @throws {SysError} ENOENT, ECONNREFUSED when nobody listens; EAGAIN when the backlog is full
   * @throws {RangeError} when the path is too long
   */
  static connect(path: string, options: UnixStreamOptions = {}): UnixStream {
    const address = socketAddress(path);
    const fd = newSocket();
    try {
      check(
        retry(() => sys.connect(fd, address, address.length)),
        'connect',
        path,
      );
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    return new UnixStream(fd, options);
  }

  /** Two connected streams. @throws {SysError} */
  static pair(options: UnixStreamOptions = {}): [UnixStream, UnixStream] {
    const fds = new Int32Array(2);
    const type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    check(sys.socketpair(AF_UNIX, type, 0, fds), 'socketpair');
    return [
      new UnixStream(asFd(fds[0] as number), options),
      new UnixStream(asFd(fds[1] as number), options),
    ];
  }

  get live(): boolean {
    return this.#live;
  }

  /** See {@link SockCtrlMsg.send}. */
  send(data: Uint8Array, fds: readonly Fd[] = []): number {
    return this.#messages.send(data, fds);
  }

  /** See {@link SockCtrlMsg.receive}. */
  receive(target: Uint8Array): Received | undefined {
    return this.#messages.receive(target);
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    // A duplicate of the socket in another process must not keep the peer waiting.
    sys.shutdown(this.fd, SHUT_RDWR);
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A listening Unix stream socket. */
export class UnixListener implements Disposable {
  readonly fd: Fd;
  readonly path: string | undefined;
  #live = true;

  private constructor(fd: Fd, path: string | undefined) {
    this.fd = fd;
    this.path = path;
  }

  /**
   * Binds and listens. A socket file that nobody listens on any more is replaced; one in use, or a
   * file that is no socket, is left alone.
   *
   * @throws {SysError} EADDRINUSE, EACCES, ENOENT ...
   * @throws {RangeError} when the path is too long
   */
  static bind(path: string, backlog = 8): UnixListener {
    const address = socketAddress(path);
    const fd = newSocket();
    try {
      bindAddress(fd, address, path);
      check(sys.listen(fd, backlog), 'listen', path);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    return new UnixListener(fd, path);
  }

  /** Takes ownership of a listening socket that a supervisor passed. */
  static fromFd(fd: Fd): UnixListener {
    return new UnixListener(fd, undefined);
  }

  /**
   * Accepts a connection without waiting.
   *
   * @returns undefined when nobody is waiting
   * @throws {SysError} EMFILE ...
   */
  accept(options: UnixStreamOptions = {}): UnixStream | undefined {
    const fd = retry(() => sys.accept4(this.fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd < 0 && errno() === EAGAIN) return undefined;
    return UnixStream.fromFd(asFd(check(fd, 'accept4', this.path)), options);
  }

  /** Stops listening and removes the socket file that `bind` made. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    if (this.path !== undefined) {
      try {
        unlinkSync(this.path);
      } catch {
        // Removed by somebody else: that is what we wanted.
      }
    }
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function bindAddress(fd: Fd, address: Uint8Array, path: string): void {
  const bind = (): number => check(sys.bind(fd, address, address.length), 'bind', path);
  try {
    bind();
  } catch (error) {
    if (!SysError.is(error) || error.errno !== EADDRINUSE || !isStale(path)) throw error;
    unlinkSync(path);
    bind();
  }
}

function isStale(path: string): boolean {
  try {
    UnixStream.connect(path).close();
    return false;
  } catch (error) {
    return SysError.is(error) && error.errno === ECONNREFUSED && lstatSync(path).isSocket();
  }
}
