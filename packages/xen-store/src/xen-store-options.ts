import type { Logger, Poller } from '@node-vmm/vmm-sys-util';
import type { RequestOptions } from './connection.ts';
import type { SubscriptionOptions } from './subscription.ts';

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
   * that was opened by `XenStore.open`.
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
