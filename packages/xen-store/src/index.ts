/**
 * XenStore client: the wire protocol over the Unix socket of xenstored and over /dev/xen/xenbus.
 *
 * @packageDocumentation
 */
export * from './abi/xs-wire.ts';
export { Connection, DEFAULT_TIMEOUT, type Request, type RequestOptions } from './connection.ts';
export { MAX_DIRECTORY_BYTES } from './directory.ts';
export * from './errors.ts';
export * from './message.ts';
export { XENBUS_DEVICES, XENSTORED_SOCKETS } from './open-transport.ts';
export { StoreOperations } from './operations.ts';
export * from './path.ts';
export * from './permissions.ts';
export * from './socket-transport.ts';
export * from './subscription.ts';
export { Transaction } from './transaction.ts';
export * from './transport.ts';
export * from './xen-store.ts';
export * from './xen-store-options.ts';
export * from './xenbus-transport.ts';
