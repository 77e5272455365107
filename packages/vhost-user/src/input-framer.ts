import {
  closeFds,
  type Fd,
  type Received,
  type SysError,
  type UnixStream,
} from '@node-vmm/vmm-sys-util';
import { VhostUserError } from './errors.ts';
import { VHOST_USER_HEADER, VHOST_USER_MAX_FDS, VHOST_USER_MAX_PAYLOAD } from './header.ts';
import type { MessageCodec, MessageHeader, UnknownHeader } from './message-codec.ts';
import type { MessageTable } from './message-table.ts';
import type { Decoded } from './message-types.ts';

/** A whole message with its descriptors, which the holder owns. */
export interface Framed<T extends MessageTable> {
  readonly kind: 'message';
  readonly message: Decoded<T>;
  readonly fds: Fd[];
}

/** A whole message whose descriptors this process could not take. */
export interface FramedShort<T extends MessageTable> {
  readonly kind: 'short';
  readonly header: MessageHeader<T>;
  readonly error: VhostUserError;
}

/** A request that no table knows, whose sender waits for an answer. */
export interface FramedUnknown {
  readonly kind: 'unknown';
  readonly request: number;
}

/** What {@link InputFramer.next} comes upon. */
export type FramedAny<T extends MessageTable> = Framed<T> | FramedShort<T> | FramedUnknown;

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
  #shortage: SysError | undefined;

  constructor(stream: UnixStream, codec: MessageCodec<T>) {
    this.#stream = stream;
    this.#codec = codec;
  }

  /** True in the middle of a message. */
  get partial(): boolean {
    return this.#filled > 0 || this.#fds.length > 0 || this.#shortage !== undefined;
  }

  /**
   * Reads until a message is complete.
   *
   * @returns undefined when the rest is not there yet
   * @throws {VhostUserError} whatever is wrong with the message; PEER_CLOSED
   * @throws {SysError} ECONNRESET ...
   */
  next(): FramedAny<T> | undefined {
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
      this.#takeFds(received);
      if (received.bytes === 0) throw this.#closed();
      this.#filled += received.bytes;
    }
  }

  /** Closes the descriptors of an unfinished message. */
  clear(): void {
    closeFds(this.#fds.splice(0));
    this.#filled = 0;
    this.#header = undefined;
    this.#shortage = undefined;
  }

  #target(): number {
    return VHOST_USER_HEADER.SIZE + (this.#header?.size ?? 0);
  }

  /** Checks the header as soon as it is there, decodes once the payload is. */
  #complete(): FramedAny<T> | undefined {
    if (this.#header === undefined) {
      this.#header = this.#codec.decodeHeader(this.#buffer);
      if (this.#header.size > 0) return undefined;
    }
    const header = this.#header;
    if (!header.known) {
      this.clear();
      return { kind: 'unknown', request: header.request };
    }
    const shortage = this.#shortage;
    if (shortage !== undefined && this.#codec.mayCarryFds(header)) {
      this.clear();
      return { kind: 'short', header, error: outOfDescriptors(header.name, shortage) };
    }
    const payload = this.#buffer.subarray(VHOST_USER_HEADER.SIZE, this.#filled);
    // What was lost came, too, where none may come.
    const fdCount = this.#fds.length + (shortage === undefined ? 0 : 1);
    const message = this.#codec.decode(header, payload, fdCount);
    const fds = this.#fds;
    this.#fds = [];
    this.#filled = 0;
    this.#header = undefined;
    return { kind: 'message', message, fds };
  }

  #takeFds({ fds, truncated, shortage }: Received): void {
    for (const fd of fds) this.#fds.push(fd);
    this.#shortage ??= shortage;
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

function outOfDescriptors(message: string, cause: SysError): VhostUserError {
  return new VhostUserError(
    'OUT_OF_DESCRIPTORS',
    `Cannot take the file descriptors of ${message}: this process may have no more (${cause.code}); ` +
      'raise its limit (ulimit -n, of systemd LimitNOFILE) or let it serve fewer',
    { message },
    { cause },
  );
}
