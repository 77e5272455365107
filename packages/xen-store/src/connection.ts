import type { Poller, Watch } from '@node-vmm/vmm-sys-util';
import type { ByteStream } from './byte-stream.ts';
import { XenStoreError } from './errors.ts';
import {
  decodeText,
  encodeMessage,
  type Message,
  XENSTORE_PAYLOAD_MAX,
  XS_ERROR,
  XS_WATCH_EVENT,
  XSD_SOCKMSG,
} from './wire.ts';

const MAX_MESSAGE = XSD_SOCKMSG.SIZE + XENSTORE_PAYLOAD_MAX;
/** How much is read per wake-up, so that a busy store cannot keep this thread. */
const READS_PER_WAKE = 16;
const DEFAULT_TIMEOUT_MS = 10_000;

/** What bounds a request. */
export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds, default 10,000. */
  readonly timeoutMs?: number;
}

interface Pending {
  readonly type: number;
  readonly path: string | undefined;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/** Requests and answers on one stream, any number in flight, matched by their ids. */
export class XenStoreConnection {
  readonly #stream: ByteStream;
  readonly #watch: Watch;
  readonly #onEvent: (payload: Uint8Array) => void;
  readonly #onClose: (reason: Error) => void;
  readonly #pending = new Map<number, Pending>();
  readonly #input = new Uint8Array(MAX_MESSAGE);
  readonly #inputView = new DataView(this.#input.buffer);
  #filled = 0;
  #output: Uint8Array[] = [];
  #nextId = 1;
  #closed: Error | undefined;

  /**
   * @param onEvent - payload of a watch event
   * @param onClose - the connection is lost; called once, not after `close`
   */
  constructor(
    stream: ByteStream,
    poller: Poller,
    hooks: {
      readonly onEvent: (payload: Uint8Array) => void;
      readonly onClose: (reason: Error) => void;
    },
  ) {
    this.#stream = stream;
    this.#onEvent = hooks.onEvent;
    this.#onClose = hooks.onClose;
    this.#watch = poller.watch(stream.fd, { readable: true }, (ready) => {
      try {
        if (ready.writable) this.#flush();
        if (ready.readable || ready.disconnected) this.#receive();
      } catch (error) {
        this.#lost(error as Error);
      }
    });
  }

  /**
   * Sends a request and waits for its answer.
   *
   * @param path - for messages
   * @throws {XenStoreError} xenstored's error, CLOSED, TIMEOUT, TOO_LONG, PROTOCOL; or the abort reason
   */
  request(
    type: number,
    txId: number,
    payload: Uint8Array,
    path: string | undefined,
    options: RequestOptions = {},
  ): Promise<Uint8Array> {
    const { signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    if (this.#closed !== undefined) return Promise.reject(this.#closedError(path));
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    if (payload.length > XENSTORE_PAYLOAD_MAX) {
      const text = `Cannot send ${payload.length} bytes to the xenstore: at most ${XENSTORE_PAYLOAD_MAX} fit a message`;
      return Promise.reject(new XenStoreError('TOO_LONG', text, path));
    }
    return new Promise((resolve, reject) => {
      const reqId = this.#takeId();
      const finish = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      };
      const fail = (error: Error): void => {
        finish();
        // The id stays taken until the answer comes: it must not be matched to another request.
        this.#pending.set(reqId, { type, path, resolve: ignore, reject: ignore });
        reject(error);
      };
      const abort = (): void => fail(signal?.reason as Error);
      const timer = setTimeout(() => {
        const text = `Cannot reach the xenstore: no answer in ${timeoutMs} ms`;
        fail(new XenStoreError('TIMEOUT', text, path));
      }, timeoutMs);
      signal?.addEventListener('abort', abort, { once: true });
      this.#pending.set(reqId, {
        type,
        path,
        resolve: (answer) => {
          finish();
          resolve(answer);
        },
        reject: (error) => {
          finish();
          reject(error);
        },
      });
      this.#output.push(encodeMessage({ type, reqId, txId, payload }));
      try {
        this.#flush();
      } catch (error) {
        this.#lost(error as Error);
      }
    });
  }

  /** Ends the connection; requests under way fail with CLOSED. Idempotent. */
  close(): void {
    this.#end(new Error('closed by this side'));
  }

  #takeId(): number {
    let id = this.#nextId;
    while (this.#pending.has(id)) id = (id + 1) >>> 0;
    this.#nextId = (id + 1) >>> 0;
    return id;
  }

  #flush(): void {
    while (this.#output.length > 0) {
      const bytes = this.#output[0] as Uint8Array;
      const taken = this.#stream.write(bytes);
      if (taken < 0) break;
      if (taken === bytes.length) this.#output.shift();
      else this.#output[0] = bytes.subarray(taken);
    }
    this.#watch.update({ readable: true, writable: this.#output.length > 0 });
  }

  #receive(): void {
    for (let i = 0; i < READS_PER_WAKE && this.#closed === undefined; i++) {
      const wanted = this.#wanted();
      const n = this.#stream.read(this.#input.subarray(this.#filled, wanted));
      if (n < 0) return;
      if (n === 0) throw new XenStoreError('CLOSED', 'xenstored closed the connection');
      this.#filled += n;
      if (this.#filled >= XSD_SOCKMSG.SIZE && this.#filled === this.#wanted()) this.#dispatch();
    }
  }

  /** Bytes that the message at the front needs, as far as is known. */
  #wanted(): number {
    if (this.#filled < XSD_SOCKMSG.SIZE) return XSD_SOCKMSG.SIZE;
    const length = XSD_SOCKMSG.get(this.#inputView, 0, 'len');
    if (length > XENSTORE_PAYLOAD_MAX) {
      throw new XenStoreError(
        'PROTOCOL',
        `Cannot read from the xenstore: a message of ${length} bytes`,
      );
    }
    return XSD_SOCKMSG.SIZE + length;
  }

  #dispatch(): void {
    const header = XSD_SOCKMSG.read(this.#inputView, 0);
    const payload = this.#input.slice(XSD_SOCKMSG.SIZE, this.#filled);
    this.#filled = 0;
    if (header.type === XS_WATCH_EVENT) {
      this.#onEvent(payload);
      return;
    }
    this.#answer({ type: header.type, reqId: header.req_id, txId: header.tx_id, payload });
  }

  #answer(message: Message): void {
    const pending = this.#pending.get(message.reqId);
    if (pending === undefined) {
      throw new XenStoreError(
        'PROTOCOL',
        `Cannot match xenstore answer ${message.reqId}: no such request`,
      );
    }
    this.#pending.delete(message.reqId);
    if (message.type === XS_ERROR) {
      const code = decodeText(message.payload).replace(/\0$/, '');
      const on = pending.path === undefined ? '' : ` on ${pending.path}`;
      pending.reject(
        new XenStoreError(
          code,
          `xenstore request ${pending.type} failed${on}: ${code}`,
          pending.path,
        ),
      );
    } else if (message.type !== pending.type) {
      const text = `Cannot use xenstore answer: type ${message.type} to a request of type ${pending.type}`;
      const error = new XenStoreError('PROTOCOL', text, pending.path);
      pending.reject(error);
      throw error;
    } else {
      pending.resolve(message.payload);
    }
  }

  #lost(reason: Error): void {
    if (this.#end(reason)) this.#onClose(reason);
  }

  #end(reason: Error): boolean {
    if (this.#closed !== undefined) return false;
    this.#closed = reason;
    this.#watch.close();
    this.#stream.close();
    this.#output = [];
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { path, reject } of pending) reject(this.#closedError(path));
    return true;
  }

  #closedError(path: string | undefined): XenStoreError {
    const cause = this.#closed;
    const text = `Cannot reach the xenstore: ${cause?.message ?? 'closed'}`;
    return new XenStoreError('CLOSED', text, path, { cause });
  }
}

function ignore(): void {
  // The answer to a request that was given up.
}
