import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Logger, MainPoller, type Poller, silentLogger } from '@node-vmm/vmm-sys-util';
import {
  XS_GET_DOMAIN_PATH,
  XS_IS_DOMAIN_INTRODUCED,
  XS_UNWATCH,
  XS_WATCH,
} from './abi/xs-wire.ts';
import { Connection, type ConnectionHandler, type RequestOptions } from './connection.ts';
import { XenStoreError } from './errors.ts';
import { decodeString, encodeStrings } from './message.ts';
import { StoreOperations } from './operations.ts';
import { checkPath } from './path.ts';
import { Reconnection } from './reconnection.ts';
import { SocketTransport } from './socket-transport.ts';
import { Subscription, type SubscriptionOptions } from './subscription.ts';
import { Transaction } from './transaction.ts';
import type { Transport } from './transport.ts';
import { XenbusTransport } from './xenbus-transport.ts';

/** tools/libs/store/xs.c: where xenstored listens. */
export const XENSTORED_SOCKETS: readonly string[] = [
  '/run/xenstored/socket',
  '/var/run/xenstored/socket',
];
/** Linux drivers/xen/xenbus/xenbus_dev_frontend.c: devices through which the kernel passes requests on. */
export const XENBUS_DEVICES: readonly string[] = ['/dev/xen/xenbus', '/proc/xen/xenbus'];

/** Times that a transaction which others got in the way of is tried. */
const TRANSACTION_ATTEMPTS = 32;
/** Longest wait before a transaction is tried again, milliseconds. */
const MAX_BACKOFF_MS = 256;

/** Options of a client. */
export interface XenStoreOptions {
  /** Default: Node's event loop. A client keeps the process alive until closed. */
  readonly poller?: Poller;
  /** Milliseconds that a reply may take, 0 for ever; default 30,000. */
  readonly timeout?: number;
  readonly logger?: Logger;
  /**
   * Milliseconds that a lost xenstored has to come back: watches are set again, which then report a change,
   * and requests fail with DISCONNECTED meanwhile. Default 0: a lost connection is the end. Only for a client
   * that was opened by {@link XenStore.open}.
   */
  readonly reconnect?: number;
}

/** Where to find xenstored. */
export interface XenStoreOpenOptions extends XenStoreOptions {
  /** A socket or a xenbus device; default: `XENSTORED_PATH`, then the usual places. */
  readonly path?: string;
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Options of a watch. */
export interface WatchOptions extends SubscriptionOptions {
  /** Ends the subscription when aborted. */
  readonly signal?: AbortSignal;
  /** Milliseconds until the watch must be set. */
  readonly timeout?: number;
}

/** Options of a transaction. */
export interface TransactionOptions extends RequestOptions {
  /** Times it is tried while others get in its way; default 32. */
  readonly attempts?: number;
}

/** A client of xenstore. */
export class XenStore extends StoreOperations implements Disposable {
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #logger: Logger;
  readonly #lost: (error: XenStoreError | undefined) => void;
  readonly #handler: ConnectionHandler;
  readonly #options: XenStoreOptions;
  readonly #reopen: (() => Transport) | undefined;
  #reconnection: Reconnection | undefined;
  #nextToken = 1;

  /** Resolves when the connection is lost for good, with the error, or closed, without. Never rejects. */
  readonly ended: Promise<XenStoreError | undefined>;

  /**
   * @param transport - becomes this object's
   * @param reopen - makes another one after that is lost; only with `reconnect`
   */
  constructor(transport: Transport, options: XenStoreOptions = {}, reopen?: () => Transport) {
    const handler: ConnectionHandler = {
      watchEvent: (path: string, token: string): void => {
        // A token that is unknown belongs to a watch just ended.
        this.#subscriptions.get(token)?.push(path);
      },
      lost: (error: XenStoreError): void => this.#onLost(error),
    };
    super(new Connection(transport, handler, options.timeout), 0);
    this.#handler = handler;
    this.#options = options;
    this.#reopen = reopen;
    this.#logger = options.logger ?? silentLogger;
    let end: (error: XenStoreError | undefined) => void = () => undefined;
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#lost = end;
  }

  /**
   * Connects to xenstored.
   *
   * @throws {XenStoreError} NOT_RUNNING, NOT_PERMITTED; the text says where it looked
   */
  static open(options: XenStoreOpenOptions = {}): XenStore {
    const poller = options.poller ?? new MainPoller();
    const reopen = (): Transport => openTransport(poller, options);
    return new XenStore(reopen(), options, reopen);
  }

  /** The socket or device in use. */
  get name(): string {
    return this.connection.name;
  }

  /** False once the connection is lost for good, or closed; true while it may come back. */
  get live(): boolean {
    return this.connection.ended === undefined || this.#reconnection !== undefined;
  }

  /** Subscriptions that are open. */
  get watches(): number {
    return this.#subscriptions.size;
  }

  /**
   * Watches a path and everything below, or `@introduceDomain` or `@releaseDomain`. An event comes
   * at once, then one per change; changes of one path that wait to be taken become one.
   *
   * @throws {XenStoreError} EINVAL, EACCES, E2BIG with too many watches ...
   */
  async watch(path: string, options: WatchOptions = {}): Promise<Subscription> {
    checkPath(path, true);
    const { signal } = options;
    signal?.throwIfAborted();
    const token = `node-vmm-${this.#nextToken++}`;
    const unwatch = (): Promise<void> => {
      this.#subscriptions.delete(token);
      return this.#unwatch(path, token);
    };
    const onAbort = (): void => subscription.close();
    let established = false;
    const subscription = new Subscription(path, unwatch, this.#logger, {
      onEvent: options.onEvent,
      onEnd: (error) => {
        this.#subscriptions.delete(token);
        signal?.removeEventListener('abort', onAbort);
        if (established) options.onEnd?.(error);
      },
    });
    // Known before the request is sent: the first event may come before the reply.
    this.#subscriptions.set(token, subscription);
    try {
      await this.connection.request({
        type: XS_WATCH,
        payload: encodeStrings(path, token),
        action: `watch ${path}`,
        path,
        signal,
        timeout: options.timeout,
        late: () => void this.#unwatch(path, token).catch(() => undefined),
      });
    } catch (error) {
      this.#subscriptions.delete(token);
      throw error;
    }
    established = true;
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) subscription.close();
    return subscription;
  }

  async #unwatch(path: string, token: string): Promise<void> {
    if (!this.live) return;
    const payload = encodeStrings(path, token);
    await this.connection.request({ type: XS_UNWATCH, payload, action: `unwatch ${path}`, path });
  }

  /**
   * Runs operations that take effect all at once. When others changed what it used, everything is
   * done again, after a wait that grows: the callback must be fit to run several times.
   *
   * @returns what the callback returned in the run that took effect
   * @throws what the callback throws, after nothing took effect
   * @throws {XenStoreError} EAGAIN when others got in the way each time
   */
  async transaction<T>(
    callback: (transaction: Transaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    const attempts = options.attempts ?? TRANSACTION_ATTEMPTS;
    for (let attempt = 1; ; attempt++) {
      options.signal?.throwIfAborted();
      const transaction = await Transaction.start(this.connection, options);
      let result: T;
      try {
        result = await callback(transaction);
      } catch (error) {
        await transaction.end(false).catch(() => undefined);
        throw error;
      }
      try {
        await transaction.end(true);
        return result;
      } catch (error) {
        const again = XenStoreError.is(error, 'EAGAIN') && attempt < attempts;
        if (!again) throw error;
        await backOff(attempt, options.signal);
      }
    }
  }

  /** Where a domain has its nodes: `/local/domain/<domid>`. */
  async getDomainPath(domid: number, options: RequestOptions = {}): Promise<string> {
    return this.#ofDomain(
      XS_GET_DOMAIN_PATH,
      `ask for the path of domain ${domid}`,
      domid,
      options,
    );
  }

  /** Whether xenstored serves a domain. */
  async isDomainIntroduced(domid: number, options: RequestOptions = {}): Promise<boolean> {
    const action = `ask whether domain ${domid} is introduced`;
    return (await this.#ofDomain(XS_IS_DOMAIN_INTRODUCED, action, domid, options)) === 'T';
  }

  async #ofDomain(
    type: number,
    action: string,
    domid: number,
    options: RequestOptions,
  ): Promise<string> {
    const payload = encodeStrings(String(domid));
    const { signal, timeout } = options;
    return decodeString(await this.connection.request({ type, payload, action, signal, timeout }));
  }

  #onLost(error: XenStoreError): void {
    const { reconnect: limit = 0 } = this.#options;
    // One that is lost while it is being restored is still that reconnection's.
    if (this.#reconnection !== undefined) return;
    if (limit === 0 || this.#reopen === undefined) {
      this.#end(error);
      return;
    }
    this.#logger.warn({ err: error, limit }, 'xenstore is gone, waiting for it to come back');
    const restore = (transport: Transport): Promise<void> => this.#restore(transport);
    this.#reconnection = new Reconnection({ open: this.#reopen, restore, limit }, (restored) => {
      this.#reconnection = undefined;
      if (!restored || this.connection.ended !== undefined) this.#end(error);
      else this.#logger.info({ watches: this.watches }, 'xenstore is back');
    });
  }

  /** Goes on with another connection: sets every watch again, whose first event then says that all may differ. */
  async #restore(transport: Transport): Promise<void> {
    this.connection = new Connection(transport, this.#handler, this.#options.timeout);
    for (const [token, { path }] of [...this.#subscriptions]) {
      if (!this.#subscriptions.has(token)) continue;
      const payload = encodeStrings(path, token);
      await this.connection.request({ type: XS_WATCH, payload, action: `watch ${path}`, path });
    }
  }

  #end(error: XenStoreError): void {
    const all = [...this.#subscriptions.values()];
    this.#subscriptions.clear();
    for (const subscription of all) subscription.fail(error);
    this.#lost(error);
  }

  /** Ends every subscription and rejects what is pending with CLOSED. Idempotent. */
  close(): void {
    this.#reconnection?.close();
    this.#reconnection = undefined;
    this.connection.close();
    for (const subscription of [...this.#subscriptions.values()]) subscription.close();
    this.#subscriptions.clear();
    this.#lost(undefined);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function openTransport(poller: Poller, options: XenStoreOpenOptions): Transport {
  const named = options.path ?? (options.env ?? process.env)['XENSTORED_PATH'];
  if (named !== undefined && named !== '') {
    return XENBUS_DEVICES.includes(named)
      ? XenbusTransport.open(named, poller)
      : SocketTransport.connect(named, poller);
  }
  // A socket that nobody listens on is a xenstored that died: the kernel's way to it would hang.
  const socket = XENSTORED_SOCKETS.find((path) => existsSync(path));
  if (socket !== undefined) return SocketTransport.connect(socket, poller);
  const device = XENBUS_DEVICES.find((path) => existsSync(path));
  if (device !== undefined) return XenbusTransport.open(device, poller);
  throw new XenStoreError(
    'NOT_RUNNING',
    `Cannot find xenstore: there is no ${[...XENSTORED_SOCKETS, ...XENBUS_DEVICES].join(', ')} (start xenstored, set XENSTORED_PATH to its socket, or run in a Xen domain)`,
  );
}

/**
 * Those that got in each other's way would do so again at the same pace: each waits for a time of its own.
 *
 * @throws the signal's reason
 */
async function backOff(attempt: number, signal: AbortSignal | undefined): Promise<void> {
  const limit = Math.min(2 ** attempt, MAX_BACKOFF_MS);
  try {
    await delay(Math.random() * limit, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
