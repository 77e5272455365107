/**
 * XenStore client: the wire protocol over xenstored's Unix socket and `/dev/xen/xenbus`.
 *
 * @packageDocumentation
 */
export * from './byte-stream.ts';
export type { RequestOptions } from './connection.ts';
export * from './errors.ts';
export * from './permissions.ts';
export type { WatchCallback } from './subscriptions.ts';
export * from './wire.ts';
export * from './xen-store.ts';
