import { constants } from 'node:fs';
import {
  adoptFd,
  closeFd,
  errorCode,
  errorMessage,
  type Fd,
  O_NONBLOCK,
  openFd,
  type Poller,
  readFd,
  type Watch,
  writeFd,
} from '@node-vmm/vmm-sys-util';
import { XENSTORE_PAYLOAD_MAX, XSD_SOCKMSG } from './abi/xs-wire.ts';
import { XenStoreError } from './errors.ts';
import type { Transport, TransportHandler } from './transport.ts';
import { unreachable } from './unreachable.ts';

const READ_SIZE = 64 * 1024;

/**
 * The kernel's own connection to xenstored, /dev/xen/xenbus: for every domain, and for a xenstored
 * that runs in a domain of its own. The driver takes one message per write, head included in the
 * 4096 bytes, never reports being writable, and answers some requests by failing the write.
 */
export class XenbusTransport implements Transport {
  readonly name: string;
  readonly maxPayload = XENSTORE_PAYLOAD_MAX - XSD_SOCKMSG.SIZE;
  // The driver queues a pointer to the descriptor's one buffer, not a copy: the next write would
  // replace what the last request still has to send.
  readonly maxInFlight = 1;
  readonly #fd: Fd;
  readonly #poller: Poller;
  readonly #buffer = new Uint8Array(READ_SIZE);
  #watch: Watch | undefined;
  #handler: TransportHandler | undefined;
  #live = true;

  /** @param fd - becomes this object's, and non-blocking */
  constructor(fd: Fd, poller: Poller, name: string) {
    this.#fd = adoptFd(fd);
    this.#poller = poller;
    this.name = name;
  }

  /**
   * @throws {XenStoreError} NOT_RUNNING when there is no such device or no xenstore behind it,
   * NOT_PERMITTED
   */
  static open(path: string, poller: Poller): XenbusTransport {
    try {
      return new XenbusTransport(openFd(path, constants.O_RDWR | O_NONBLOCK), poller, path);
    } catch (error) {
      throw unreachable(error, `open ${path}`, 'run in a Xen domain with xenstore');
    }
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    this.#watch = this.#poller.watch(this.#fd, { readable: true }, () => this.#receive());
  }

  send(message: Uint8Array): void {
    if (!this.#live) throw new XenStoreError('DISCONNECTED', 'Cannot send: xenstore is gone');
    let written: number;
    try {
      written = writeFd(this.#fd, message, message.length);
    } catch (error) {
      // The driver reports what it does not like about one request in this way.
      const code = errorCode(error) ?? 'EIO';
      throw new XenStoreError(code, `Cannot write to ${this.name}: ${code}`, {}, { cause: error });
    }
    if (written === message.length) return;
    const error = new XenStoreError(
      'DISCONNECTED',
      `Cannot write to ${this.name}: it took ${written} of ${message.length} bytes`,
    );
    this.#lose(error);
    throw error;
  }

  #receive(): void {
    try {
      const count = readFd(this.#fd, this.#buffer, this.#buffer.length);
      if (count < 0) return;
      if (count === 0) {
        this.#lose(new XenStoreError('DISCONNECTED', `Cannot read ${this.name}: it ended`));
        return;
      }
      this.#handler?.data(this.#buffer.subarray(0, count));
    } catch (error) {
      this.#lose(
        XenStoreError.is(error)
          ? error
          : new XenStoreError(
              'DISCONNECTED',
              `Cannot read ${this.name}: ${errorMessage(error)}`,
              {},
              { cause: error },
            ),
      );
    }
  }

  #lose(error: XenStoreError): void {
    if (!this.#live) return;
    this.close();
    this.#handler?.lost(error);
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#watch?.close();
    closeFd(this.#fd);
  }
}
