import { XS_ERROR, XS_WATCH_EVENT } from './abi/xs-wire.ts';
import { XenStoreError } from './errors.ts';
import {
  decodeString,
  decodeStrings,
  encodeMessage,
  type Message,
  MessageParser,
} from './message.ts';
import type { Transport } from './transport.ts';

/** Ours: how long a reply may take by default, in milliseconds. */
export const DEFAULT_TIMEOUT = 30_000;

/** How long an operation may take. */
export interface RequestOptions {
  /** Gives up; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until TIMEOUT; 0 for never. Default: what the client was opened with. */
  readonly timeout?: number | undefined;
}

/** A request to xenstored. */
export interface Request extends RequestOptions {
  /** `XS_*`. */
  readonly type: number;
  readonly payload: Uint8Array;
  readonly transactionId?: number;
  /** Completes "Cannot ...". */
  readonly action: string;
  /** For errors. */
  readonly path?: string | undefined;
  /** Called when the request was given up but succeeds all the same: undo it here. */
  readonly late?: (payload: Uint8Array) => void;
}

interface Pending {
  readonly request: Request;
  settle: ((result: Uint8Array | Error) => void) | undefined;
}

/** What a connection tells its owner. */
export interface ConnectionHandler {
  watchEvent(path: string, token: string): void;
  /** The connection is gone; every request has been rejected. */
  lost(error: XenStoreError): void;
}

/** Requests and replies matched by request id, as many at a time as the transport permits. */
export class Connection {
  readonly #transport: Transport;
  readonly #handler: ConnectionHandler;
  readonly #timeout: number;
  readonly #parser = new MessageParser();
  readonly #inFlight = new Map<number, Pending>();
  readonly #waiting: Pending[] = [];
  #nextId = 1;
  #ended: XenStoreError | undefined;

  /** @param transport - becomes this object's */
  constructor(transport: Transport, handler: ConnectionHandler, timeout: number = DEFAULT_TIMEOUT) {
    this.#transport = transport;
    this.#handler = handler;
    this.#timeout = timeout;
    transport.start({
      data: (bytes) => this.#receive(bytes),
      lost: (error) => this.#lose(error),
    });
  }

  get name(): string {
    return this.#transport.name;
  }

  /** Requests without an answer, given up or not. */
  get outstanding(): number {
    return this.#inFlight.size + this.#waiting.length;
  }

  /** Why nothing can be sent any more; undefined while it can. */
  get ended(): XenStoreError | undefined {
    return this.#ended;
  }

  /**
   * Sends a request.
   *
   * @returns payload of the reply
   * @throws {XenStoreError} what xenstored answered, TOO_LARGE, TIMEOUT, DISCONNECTED, CLOSED
   */
  request(request: Request): Promise<Uint8Array> {
    const { signal, payload, path } = request;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (payload.length > this.#transport.maxPayload) {
      const text = `Cannot ${request.action}: ${payload.length} bytes, at most ${this.#transport.maxPayload} go in one request`;
      return Promise.reject(new XenStoreError('TOO_LARGE', text, context(path)));
    }
    return new Promise((resolve, reject) => {
      const pending: Pending = { request, settle: undefined };
      const giveUp = (error: Error): void => {
        const at = this.#waiting.indexOf(pending);
        if (at >= 0) this.#waiting.splice(at, 1);
        pending.settle?.(error);
      };
      const onAbort = (): void => giveUp(signal?.reason as Error);
      const timeout = request.timeout ?? this.#timeout;
      const timer =
        timeout === 0
          ? undefined
          : setTimeout(() => {
              const text = `Cannot ${request.action}: no answer within ${timeout} ms`;
              giveUp(new XenStoreError('TIMEOUT', text, context(path)));
            }, timeout);
      pending.settle = (result) => {
        pending.settle = undefined;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        if (result instanceof Uint8Array) resolve(result);
        else reject(result);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(pending);
      this.#sendWaiting();
    });
  }

  #sendWaiting(): void {
    while (this.#inFlight.size < this.#transport.maxInFlight) {
      const pending = this.#waiting.shift();
      if (pending === undefined) return;
      const { type, payload, transactionId = 0 } = pending.request;
      const requestId = this.#newId();
      this.#inFlight.set(requestId, pending);
      try {
        this.#transport.send(encodeMessage({ type, requestId, transactionId, payload }));
      } catch (error) {
        this.#inFlight.delete(requestId);
        pending.settle?.(named(pending.request, error));
      }
    }
  }

  #newId(): number {
    while (this.#inFlight.has(this.#nextId)) this.#nextId = next(this.#nextId);
    const id = this.#nextId;
    this.#nextId = next(id);
    return id;
  }

  #receive(bytes: Uint8Array): void {
    try {
      this.#parser.push(bytes, (message) => {
        // A callback may have closed the connection while more messages follow.
        if (this.#ended === undefined) this.#dispatch(message);
      });
    } catch (error) {
      this.#transport.close();
      this.#lose(
        XenStoreError.is(error)
          ? error
          : new XenStoreError('PROTOCOL', 'Cannot read from xenstore', {}, { cause: error }),
      );
    }
  }

  #dispatch(message: Message): void {
    // Events are known by their type alone: the kernel's xenbus device leaves their ids unset.
    if (message.type === XS_WATCH_EVENT) {
      const [path, token] = decodeStrings(message.payload);
      if (path !== undefined && token !== undefined) this.#handler.watchEvent(path, token);
      return;
    }
    const pending = this.#inFlight.get(message.requestId);
    if (pending === undefined) return;
    const { request, settle } = pending;
    if (message.type !== XS_ERROR && message.type !== request.type) {
      throw new XenStoreError(
        'PROTOCOL',
        `Cannot ${request.action}: xenstore answered type ${request.type} with type ${message.type}`,
        context(request.path),
      );
    }
    this.#inFlight.delete(message.requestId);
    if (message.type === XS_ERROR) {
      const code = decodeString(message.payload);
      settle?.(new XenStoreError(code, `Cannot ${request.action}: ${code}`, context(request.path)));
    } else if (settle === undefined) {
      request.late?.(message.payload);
    } else {
      settle(message.payload);
    }
    this.#sendWaiting();
  }

  #lose(error: XenStoreError): void {
    if (this.#ended !== undefined) return;
    this.#end(error);
    this.#handler.lost(error);
  }

  #end(error: XenStoreError): void {
    this.#ended = error;
    const all = [...this.#inFlight.values(), ...this.#waiting.splice(0)];
    this.#inFlight.clear();
    for (const { settle } of all) settle?.(error);
  }

  /** Rejects what is pending with CLOSED. Idempotent. */
  close(): void {
    this.#transport.close();
    if (this.#ended !== undefined) return;
    this.#end(new XenStoreError('CLOSED', 'Cannot use xenstore: this client is closed'));
  }
}

function next(id: number): number {
  // 0 is what events carry.
  return id === 0xffff_ffff ? 1 : id + 1;
}

function context(path: string | undefined): { path?: string } {
  return path === undefined ? {} : { path };
}

function named(request: Request, error: unknown): Error {
  if (!XenStoreError.is(error)) return error as Error;
  const text = `Cannot ${request.action}: ${error.message}`;
  return new XenStoreError(error.code, text, context(request.path), { cause: error });
}
