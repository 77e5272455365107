import { asFd, type Fd } from './brand.ts';
import { DescriptorError, errorCode } from './errors.ts';
import { closeFd } from './fd.ts';
import { check, retry, sys } from './libc.ts';
import { SOCKADDR_UN, SOL_SOCKET } from './sock-ctrl-msg.ts';

export const AF_UNIX = 1;
const SOCK_STREAM = 1;
export const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
export const STREAM_TYPE: number = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

// asm-generic/socket.h.
const SO_TYPE = 3;
const SO_PEERCRED = 17;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;

/** linux/un.h: longest socket path in bytes: `sun_path` less its terminating zero. */
export const UNIX_PATH_MAX = 107;

/** @throws {RangeError} when the path is too long */
export function socketAddress(path: string): Uint8Array {
  const encoded = new TextEncoder().encode(path);
  if (encoded.length === 0 || encoded.length > UNIX_PATH_MAX) {
    throw new RangeError(
      `"path" expected a socket path of 1..${UNIX_PATH_MAX} bytes, got ${encoded.length}: ${path}`,
    );
  }
  return SOCKADDR_UN.encode({ sun_family: AF_UNIX, sun_path: encoded });
}

/** An unconnected stream socket. @throws {SysError} */
export function newSocket(): Fd {
  return asFd(check(sys.socket(AF_UNIX, STREAM_TYPE, 0), 'socket'));
}

/** Two connected stream sockets. @throws {SysError} */
export function newSocketPair(): [Fd, Fd] {
  const fds = new Int32Array(2);
  check(sys.socketpair(AF_UNIX, STREAM_TYPE, 0, fds), 'socketpair');
  return [asFd(fds[0] as number), asFd(fds[1] as number)];
}

/**
 * A stream socket that is connected to `path`.
 *
 * @throws {SysError} ENOENT, ECONNREFUSED, EAGAIN ...
 * @throws {RangeError} when the path is too long
 */
export function connectSocket(path: string): Fd {
  const address = socketAddress(path);
  const fd = newSocket();
  try {
    check(
      retry(() => sys.connect(fd, address, address.length)),
      'connect',
      path,
    );
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/**
 * Whether a Unix stream socket that somebody passed listens, or is connected.
 *
 * @throws {DescriptorError} when it is no Unix stream socket
 */
export function socketListens(fd: Fd): boolean {
  checkStream(fd, 'use', 'a Unix stream socket');
  return option(fd, SO_ACCEPTCONN) !== 0;
}

/** struct ucred: pid, uid, gid. */
const UCRED_BYTES = 12;

/** Who listened on the other end, or connected to this one (`SO_PEERCRED`). @throws {SysError} */
export function peerPid(fd: Fd): number {
  const ucred = new Int32Array(UCRED_BYTES / 4);
  const length = Uint32Array.of(UCRED_BYTES);
  check(sys.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, length), 'getsockopt', `fd ${fd}`);
  return ucred[0] as number;
}

function option(fd: Fd, name: number): number {
  const value = new Int32Array(1);
  const length = Uint32Array.of(4);
  check(sys.getsockopt(fd, SOL_SOCKET, name, value, length), 'getsockopt', `fd ${fd}`);
  return value[0] as number;
}

/**
 * Checks what somebody passed.
 *
 * @param use - for the message: `listen on`
 * @param listening - whether it must be a listening socket, or must not be one
 * @throws {DescriptorError} when it is anything but such a Unix stream socket
 */
export function checkUnixStream(fd: Fd, use: string, listening: boolean): void {
  const wanted = `a Unix stream socket that ${listening ? 'listens' : 'is connected'}`;
  checkStream(fd, use, wanted);
  if ((option(fd, SO_ACCEPTCONN) !== 0) !== listening) {
    throw refusal(fd, use, listening ? 'it does not listen' : 'it listens', wanted);
  }
}

function checkStream(fd: Fd, use: string, wanted: string): void {
  let domain: number;
  try {
    domain = option(fd, SO_DOMAIN);
  } catch (cause) {
    const state = errorCode(cause) === 'EBADF' ? 'it is not open' : 'it is no socket';
    throw refusal(fd, use, state, wanted, { cause });
  }
  if (domain !== AF_UNIX) throw refusal(fd, use, 'it is no Unix socket', wanted);
  if (option(fd, SO_TYPE) !== SOCK_STREAM) throw refusal(fd, use, 'it is no stream socket', wanted);
}

function refusal(
  fd: Fd,
  use: string,
  state: string,
  wanted: string,
  options?: ErrorOptions,
): DescriptorError {
  const text = `Cannot ${use} descriptor ${fd}: ${state} (pass ${wanted})`;
  return new DescriptorError('INVALID_DESCRIPTOR', text, { fd }, options);
}
