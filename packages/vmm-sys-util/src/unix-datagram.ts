import { rmSync } from 'node:fs';
import { asFd, type Fd } from './brand.ts';
import { DescriptorError } from './errors.ts';
import { closeFd, readFd } from './fd.ts';
import { check, retry, sys } from './libc.ts';
import { SOCKADDR_UN } from './sock-ctrl-msg.ts';
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  socketAddress,
  UNIX_PATH_MAX,
} from './unix-socket-fd.ts';

const SOCK_DGRAM = 2;
/** `sun_family`, which comes before the name. */
const FAMILY_BYTES = 2;
/** Longest message that is received: the kernel's default limit for one is larger. */
const MESSAGE_MAX = 65_536;

/** Unix datagrams: messages to a name, without a connection. */
export class UnixDatagram implements Disposable {
  readonly fd: Fd;
  readonly #path: string | undefined;
  #live = true;

  private constructor(fd: Fd, path: string | undefined) {
    this.fd = fd;
    this.#path = path;
  }

  /**
   * Sends one message without waiting.
   *
   * @param address - path of the receiver's socket, or `@name` in the abstract name space
   * @throws {SysError} ENOENT, ECONNREFUSED when nobody receives there, EAGAIN when its queue is full ...
   * @throws {RangeError} when the address is empty or too long
   */
  static send(address: string, message: Uint8Array): void {
    using socket = UnixDatagram.unbound();
    socket.sendTo(address, message);
  }

  /** For who sends again and again, also when there is no room for another descriptor. @throws {SysError} */
  static unbound(): UnixDatagram {
    return new UnixDatagram(newDatagramSocket(), undefined);
  }

  /**
   * Receives what is sent to an address.
   *
   * @param address - path of a file that is to be made, or `@name`
   * @throws {SysError} EADDRINUSE, EACCES ...
   * @throws {RangeError} when the address is empty or too long
   */
  static bind(address: string): UnixDatagram {
    const name = datagramAddress(address);
    const fd = newDatagramSocket();
    try {
      check(sys.bind(fd, name, name.length), 'bind', address);
      return new UnixDatagram(fd, address.startsWith('@') ? undefined : address);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  /**
   * Sends one message without waiting, to whoever is at the address now.
   *
   * @throws {DescriptorError} when it has been closed
   * @throws as `UnixDatagram.send`
   */
  sendTo(address: string, message: Uint8Array): void {
    this.#checkLive('send');
    const name = datagramAddress(address);
    check(
      retry(() => sys.connect(this.fd, name, name.length)),
      'connect',
      address,
    );
    check(
      retry(() => sys.write(this.fd, message, message.length)),
      'write',
      address,
    );
  }

  /**
   * @returns the next message, undefined when none waits
   * @throws {DescriptorError} when it has been closed
   */
  receive(): Uint8Array | undefined {
    this.#checkLive('receive');
    const message = new Uint8Array(MESSAGE_MAX);
    const length = readFd(this.fd, message, message.length);
    return length < 0 ? undefined : message.subarray(0, length);
  }

  /** Closes the socket and removes its file. Idempotent. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.fd);
    if (this.#path !== undefined) rmSync(this.#path, { force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #checkLive(action: string): void {
    if (this.#live) return;
    const text = `Cannot ${action} on descriptor ${this.fd}: it has been closed`;
    throw new DescriptorError('INVALID_DESCRIPTOR', text, { fd: this.fd });
  }
}

function newDatagramSocket(): Fd {
  const type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return asFd(check(sys.socket(AF_UNIX, type, 0), 'socket'));
}

function datagramAddress(address: string): Uint8Array {
  if (!address.startsWith('@')) return socketAddress(address);
  // unix(7): an abstract name begins with a zero, and ends where the address does.
  const name = new TextEncoder().encode(`\0${address.slice(1)}`);
  if (name.length > UNIX_PATH_MAX) {
    throw new RangeError(
      `"address" expected a name of 1..${UNIX_PATH_MAX} bytes, got ${name.length}: ${address}`,
    );
  }
  const bytes = SOCKADDR_UN.encode({ sun_family: AF_UNIX, sun_path: name });
  return bytes.subarray(0, FAMILY_BYTES + name.length);
}
