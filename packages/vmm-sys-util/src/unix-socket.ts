import { asFd, type Fd } from './brand.ts';
import { EAGAIN } from './errno.ts';
import { adoptFd, closeFd } from './fd.ts';
import { check, errno, retry, sys } from './libc.ts';
import { type Received, SockCtrlMsg } from './sock-ctrl-msg.ts';
import { SocketFile, type UnixBindOptions } from './socket-file.ts';
import {
  checkUnixStream,
  connectSocket,
  newSocket,
  newSocketPair,
  peerPid,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from './unix-socket-fd.ts';

const SHUT_WR = 1;
const SHUT_RDWR = 2;

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

  /**
   * Takes ownership of a socket that somebody passed, and makes it non-blocking and close-on-exec.
   *
   * @throws {DescriptorError} when it is no Unix stream socket, or listens; it stays the caller's
   */
  static fromFd(fd: Fd, options: UnixStreamOptions = {}): UnixStream {
    checkUnixStream(fd, 'use', false);
    return new UnixStream(adoptFd(fd), options);
  }

  /**
   * Connects without waiting.
   *
   * @throws {SysError} ENOENT, ECONNREFUSED when nobody listens; EAGAIN when the backlog is full
   * @throws {RangeError} when the path is too long
   */
  static connect(path: string, options: UnixStreamOptions = {}): UnixStream {
    return new UnixStream(connectSocket(path), options);
  }

  /** Two connected streams. @throws {SysError} */
  static pair(options: UnixStreamOptions = {}): [UnixStream, UnixStream] {
    const [a, b] = newSocketPair();
    return [new UnixStream(a, options), new UnixStream(b, options)];
  }

  get live(): boolean {
    return this.#live;
  }

  /**
   * Process that listened at the peer's socket, or connected from it: what the kernel noted then, which may
   * have ended since. 0 where it is none of this process's PID namespace.
   *
   * @throws {SysError} EBADF when it is closed
   */
  get peerPid(): number {
    return peerPid(this.fd);
  }

  /** See {@link SockCtrlMsg.send}. */
  send(data: Uint8Array, fds: readonly Fd[] = []): number {
    return this.#messages.send(data, fds);
  }

  /** See {@link SockCtrlMsg.receive}. */
  receive(target: Uint8Array): Received | undefined {
    return this.#messages.receive(target);
  }

  /** Says that nothing more is sent; what the peer sends can still be received. */
  endWriting(): void {
    // A peer that is gone needs not be told.
    if (this.#live) sys.shutdown(this.fd, SHUT_WR);
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
  readonly #file: SocketFile | undefined;
  #live = true;

  private constructor(fd: Fd, path?: string, file?: SocketFile) {
    this.fd = fd;
    this.path = path;
    this.#file = file;
  }

  /**
   * Binds and listens. A socket file that nobody listens on any more is replaced; one in use, or a
   * file that is no socket, is left alone. The file is at no moment more open than `mode` and `group`
   * say. Of several that bind the same path at once, in any processes, one succeeds.
   *
   * @throws {SysError} EADDRINUSE, EACCES, ENOENT ..., EPERM when the group is not ours to give
   * @throws {RangeError} when the path is too long, or an option out of range
   */
  static bind(path: string, options: UnixBindOptions = {}): UnixListener {
    const fd = newSocket();
    try {
      return new UnixListener(fd, path, SocketFile.bind(fd, path, options));
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  /**
   * Takes ownership of a listening socket that a supervisor passed, and makes it non-blocking and
   * close-on-exec.
   *
   * @throws {DescriptorError} when it is no Unix stream socket that listens; it stays the caller's
   */
  static fromFd(fd: Fd): UnixListener {
    checkUnixStream(fd, 'listen on', true);
    return new UnixListener(adoptFd(fd));
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

  /** Stops listening and removes the socket file that `bind` made, if it is still there. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#file?.remove();
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
