import { closeFds, type Fd, type UnixStream } from '@node-vmm/vmm-sys-util';
import { VhostUserError } from './errors.ts';
import { VHOST_USER_HEADER, VHOST_USER_MAX_FDS, VHOST_USER_MAX_PAYLOAD } from './header.ts';
import type { MessageCodec, MessageHeader, UnknownHeader } from './message-codec.ts';
import type { MessageTable } from './message-table.ts';
import type { Decoded } from './message-types.ts';

/** A whole message with its descriptors, which the holder owns. */
export interface Framed<T extends MessageTable> {
  readonly known: true;
  readonly message: Decoded<T>;
  readonly fds: Fd[];
}

/** A request that no table knows, whose sender waits for an answer. */
export interface FramedUnknown {
  readonly known: false;
  readonly request: number;
}

/**
 * Cuts the byte stream into messages. Every read asks for what the message at hand still lacks and
 * not for a byte more, because the kernel hands over bytes of the message before together with the
 * descriptors of the next one: only so is it certain which message descriptors belong to.
 */
export class InputFramer<T extends MessageTable> {
  readonly #stream: UnixStream;
  readonly #codec: MessageCodec<T>;
  readonly #buffer = new Uint8Array(VHOST_USER_HEADER.SIZE + VHOST_USER_MAX_PAYLOAD);
  #filled = 0;
  #header: MessageHeader<T> | UnknownHeader | undefined;
  #fds: Fd[] = [];

  constructor(stream: UnixStream, codec: MessageCodec<T>) {
    this.#stream = stream;
    this.#codec = codec;
  }

  /** True in the middle of a message. */
  get partial(): boolean {
    return this.#filled > 0 || this.#fds.length > 0;
  }

  /**
   * Reads until a message is complete.
   *
   * @returns undefined when the rest is not there yet
   * @throws {VhostUserError} whatever is wrong with the message; PEER_CLOSED
   * @throws {SysError} ECONNRESET ...
   */
  next(): Framed<T> | FramedUnknown | undefined {
    for (;;) {
      const lacking = this.#target() - this.#filled;
      if (lacking === 0) {
        const framed = this.#complete();
        if (framed !== undefined) return framed;
        continue;
      }
      const received = this.#stream.receive(
        this.#buffer.subarray(this.#filled, this.#filled + lacking),
      );
      if (received === undefined) return undefined;
      this.#takeFds(received.fds, received.truncated);
      if (received.bytes === 0) throw this.#closed();
      this.#filled += received.bytes;
    }
  }

  /** Closes the descriptors of an unfinished message. */
  clear(): void {
    closeFds(this.#fds.splice(0));
    this.#filled = 0;
    this.#header = undefined;
  }

  #target(): number {
    return VHOST_USER_HEADER.SIZE + (this.#header?.size ?? 0);
  }

  /** Checks the header as soon as it is there, decodes once the payload is. */
  #complete(): Framed<T> | FramedUnknown | undefined {
    if (this.#header === undefined) {
      this.#header = this.#codec.decodeHeader(this.#buffer);
      if (this.#header.size > 0) return undefined;
    }
    const header = this.#header;
    if (!header.known) {
      this.clear();
      return { known: false, request: header.request };
    }
    const payload = this.#buffer.subarray(VHOST_USER_HEADER.SIZE, this.#filled);
    const message = this.#codec.decode(header, payload, this.#fds.length);
    const fds = this.#fds;
    this.#fds = [];
    this.#filled = 0;
    this.#header = undefined;
    return { known: true, message, fds };
  }

  #takeFds(fds: Fd[], truncated: boolean): void {
    for (const fd of fds) this.#fds.push(fd);
    if (!truncated && this.#fds.length <= VHOST_USER_MAX_FDS) return;
    throw new VhostUserError(
      'INVALID_FDS',
      `Cannot read a message: more than ${VHOST_USER_MAX_FDS} file descriptors`,
      { expected: `at most ${VHOST_USER_MAX_FDS}` },
    );
  }

  #closed(): VhostUserError {
    const where = this.partial ? 'in the middle of a message' : 'the connection';
    return new VhostUserError('PEER_CLOSED', `Cannot read a message: the peer closed ${where}`, {
      ...(this.#header?.known === true ? { message: this.#header.name } : {}),
    });
  }
}
