import {
  closeFds,
  errorMessage,
  type Poller,
  UnixStream,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import { XENSTORE_PAYLOAD_MAX } from './abi/xs-wire.ts';
import { XenStoreError } from './errors.ts';
import type { Transport, TransportHandler } from './transport.ts';
import { unreachable } from './unreachable.ts';

/** Bytes taken from the socket per turn. */
const READ_SIZE = 64 * 1024;

/** The Unix socket of a xenstored that runs in this domain. */
export class SocketTransport implements Transport {
  readonly name: string;
  readonly maxPayload = XENSTORE_PAYLOAD_MAX;
  readonly maxInFlight = 64;
  readonly #stream: UnixStream;
  readonly #poller: Poller;
  readonly #buffer = new Uint8Array(READ_SIZE);
  readonly #queue: Uint8Array[] = [];
  #watch: Watch | undefined;
  #handler: TransportHandler | undefined;
  #live = true;

  /** @param stream - becomes this object's */
  constructor(stream: UnixStream, poller: Poller, name: string) {
    this.#stream = stream;
    this.#poller = poller;
    this.name = name;
  }

  /**
   * @throws {XenStoreError} NOT_RUNNING, NOT_PERMITTED
   */
  static connect(path: string, poller: Poller): SocketTransport {
    try {
      return new SocketTransport(UnixStream.connect(path), poller, path);
    } catch (error) {
      const remedy = 'start xenstored, or set XENSTORED_PATH to its socket';
      throw unreachable(error, `connect to xenstore at ${path}`, remedy);
    }
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    this.#watch = this.#poller.watch(this.#stream.fd, { readable: true }, (ready) => {
      if (ready.writable) this.#flush();
      if (ready.readable || ready.disconnected) this.#receive();
    });
  }

  send(message: Uint8Array): void {
    if (!this.#live) throw new XenStoreError('DISCONNECTED', 'Cannot send: xenstore is gone');
    this.#queue.push(message);
    if (this.#queue.length === 1) this.#flush();
  }

  #flush(): void {
    try {
      while (this.#live && this.#queue.length > 0) {
        const message = this.#queue[0] as Uint8Array;
        const sent = this.#stream.send(message);
        if (sent < 0) break;
        if (sent < message.length) this.#queue[0] = message.subarray(sent);
        else this.#queue.shift();
      }
    } catch {
      // The reading side learns why the connection ended, after what is still to be read.
      this.#queue.length = 0;
    }
    if (this.#live) this.#watch?.update({ readable: true, writable: this.#queue.length > 0 });
  }

  #receive(): void {
    try {
      const received = this.#stream.receive(this.#buffer);
      if (received === undefined) return;
      // Nobody sends descriptors here; none must pile up in this process.
      closeFds(received.fds);
      if (received.bytes === 0) this.#lose('it closed the connection');
      else this.#handler?.data(this.#buffer.subarray(0, received.bytes));
    } catch (error) {
      this.#lose(errorMessage(error), error);
    }
  }

  #lose(reason: string, cause?: unknown): void {
    if (!this.#live) return;
    this.close();
    const text = `Cannot reach xenstore at ${this.name} any more: ${reason}`;
    this.#handler?.lost(
      XenStoreError.is(cause) ? cause : new XenStoreError('DISCONNECTED', text, {}, { cause }),
    );
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#watch?.close();
    this.#queue.length = 0;
    this.#stream.close();
  }
}
