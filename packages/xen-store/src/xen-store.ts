import { type Logger, MainPoller, silentLogger } from '@node-vmm/vmm-sys-util';
import {
  XS_GET_DOMAIN_PATH,
  XS_IS_DOMAIN_INTRODUCED,
  XS_UNWATCH,
  XS_WATCH,
} from './abi/xs-wire.ts';
import { Connection, type ConnectionHandler, type RequestOptions } from './connection.ts';
import type { XenStoreError } from './errors.ts';
import { decodeString, encodeStrings } from './message.ts';
import { openTransport } from './open-transport.ts';
import { StoreOperations } from './operations.ts';
import { checkPath } from './path.ts';
import { Reconnection } from './reconnection.ts';
import { runTransaction } from './run-transaction.ts';
import { Subscription } from './subscription.ts';
import type { Transaction } from './transaction.ts';
import type { Transport } from './transport.ts';
import type {
  TransactionOptions,
  WatchOptions,
  XenStoreOpenOptions,
  XenStoreOptions,
} from './xen-store-options.ts';

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
    return runTransaction(() => this.connection, callback, options);
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
