import {
  closeFds,
  errorMessage,
  type Fd,
  type Poller,
  type Readiness,
  SysError,
  type UnixStream,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import { VhostUserError } from './errors.ts';
import { type Framed, type FramedAny, InputFramer } from './input-framer.ts';
import { MessageCodec, type MessageHeader, unknownRequest } from './message-codec.ts';
import type { MessageName, MessageTable } from './message-table.ts';
import type { Reply, ReplyPayload, Request, RequestPayload } from './message-types.ts';
import { OutputQueue } from './output-queue.ts';

/** Why a connection ended. */
export type CloseReason =
  /** The peer closed it or died. */
  | { readonly kind: 'peer-closed'; readonly error: VhostUserError }
  /** The peer broke the protocol. */
  | { readonly kind: 'protocol-error'; readonly error: VhostUserError }
  /** A system call failed, or this process may have no more descriptors (OUT_OF_DESCRIPTORS). */
  | { readonly kind: 'system-error'; readonly error: SysError | VhostUserError }
  /** A callback of this side threw something else. */
  | { readonly kind: 'internal-error'; readonly error: unknown };

/** Descriptors that came with a message: closed after the callback unless taken. */
export interface ReceivedFds {
  readonly count: number;
  /** Hands them over to the caller, in order. A second call gets none. */
  take(): Fd[];
}

/** Which message it was whose descriptors are lost. */
export type ShortMessage<T extends MessageTable> = Pick<
  MessageHeader<T>,
  'name' | 'spec' | 'reply' | 'needReply'
>;

/** Options of a {@link VhostUserConnection}. */
export interface VhostUserConnectionOptions<T extends MessageTable> {
  /** Becomes the connection's, also when the constructor throws. */
  readonly stream: UnixStream;
  readonly poller: Poller;
  /** `FRONTEND_REQUESTS`, or `BACKEND_REQUESTS` for the back-end's own channel. */
  readonly table: T;
  /**
   * Requests of the peer, in order. Without it a request is a protocol error. A `VhostUserError`
   * thrown from it closes the connection as a protocol error.
   */
  readonly onRequest?: (message: Request<T>, fds: ReceivedFds) => void;
  /**
   * A request that no table knows, whose sender waits for an answer: `acknowledge` gives it.
   * Where it is not called, and without this callback, such a request is a protocol
   * error. What came with the request is gone.
   */
  readonly onUnknown?: (request: number, acknowledge: (result: bigint) => void) => void;
  /**
   * A message whose descriptors this process could not take: it may have no more. The peer waits for an
   * answer as to any other. Without this callback, and where it throws the error on, the connection ends
   * as by a failed system call.
   *
   * @param error - OUT_OF_DESCRIPTORS
   */
  readonly onShortage?: (message: ShortMessage<T>, error: VhostUserError) => void;
  /** Replies of the peer, in order. Without it a reply is a protocol error. */
  readonly onReply?: (message: Reply<T>, fds: ReceivedFds) => void;
  /**
   * The peer has closed its end while the connection is paused, called once: what it sent before is still to come,
   * and then the end. Default: that is seen after {@link VhostUserConnection.resume}.
   */
  readonly onPeerLeft?: () => void;
  /** The connection ended, once, and not by `close`. Everything is released already. */
  readonly onClose: (reason: CloseReason) => void;
  /**
   * Asked when the connection ends: true leaves the socket open, for its owner to close, so that the peer hears
   * of the end no sooner than all is undone. Default: it is closed.
   */
  readonly keepsOpen?: () => boolean;
  /** Most bytes held while the peer does not read, default 64 KiB. */
  readonly maxQueuedBytes?: number;
}

/** Messages handled per wake-up, so that one busy peer does not starve the loop's other users. */
const MESSAGES_PER_TURN = 64;
const DEFAULT_MAX_QUEUED_BYTES = 65_536;

/**
 * One vhost-user socket: whole messages in and out, with their descriptors, on any {@link Poller}.
 * Holds at most one unfinished message and a bounded output queue, whatever the peer does.
 */
export class VhostUserConnection<T extends MessageTable> implements Disposable {
  /** For `codec.options.xenMmap`, which takes effect from the next message on. */
  readonly codec: MessageCodec<T>;
  readonly #options: VhostUserConnectionOptions<T>;
  readonly #input: InputFramer<T>;
  readonly #output: OutputQueue;
  #watch: Watch | undefined;
  #interest = '';
  #paused = false;
  #peerLeft = false;
  #live = true;

  /** @throws {SysError} when the socket cannot be polled */
  constructor(options: VhostUserConnectionOptions<T>) {
    this.#options = options;
    this.codec = new MessageCodec(options.table);
    this.#input = new InputFramer(options.stream, this.codec);
    this.#output = new OutputQueue(
      options.stream,
      options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES,
    );
    try {
      this.#updateWatch();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get live(): boolean {
    return this.#live;
  }

  /** True while messages wait for a full socket. */
  get congested(): boolean {
    return !this.#output.empty;
  }

  /**
   * Sends a request, or queues it when the socket is full.
   *
   * @param fds - stay the caller's, who may close them on return
   * @param needReply - ask for an acknowledgement
   * @throws {VhostUserError} INVALID_PAYLOAD, INVALID_FDS (nothing was sent); CLOSED;
   * OUTPUT_OVERFLOW, PEER_CLOSED (the connection is closed and `onClose` has been called)
   * @throws {SysError} likewise
   */
  sendRequest<N extends MessageName<T>>(
    name: N,
    payload: RequestPayload<T, N>,
    fds: readonly Fd[] = [],
    needReply = false,
  ): void {
    this.#send(name, this.codec.encodeRequest(name, payload, fds.length, needReply), fds);
  }

  /** Sends a reply; otherwise as {@link sendRequest}. */
  sendReply<N extends MessageName<T>>(
    name: N,
    payload: ReplyPayload<T, N>,
    fds: readonly Fd[] = [],
  ): void {
    this.#send(name, this.codec.encodeReply(name, payload, fds.length), fds);
  }

  /**
   * Stops handing over messages after the current one: for a callback whose answer takes time and
   * must come before the next request. What the peer sends meanwhile stays in the kernel.
   */
  pause(): void {
    this.#paused = true;
    this.#refreshWatch();
  }

  /** Ends {@link pause}. */
  resume(): void {
    this.#paused = false;
    this.#refreshWatch();
  }

  /** Closes the socket and every descriptor that nobody took. Idempotent; no callback runs. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#watch?.close();
    this.#watch = undefined;
    this.#input.clear();
    this.#output.clear();
    if (this.#options.keepsOpen?.() !== true) this.#options.stream.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #send(name: string, data: Uint8Array, fds: readonly Fd[]): void {
    if (!this.#live) {
      throw new VhostUserError('CLOSED', `Cannot send ${name}: the connection is closed`, {
        message: name,
      });
    }
    try {
      this.#output.send(data, fds);
      this.#updateWatch();
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  #onReady(ready: Readiness): void {
    if (!this.#live) return;
    try {
      if (ready.writable || ready.disconnected) this.#output.flush();
      if (this.#paused) {
        // A hang-up is reported again and again, and reading, which would end it, must wait.
        if (ready.disconnected && !this.#output.empty) throw hungUp();
        if (ready.disconnected) this.#onPeerLeft();
      } else {
        this.#receive(ready);
      }
      if (this.#live) this.#updateWatch();
    } catch (error) {
      this.#fail(error);
    }
  }

  #onPeerLeft(): void {
    if (this.#peerLeft) return;
    this.#peerLeft = true;
    this.#options.onPeerLeft?.();
  }

  #receive(ready: Readiness): void {
    for (let handled = 0; handled < MESSAGES_PER_TURN; handled++) {
      const framed = this.#input.next();
      if (framed === undefined) {
        // Neither data nor end of file: the poller cannot watch this socket any more.
        if (ready.disconnected) throw hungUp();
        return;
      }
      this.#handle(framed);
      if (!this.#live || this.#paused) return;
    }
  }

  #handle(framed: FramedAny<T>): void {
    switch (framed.kind) {
      case 'message':
        this.#dispatch(framed);
        break;
      case 'unknown':
        this.#dispatchUnknown(framed.request);
        break;
      case 'short': {
        const { header, error } = framed;
        this.#checkDirection(header);
        if (this.#options.onShortage === undefined) throw error;
        this.#options.onShortage(header, error);
      }
    }
  }

  #dispatch({ message, fds }: Framed<T>): void {
    let left = fds;
    const received: ReceivedFds = {
      count: fds.length,
      take: () => {
        const taken = left;
        left = [];
        return taken;
      },
    };
    try {
      this.#checkDirection(message);
      const { onRequest, onReply } = this.#options;
      if (message.reply) onReply?.(message as Reply<T>, received);
      else onRequest?.(message as Request<T>, received);
    } finally {
      closeFds(left);
      left = [];
    }
  }

  #checkDirection({ name, reply }: Pick<ShortMessage<T>, 'name' | 'reply'>): void {
    const { onRequest, onReply } = this.#options;
    if ((reply ? onReply : onRequest) !== undefined) return;
    throw new VhostUserError(
      'WRONG_DIRECTION',
      `Cannot handle ${name}: ${reply ? 'a reply' : 'a request'} on the wrong side`,
      { message: name },
    );
  }

  #dispatchUnknown(request: number): void {
    let answered = false;
    this.#options.onUnknown?.(request, (result) => {
      answered = true;
      this.#send(
        `the answer to request ${request}`,
        this.codec.encodeUnknownReply(request, result),
        [],
      );
    });
    if (!answered) throw unknownRequest(request);
  }

  #refreshWatch(): void {
    if (!this.#live) return;
    try {
      this.#updateWatch();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Watches for what is needed. A hang-up is always reported, so that one that is known ends a watch for nothing else. */
  #updateWatch(): void {
    const readable = !this.#paused;
    const writable = !this.#output.empty;
    const hangUp = this.#options.onPeerLeft !== undefined && !this.#peerLeft;
    const interest = `${readable} ${writable} ${hangUp}`;
    if (interest === this.#interest) return;
    this.#interest = interest;
    if (!readable && !writable && !hangUp) {
      this.#watch?.close();
      this.#watch = undefined;
    } else if (this.#watch === undefined) {
      const { poller, stream } = this.#options;
      this.#watch = poller.watch(stream.fd, { readable, writable }, (ready) =>
        this.#onReady(ready),
      );
    } else {
      this.#watch.update({ readable, writable });
    }
  }

  #fail(error: unknown): void {
    if (!this.#live) return;
    this.close();
    this.#options.onClose(closeReason(error));
  }
}

function hungUp(): VhostUserError {
  return new VhostUserError('PEER_CLOSED', 'Cannot use the connection: the peer hung up');
}

/** Sorts what ended a connection. */
function closeReason(error: unknown): CloseReason {
  if (VhostUserError.is(error)) {
    if (error.code === 'PEER_CLOSED') return { kind: 'peer-closed', error };
    if (error.code === 'OUT_OF_DESCRIPTORS') return { kind: 'system-error', error };
    return { kind: 'protocol-error', error };
  }
  if (!SysError.is(error)) return { kind: 'internal-error', error };
  if (error.code === 'EPIPE' || error.code === 'ECONNRESET') {
    return {
      kind: 'peer-closed',
      error: new VhostUserError(
        'PEER_CLOSED',
        `Cannot use the connection: ${errorMessage(error)}`,
        {},
        { cause: error },
      ),
    };
  }
  return { kind: 'system-error', error };
}
