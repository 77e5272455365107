import {
  type CloseReason,
  FRONTEND_REQUESTS,
  type MessageName,
  type ReceivedFds,
  type Reply,
  type ReplyPayload,
  type RequestPayload,
  type ShortMessage,
  VhostUserConnection,
  VhostUserError,
} from '@node-vmm/vhost-user';
import { errorMessage, type Fd, type Poller, type UnixStream } from '@node-vmm/vmm-sys-util';
import { VhostUserMasterError } from './errors.ts';

type Table = typeof FRONTEND_REQUESTS;

/** Name of a front-end request. */
export type RequestName = MessageName<Table>;

/** Options of every request. */
export interface RequestOptions {
  /** Milliseconds to wait for the reply; default is the front-end's `timeoutMs`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A reply with the descriptors that came with it, which the caller owns. */
export interface Answer<N extends RequestName> {
  readonly payload: ReplyPayload<Table, N>;
  readonly fds: Fd[];
}

/** A request whose reply is due; `settle` is gone once nobody waits for it any more. */
interface Pending {
  readonly name: RequestName;
  settle: ((answer: Answer<RequestName> | VhostUserMasterError) => void) | undefined;
}

/** Most replies that may be due, those of requests that were given up included. */
const MAX_PENDING = 256;

/**
 * Requests and their replies on one connection. Requests go out in the order of the calls, and
 * several may be under way; replies come back in that order.
 */
export class Requester {
  readonly #connection: VhostUserConnection<Table>;
  readonly #timeoutMs: number;
  /** What was sent without a reply may take so long, until something is replied. */
  #owedMs = 0;
  readonly #onLost: (reason: CloseReason) => void;
  readonly #stream: UnixStream;
  /** Called when the connection ended, after {@link Requester.finish}. */
  #finished: (() => void) | undefined;
  readonly #pending: Pending[] = [];
  #ended: VhostUserMasterError | undefined;
  /** Set once REPLY_ACK has been negotiated. */
  replyAck = false;

  /**
   * @param onLost - called once, after every pending request has been rejected
   * @throws {SysError} when the socket cannot be polled; it is closed then
   */
  constructor(
    stream: UnixStream,
    poller: Poller,
    timeoutMs: number,
    onLost: (reason: CloseReason) => void,
  ) {
    this.#timeoutMs = timeoutMs;
    this.#onLost = onLost;
    this.#stream = stream;
    this.#connection = new VhostUserConnection({
      stream,
      poller,
      table: FRONTEND_REQUESTS,
      onReply: (message, fds) => this.#onReply(message, fds),
      onShortage: (message, error) => this.#onShortage(message, error),
      onClose: (reason) => this.#lost(reason),
    });
  }

  get live(): boolean {
    return this.#connection.live;
  }

  /** What every request is rejected with from now on, undefined while the connection is live. */
  get ended(): VhostUserMasterError | undefined {
    return this.#ended;
  }

  /** How memory regions are laid out from the next message on. */
  set xenMmap(on: boolean) {
    this.#connection.codec.options.xenMmap = on;
  }

  /**
   * Sends a request that is always answered.
   *
   * @param fds - stay the caller's, who may close them on return
   * @throws {VhostUserMasterError} TIMEOUT, ABORTED, CONNECTION_LOST, CLOSED, TOO_MANY_REQUESTS,
   * OUT_OF_DESCRIPTORS
   * @throws {VhostUserError} INVALID_PAYLOAD, INVALID_FDS when the request itself is wrong
   */
  request<N extends RequestName>(
    name: N,
    payload: RequestPayload<Table, N>,
    options: RequestOptions = {},
    fds: readonly Fd[] = [],
  ): Promise<Answer<N>> {
    return this.#exchange(name, payload, options, fds, false);
  }

  /**
   * Sends a request that is acknowledged when REPLY_ACK has been negotiated, and else resolves once
   * it is on its way.
   *
   * @throws {VhostUserMasterError} REQUEST_FAILED; and as {@link request}
   */
  async command<N extends RequestName>(
    name: N,
    payload: RequestPayload<Table, N>,
    options: RequestOptions = {},
    fds: readonly Fd[] = [],
  ): Promise<void> {
    if (!this.replyAck) {
      this.#start(name, payload, options, fds, false);
      return;
    }
    const answer = await this.#exchange(name, payload, options, fds, true);
    const status: unknown = answer.payload;
    if (status === 0n) return;
    throw new VhostUserMasterError(
      'REQUEST_FAILED',
      `Cannot complete ${name}: the back-end answered with failure ${String(status)}`,
      { request: name },
    );
  }

  /**
   * What was sent last takes the back-end so long, and has no reply: the next one has to wait for it.
   *
   * @param milliseconds - that it is waited for at least
   */
  nextReplyWithin(milliseconds: number): void {
    this.#owedMs = Math.max(this.#owedMs, milliseconds);
  }

  /** Rejects what is pending and closes the connection. Idempotent. */
  close(): void {
    this.#connection.close();
    this.#end(closedError());
    this.#finished?.();
  }

  /**
   * Rejects what is pending, says that nothing more will be asked, and waits for the peer to close: it has let
   * go of what it was given then, or is about to.
   *
   * @param timeoutMs - after which the connection is closed, however far the peer is
   * @returns whether the peer closed
   */
  async finish(timeoutMs: number): Promise<boolean> {
    if (!this.live) return true;
    this.#ended ??= closedError();
    // What is replied to them yet is nobody's.
    for (const { settle } of this.#pending) settle?.(this.#ended);
    const closed = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.#finished = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.#stream.endWriting();
    });
    this.#finished = undefined;
    this.close();
    return closed;
  }

  #start<N extends RequestName>(
    name: N,
    payload: RequestPayload<Table, N>,
    { signal }: RequestOptions,
    fds: readonly Fd[],
    needReply: boolean,
  ): void {
    if (this.#ended !== undefined) throw this.#ended;
    if (signal?.aborted === true) throw aborted(name, signal);
    if (this.#pending.length >= MAX_PENDING) {
      throw new VhostUserMasterError(
        'TOO_MANY_REQUESTS',
        `Cannot send ${name}: ${MAX_PENDING} replies are due`,
        { request: name },
      );
    }
    try {
      this.#connection.sendRequest(name, payload, fds, needReply);
    } catch (error) {
      // When the connection broke, `#lost` has run and says it better.
      throw this.#ended ?? error;
    }
  }

  async #exchange<N extends RequestName>(
    name: N,
    payload: RequestPayload<Table, N>,
    options: RequestOptions,
    fds: readonly Fd[],
    needReply: boolean,
  ): Promise<Answer<N>> {
    this.#start(name, payload, options, fds, needReply);
    const { signal } = options;
    const timeoutMs = Math.max(options.timeoutMs ?? this.#timeoutMs, this.#owedMs);
    return await new Promise<Answer<N>>((resolve, reject) => {
      const pending: Pending = {
        name,
        settle: (result) => {
          pending.settle = undefined;
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
          if (VhostUserMasterError.is(result)) reject(result);
          else resolve(result as Answer<N>);
        },
      };
      const onAbort = (): void => pending.settle?.(aborted(name, signal));
      const timer = setTimeout(() => pending.settle?.(timedOut(name, timeoutMs)), timeoutMs);
      signal?.addEventListener('abort', onAbort);
      this.#pending.push(pending);
    });
  }

  #onReply(message: Reply<Table>, fds: ReceivedFds): void {
    this.#owedMs = 0;
    const pending = this.#due(message.name);
    // When the request was given up, the connection closes the descriptors.
    // Settled as the request's own kind: the names are equal, which the type system cannot follow.
    pending.settle?.({ payload: message.payload, fds: fds.take() } as Answer<RequestName>);
  }

  /** It costs the request alone: what the back-end answers to the next one may come without descriptors. */
  #onShortage({ name }: ShortMessage<Table>, cause: VhostUserError): void {
    this.#due(name).settle?.(
      new VhostUserMasterError(
        'OUT_OF_DESCRIPTORS',
        `Cannot complete ${name}: ${cause.message}`,
        { request: name },
        { cause },
      ),
    );
  }

  /** Takes the request whose reply is due, which must be this one. */
  #due(name: RequestName): Pending {
    const pending = this.#pending[0];
    if (pending?.name === name) {
      this.#pending.shift();
      return pending;
    }
    const due = pending === undefined ? 'none is due' : `that of ${pending.name} is due`;
    throw new VhostUserError('UNEXPECTED_REPLY', `Cannot handle the reply to ${name}: ${due}`, {
      message: name,
    });
  }

  #lost(reason: CloseReason): void {
    if (this.#finished !== undefined) {
      this.#finished();
      return;
    }
    const text = errorMessage(reason.error);
    this.#end(
      new VhostUserMasterError(
        'CONNECTION_LOST',
        `Cannot reach the back-end: ${text}`,
        { reason: reason.kind },
        { cause: reason.error },
      ),
    );
    this.#onLost(reason);
  }

  #end(error: VhostUserMasterError): void {
    this.#ended ??= error;
    for (const { settle } of this.#pending.splice(0)) settle?.(this.#ended);
  }
}

/** This side has closed the front-end. */
export function closedError(): VhostUserMasterError {
  return new VhostUserMasterError('CLOSED', 'Cannot use the front-end: it was closed');
}

function aborted(name: RequestName, signal: AbortSignal | undefined): VhostUserMasterError {
  return new VhostUserMasterError(
    'ABORTED',
    `Cannot complete ${name}: aborted`,
    { request: name },
    { cause: signal?.reason },
  );
}

function timedOut(name: RequestName, timeoutMs: number): VhostUserMasterError {
  return new VhostUserMasterError(
    'TIMEOUT',
    `Cannot complete ${name}: no reply within ${timeoutMs} ms`,
    { request: name },
  );
}
